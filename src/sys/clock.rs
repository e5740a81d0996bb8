//! The monotonic clock, in nanoseconds: what futex deadlines are written in.

/// Nanoseconds on `CLOCK_MONOTONIC`.
pub fn now() -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid place for the result, and this clock always exists on Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}

/// `deadline` nanoseconds as the kernel wants it.
pub fn timespec(deadline: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (deadline / 1_000_000_000) as libc::time_t,
        tv_nsec: (deadline % 1_000_000_000) as libc::c_long,
    }
}
