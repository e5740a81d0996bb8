//! Creating the arena, or joining the family that a parent made.

use super::layout::{self, GRANULE, Header, MAGIC, VERSION};
use crate::sys::memory;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering::*};
use std::sync::{Mutex, OnceLock};

const LARGEST: u64 = 1 << 40;
const SMALLEST: u64 = 64 << 20;

static FD: AtomicI32 = AtomicI32::new(-1);
/// Which file it is: programs close descriptors that they do not know (`os.closerange`), and numbers are used again.
static FILE: OnceLock<(u64, u64)> = OnceLock::new();

/// One thread at a time makes or joins; the base is stored last, so who sees it sees the whole. (A fork never
/// finds a thread inside: both run attached to the interpreter, without a pause, and a fork waits until no other thread is
/// attached, with the interpreter lock or without.)
static MAKING: Mutex<()> = Mutex::new(());

/// Map the arena, creating it if this process has none.
pub fn ensure() -> Result<()> {
    if !layout::base().is_null() {
        return Ok(());
    }
    let _one = MAKING.lock().unwrap_or_else(|e| e.into_inner());
    if !layout::base().is_null() {
        return Ok(());
    }
    let (fd, base, size) = reserve()?;
    let h = header(base);
    h.version.store(VERSION, Relaxed);
    h.id.store(memory::random() | 1, Relaxed);
    h.size.store(size, Relaxed);
    h.budget.store(default_budget(size), Relaxed);
    h.rows.store(1, Relaxed);
    h.top.store(layout::first_granule(size), Relaxed);
    h.magic.store(MAGIC, Release);
    keep(fd);
    layout::set_base(base);
    Ok(())
}

/// The header in a mapping that is not this process's arena yet.
fn header(base: *mut u8) -> &'static Header {
    // SAFETY: the mapping is longer than a header, starts with it, and any bytes are a valid one: it holds only atomics.
    unsafe { &*base.cast() }
}

/// 1 TiB of addresses if the machine and `ulimit -v` agree, else half, and half of that.
fn reserve() -> Result<(OwnedFd, *mut u8, u64)> {
    let mut size = LARGEST;
    loop {
        // `ulimit -f` refuses the file's size, `ulimit -v` its mapping.
        match memory::create(size).and_then(|fd| Ok((memory::map(fd.as_raw_fd(), size)?, fd))) {
            Ok((base, fd)) => return Ok((fd, base, size)),
            Err(e) if size <= SMALLEST => return Err(e),
            Err(_) => size /= 2,
        }
    }
}

/// Three quarters of what the machine or the memory cgroup gives.
fn default_budget(size: u64) -> u64 {
    (memory::physical() / 4 * 3).min(size - layout::first_granule(size) * GRANULE)
}

/// Join the family whose arena is behind `fd` (which stays the caller's).
pub fn join(fd: i32, id: u64) -> Result<()> {
    let _one = MAKING.lock().unwrap_or_else(|e| e.into_inner());
    if !layout::base().is_null() {
        return if layout::header().id.load(Acquire) == id {
            Ok(())
        } else {
            Err(other("this process has an arena of its own"))
        };
    }
    let fd = memory::duplicate(fd)?;
    let size = memory::size_of(fd.as_raw_fd())?;
    let base = memory::map(fd.as_raw_fd(), size)?;
    let h = header(base);
    let ok = h.magic.load(Acquire) == MAGIC && h.version.load(Acquire) == VERSION && h.id.load(Acquire) == id;
    if !ok {
        // SAFETY: nobody else has seen this mapping.
        unsafe { memory::unmap(base, size) };
        return Err(other(
            "the descriptor is not the arena of this family (or of another version of lightwork)",
        ));
    }
    keep(fd);
    layout::set_base(base);
    Ok(())
}

fn other(why: &str) -> Error {
    Error::other(format!("lightwork cannot join its parent's family: {why}"))
}

fn keep(fd: OwnedFd) {
    use std::os::fd::IntoRawFd;
    if let Ok(file) = memory::identity(fd.as_raw_fd()) {
        let _ = FILE.set(file);
    }
    FD.store(fd.into_raw_fd(), Release);
}

pub fn fd() -> i32 {
    FD.load(Acquire)
}

/// Map a part of the arena once more, or otherwise.
///
/// # Safety
/// As for `memory::map_part`.
pub unsafe fn map_part(offset: u64, len: usize, view: memory::View) -> Result<*mut u8> {
    if FILE.get() != Some(&memory::identity(fd())?) {
        return Err(Error::other(
            "the program has closed the descriptor of lightwork's shared memory",
        ));
    }
    // SAFETY: the caller's promise.
    unsafe { memory::map_part(fd(), offset, len, view) }
}

/// This family's number; 0 before there is an arena.
#[inline]
pub fn id() -> u64 {
    if layout::base().is_null() {
        0
    } else {
        layout::header().id.load(Relaxed)
    }
}
