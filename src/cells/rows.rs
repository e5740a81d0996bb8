//! What each worker of a pool is doing, for its parent to read: one row a worker.
//!
//! | word | written by | meaning |
//! |---|---|---|
//! | task | worker | the job it works for; 0: none. The commit of a claim: `index`, `at`, `began`, `since` are stored before it |
//! | at, since | worker | within a piece of many items: which are worked on now (first << 32, how many), and since when |
//! | ready | worker | it is through with its initializer |
//!
//! A row has one writer at a time: its worker; after that one's death, and before the next one starts, the pool. A death
//! changes nothing: a `task` that is not 0 is what the dead one had, the rest of the row belongs to it. A reader of a
//! living worker's row that must not mix two tasks reads `task`, `at` and `since` again afterwards.

use super::{Handle, Kind, create};
use crate::arena::{Full, layout};
use crate::sys::clock;
use std::sync::atomic::{AtomicU64, Ordering::*, fence};

/// 64 bytes: workers do not disturb each other.
#[repr(C, align(64))]
#[derive(Default)]
pub struct Row {
    task: AtomicU64,
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
    pub fn claim(&self, job: u64, index: u64) {
        let now = clock::now();
        fence(Release); // pairs with [read]: who sees anything of this claim sees that the last one is over
        self.index.store(index, Relaxed);
        self.at.store(1, Relaxed);
        self.began.store(now, Relaxed);
        self.since.store(now, Relaxed); // [claim.1]
        kill_point!("cells.claim.1");
        self.task.store(job, Release); // [claim.commit]
        kill_point!("cells.claim.commit");
    }

    pub fn progress(&self, first: u32, count: u32) {
        self.since.store(clock::now(), Relaxed); // first: the new items are not as old as the last ones
        self.at.store((first as u64) << 32 | count as u64, Release);
    }

    /// (job, index) of the claim.
    pub fn claimed(&self) -> (u64, u64) {
        (self.task.load(Relaxed), self.index.load(Relaxed))
    }

    /// Nanoseconds since the claim.
    pub fn elapsed(&self) -> u64 {
        clock::now().saturating_sub(self.began.load(Relaxed))
    }

    /// The outcome is sent.
    pub fn done(&self, elapsed: u64) {
        self.task.store(0, Release); // [reply.commit]
        kill_point!("cells.reply.commit");
        self.done.store(self.done.load(Relaxed) + 1, Relaxed);
        self.busy.store(self.busy.load(Relaxed) + elapsed, Relaxed); // [reply.2]
        kill_point!("cells.reply.2");
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready as u64, Release);
    }

    /// A new worker begins here.
    pub fn clear(&self) {
        self.task.store(0, Release);
        self.set_ready(false);
    }

    /// (job, index, (first item, how many), nanoseconds on these, ready, done, busy).
    pub fn read(&self) -> Report {
        loop {
            let (task, at) = (self.task.load(Acquire), self.at.load(Acquire));
            let (index, since) = (self.index.load(Relaxed), self.since.load(Relaxed));
            fence(Acquire); // [read]
            if (self.task.load(Relaxed), self.at.load(Relaxed), self.since.load(Relaxed)) == (task, at, since) {
                let age = clock::now().saturating_sub(since);
                let ready = self.ready.load(Acquire) != 0;
                let (done, busy) = (self.done.load(Relaxed), self.busy.load(Relaxed));
                return (task, index, (at >> 32, at & u32::MAX as u64), age, ready, done, busy);
            }
        }
    }
}
