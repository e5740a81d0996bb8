//! How a thread waits: spin for a bounded time, then sleep in slices, supervising what it waits for.

use super::Member;
use crate::sys::atomic::AtomicU32;
use crate::sys::{clock, futex};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The first slice of a sleep. A dead owner is found within the slices below, so the next acquirer of a lock whose
/// holder was killed gets it in under 50 ms; a check costs 3 us (pidfd_open + poll + read of /proc/PID/stat).
const FIRST_SLICE: u64 = 5_000_000;
/// The longest slice between two looks at an owner.
const OWNER_SLICE: u64 = 40_000_000;
/// The longest slice of a sleep that waits for no owner in particular (an empty queue): only a waker that was killed
/// between its commit and its wake-up, or a reader that died holding a message, can make us wait for it.
const IDLE_SLICE: u64 = 400_000_000;
/// How long to spin before sleeping: a wake-up through the kernel costs 47 us here, a hot conversation 0.5 to 2 us. With
/// 20 us, a call with a shared array takes 90 us, since packing one takes nearly as long: with 35 us, 35 us
/// (benchmarks/bench_array_handle.py); five workers on two processors lose 2 % by it (bench_pool_waves.py).
const SPIN: u64 = 35_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Done,
    /// The word was taken from a dead owner.
    Inherited(Member),
    TimedOut,
    /// The interpreter has a pending exception from a signal handler.
    Interrupted,
}

/// What a waiting thread needs from the layers above it.
pub struct Wait<'a> {
    /// Nanoseconds on the monotonic clock; None waits for ever.
    pub deadline: Option<u64>,
    /// Runs pending signal handlers; true if one raised.
    pub interrupted: &'a mut dyn FnMut() -> bool,
    pub is_dead: fn(Member) -> bool,
}

/// One slice's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slice {
    /// Look at the condition again.
    Again,
    /// A whole slice passed: look after the living, too.
    Supervise,
    TimedOut,
    Interrupted,
}

/// The length of the next slice: grows while nothing happens.
pub struct Slices {
    next: u64,
    longest: u64,
    first: bool,
}

impl Slices {
    pub fn for_owner() -> Self {
        Slices {
            next: FIRST_SLICE,
            longest: OWNER_SLICE,
            first: true,
        }
    }

    pub fn idle() -> Self {
        Slices {
            next: OWNER_SLICE,
            longest: IDLE_SLICE,
            first: true,
        }
    }

    /// No whole slice has passed yet: the conversation may still be hot.
    pub fn is_first(&self) -> bool {
        self.first
    }
}

impl Wait<'_> {
    /// Sleep one slice while `*word == expected`.
    pub fn sleep(&mut self, word: &AtomicU32, expected: u32, slices: &mut Slices) -> Slice {
        let now = clock::now();
        if self.deadline.is_some_and(|d| d <= now) {
            return Slice::TimedOut;
        }
        let end = now + slices.next;
        let until = self.deadline.map_or(end, |d| d.min(end));
        match futex::wait(word, expected, Some(until)) {
            futex::Slept::Woken => Slice::Again,
            futex::Slept::Signal if (self.interrupted)() => Slice::Interrupted,
            futex::Slept::Signal => Slice::Again,
            futex::Slept::TimedOut if self.deadline == Some(until) => Slice::TimedOut,
            futex::Slept::TimedOut => {
                slices.next = (slices.next * 2).min(slices.longest);
                slices.first = false;
                // A signal may have been delivered to another thread while we slept: its handler runs in ours.
                if (self.interrupted)() {
                    Slice::Interrupted
                } else {
                    Slice::Supervise
                }
            }
        }
    }

    /// Spin until `ready`, or the budget is spent, or the deadline passes. Never called while attached to the interpreter.
    pub fn spin(&self, mut ready: impl FnMut() -> bool) -> bool {
        if ready() {
            return true;
        }
        let now = clock::now();
        let end = self.deadline.map_or(now + SPIN, |d| d.min(now + SPIN));
        if end <= now || !WORTH_SPINNING.load(Relaxed) {
            return false;
        }
        loop {
            for _ in 0..32 {
                if ready() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if clock::now() >= end {
                return false;
            }
        }
    }
}

/// Spinning pays only where the one we wait for can run meanwhile.
static WORTH_SPINNING: AtomicBool = AtomicBool::new(false);

/// Look at the machine: once, before the first wait. (Not at the first wait: a fork by another thread would leave the child
/// with a look that is never finished.)
pub fn init() {
    WORTH_SPINNING.store(crate::sys::process::cpus() > 1, Relaxed);
}
