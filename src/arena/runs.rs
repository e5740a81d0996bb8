//! Runs of granules: large blocks and the spans that small blocks are cut from. One lock for all of it.
//!
//! The steps are README.md's. Lists and counts are caches: whoever inherits the lock from a dead process rebuilds them
//! from the owner words, which one store each decides.

use super::Full;
use super::layout::{Descriptor, GRANULE, RUN_CLASSES, at, descriptor, first_granule, header};
use crate::members;
use crate::sync::member::STATE;
use crate::sync::{Guard, Member};
use crate::sys::memory;
use std::sync::atomic::Ordering::*;

/// Owner states of a run (bits 7..0 of the owner word; FREE is the word 0).
pub const HELD: u64 = 9;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One large block.
    Large = 1,
    /// Cut into small blocks.
    Span = 2,
    /// Not the first granule of a span.
    Inside = 3,
}

/// Free memory kept warm before holes are punched: touching fresh pages costs ten times a copy (100 MB: 72-95 ms into
/// fresh shared pages, 8.5 ms into warm ones, 2-core VM).
const WARM: u64 = if cfg!(feature = "kill_points") {
    2 << 20
} else {
    512 << 20
} / GRANULE;

/// Large blocks are brought in before use from here on, so that a lack of memory is an error and not a signal.
pub const POPULATE: u64 = 1 << 20;

/// The class of a run of at least `granules`, and the class's size: 1 2 3 4 5 6 7 8 10 12 14 16 20 ...
pub fn class_of(granules: u64) -> (usize, u64) {
    if granules <= 4 {
        return (granules.max(1) as usize - 1, granules.max(1));
    }
    let exp = 63 - (granules - 1).leading_zeros() as u64; // 2^exp < granules <= 2^(exp+1)
    let step = (1u64 << exp) / 4;
    let steps = (granules - (1 << exp)).div_ceil(step);
    let size = (1 << exp) + steps * step;
    (((exp - 2) * 4 + steps + 3) as usize, size)
}

pub fn granules(d: &Descriptor) -> u64 {
    d.info.load(Acquire) & 0xffff_ffff
}

pub fn class(d: &Descriptor) -> usize {
    (d.info.load(Acquire) >> 32 & 0xff) as usize
}

pub fn is(d: &Descriptor, kind: Kind) -> bool {
    d.info.load(Acquire) >> 40 & 0xff == kind as u64
}

pub fn info(granules: u64, class: usize, kind: Kind) -> u64 {
    granules | (class as u64) << 32 | (kind as u64) << 40
}

pub(super) fn lock() -> Guard<'static> {
    let g = header().heap_lock.guard(members::me(), members::is_dead);
    if g.inherited {
        rebuild();
    }
    g
}

/// How a run becomes a span.
pub struct Cut<'a> {
    /// The class of its blocks.
    pub class: usize,
    /// Writes what makes it one, given the run's first granule and whether it may hold old bytes.
    pub prepare: &'a dyn Fn(u64, bool),
}

/// The first granule of a run of at least `want` granules, for a span or (None) a large block; and None if nobody had it
/// before, else its memory may hold old bytes, and so many from its start on have their pages.
pub fn alloc(want: u64, span: Option<Cut>) -> Result<(u64, Option<u64>), Full> {
    let me = members::me();
    let (class, size) = class_of(want);
    let h = header();
    let _g = lock();
    let full = || Full::now(want * GRANULE);
    if class >= RUN_CLASSES || (h.used.load(Relaxed) + size) * GRANULE > h.budget.load(Relaxed) {
        return Err(full());
    }
    // Addresses used up: a larger free run does as well.
    let larger = || (class + 1..RUN_CLASSES).find_map(pop);
    let Run { first, size, backed } = pop(class).or_else(|| bump(size)).or_else(larger).ok_or_else(full)?; // [run.1]
    kill_point!("arena.run.1");
    let d = descriptor(first);
    match span {
        None => d.info.store(info(size, class_of(size).0, Kind::Large), Release), // [run.2]
        Some(Cut { class, prepare }) => {
            d.info.store(info(size, class, Kind::Span), Release); // [run.2]
            prepare(first, backed.is_some());
        }
    }
    kill_point!("arena.run.2");
    d.owner.store(me.word(HELD), Release); // [run.commit]
    kill_point!("arena.run.commit");
    h.top.fetch_max(first + size, Release); // [run.4]
    let used = h.used.load(Relaxed) + size;
    h.used.store(used, Relaxed);
    h.peak.fetch_max(used, Relaxed);
    kill_point!("arena.run.4");
    Ok((first, backed))
}

/// A run found for an allocation.
struct Run {
    first: u64,
    size: u64,
    backed: Option<u64>,
}

fn pop(class: usize) -> Option<Run> {
    let head = &header().free[class];
    let first = head.load(Relaxed);
    if first == 0 {
        return None;
    }
    let d = descriptor(first);
    head.store(d.link.load(Relaxed), Relaxed);
    let size = granules(d);
    let mut backed = d.bytes.swap(0, Relaxed);
    if backed == COLD {
        backed = 0;
    } else {
        header().warm.fetch_sub(size, Relaxed);
    }
    Some(Run {
        first,
        size,
        backed: Some(backed),
    })
}

/// In `bytes` of a free run, which else says how many have their pages: they were given back.
const COLD: u64 = u64::MAX;

fn bump(size: u64) -> Option<Run> {
    let h = header();
    let first = h.top.load(Relaxed);
    ((first + size) * GRANULE <= h.size.load(Relaxed)).then_some(Run {
        first,
        size,
        backed: None,
    })
}

/// Give back what its owner word says to be a block; once, even if it is named twice (a death in `Ring::put_back`).
pub fn free(first: u64) {
    let owner = &descriptor(first).owner;
    let word = owner.load(Acquire);
    let held = members::me().word(HELD);
    if word == 0 || word & STATE == HELD || owner.compare_exchange(word, held, AcqRel, Relaxed).is_err() {
        return;
    }
    kill_point!("arena.free.1"); // [free.1] from here on our death frees it, too: `blocks.rs`
    give_back(first);
}

/// Give back a run that this member holds.
pub(super) fn give_back(first: u64) {
    let d = descriptor(first);
    let size = granules(d);
    let h = header();
    // Before the lock, for which the whole family waits: the run is ours until the commit.
    let mut cold = h.warm.load(Relaxed) + size > WARM;
    if cold {
        // SAFETY: it lies in the arena on granule borders, and its last holder is giving it back.
        cold = unsafe { memory::punch(at::<u8>(first * GRANULE), (size * GRANULE) as usize) }; // [free.2]
        kill_point!("arena.free.2");
    }
    let _g = lock();
    if cold {
        d.bytes.store(COLD, Relaxed);
    } else if d.bytes.load(Relaxed) < POPULATE {
        d.bytes.store(0, Relaxed);
    }
    d.owner.store(0, Release); // [free.commit]
    kill_point!("arena.free.commit");
    h.used.fetch_sub(size, Relaxed);
    push(first, d); // [free.4]
    kill_point!("arena.free.4");
}

fn push(first: u64, d: &Descriptor) {
    let h = header();
    if d.bytes.load(Relaxed) != COLD {
        h.warm.fetch_add(granules(d), Relaxed);
    }
    let head = &h.free[class_of(granules(d)).0];
    d.link.store(head.load(Relaxed), Relaxed);
    head.store(first, Relaxed);
}

/// Each run below `top`, by its first granule.
pub fn each(mut f: impl FnMut(u64, &'static Descriptor)) {
    let h = header();
    let top = h.top.load(Acquire);
    let mut g = first_granule(h.size.load(Relaxed));
    while g < top {
        let d = descriptor(g);
        f(g, d);
        g += granules(d).max(1);
    }
}

/// Under the lock, after its holder died: lists and counts anew from the owner words.
fn rebuild() {
    let h = header();
    for head in &h.free {
        head.store(0, Relaxed);
    }
    h.warm.store(0, Relaxed);
    kill_point!("arena.rebuild.1");
    // A run that was committed at `top` before `top` moved.
    let top = h.top.load(Relaxed);
    if (top + 1) * GRANULE <= h.size.load(Relaxed) {
        let d = descriptor(top);
        if d.owner.load(Acquire) & STATE == HELD && granules(d) != 0 {
            h.top.store(top + granules(d), Release);
            kill_point!("arena.rebuild.2");
        }
    }
    let mut used = 0;
    each(|first, d| {
        if d.owner.load(Acquire) != 0 {
            used += granules(d);
        } else {
            push(first, d);
        }
    });
    h.used.store(used, Relaxed);
    kill_point!("arena.rebuild.3");
}

/// A run's owner word.
#[cfg(feature = "kill_points")]
pub fn word(d: &Descriptor) -> u64 {
    d.owner.load(Acquire)
}

pub fn owner(d: &Descriptor) -> Option<Member> {
    Member::of(d.owner.load(Acquire))
}
