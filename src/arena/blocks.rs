//! One face for small and large blocks. Their owner words have the same states:
//!
//! | state | meaning | a death of the owner |
//! |---|---|---|
//! | word 0 | free | |
//! | HELD | a large block that is not yet, or no more, one of the below (a span: see `heap.rs`) | freed by the next who makes a large block after the death was noticed |
//! | CELL | a primitive or a shared array | it stays: others may hold it |
//! | LETTER | a message that its writer is preparing, or a cell that is being made or freed | freed when the span is adopted (small), or as HELD (large) |
//! | ATTACHED | a buffer that belongs to a message: `cells/parcel.rs` | as that says |
//! | QUEUED | a message that a queue's slot names | the slot decides; what a dead writer staged the queue's recovery frees |

use super::Full;
use super::heap;
use super::layout::{GRANULE, at, descriptor};
use super::runs::{self, Kind};
use crate::members;
use crate::sync::Member;
use crate::sync::member::STATE;
use crate::sys::memory;
use std::sync::atomic::{AtomicU64, Ordering::*};

pub const CELL: u64 = 1;
pub const LETTER: u64 = 2;
pub const QUEUED: u64 = 3;
pub const ATTACHED: u64 = 4;

/// A block of at least `bytes` bytes, aligned to 64, in `state`; its content is undefined. Returns its offset.
pub fn alloc(bytes: u64, state: u64) -> Result<u64, Full> {
    if bytes <= heap::LARGEST {
        return heap::alloc(bytes, state);
    }
    large(bytes, state).map(|(offset, _)| offset)
}

/// The same, filled with zeros.
pub fn alloc_zeroed(bytes: u64, state: u64) -> Result<u64, Full> {
    let (offset, dirty) = if bytes <= heap::LARGEST {
        (heap::alloc(bytes, state)?, true)
    } else {
        large(bytes, state)?
    };
    if dirty {
        // SAFETY: the block is ours and holds at least `bytes`.
        unsafe { std::ptr::write_bytes(at::<u8>(offset), 0, bytes as usize) };
    }
    Ok(offset)
}

fn large(bytes: u64, state: u64) -> Result<(u64, bool), Full> {
    static DEATHS_SEEN: AtomicU64 = AtomicU64::new(0);
    let deaths = members::deaths();
    if DEATHS_SEEN.swap(deaths, Relaxed) != deaths {
        free_unfinished();
    }
    let (first, backed) = runs::alloc(bytes.div_ceil(GRANULE), None)?;
    let d = descriptor(first);
    d.owner.store(members::me().word(state), Release);
    kill_point!("arena.large.1");
    if bytes >= runs::POPULATE && bring_in(first, bytes, backed.unwrap_or(0)).is_err() {
        runs::free(first);
        return Err(Full::now(bytes));
    }
    kill_point!("arena.large.2");
    d.bytes.store(bytes, Relaxed); // not before they have their pages: our death leaves what this says
    kill_point!("arena.large.3");
    Ok((first * GRANULE, backed.is_some()))
}

/// See to it that so many bytes from a run's start on, of which `backed` have their pages, have them, and that this process
/// has them in its page table: a walk through those that are there already takes half as long as a copy of the bytes.
fn bring_in(first: u64, bytes: u64, backed: u64) -> std::io::Result<()> {
    let here = backed.min(heap::brought_in(first)); // others may have given pages back since
    let from = here.min(bytes) & !4095;
    if from < bytes {
        // SAFETY: the run is ours and at least this long.
        unsafe { memory::populate(at::<u8>(first * GRANULE + from), (bytes - from) as usize) }?;
        heap::note_brought_in(first, bytes);
    }
    Ok(())
}

/// Free the large blocks that the dead were making or freeing.
pub fn free_unfinished() {
    for state in [LETTER, runs::HELD] {
        for (offset, _, word) in large_of_the_dead(state) {
            if take(offset, word, runs::HELD) {
                runs::give_back(offset / GRANULE);
            }
        }
    }
}

/// Note when (on the birth clock) a large block was made; small ones do not remember.
pub fn set_birth(offset: u64, births: u64) {
    if is_large(offset) {
        descriptor(offset / GRANULE).link.store(births, Release);
    }
}

/// The large blocks in `state` whose owners are dead: (offset, when it was made, owner word).
pub fn large_of_the_dead(state: u64) -> Vec<(u64, u64, u64)> {
    let mut found = Vec::new();
    runs::each(|first, d| {
        let w = d.owner.load(Acquire);
        if runs::is(d, Kind::Large) && w & STATE == state && Member::of(w).is_some_and(members::is_dead) {
            found.push((first * GRANULE, d.link.load(Acquire), w));
        }
    });
    found
}

/// Make a large block ours, in `state`, if its owner word is still `word`; one of those who try gets it.
pub fn take(offset: u64, word: u64, state: u64) -> bool {
    let mine = members::me().word(state);
    let taken = descriptor(offset / GRANULE)
        .owner
        .compare_exchange(word, mine, AcqRel, Relaxed)
        .is_ok();
    kill_point!("arena.take.1" if taken);
    taken
}

fn is_large(offset: u64) -> bool {
    runs::is(descriptor(offset / GRANULE), Kind::Large)
}

/// Give a block back.
pub fn free(offset: u64) {
    if is_large(offset) {
        runs::free(offset / GRANULE)
    } else {
        heap::free(offset)
    }
}

/// Move a block to another state, in this member's name: one store.
#[inline]
pub fn set_state(offset: u64, state: u64) {
    let word = members::me().word(state);
    if is_large(offset) {
        descriptor(offset / GRANULE).owner.store(word, Release);
    } else {
        heap::word_of(offset).store(word, Release);
    }
}

/// Bytes that the block can hold.
pub fn size(offset: u64) -> u64 {
    if is_large(offset) {
        runs::granules(descriptor(offset / GRANULE)) * GRANULE
    } else {
        heap::usable(offset)
    }
}

/// The owner word of the block that starts here, 0 if none does: for offsets that may be out of date, or come from
/// outside.
pub fn word_at(offset: u64) -> u64 {
    let h = super::layout::header();
    let granule = offset / GRANULE;
    if !offset.is_multiple_of(64)
        || granule >= h.top.load(Acquire)
        || granule < super::layout::first_granule(h.size.load(Acquire))
    {
        return 0;
    }
    let d = descriptor(granule);
    if runs::is(d, Kind::Large) {
        return if offset.is_multiple_of(GRANULE) {
            d.owner.load(Acquire)
        } else {
            0
        };
    }
    if heap::is_block(offset) {
        heap::word_of(offset).load(Acquire)
    } else {
        0
    }
}

/// Is this the start of a block in use that could hold `bytes`? For handles that come from outside.
pub fn is_block(offset: u64, bytes: u64) -> bool {
    if word_at(offset) == 0 {
        return false;
    }
    let d = descriptor(offset / GRANULE);
    let room = if runs::is(d, Kind::Large) {
        d.bytes.load(Acquire)
    } else {
        heap::usable(offset)
    };
    room >= bytes
}
