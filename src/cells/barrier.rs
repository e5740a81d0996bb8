//! A barrier is a set of those who have arrived; the one that completes the set lets all go.
//!
//! | entry's word | meaning | next | a death of its owner |
//! |---|---|---|---|
//! | 0 | free | | |
//! | owner+WAITING | arrived, the set is not complete | the last one: owner+COMPLETE; abort, reset, a time-out or a death: owner+BROKEN | a sleeper finds it after a slice and breaks the barrier |
//! | owner+COMPLETE | the set is complete, the last one runs the action: no time-out any more | owner+PASSED, or (abort, the action failed) owner+BROKEN | nobody waits for it |
//! | owner+ACTING | the last one, while it runs the action | 0 | a sleeper finds it after a slice and breaks the barrier |
//! | owner+PASSED | may go on | owner leaves: 0 | freed by the next arrival that finds it |
//! | owner+BROKEN | raises BrokenBarrierError | owner leaves: 0 | freed by the next arrival that finds it |
//!
//! Those who arrive while an action runs belong to the next set: they are WAITING, not COMPLETE.

use super::table::{Entry, Table};
use super::{Handle, Kind, create};
use crate::arena::{Full, layout};
use crate::members;
use crate::sync::member::STATE;
use crate::sync::wait::{Slice, Slices};
use crate::sync::{Guard, Member, Outcome, OwnerLock, Wait};
use crate::sys::futex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

const WAITING: u64 = 1;
const COMPLETE: u64 = 2;
const PASSED: u64 = 3;
const BROKEN: u64 = 4;
const ACTING: u64 = 5;

#[repr(C)]
pub struct BarrierCell {
    ident: AtomicU64,
    lock: OwnerLock,
    parties: AtomicU32,
    broken: AtomicU32,
    table: Table,
}

/// How an arrival went.
pub enum Arrival {
    /// The barrier is broken.
    Broken,
    /// Arrived as number `.0`; the set is not complete.
    Waits(u32, &'static Entry),
    /// The last one: runs the action, then calls `pass` or `abort`.
    Last(u32, &'static Entry),
}

impl BarrierCell {
    pub fn create(parties: u32) -> Result<Handle, Full> {
        let h = create(Kind::Barrier, size_of::<Self>() as u64, |o| Self::of(o).table.destroy())?;
        Self::of(h.offset).parties.store(parties, Relaxed);
        Ok(h)
    }

    pub fn of(offset: u64) -> &'static Self {
        // SAFETY: the handle was checked to name a cell of this kind; cells hold only atomics and stay mapped.
        unsafe { &*layout::at::<Self>(offset) }
    }

    pub fn parties(&self) -> u32 {
        self.parties.load(Relaxed)
    }

    pub fn is_broken(&self) -> bool {
        self.broken.load(Acquire) != 0
    }

    fn guard(&self) -> Guard<'_> {
        let g = self.lock.guard(members::me(), members::is_dead);
        if g.inherited && self.is_broken() {
            self.break_it(); // the last holder may have died in there
        }
        g
    }

    fn count(&self, state: u64) -> u32 {
        self.table.used().filter(|&(_, w)| w & STATE == state).count() as u32
    }

    pub fn waiting(&self) -> u32 {
        let _g = self.guard();
        self.count(WAITING)
    }

    pub fn arrive(&'static self) -> Result<Arrival, Full> {
        let _g = self.guard();
        self.bury();
        if self.is_broken() {
            return Ok(Arrival::Broken);
        }
        let index = self.count(WAITING);
        let e = self.table.insert(members::me().word(WAITING), index as i64)?;
        if index + 1 < self.parties() {
            return Ok(Arrival::Waits(index, e));
        }
        e.word.store(members::me().word(ACTING), Release); // [arrive.2]
        kill_point!("cells.arrive.2");
        self.move_all(WAITING, COMPLETE); // [arrive.3]
        kill_point!("cells.arrive.3");
        Ok(Arrival::Last(index, e))
    }

    /// The action is done: everybody of the set goes on.
    pub fn pass(&self, mine: &Entry) -> bool {
        let _g = self.guard();
        let ok = mine.word.load(Acquire) & STATE == ACTING;
        if ok {
            self.move_all(COMPLETE, PASSED); // [pass.1]
            kill_point!("cells.pass.1");
        }
        mine.word.store(0, Release); // [pass.2]
        kill_point!("cells.pass.2");
        ok
    }

    /// Break the barrier; the caller's own entry, if it has one, is given back.
    pub fn abort(&self, mine: Option<&Entry>) {
        let _g = self.guard();
        self.break_it();
        if let Some(e) = mine {
            e.word.store(0, Release); // [break.3]
            kill_point!("cells.break.3");
        }
    }

    pub fn reset(&self) {
        let _g = self.guard();
        self.move_all(WAITING, BROKEN); // [reset.1] a complete set goes on
        kill_point!("cells.reset.1");
        self.broken.store(0, Release); // [reset.2]
        kill_point!("cells.reset.2");
    }

    /// Sleep until the set passes. Done: go on; TimedOut: the barrier is broken (by a time-out, ours or another's).
    pub fn wait(&self, e: &Entry, wait: &mut Wait) -> Outcome {
        let me = members::me();
        let mut slices = Slices::for_owner();
        loop {
            let w = e.word.load(Acquire);
            let ended = match w & STATE {
                PASSED => {
                    e.word.store(0, Release); // [depart.1]
                    kill_point!("cells.depart.1");
                    return Outcome::Done;
                }
                BROKEN => {
                    e.word.store(0, Release); // [depart.1]
                    kill_point!("cells.depart.1");
                    return Outcome::TimedOut;
                }
                _ => wait.sleep(futex::low_half(&e.word), w as u32, &mut slices),
            };
            if members::me() != me {
                return Outcome::Interrupted; // a signal handler has forked: the place is the parent's
            }
            let _g = self.guard();
            match ended {
                Slice::Again => {}
                Slice::Supervise => {
                    self.bury();
                }
                Slice::TimedOut if e.word.load(Acquire) & STATE == COMPLETE => wait.deadline = None,
                Slice::TimedOut | Slice::Interrupted => {
                    if e.word.load(Acquire) & STATE == WAITING {
                        self.break_it();
                    }
                    let passed = e.word.swap(0, AcqRel) & STATE == PASSED; // [depart.1]
                    kill_point!("cells.depart.1");
                    return match ended {
                        Slice::Interrupted => Outcome::Interrupted,
                        _ if passed => Outcome::Done,
                        _ => Outcome::TimedOut,
                    };
                }
            }
        }
    }

    /// Free the entries of the dead; if one of them was waited for, the barrier breaks, and before that entry is gone: it is
    /// what the next to look would find if we died in here. Who is dead is asked once: another may die meanwhile.
    fn bury(&self) {
        let of_the_dead = |&(_, w): &(_, u64)| Member::of(w).is_some_and(members::is_dead);
        let dead: Vec<_> = self.table.used().filter(of_the_dead).collect();
        if dead.iter().any(|(_, w)| matches!(w & STATE, WAITING | ACTING)) {
            self.break_it();
        }
        for (e, _) in dead {
            e.word.store(0, Release); // [bury.1]
            kill_point!("cells.bury.1");
        }
    }

    fn break_it(&self) {
        self.broken.store(1, Release); // [break.1]
        kill_point!("cells.break.1");
        self.move_all(WAITING, BROKEN); // [break.2]
        self.move_all(COMPLETE, BROKEN);
        self.move_all(ACTING, BROKEN);
    }

    fn move_all(&self, from: u64, to: u64) {
        for (e, w) in self.table.used().filter(|&(_, w)| w & STATE == from) {
            e.word.store(Member::of(w).expect("used").word(to), Release); // [move.1]
            kill_point!("cells.move.1");
            futex::wake(futex::low_half(&e.word), 1); // [move.2]
            kill_point!("cells.move.2");
        }
    }
}
