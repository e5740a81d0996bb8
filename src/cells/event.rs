//! An event is one word: bit 0 says set, the bits above count the clearings.
//!
//! A waiter that saw the word unset sleeps while it is unchanged. From an unset word the only way on is `set`, so any
//! change means that the event was set since, even if it was cleared again at once. A killed waiter leaves nothing
//! behind; `asleep` only ever says that a wake-up may be needed.

use super::{Handle, Kind, create};
use crate::arena::{Full, layout};
use crate::sync::wait::{Slice, Slices};
use crate::sync::{Outcome, Wait};
use crate::sys::futex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

const SET: u32 = 1;

#[repr(C)]
pub struct EventCell {
    ident: AtomicU64,
    word: AtomicU32,
    asleep: AtomicU32,
}

impl EventCell {
    pub fn create() -> Result<Handle, Full> {
        create(Kind::Event, size_of::<Self>() as u64, |_| {})
    }

    pub fn of(offset: u64) -> &'static Self {
        // SAFETY: the handle was checked to name a cell of this kind; cells hold only atomics and stay mapped.
        unsafe { &*layout::at::<Self>(offset) }
    }

    pub fn is_set(&self) -> bool {
        self.word.load(Acquire) & SET != 0
    }

    pub fn set(&self) {
        let was = self.word.fetch_or(SET, SeqCst); // [set.1]
        kill_point!("cells.set.1");
        if was & SET == 0 && self.asleep.load(SeqCst) != 0 {
            futex::wake(&self.word, i32::MAX); // [set.2]
            kill_point!("cells.set.2");
        }
    }

    pub fn clear(&self) {
        let word = self.word.load(Acquire);
        if word & SET != 0 {
            // If another clears at the same time, one of the two does it.
            let _ = self
                .word
                .compare_exchange(word, (word & !SET).wrapping_add(2), SeqCst, Relaxed); // [clear.1]
            kill_point!("cells.clear.1");
        }
    }

    pub fn wait(&self, wait: &mut Wait) -> Outcome {
        let seen = self.word.load(SeqCst);
        if seen & SET != 0 || wait.spin(|| self.word.load(Acquire) != seen) {
            return Outcome::Done;
        }
        self.asleep.store(1, SeqCst); // [await.1]
        kill_point!("cells.await.1");
        let mut slices = Slices::idle();
        while self.word.load(SeqCst) == seen {
            match wait.sleep(&self.word, seen, &mut slices) {
                Slice::TimedOut if self.word.load(SeqCst) == seen => return Outcome::TimedOut,
                Slice::Interrupted => return Outcome::Interrupted,
                _ => {}
            }
            kill_point!("cells.await.2");
        }
        Outcome::Done
    }
}
