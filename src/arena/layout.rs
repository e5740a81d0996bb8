//! Where things lie. All of it is reached through offsets from one base address, which differs between processes.
//!
//! | offset | what |
//! |---|---|
//! | 0 | `Header` |
//! | 64 KiB | the member table: `MEMBERS` rows of 128 bytes |
//! | `DESCRIPTORS_AT` | one `Descriptor` for each granule of the file |
//! | first granule after them | runs of granules: spans of small blocks, and large blocks |

use crate::sync::OwnerLock;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering::*};

/// The unit of large blocks: page runs start and end on it. 64 KiB keeps the descriptors of 1 TiB at 512 MiB of address
/// space, of which only touched pages exist.
pub const GRANULE: u64 = 64 << 10;
/// Living processes in one family (4 MiB of address space).
pub const MEMBERS: usize = 32768;
/// Bytes of a row of the member table.
pub const MEMBER: u64 = 128;
pub const MEMBERS_AT: u64 = GRANULE;
pub const DESCRIPTORS_AT: u64 = MEMBERS_AT + MEMBERS as u64 * MEMBER;
pub const MAGIC: u64 = 0x6b72_6f77_7468_676c; // "lghtwork"
/// Changes with the layout: a family never mixes two versions of the package.
pub const VERSION: u64 = 4;
/// Size classes of large blocks: four to a doubling, so at most a fifth is lost to rounding.
pub const RUN_CLASSES: usize = 96;

#[repr(C)]
pub struct Header {
    pub magic: AtomicU64,
    pub version: AtomicU64,
    pub id: AtomicU64,
    pub size: AtomicU64,
    /// Bytes of runs that may be in use at once.
    pub budget: AtomicU64,
    /// Births and noticed deaths in the member table.
    pub births: AtomicU64,
    pub deaths: AtomicU64,
    /// One more than the highest row ever used.
    pub rows: AtomicU64,
    /// Numbers cells, so that a stale handle is known.
    pub stamps: AtomicU64,
    /// When somebody last looked at all members (monotonic clock).
    pub swept: AtomicU64,
    /// The namespaces of the family's first member, and whether there was ever one of others: `members`.
    pub place: AtomicU64,
    pub places: AtomicU64,
    _pad: [u64; 4],
    pub heap_lock: OwnerLock,
    /// Of the tables of who holds which shared array.
    pub lease_lock: OwnerLock,
    /// The first granule that was never part of a run.
    pub top: AtomicU64,
    /// Granules in use, most ever in use, and free but still backed by memory: recovery counts them again.
    pub used: AtomicU64,
    pub peak: AtomicU64,
    pub warm: AtomicU64,
    /// Heads of the lists of free runs, by class (granule, 0 ends a list): a cache of the descriptors' owner words.
    pub free: [AtomicU64; RUN_CLASSES],
}

/// One granule. Of a run, the first granule's descriptor speaks; in a span the others point back to it.
#[repr(C)]
pub struct Descriptor {
    /// `member.word(state)`: see README.md.
    pub owner: AtomicU64,
    /// Granules of the run (bits 31..0), its size class (39..32), its kind (47..40).
    pub info: AtomicU64,
    /// Free: the next free run of the class. In a span: the run's first granule.
    pub link: AtomicU64,
    /// Large block: the requested size in bytes. Free: how many of them have their pages (`runs.rs`).
    pub bytes: AtomicU64,
}

static BASE: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());

pub fn set_base(base: *mut u8) {
    BASE.store(base, Release);
}

#[inline]
pub fn base() -> *mut u8 {
    BASE.load(Relaxed)
}

/// The address of an offset.
#[inline]
pub fn at<T>(offset: u64) -> *mut T {
    debug_assert!(!base().is_null() && offset.is_multiple_of(align_of::<T>() as u64));
    base().wrapping_add(offset as usize).cast()
}

#[inline]
pub fn header() -> &'static Header {
    // SAFETY: every path to this goes through `family::ensure`, which maps the arena before setting the base; the
    // mapping is never taken away, and the header holds only atomics.
    unsafe { &*at::<Header>(0) }
}

#[inline]
pub fn descriptor(granule: u64) -> &'static Descriptor {
    debug_assert!(granule < header().size.load(Relaxed) / GRANULE);
    // SAFETY: the table has a descriptor for each granule of the file and lies inside the mapping; only atomics.
    unsafe { &*at::<Descriptor>(DESCRIPTORS_AT + granule * size_of::<Descriptor>() as u64) }
}

/// The first granule behind the tables of an arena of `size` bytes.
pub fn first_granule(size: u64) -> u64 {
    (DESCRIPTORS_AT + size / GRANULE * size_of::<Descriptor>() as u64).div_ceil(GRANULE)
}
