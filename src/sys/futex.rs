//! Sleeping on a word in shared memory. The futexes are never private: other processes wake us.

use super::{clock, errno};
use std::sync::atomic::{AtomicU32, AtomicU64};

const WAIT_BITSET: libc::c_int = 9;
const WAKE: libc::c_int = 1;
const ANY: u32 = u32::MAX;

/// Why a sleep ended. Each may be spurious: the caller looks at its condition again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slept {
    /// Somebody woke us, or the word no longer had the expected value.
    Woken,
    /// The deadline passed.
    TimedOut,
    /// A signal arrived: the interpreter's handlers may want to run.
    Signal,
}

/// Sleep while `*word == expected`, at most until `deadline` (nanoseconds, monotonic).
pub fn wait(word: &AtomicU32, expected: u32, deadline: Option<u64>) -> Slept {
    let ts = deadline.map(clock::timespec);
    let at = ts.as_ref().map_or(std::ptr::null(), |t| t as *const libc::timespec);
    // SAFETY: the word outlives the call (we hold a reference), `at` is null or a valid timespec.
    let r = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), WAIT_BITSET, expected, at, 0usize, ANY) };
    match if r == 0 { 0 } else { errno() } {
        libc::ETIMEDOUT => Slept::TimedOut,
        libc::EINTR => Slept::Signal,
        _ => Slept::Woken,
    }
}

/// Wake at most `n` sleepers; returns how many there were.
pub fn wake(word: &AtomicU32, n: i32) -> usize {
    // SAFETY: the word outlives the call; waking never writes to it.
    let r = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), WAKE, n) };
    r.max(0) as usize
}

/// The half of an owner word that a futex can watch (flags and slot).
pub fn low_half(word: &AtomicU64) -> &AtomicU32 {
    // SAFETY: the low half of an aligned u64 is an aligned u32 at the same address (little-endian, checked in
    // `sys`), it lives as long as the word, and both are only touched by atomic operations.
    unsafe { AtomicU32::from_ptr(word.as_ptr().cast::<u32>()) }
}
