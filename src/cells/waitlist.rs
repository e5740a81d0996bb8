//! The waiting room of a Condition: a set of waiters, each with a ticket; `notify` wakes the longest waiting of the living.
//!
//! | entry's word | meaning | next | a death of its owner |
//! |---|---|---|---|
//! | 0 | free | owner enters: owner+WAITING | |
//! | owner+WAITING | asleep, or about to be, on the word itself | notify: owner+NOTIFIED; owner leaves (time-out): 0 | `notify` finds it dead, frees it and takes the next: no notification goes to the dead |
//! | owner+NOTIFIED | may go on | owner leaves: 0 | the notification is spent, as if the waiter had died just after it; the next `notify` frees the entry |

use super::table::{Entry, Table};
use super::{Handle, Kind, create};
use crate::arena::{Full, layout};
use crate::members;
use crate::sync::member::STATE;
use crate::sync::wait::{Slice, Slices};
use crate::sync::{Member, Outcome, OwnerLock, Wait};
use crate::sys::futex;
use std::sync::atomic::{AtomicU64, Ordering::*};

const WAITING: u64 = 1;
const NOTIFIED: u64 = 2;

#[repr(C)]
pub struct WaitList {
    ident: AtomicU64,
    lock: OwnerLock,
    tickets: AtomicU64,
    table: Table,
}

impl WaitList {
    pub fn create() -> Result<Handle, Full> {
        create(Kind::WaitList, size_of::<Self>() as u64, |o| {
            Self::of(o).table.destroy()
        })
    }

    pub fn of(offset: u64) -> &'static Self {
        // SAFETY: the handle was checked to name a cell of this kind; cells hold only atomics and stay mapped.
        unsafe { &*layout::at::<Self>(offset) }
    }

    /// Take a place. Done while the condition's lock is held, so that no notification can come before it.
    pub fn enter(&'static self) -> Result<&'static Entry, Full> {
        let _g = self.lock.guard(members::me(), members::is_dead);
        let ticket = self.tickets.fetch_add(1, Relaxed);
        self.table.insert(members::me().word(WAITING), ticket as i64)
    }

    /// Sleep until notified (Done) or the wait ends; gives the place back either way.
    pub fn wait(&self, e: &Entry, wait: &mut Wait) -> Outcome {
        let me = members::me();
        let waiting = me.word(WAITING);
        let mut slices = Slices::idle();
        let ended = loop {
            if e.word.load(Acquire) != waiting {
                break Outcome::Done;
            }
            match wait.sleep(futex::low_half(&e.word), waiting as u32, &mut slices) {
                Slice::TimedOut => break Outcome::TimedOut,
                Slice::Interrupted => break Outcome::Interrupted,
                Slice::Again | Slice::Supervise => {}
            }
        };
        if members::me() != me {
            return ended; // a signal handler has forked: the place is the parent's
        }
        let notified = {
            let _g = self.lock.guard(members::me(), members::is_dead);
            let word = e.word.swap(0, AcqRel); // [leave.1]
            kill_point!("cells.leave.1");
            word & STATE == NOTIFIED
        };
        match ended {
            Outcome::TimedOut if notified => Outcome::Done,
            Outcome::Interrupted if notified => {
                self.notify(1); // it was meant for one who goes on
                ended
            }
            _ => ended,
        }
    }

    /// Wake up to `n` living waiters, the longest waiting first.
    pub fn notify(&self, n: usize) {
        let _g = self.lock.guard(members::me(), members::is_dead);
        let mut waiting: Vec<_> = self.table.used().collect();
        waiting.sort_by_key(|(e, _)| e.value.load(Relaxed));
        let mut left = n;
        for (e, w) in waiting {
            let owner = Member::of(w).expect("used");
            if members::is_dead(owner) {
                e.word.store(0, Release); // [notify.1]
                kill_point!("cells.notify.1");
            } else if w & STATE == WAITING && left > 0 {
                left -= 1;
                e.word.store(owner.word(NOTIFIED), Release); // [notify.2]
                kill_point!("cells.notify.2");
                futex::wake(futex::low_half(&e.word), 1); // [notify.3]
                kill_point!("cells.notify.3");
            }
        }
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        let _g = self.lock.guard(members::me(), members::is_dead);
        self.table.used().filter(|&(_, w)| w & STATE == WAITING).count()
    }
}
