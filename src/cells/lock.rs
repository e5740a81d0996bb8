//! The public Lock and RLock. The word is `sync::lock`'s; anybody may free a Lock, only its owner an RLock.
//!
//! Written while the word is held: `thread` (0: nobody, so that another thread of the same process never mistakes itself
//! for the owner between the word's being taken and the owner's naming itself) and, of an RLock, `depth`. A death leaves
//! both stale; whoever inherits the word writes them anew.

use super::{Handle, Kind, create};
use crate::arena::{Full, layout};
use crate::members;
use crate::sync::{Member, Outcome, OwnerLock, Wait};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

#[repr(C)]
pub struct LockCell {
    ident: AtomicU64,
    pub lock: OwnerLock,
    /// The owner word of the dead member from whom the present holder took the lock, else 0.
    pub inherited_from: AtomicU64,
    thread: AtomicU64,
    pub depth: AtomicU32,
    /// 1: a take-over raises instead of warning.
    pub raises: AtomicU32,
}

/// This thread's name in the family: a dead owner's thread is never taken for one of ours.
#[inline]
fn thread(me: Member) -> u64 {
    thread_local!(static NUMBER: Cell<u64> = const { Cell::new(0) });
    let n = NUMBER.get();
    me.raw().rotate_left(16) ^ if n != 0 { n } else { number(&NUMBER) }
}

#[cold]
fn number(place: &'static std::thread::LocalKey<Cell<u64>>) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    place.set(NEXT.fetch_add(1, Relaxed));
    place.get()
}

impl LockCell {
    pub fn create(kind: Kind, raises: bool) -> Result<Handle, Full> {
        let h = create(kind, size_of::<Self>() as u64, |_| {})?;
        Self::of(h.offset).raises.store(raises as u32, Relaxed);
        Ok(h)
    }

    pub fn of(offset: u64) -> &'static Self {
        // SAFETY: the handle was checked to name a cell of this kind; cells hold only atomics and stay mapped.
        unsafe { &*layout::at::<Self>(offset) }
    }

    #[inline]
    pub fn try_acquire(&self) -> bool {
        let me = members::me();
        let taken = self.lock.try_acquire(me);
        if taken {
            self.thread.store(thread(me), Relaxed);
        }
        taken
    }

    pub fn acquire(&self, wait: &mut Wait) -> Outcome {
        self.note(self.lock.acquire_slow(members::me(), wait))
    }

    /// Without waiting: take it from a dead owner.
    pub fn take_over(&self) -> Outcome {
        self.note(
            self.lock
                .take_over(members::me(), members::is_dead)
                .map_or(Outcome::TimedOut, Outcome::Inherited),
        )
    }

    fn note(&self, out: Outcome) -> Outcome {
        if let Outcome::Inherited(dead) = out {
            self.inherited_from.store(dead.raw(), Release);
        }
        if matches!(out, Outcome::Done | Outcome::Inherited(_)) {
            self.thread.store(thread(members::me()), Relaxed);
        }
        out
    }

    /// False if it was free.
    #[inline]
    pub fn release(&self) -> bool {
        if self.inherited_from.load(Relaxed) != 0 {
            self.inherited_from.store(0, Relaxed);
        }
        self.thread.store(0, Relaxed);
        self.lock.release() != 0
    }

    pub fn held_by_this_process(&self) -> bool {
        self.lock.owner() == Some(members::me())
    }

    /// Does the calling thread hold it?
    #[inline]
    pub fn is_mine(&self) -> bool {
        self.held_by_this_process() && self.thread.load(Relaxed) == thread(members::me())
    }

    // -- recursive

    /// One level deeper, or the first; false if somebody else holds it.
    #[inline]
    pub fn try_acquire_again(&self) -> bool {
        if self.try_acquire() {
            self.depth.store(1, Relaxed);
            return true;
        }
        let mine = self.is_mine();
        if mine {
            self.depth.store(self.depth.load(Relaxed) + 1, Relaxed);
        }
        mine
    }

    pub fn acquire_recursive(&self, wait: &mut Wait) -> Outcome {
        self.first_level(self.acquire(wait))
    }

    pub fn take_over_recursive(&self) -> Outcome {
        self.first_level(self.take_over())
    }

    fn first_level(&self, out: Outcome) -> Outcome {
        if matches!(out, Outcome::Done | Outcome::Inherited(_)) {
            self.depth.store(1, Relaxed);
        }
        out
    }

    /// False if this thread does not hold it.
    #[inline]
    pub fn release_one(&self) -> bool {
        if !self.is_mine() {
            return false;
        }
        let depth = self.depth.load(Relaxed);
        if depth > 1 {
            self.depth.store(depth - 1, Relaxed);
        } else {
            self.depth.store(0, Relaxed);
            self.release();
        }
        true
    }

    pub fn dead_owner(&self) -> Option<Member> {
        Member::of(self.inherited_from.load(Acquire))
    }
}
