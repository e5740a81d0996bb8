//! One sparse memfd for a family of processes: who owns which bytes. README.md has the layout, states and deaths.

pub mod blocks;
pub mod family;
pub mod heap;
pub mod layout;
pub mod runs;

pub use blocks::{alloc, alloc_zeroed, free, set_state};
pub use layout::at;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// An allocation that cannot be met now: too large for the arena or for its budget.
#[derive(Debug, Clone, Copy)]
pub struct Full {
    pub wanted: u64,
    pub used: u64,
    pub budget: u64,
}

impl Full {
    fn now(wanted: u64) -> Self {
        let h = layout::header();
        Full {
            wanted,
            used: h.used.load(Relaxed) * layout::GRANULE,
            budget: h.budget.load(Relaxed),
        }
    }
}

/// Bytes: (used, most ever used, free but still backed, budget, size).
pub fn stats() -> (u64, u64, u64, u64, u64) {
    let h = layout::header();
    let bytes = |granules: &AtomicU64| granules.load(Relaxed) * layout::GRANULE;
    (
        bytes(&h.used),
        bytes(&h.peak),
        bytes(&h.warm),
        h.budget.load(Relaxed),
        h.size.load(Relaxed),
    )
}

/// Set how many bytes of blocks may be in use at once.
pub fn set_budget(bytes: u64) {
    layout::header().budget.store(bytes, Relaxed);
}
