//! A semaphore that knows who holds what: each member's net of acquires and releases is an entry of its own.
//!
//! value = initial - settled - sum of the entries' values. An acquire or release is one store into the own entry.
//!
//! | entry's word | meaning | a death of its owner |
//! |---|---|---|
//! | 0 | free | |
//! | owner+LIVE | `value` = acquires - releases of that member | what it held comes back, but never past `initial` (a semaphore used as a signal, released by others than acquire it, must not gain from a death); the rest is folded into `settled` |
//! | owner+FOLDING | `pending` is the new `settled` and this entry counts no more | recovery: settled = pending, word = 0 |

use super::table::{Entry, Table};
use super::{Handle, Kind, create};
use crate::arena::{Full, layout};
use crate::members;
use crate::sync::member::STATE;
use crate::sync::wait::{Slice, Slices};
use crate::sync::{EventCount, Guard, Member, Outcome, OwnerLock, Wait};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::*};

const LIVE: u64 = 1;
const FOLDING: u64 = 2;

#[repr(C)]
pub struct Semaphore {
    ident: AtomicU64,
    lock: OwnerLock,
    initial: AtomicI64,
    /// `release` refuses to pass this value.
    bound: AtomicI64,
    settled: AtomicI64,
    pending: AtomicI64,
    /// The value when somebody last looked: a hint for those who wait, written under the lock.
    last: AtomicI64,
    freed: EventCount,
    table: Table,
}

/// The largest value, as the stdlib's SEM_VALUE_MAX.
pub const MAX: i64 = i32::MAX as i64;

impl Semaphore {
    pub fn create(initial: i64, bounded: bool) -> Result<Handle, Full> {
        let h = create(Kind::Semaphore, size_of::<Self>() as u64, |o| {
            Self::of(o).table.destroy()
        })?;
        let s = Self::of(h.offset);
        s.initial.store(initial, Relaxed);
        s.last.store(initial, Relaxed);
        s.bound.store(if bounded { initial } else { MAX }, Relaxed);
        Ok(h)
    }

    pub fn of(offset: u64) -> &'static Self {
        // SAFETY: the handle was checked to name a cell of this kind; cells hold only atomics and stay mapped.
        unsafe { &*layout::at::<Self>(offset) }
    }

    fn guard(&self) -> Guard<'_> {
        let g = self.lock.guard(members::me(), members::is_dead);
        if g.inherited {
            self.recover();
        }
        g
    }

    fn recover(&self) {
        for (e, w) in self.table.used() {
            if w & STATE == FOLDING {
                self.settled.store(self.pending.load(Acquire), Release); // [refold.1]
                kill_point!("cells.refold.1");
                e.word.store(0, Release); // [refold.commit]
                kill_point!("cells.refold.commit");
            }
        }
    }

    fn count(&self) -> i64 {
        let live: i64 = self.table.used().map(|(e, _)| e.value.load(Relaxed)).sum();
        let now = self.initial.load(Relaxed) - self.settled.load(Relaxed) - live;
        self.last.store(now, Relaxed);
        now
    }

    pub fn value(&self) -> i64 {
        let _g = self.guard();
        self.count()
    }

    fn mine(&self) -> Result<&Entry, Full> {
        let word = members::me().word(LIVE);
        if let Some((e, _)) = self.table.used().find(|&(_, w)| w == word) {
            return Ok(e);
        }
        if self.table.entries().all(|e| e.word.load(Relaxed) != 0) {
            self.settle_the_dead();
        }
        self.table.insert(word, 0)
    }

    pub fn try_acquire(&self) -> Result<bool, Full> {
        let _g = self.guard();
        if self.count() <= 0 {
            return Ok(false);
        }
        let e = self.mine()?;
        e.value.store(e.value.load(Relaxed) + 1, Release); // [acquire.commit]
        kill_point!("cells.acquire.commit");
        self.last.fetch_sub(1, Relaxed); // `mine` may have settled the dead since
        Ok(true)
    }

    pub fn acquire(&self, wait: &mut Wait) -> Result<Outcome, Full> {
        let mut slices = Slices::for_owner();
        loop {
            if self.try_acquire()? {
                return Ok(Outcome::Done);
            }
            // If the hint is too high, the next try mends it; if too low (a death between a commit and the hint), the next
            // look after the dead.
            match self
                .freed
                .sleep_unless(wait, &mut slices, || self.last.load(Relaxed) > 0)
            {
                Slice::Again => {}
                Slice::TimedOut => {
                    self.look_after_the_dead();
                    let got = self.try_acquire()?;
                    return Ok(if got { Outcome::Done } else { Outcome::TimedOut });
                }
                Slice::Interrupted => return Ok(Outcome::Interrupted),
                Slice::Supervise => self.look_after_the_dead(),
            }
        }
    }

    /// False if the value would pass the bound.
    pub fn release(&self) -> Result<bool, Full> {
        {
            let _g = self.guard();
            if self.count() >= self.bound.load(Relaxed) {
                return Ok(false);
            }
            let e = self.mine()?;
            e.value.store(e.value.load(Relaxed) - 1, Release); // [release.commit]
            kill_point!("cells.release.commit");
            self.last.fetch_add(1, Relaxed);
        }
        self.freed.notify(1);
        Ok(true)
    }

    fn look_after_the_dead(&self) {
        let _g = self.guard();
        self.settle_the_dead();
    }

    fn settle_the_dead(&self) {
        for (e, w) in self.table.used() {
            if !Member::of(w).is_some_and(members::is_dead) {
                continue;
            }
            let net = e.value.load(Relaxed);
            let room = (self.initial.load(Relaxed) - self.count()).max(0);
            let rest = if net > 0 { net - net.min(room) } else { net };
            if rest != 0 {
                self.pending.store(self.settled.load(Relaxed) + rest, Release); // [fold.1]
                kill_point!("cells.fold.1");
                e.word.store(Member::of(w).expect("used").word(FOLDING), Release); // [fold.commit]
                kill_point!("cells.fold.commit");
                self.settled.store(self.pending.load(Relaxed), Release); // [fold.3]
                kill_point!("cells.fold.3");
            }
            e.word.store(0, Release); // [fold.4] the commit, where nothing had to be folded
            kill_point!("cells.fold.4");
        }
        self.count();
    }
}
