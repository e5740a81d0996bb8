//! Every system call of the core, and its atomics: no protocol lives here.

pub mod atomic;
pub mod clock;
pub mod futex;
pub mod memory;
pub mod process;

#[cfg(not(target_endian = "little"))]
compile_error!(
    "the futex words are the low halves of 64-bit words: a big-endian machine would need their other halves"
);

/// The calling thread's last system error.
pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
