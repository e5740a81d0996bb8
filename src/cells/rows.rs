//! What each worker of a pool is doing, for its parent to read: one row a worker.
//!
//! | word | written by | meaning |
//! |---|---|---|
//! | turn | worker, and DOOMED by the parent | even, one more for each change of what follows; odd while one is under way. With DOOMED the worker changes nothing more: the parent is about to kill it for what it saw, and nothing else has come between |
//! | task | worker | the job it works for; 0: none. The commit of a claim: `index`, `at`, `began`, `since` are stored before it |
//! | worker | worker | who it is: a child that a task forks is another |
//! | at, since | worker | within a piece of many items: which are worked on now (first << 32, how many), and since when |
//! | ready | worker | it is through with its initializer |
//!
//! A row has one writer at a time: its worker; after that one's death, and before the next one starts, the pool. A death
//! changes nothing: a `task` that is not 0 is what the dead one had, the rest of the row belongs to it. If the parent dies
//! between DOOMED and the kill, the worker does so, too, as all its workers do.

use super::{Handle, Kind, create};
use crate::arena::{Full, layout};
use crate::members;
use crate::sys::clock;
use std::sync::atomic::{AtomicU64, Ordering::*, fence};

/// Whole cache lines: workers do not disturb each other.
#[repr(C, align(64))]
#[derive(Default)]
pub struct Row {
    turn: AtomicU64,
    task: AtomicU64,
    worker: AtomicU64,
    index: AtomicU64,
    at: AtomicU64,
    /// Nanoseconds on the monotonic clock.
    began: AtomicU64,
    since: AtomicU64,
    done: AtomicU64,
    /// Nanoseconds spent on tasks that are done.
    busy: AtomicU64,
    ready: AtomicU64,
}

const DOOMED: u64 = 1 << 63;

/// Looks at a row that is being changed, until it is taken as it is: its worker has died in the middle, or is stopped.
const LOOKS: usize = 10_000;

#[repr(C, align(64))]
struct Head {
    ident: AtomicU64,
    count: AtomicU64,
}

pub fn bytes(count: u64) -> u64 {
    (size_of::<Head>() as u64).saturating_add(count.saturating_mul(size_of::<Row>() as u64))
}

pub fn make(count: u64) -> Result<Handle, Full> {
    let h = create(Kind::Rows, bytes(count), |_| {})?;
    head(h.offset).count.store(count, Release);
    Ok(h)
}

fn head(offset: u64) -> &'static Head {
    // SAFETY: the handle was checked to name a cell of this kind; cells hold only atomics and stay mapped.
    unsafe { &*layout::at::<Head>(offset) }
}

pub fn rows(offset: u64) -> &'static [Row] {
    let count = head(offset).count.load(Acquire) as usize;
    // SAFETY: the rows follow the head in its block, which was made for this many.
    unsafe { std::slice::from_raw_parts(layout::at::<Row>(offset + size_of::<Head>() as u64), count) }
}

pub type Report = (u64, u64, (u64, u64), u64, bool, u64, u64);

impl Row {
    /// The worker changes its row, unless it is doomed.
    #[inline]
    fn change(&self, write: impl FnOnce()) {
        let mut turn = self.turn.load(Relaxed);
        while turn & DOOMED != 0 || self.turn.compare_exchange(turn, turn + 1, AcqRel, Relaxed).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(1)); // its end comes, or the parent could not kill it
            turn = self.turn.load(Relaxed);
        }
        write();
        self.turn.store(turn + 2, Release); // pairs with [look]
    }

    /// This process is the row's worker from now on.
    pub fn begin(&self) {
        self.worker.store(members::me().raw(), Relaxed);
    }

    pub fn claim(&self, job: u64, index: u64) {
        let now = clock::now();
        self.change(|| {
            self.index.store(index, Relaxed);
            self.at.store(1, Relaxed);
            self.began.store(now, Relaxed);
            self.since.store(now, Relaxed); // [claim.1]
            kill_point!("cells.claim.1");
            self.task.store(job, Release); // [claim.commit]
            kill_point!("cells.claim.commit");
        });
    }

    pub fn progress(&self, first: u32, count: u32) {
        let now = clock::now();
        self.change(|| {
            self.at.store((first as u64) << 32 | count as u64, Relaxed);
            self.since.store(now, Relaxed);
        });
    }

    /// (job, index) of the claim.
    pub fn claimed(&self) -> (u64, u64) {
        (self.task.load(Acquire), self.index.load(Relaxed))
    }

    /// Is this process the row's worker?
    pub fn is_mine(&self) -> bool {
        self.worker.load(Relaxed) == members::me().raw()
    }

    /// Nanoseconds since the claim.
    pub fn elapsed(&self) -> u64 {
        clock::now().saturating_sub(self.began.load(Relaxed))
    }

    /// The outcome is sent.
    pub fn done(&self, elapsed: u64) {
        self.change(|| {
            self.task.store(0, Release); // [reply.commit]
            kill_point!("cells.reply.commit");
            self.done.store(self.done.load(Relaxed) + 1, Relaxed);
            self.busy.store(self.busy.load(Relaxed) + elapsed, Relaxed); // [reply.2]
            kill_point!("cells.reply.2");
        });
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready as u64, Release);
    }

    /// A new worker begins here.
    pub fn clear(&self) {
        self.task.store(0, Release);
        self.turn
            .store((self.turn.load(Relaxed) & !DOOMED).next_multiple_of(2), Release);
        self.set_ready(false);
    }

    /// (job, index, (first item, how many), nanoseconds on these, ready, done, busy).
    pub fn read(&self) -> Report {
        self.look().1
    }

    /// The same, and the turn that it is of; odd if its worker was in the middle of a change all the time.
    fn look(&self) -> (u64, Report) {
        for looks in 1.. {
            let turn = self.turn.load(Acquire); // [look]
            let (job, index) = self.claimed();
            let (at, since) = (self.at.load(Relaxed), self.since.load(Relaxed));
            let (done, busy) = (self.done.load(Relaxed), self.busy.load(Relaxed));
            fence(Acquire);
            if turn & 1 == 0 && self.turn.load(Relaxed) == turn || looks == LOOKS {
                let age = clock::now().saturating_sub(since);
                let ready = self.ready.load(Acquire) != 0;
                let report = (job, index, (at >> 32, at & u32::MAX as u64), age, ready, done, busy);
                return (turn, report);
            }
            std::hint::spin_loop();
        }
        unreachable!("there is a last look")
    }

    /// Call `kill`, if the worker works for this job, and this piece and these items of it where they are given; it comes to
    /// nothing else meanwhile. Returns whether it was killed.
    pub fn end_task<E>(
        &self,
        job: u64,
        index: Option<u64>,
        items: Option<(u64, u64)>,
        kill: impl FnOnce() -> Result<bool, E>,
    ) -> Result<bool, E> {
        let (turn, now) = self.look();
        let same = now.0 == job && index.is_none_or(|i| i == now.1) && items.is_none_or(|i| i == now.2);
        let doomed = turn | DOOMED;
        if !same || turn & 1 != 0 || self.turn.compare_exchange(turn, doomed, AcqRel, Relaxed).is_err() {
            return Ok(false);
        }
        kill().inspect_err(|_| self.turn.store(turn, Release))
    }
}
