//! Locks, semaphores, conditions, events and barriers: who is let in sees what the last one wrote.

mod common;

use common::{Held, THREADS, rounds, together, waiting};
use lightwork_races::cells::barrier::{Arrival, BarrierCell};
use lightwork_races::cells::event::EventCell;
use lightwork_races::cells::lock::LockCell;
use lightwork_races::cells::semaphore::Semaphore;
use lightwork_races::cells::waitlist::WaitList;
use lightwork_races::sync::{Outcome, OwnerLock};
use lightwork_races::{arena, members};
use std::cell::UnsafeCell;
use std::sync::OnceLock;

/// What a lock guards: not atomic, so that the sanitizer sees two that touch it at once.
#[derive(Default)]
pub struct Guarded(UnsafeCell<u64>);

// SAFETY: whoever touches it holds the lock of the test.
unsafe impl Sync for Guarded {}

impl Guarded {
    pub fn add(&self, n: u64) {
        // SAFETY: the caller holds the lock, or nobody else has begun.
        unsafe { *self.0.get() += n };
    }

    pub fn get(&self) -> u64 {
        // SAFETY: as for `add`.
        unsafe { *self.0.get() }
    }
}

/// Made by the first thread that comes: there is an arena then.
fn made<T: Copy>(once: &OnceLock<T>, make: impl FnOnce() -> T) -> T {
    *once.get_or_init(make)
}

#[test]
fn an_internal_lock_lets_one_in() {
    let (once, guarded, n) = (OnceLock::new(), Guarded::default(), rounds(50_000));
    together(THREADS, |_| {
        let block = made(&once, || arena::alloc_zeroed(64, arena::blocks::LETTER).expect("room"));
        // SAFETY: the block is in use until all are through; a word of zeros is a free lock.
        let lock = unsafe { &*arena::at::<OwnerLock>(block) };
        for _ in 0..n {
            let _g = lock.guard(members::me(), members::is_dead);
            guarded.add(1);
        }
    });
    arena::free(*once.get().expect("made"));
    assert_eq!(guarded.get(), (THREADS * n) as u64);
}

#[test]
fn a_public_lock_lets_one_in() {
    for recursive in [false, true] {
        let (once, guarded, n) = (OnceLock::new(), Guarded::default(), rounds(20_000));
        together(THREADS, |_| {
            let h = made(&once, || LockCell::create(recursive, false).expect("room"));
            let lock = LockCell::of(h.offset);
            for _ in 0..n {
                assert_eq!(waiting(|w| lock.acquire(w)), Outcome::Done);
                guarded.add(1);
                assert!(lock.release());
            }
        });
        drop(Held(*once.get().expect("made")));
        assert_eq!(guarded.get(), (THREADS * n) as u64);
    }
}

#[test]
fn a_semaphore_of_one_lets_one_in() {
    let (once, guarded, n) = (OnceLock::new(), Guarded::default(), rounds(5_000));
    together(THREADS, |_| {
        let h = made(&once, || Semaphore::create(1, true).expect("room"));
        let semaphore = Semaphore::of(h.offset);
        for _ in 0..n {
            assert_eq!(waiting(|w| semaphore.acquire(w)).expect("room"), Outcome::Done);
            guarded.add(1);
            assert!(semaphore.release().expect("room"));
        }
    });
    drop(Held(*once.get().expect("made")));
    assert_eq!(guarded.get(), (THREADS * n) as u64);
}

#[test]
fn a_condition_hands_a_turn_on() {
    let (once, turn, n) = (OnceLock::new(), Guarded::default(), rounds(2_000));
    together(THREADS, |thread| {
        let (l, w) = made(&once, || {
            (
                LockCell::create(false, false).expect("room"),
                WaitList::create().expect("room"),
            )
        });
        let (lock, waiters) = (LockCell::of(l.offset), WaitList::of(w.offset));
        let mut taken = 0;
        while taken < n {
            assert_eq!(waiting(|w| lock.acquire(w)), Outcome::Done);
            while turn.get() as usize % THREADS != thread {
                let place = waiters.enter().expect("room");
                lock.release();
                waiting(|w| waiters.wait(place, w));
                waiting(|w| lock.acquire(w));
            }
            turn.add(1);
            taken += 1;
            waiters.notify(THREADS);
            lock.release();
        }
    });
    let (l, w) = *once.get().expect("made");
    drop((Held(l), Held(w)));
    assert_eq!(turn.get(), (THREADS * n) as u64);
}

#[test]
fn events_pass_a_ball() {
    let (once, ball, n) = (OnceLock::new(), Guarded::default(), rounds(5_000));
    together(2, |thread| {
        let events = made(&once, || [0, 1].map(|_| EventCell::create().expect("room")));
        let [mine, other] = [thread, 1 - thread].map(|i| EventCell::of(events[i].offset));
        for round in 0..n {
            if thread == 1 || round > 0 {
                waiting(|w| mine.wait(w));
                mine.clear();
            }
            ball.add(1);
            other.set();
        }
    });
    for h in once.get().expect("made") {
        drop(Held(*h));
    }
    assert_eq!(ball.get(), 2 * n as u64);
}

#[test]
fn a_barrier_parts_phases() {
    let (once, n) = (OnceLock::new(), rounds(2_000));
    let numbers: [Guarded; THREADS] = Default::default();
    together(THREADS, |thread| {
        let h = made(&once, || BarrierCell::create(THREADS as u32).expect("room"));
        let barrier = BarrierCell::of(h.offset);
        let meet = || match barrier.arrive().expect("room") {
            Arrival::Broken => panic!("nobody broke it"),
            Arrival::Last(_, mine) => assert!(barrier.pass(mine)),
            Arrival::Waits(_, mine) => assert_eq!(waiting(|w| barrier.wait(mine, w)), Outcome::Done),
        };
        for round in 0..n {
            numbers[thread].add(1);
            meet();
            assert!(numbers.iter().all(|number| number.get() == round as u64 + 1));
            meet();
        }
    });
    drop(Held(*once.get().expect("made")));
}
