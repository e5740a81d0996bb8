//! A lock whose word names its owner, so that it survives its holder.
//!
//! | word | state | who moves it on | a death in this state |
//! |---|---|---|---|
//! | 0 | free | anybody: CAS to `owner` | nothing to lose |
//! | owner | held, nobody known to wait | holder: swap to 0; a waiter: CAS to `owner+WAITERS` | a waiter finds the owner dead after a slice and CASes the word to itself |
//! | owner+WAITERS | held, somebody may sleep | holder: swap to 0, then wake one | the same; the bit stays, so the next release wakes |
//!
//! The bit is a hint: too many wake-ups cost a system call, and a sleeper that nobody wakes (its waker was killed
//! between the swap and the wake) looks again after its slice.

use super::wait::{Slice, Slices};
use super::{Member, Outcome, Wait};
use crate::sys::atomic::{AtomicU64, Ordering::*};
use crate::sys::futex;

pub const WAITERS: u64 = 1;

#[repr(transparent)]
pub struct OwnerLock(AtomicU64);

impl OwnerLock {
    #[inline]
    pub fn try_acquire(&self, me: Member) -> bool {
        let taken = self.0.compare_exchange(0, me.raw(), Acquire, Relaxed).is_ok(); // pairs with [lock.release]
        kill_point!("sync.take.1" if taken);
        taken
    }

    /// Frees the lock, whoever holds it; returns the word as it was (0: it was free already).
    #[inline]
    pub fn release(&self) -> u64 {
        // [lock.release] a full barrier, so that what we look at next (sleepers of the structure) is looked at after
        // the commit became visible.
        let old = self.0.swap(0, SeqCst);
        kill_point!("sync.give.1");
        if old & WAITERS != 0 {
            futex::wake(futex::low_half(&self.0), 1);
            kill_point!("sync.give.2");
        }
        old
    }

    #[inline]
    pub fn owner(&self) -> Option<Member> {
        Member::of(self.0.load(Acquire))
    }

    /// Spin, then sleep in slices until the lock is ours, its owner is found dead, or the wait ends.
    #[cold]
    pub fn acquire_slow(&self, me: Member, wait: &mut Wait) -> Outcome {
        if wait.spin(|| self.0.load(Relaxed) == 0 && self.try_acquire(me)) {
            return Outcome::Done;
        }
        let mut slices = Slices::for_owner();
        loop {
            let word = self.0.load(Relaxed);
            if word == 0 {
                // Others may sleep behind us: take the lock with their bit, so that our release wakes one.
                if self.0.compare_exchange(0, me.word(WAITERS), Acquire, Relaxed).is_ok() {
                    kill_point!("sync.take.1");
                    return Outcome::Done;
                }
                continue;
            }
            let marked = word | WAITERS;
            if word != marked && self.0.compare_exchange(word, marked, Relaxed, Relaxed).is_err() {
                continue;
            }
            kill_point!("sync.wait.1");
            match wait.sleep(futex::low_half(&self.0), marked as u32, &mut slices) {
                Slice::Again => {}
                Slice::Interrupted => return Outcome::Interrupted,
                Slice::TimedOut => {
                    return self
                        .take_over(me, wait.is_dead)
                        .map_or(Outcome::TimedOut, Outcome::Inherited);
                }
                Slice::Supervise => {
                    if let Some(dead) = self.take_over(me, wait.is_dead) {
                        return Outcome::Inherited(dead);
                    }
                }
            }
        }
    }

    /// Take the lock from its owner if that is dead; returns who it was.
    #[cold]
    pub fn take_over(&self, me: Member, is_dead: fn(Member) -> bool) -> Option<Member> {
        let word = self.0.load(Acquire);
        let owner = Member::of(word).filter(|&m| is_dead(m))?;
        self.0.compare_exchange(word, me.word(WAITERS), AcqRel, Relaxed).ok()?;
        kill_point!("sync.inherit.1");
        Some(owner)
    }

    /// An internal lock: short, never interrupted, held by the thread that takes it until the guard goes.
    #[inline]
    pub fn guard(&self, me: Member, is_dead: fn(Member) -> bool) -> Guard<'_> {
        if self.try_acquire(me) {
            return Guard {
                lock: self,
                inherited: false,
            };
        }
        let mut never = || false;
        let mut wait = Wait {
            deadline: None,
            interrupted: &mut never,
            is_dead,
        };
        Guard {
            lock: self,
            inherited: matches!(self.acquire_slow(me, &mut wait), Outcome::Inherited(_)),
        }
    }

    #[inline]
    pub fn try_guard(&self, me: Member) -> Option<Guard<'_>> {
        self.try_acquire(me).then(|| Guard {
            lock: self,
            inherited: false,
        })
    }
}

pub struct Guard<'a> {
    lock: &'a OwnerLock,
    /// The last holder died inside: the structure's recovery has to run first.
    pub inherited: bool,
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.lock.release();
    }
}
