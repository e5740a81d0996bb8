//! Waiting for a condition that other words express ("the queue is not empty").
//!
//! Sleeper (sleep.1 and so on): 1. load `seq`; 2. store `asleep = 1`; 3. look at the condition; 4. sleep while `seq` is
//! unchanged. Waker (wake.5 and so on), after committing what makes the condition true: 5. full barrier, load `asleep`; if 0 it is done;
//! 6. bump `seq`; 7. wake. If nobody slept: 8. `asleep = 0`; 9. bump `seq`; 10. wake all.
//!
//! No wake-up is lost: by the barriers of 2 and 5 either the waker sees `asleep`, or the sleeper's 3 sees the commit.
//! A sleeper whose 1 came before 6 or 9 does not fall asleep in 4. One whose 1 came after 9 does its 2 after 8, so the
//! flag stays 1. Killed between 5 and 7: one wake-up is missing; a sleeper's slice ends and it looks again. Killed as a
//! sleeper: `asleep` stays 1 until a waker finds nobody and clears it (8): one wasted system call, not one a message.
//!
//! While `spinner` names somebody, wakers leave the sleepers alone: in 5 they also return if it is not 0. The spinner
//! clears it with a full barrier and looks at the condition again (in 3, or because it found it true), so it sees what
//! was committed before a waker saw its name; and it notifies another if there is more than it takes itself. Killed as a
//! spinner: sleepers find the name of a dead member after a slice and clear it. Stopped or preempted as a spinner: what
//! was committed meanwhile waits for it, or for the end of a sleeper's slice.

use super::wait::{Slice, Slices};
use super::{Member, Wait};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering::*, fence};
use crate::sys::futex;

#[repr(C)]
pub struct EventCount {
    seq: AtomicU32,
    asleep: AtomicU32,
    /// The one who spins, of those who wait by `sleep_unless_alone`.
    spinner: AtomicU64,
}

impl EventCount {
    /// Spin, then steps 1 to 4 for one slice. `Again` also says that the condition holds.
    pub fn sleep_unless(&self, wait: &mut Wait, slices: &mut Slices, ready: impl Fn() -> bool) -> Slice {
        if slices.is_first() && wait.spin(&ready) {
            return Slice::Again;
        }
        self.sleep(wait, slices, ready)
    }

    /// The same for conditions that one waiter can use up (a message): only one spins, and wakes another when it leaves
    /// something.
    pub fn sleep_unless_alone(
        &self,
        me: Member,
        wait: &mut Wait,
        slices: &mut Slices,
        ready: impl Fn() -> bool,
    ) -> Slice {
        if slices.is_first() && self.spinner.compare_exchange(0, me.raw(), SeqCst, Relaxed).is_ok() {
            kill_point!("sync.spin.1");
            let found = wait.spin(&ready);
            self.spinner.store(0, SeqCst);
            kill_point!("sync.spin.2");
            if found {
                return Slice::Again;
            }
        }
        let slice = self.sleep(wait, slices, ready);
        if slice == Slice::Supervise {
            let spinner = self.spinner.load(Relaxed);
            if Member::of(spinner).is_some_and(wait.is_dead) {
                let _ = self.spinner.compare_exchange(spinner, 0, SeqCst, Relaxed);
                kill_point!("sync.spin.3");
            }
        }
        slice
    }

    fn sleep(&self, wait: &mut Wait, slices: &mut Slices, ready: impl Fn() -> bool) -> Slice {
        let seq = self.seq.load(SeqCst);
        self.asleep.store(1, SeqCst);
        kill_point!("sync.sleep.2");
        fence(SeqCst);
        if ready() {
            Slice::Again
        } else {
            let slice = wait.sleep(&self.seq, seq, slices);
            kill_point!("sync.sleep.4");
            slice
        }
    }

    /// Step 5. The caller's last store before this was a full barrier (the release of an owner lock).
    #[inline]
    pub fn notify(&self, n: i32) {
        if self.asleep.load(SeqCst) != 0 && self.spinner.load(SeqCst) == 0 {
            self.notify_slow(n);
        }
    }

    #[cold]
    fn notify_slow(&self, n: i32) {
        self.seq.fetch_add(1, SeqCst);
        kill_point!("sync.wake.6");
        let woken = futex::wake(&self.seq, n);
        kill_point!("sync.wake.7");
        if woken == 0 {
            self.asleep.store(0, SeqCst);
            kill_point!("sync.wake.8");
            self.seq.fetch_add(1, SeqCst);
            kill_point!("sync.wake.9");
            futex::wake(&self.seq, i32::MAX);
            kill_point!("sync.wake.10");
        }
    }

    pub fn notify_all(&self) {
        fence(SeqCst);
        self.notify(i32::MAX);
    }
}
