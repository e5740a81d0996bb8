//! Anonymous shared memory, its mapping, and the one page that a fork wipes.

use std::io::{Error, Result};
use std::os::fd::AsRawFd;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::Path;

/// A sealed, nameless file of `size` bytes; no block is used before it is touched.
pub fn create(size: u64) -> Result<OwnedFd> {
    // SAFETY: the name is a C string; the result is checked before it becomes an owned descriptor.
    let fd = unsafe { libc::memfd_create(c"lightwork".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: `fd` is a fresh descriptor that nobody else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: plain calls on a descriptor that we own. With the size sealed nobody can truncate the file under a
    // mapping, so no access inside it can raise SIGBUS. Without the mode anybody who could see /proc/<pid>/fd could open it.
    let ok = unsafe {
        libc::fchmod(fd.as_raw_fd(), 0o600) == 0
            && libc::ftruncate(fd.as_raw_fd(), size as libc::off_t) == 0
            && libc::fcntl(
                fd.as_raw_fd(),
                libc::F_ADD_SEALS,
                libc::F_SEAL_SHRINK | libc::F_SEAL_GROW,
            ) == 0
    };
    if ok { Ok(fd) } else { Err(Error::last_os_error()) }
}

/// The size of an open file.
pub fn size_of(fd: RawFd) -> Result<u64> {
    // SAFETY: an all-zero stat is a valid place for the result.
    unsafe {
        let mut st: libc::stat = std::mem::zeroed();
        if libc::fstat(fd, &mut st) == 0 {
            Ok(st.st_size as u64)
        } else {
            Err(Error::last_os_error())
        }
    }
}

/// Map the whole file, shared and writable; kept out of core dumps.
pub fn map(fd: RawFd, size: u64) -> Result<*mut u8> {
    // SAFETY: a fresh mapping at an address of the kernel's choice touches nothing that exists.
    unsafe {
        let p = libc::mmap(
            std::ptr::null_mut(),
            size as usize,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_NORESERVE,
            fd,
            0,
        );
        if p == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        libc::madvise(p, size as usize, libc::MADV_DONTDUMP);
        Ok(p.cast())
    }
}

/// Where a mapping of a part of the file goes, and how.
pub enum View {
    /// To a new place; writes stay in this process.
    Private,
    /// Over what is mapped there; writes stay in this process, and those of others before the first one here are seen.
    PrivateAt(*mut u8),
    /// Over what is mapped there.
    SharedAt(*mut u8),
}

/// Map `len` bytes of the file from the page-aligned `offset` on.
///
/// # Safety
/// What a fixed place has mapped must be the same part of the same file.
pub unsafe fn map_part(fd: RawFd, offset: u64, len: usize, view: View) -> Result<*mut u8> {
    let (at, flags) = match view {
        View::Private => (std::ptr::null_mut(), libc::MAP_PRIVATE),
        View::PrivateAt(at) => (at, libc::MAP_PRIVATE | libc::MAP_FIXED),
        View::SharedAt(at) => (at, libc::MAP_SHARED | libc::MAP_FIXED),
    };
    // SAFETY: the caller's promise; at a new place nothing exists.
    let p = unsafe {
        libc::mmap(
            at.cast(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            flags | libc::MAP_NORESERVE,
            fd,
            offset as libc::off_t,
        )
    };
    if p == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    // SAFETY: the pages that were mapped just now. Like those around them, so that the kernel joins the mappings again.
    unsafe { libc::madvise(p, len, libc::MADV_DONTDUMP) };
    Ok(p.cast())
}

/// Which file a descriptor is: device and number.
pub fn identity(fd: RawFd) -> Result<(u64, u64)> {
    // SAFETY: an all-zero stat is a valid place for the result.
    unsafe {
        let mut st: libc::stat = std::mem::zeroed();
        if libc::fstat(fd, &mut st) == 0 {
            Ok((st.st_dev, st.st_ino))
        } else {
            Err(Error::last_os_error())
        }
    }
}

/// Take the mapping of `map` away again.
///
/// # Safety
/// Nothing may use the memory afterwards.
pub unsafe fn unmap(at: *mut u8, size: u64) {
    // SAFETY: the caller's promise.
    unsafe { libc::munmap(at.cast(), size as usize) };
}

/// Bring the pages of a block in now, so that a lack of memory is an error here and not a signal later.
///
/// # Safety
/// `at..at + len` must lie in a mapping of ours.
pub unsafe fn populate(at: *mut u8, len: usize) -> Result<()> {
    const MADV_POPULATE_WRITE: libc::c_int = 23;
    let start = at as usize & !4095;
    // SAFETY: the caller's promise; rounding down stays inside the page that holds `at`.
    let r = unsafe { libc::madvise(start as *mut _, at as usize + len - start, MADV_POPULATE_WRITE) };
    let e = Error::last_os_error();
    // Before Linux 5.14 the advice does not exist; the pages then come in when they are touched.
    if r == 0 || e.raw_os_error() == Some(libc::EINVAL) {
        Ok(())
    } else {
        Err(e)
    }
}

/// Give the pages of a free block back to the machine; it reads as zeros afterwards.
///
/// # Safety
/// `at..at + len` must lie in a mapping of ours, page-aligned, and hold nothing that is still needed.
pub unsafe fn punch(at: *mut u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { libc::madvise(at.cast(), len, libc::MADV_REMOVE) == 0 }
}

/// One private page that reads as zeros in a forked child: what it holds is about this process alone.
pub fn wiped_on_fork() -> Result<*mut u8> {
    // SAFETY: a fresh anonymous mapping; the advice only concerns this page.
    unsafe {
        let p = libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if p == libc::MAP_FAILED || libc::madvise(p, 4096, libc::MADV_WIPEONFORK) != 0 {
            return Err(Error::last_os_error());
        }
        Ok(p.cast())
    }
}

/// Random bits from the kernel.
pub fn random() -> u64 {
    let mut x = 0u64;
    // SAFETY: `x` has room for the eight bytes.
    unsafe { libc::getrandom((&mut x as *mut u64).cast(), 8, 0) };
    x
}

/// Bytes of memory that the machine has, or the least that a memory cgroup around this process grants.
pub fn physical() -> u64 {
    // SAFETY: plain queries.
    let machine = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) as u64 * libc::sysconf(libc::_SC_PAGESIZE) as u64 };
    let cgroups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    cgroups.lines().filter_map(limit_of_cgroup).fold(machine, u64::min)
}

/// The least limit from the cgroup in a line of /proc/self/cgroup up to the root. In a container its path may be the
/// host's: then only the mount is there.
fn limit_of_cgroup(line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (mount, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        c if c.split(',').any(|c| c == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return None,
    };
    let here = Path::new(mount).join(path.trim_start_matches('/'));
    let around = here.ancestors().take_while(|folder| folder.starts_with(mount));
    let limit = |folder: &Path| std::fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok();
    around.filter_map(limit).min()
}

/// Duplicate a descriptor above the standard ones, closed on exec.
pub fn duplicate(fd: RawFd) -> Result<OwnedFd> {
    // SAFETY: the result is checked before it becomes an owned descriptor.
    unsafe {
        let fd = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3);
        if fd < 0 {
            Err(Error::last_os_error())
        } else {
            Ok(OwnedFd::from_raw_fd(fd))
        }
    }
}
