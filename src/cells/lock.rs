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
    lock: OwnerLock,
    /// The owner word of the dead member from whom the present holder took the lock, else 0.
    inherited_from: AtomicU64,
    thread: AtomicU64,
    /// Of an RLock: how many levels its holder has. A Lock's stays 0.
    depth: AtomicU32,
    /// RECURSIVE and RAISES; never changed.
    flags: AtomicU32,
}

const RECURSIVE: u32 = 1;
/// A take-over raises instead of warning.
const RAISES: u32 = 2;

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
    pub fn create(recursive: bool, raises: bool) -> Result<Handle, Full> {
        let h = create(Self::kind(recursive), size_of::<Self>() as u64, |_| {})?;
        let flags = if recursive { RECURSIVE } else { 0 } | if raises { RAISES } else { 0 };
        Self::of(h.offset).flags.store(flags, Relaxed);
        Ok(h)
    }

    pub fn kind(recursive: bool) -> Kind {
        if recursive { Kind::RLock } else { Kind::Lock }
    }

    pub fn of(offset: u64) -> &'static Self {
        // SAFETY: the handle was checked to name a cell of this kind; cells hold only atomics and stay mapped.
        unsafe { &*layout::at::<Self>(offset) }
    }

    #[inline]
    pub fn is_recursive(&self) -> bool {
        self.flags.load(Relaxed) & RECURSIVE != 0
    }

    pub fn raises(&self) -> bool {
        self.flags.load(Relaxed) & RAISES != 0
    }

    /// Without waiting, and not from a dead owner: the lock, or one level more of an RLock.
    #[inline]
    pub fn try_acquire(&self) -> bool {
        let me = members::me();
        if self.lock.try_acquire(me) {
            self.begin(me);
            return true;
        }
        let mine = self.is_recursive() && self.is_mine();
        if mine {
            self.depth.store(self.depth.load(Relaxed) + 1, Relaxed);
        }
        mine
    }

    /// Wait for the lock; for those whom `try_acquire` refused.
    pub fn acquire(&self, wait: &mut Wait) -> Outcome {
        self.settle(self.lock.acquire_slow(members::me(), wait))
    }

    /// Without waiting: take it from a dead owner.
    pub fn take_over(&self) -> Outcome {
        self.settle(
            self.lock
                .take_over(members::me(), members::is_dead)
                .map_or(Outcome::TimedOut, Outcome::Inherited),
        )
    }

    fn settle(&self, out: Outcome) -> Outcome {
        if let Outcome::Inherited(dead) = out {
            self.inherited_from.store(dead.raw(), Release); // [lock.1]
            kill_point!("cells.lock.1");
        }
        if matches!(out, Outcome::Done | Outcome::Inherited(_)) {
            self.begin(members::me());
        }
        out
    }

    /// The word is ours: say which thread has it.
    #[inline]
    fn begin(&self, me: Member) {
        self.thread.store(thread(me), Relaxed);
        if self.is_recursive() {
            self.depth.store(1, Relaxed);
        }
        kill_point!("cells.lock.2");
    }

    /// Free the lock, or give one level of an RLock back. False: a Lock was free, an RLock is not this thread's.
    #[inline]
    pub fn release(&self) -> bool {
        if self.is_recursive() {
            if !self.is_mine() {
                return false;
            }
            let depth = self.depth.load(Relaxed) - 1;
            self.depth.store(depth, Relaxed); // [unlock.1]
            kill_point!("cells.unlock.1");
            if depth > 0 {
                return true;
            }
        }
        if self.inherited_from.load(Relaxed) != 0 {
            self.inherited_from.store(0, Relaxed);
        }
        self.thread.store(0, Relaxed); // [unlock.2]
        kill_point!("cells.unlock.2");
        self.lock.release() != 0
    }

    /// All levels at once, for a wait; returns how many, for `restore` after the next `acquire`.
    pub fn release_all(&self) -> u32 {
        let depth = if self.is_recursive() {
            self.depth.swap(1, Relaxed)
        } else {
            0
        };
        self.release();
        depth
    }

    pub fn restore(&self, depth: u32) {
        self.depth.store(depth, Relaxed);
    }

    pub fn is_held(&self) -> bool {
        self.lock.owner().is_some()
    }

    pub fn held_by_this_process(&self) -> bool {
        self.lock.owner() == Some(members::me())
    }

    /// Does the calling thread hold it?
    #[inline]
    pub fn is_mine(&self) -> bool {
        self.held_by_this_process() && self.thread.load(Relaxed) == thread(members::me())
    }

    /// How many levels the calling thread holds of an RLock.
    pub fn depth(&self) -> u32 {
        if self.is_mine() { self.depth.load(Relaxed) } else { 0 }
    }

    pub fn dead_owner(&self) -> Option<Member> {
        Member::of(self.inherited_from.load(Acquire))
    }
}
