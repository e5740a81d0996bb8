//! Sleeping on a word. Who sleeps is in a list that changes atomically with the bucket's word, as under the kernel's
//! lock.

use super::atomic::{AtomicU32, AtomicU64};
use crate::family;
use loom::thread::{self, Thread};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering::AcqRel;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slept {
    Woken,
    TimedOut,
    Signal,
}

pub struct Sleeper {
    address: usize,
    thread: Thread,
    ended: Rc<Cell<Option<Slept>>>,
}

fn address(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word).addr()
}

/// The clock stands still, so a deadline only says that the sleep has a slice. When that ends: for some sleeps at once,
/// as the plan says; for those during a death then; for some after it when others have run; for all others never.
pub fn wait(word: &AtomicU32, expected: u32, deadline: Option<u64>) -> Slept {
    assert!(deadline.is_some(), "a sleep without a slice");
    if word.current() != expected {
        return Slept::Woken;
    }
    family::words().bucket.fetch_add(1, AcqRel);
    if word.current() != expected {
        return Slept::Woken;
    }
    // No operation of loom's from the look at the word to here: with the list they are one step.
    if family::ends_early() {
        return Slept::TimedOut;
    }
    let ended = Rc::new(Cell::new(None));
    let sleeper = Sleeper {
        address: address(word),
        thread: thread::current(),
        ended: ended.clone(),
    };
    family::with_sleepers(|all| all.push(sleeper));
    if family::ends_late() {
        thread::yield_now();
        return ended.get().unwrap_or_else(|| {
            family::with_sleepers(|all| all.retain(|s| !Rc::ptr_eq(&s.ended, &ended)));
            Slept::TimedOut
        });
    }
    loop {
        if let Some(slept) = ended.get() {
            return slept;
        }
        thread::park();
    }
}

pub fn wake(word: &AtomicU32, n: i32) -> usize {
    if family::is_ghost() {
        return 0;
    }
    family::words().bucket.fetch_add(1, AcqRel);
    let woken = family::with_sleepers(|all| {
        let mut left = n;
        let here = |s: &mut Sleeper| {
            let wake = left > 0 && s.address == address(word);
            left -= wake as i32;
            wake
        };
        all.extract_if(.., here).collect::<Vec<_>>()
    });
    end(&woken, Slept::Woken);
    woken.len()
}

/// All slices end now.
pub fn end_slices() {
    family::words().bucket.fetch_add(1, AcqRel);
    end(&family::with_sleepers(std::mem::take), Slept::TimedOut);
}

fn end(sleepers: &[Sleeper], how: Slept) {
    for s in sleepers {
        s.ended.set(Some(how));
        s.thread.unpark();
    }
}

pub fn low_half(word: &AtomicU64) -> &AtomicU32 {
    word.low_half()
}
