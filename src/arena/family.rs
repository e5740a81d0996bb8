//! Creating the arena, or joining the family that a parent made.

use super::layout::{self, GRANULE, MAGIC, VERSION};
use crate::sys::memory;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering::*};

const LARGEST: u64 = 1 << 40;
const SMALLEST: u64 = 64 << 20;

static FD: AtomicI32 = AtomicI32::new(-1);

/// Map the arena, creating it if this process has none. Called under the GIL or the module's own lock.
pub fn ensure() -> Result<()> {
    if !layout::base().is_null() {
        return Ok(());
    }
    let (fd, base, size) = reserve()?;
    layout::set_base(base);
    let h = layout::header();
    h.version.store(VERSION, Relaxed);
    h.id.store(memory::random() | 1, Relaxed);
    h.size.store(size, Relaxed);
    h.budget.store(default_budget(size), Relaxed);
    h.rows.store(1, Relaxed);
    h.top.store(layout::first_granule(size), Relaxed);
    h.magic.store(MAGIC, Release);
    keep(fd);
    Ok(())
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
    let limit = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .iter()
    .filter_map(|p| std::fs::read_to_string(p).ok()?.trim().parse::<u64>().ok())
    .fold(memory::physical(), u64::min);
    (limit / 4 * 3).min(size - layout::first_granule(size) * GRANULE)
}

/// Join the family whose arena is behind `fd` (which stays the caller's).
pub fn join(fd: i32, id: u64) -> Result<()> {
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
    layout::set_base(base);
    let h = layout::header();
    let ok = h.magic.load(Acquire) == MAGIC && h.version.load(Acquire) == VERSION && h.id.load(Acquire) == id;
    if !ok {
        layout::set_base(std::ptr::null_mut());
        // SAFETY: nobody else has seen this mapping.
        unsafe { memory::unmap(base, size) };
        return Err(other(
            "the descriptor is not the arena of this family (or of another version of lightwork)",
        ));
    }
    keep(fd);
    Ok(())
}

fn other(why: &str) -> Error {
    Error::other(format!("lightwork cannot join its parent's family: {why}"))
}

fn keep(fd: OwnedFd) {
    use std::os::fd::IntoRawFd;
    FD.store(fd.into_raw_fd(), Release);
}

pub fn fd() -> i32 {
    FD.load(Acquire)
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
