//! Who lives. A death is noticed and counted in one store, unlike in `src/members`, whose own steps are not modelled.

use crate::family::{self, EARLIER, VICTIM};
use crate::sync::Member;
use std::sync::atomic::Ordering::*;

pub fn me() -> Member {
    named(family::me())
}

/// The member that a thread of the model is.
pub fn named(thread: usize) -> Member {
    Member::new(thread + 1, 1)
}

/// Asks the kernel, so the answer is never out of date.
pub fn is_dead(m: Member) -> bool {
    let name = m.slot() - 1;
    if name == family::me() || name != VICTIM && name != EARLIER {
        return false;
    }
    let words = family::words();
    let dead = words.dead.fetch_or(0, AcqRel) & 1 << name != 0;
    if dead {
        words.deaths.fetch_or(1 << name, AcqRel);
    }
    dead
}

pub fn sweep() -> u64 {
    is_dead(named(VICTIM));
    is_dead(named(EARLIER));
    deaths()
}

/// Each look is old enough.
pub fn sweep_if_older(_age: u64) -> bool {
    let before = deaths();
    sweep() != before
}

pub fn deaths() -> u64 {
    family::words().deaths.load(Acquire) as u64
}
