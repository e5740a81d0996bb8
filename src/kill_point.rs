//! Named steps of the protocols, at which tests/kill kills a process: `kill_point!("queue.put.2")` stands right after what
//! step 2 of "put" in queue/README.md stores. Only the feature `kill_points` compiles anything of it.
//!
//! A step that only loads has no point: a death after it is one after the step before.

#[cfg(feature = "kill_points")]
macro_rules! kill_point {
    ($name:literal) => {{
        const POINT: usize = $crate::kill_point::number($name);
        $crate::kill_point::pass(POINT);
    }};
    ($name:literal if $stored:expr) => {
        if $stored {
            kill_point!($name);
        }
    };
}

#[cfg(not(feature = "kill_points"))]
macro_rules! kill_point {
    ($($point:tt)*) => {};
}

#[cfg(feature = "kill_points")]
pub use armed::{NAMES, arm, number, pass, passages};

#[cfg(feature = "kill_points")]
mod armed {
    use crate::sys::process;
    use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};

    /// Every point, by folder.operation.step. One that is not here does not compile; one that no operation of tests/kill
    /// comes to fails there.
    pub const NAMES: &[&str] = &[
        "sync.take.1",
        "sync.give.1",
        "sync.give.2",
        "sync.wait.1",
        "sync.inherit.1",
        "sync.spin.1",
        "sync.spin.2",
        "sync.spin.3",
        "sync.sleep.2",
        "sync.sleep.4",
        "sync.wake.6",
        "sync.wake.7",
        "sync.wake.8",
        "sync.wake.9",
        "sync.wake.10",
        "members.reserve.1",
        "members.reserve.2",
        "members.reserve.3",
        "members.reserve.4",
        "members.unborn.1",
        "members.join.1",
        "members.join.2",
        "members.join.3",
        "members.started.1",
        "members.bury.1",
        "members.bury.2",
        "arena.run.1",
        "arena.run.2",
        "arena.run.commit",
        "arena.run.4",
        "arena.free.1",
        "arena.free.2",
        "arena.free.commit",
        "arena.free.4",
        "arena.rebuild.1",
        "arena.rebuild.2",
        "arena.rebuild.3",
        "arena.large.1",
        "arena.large.2",
        "arena.large.3",
        "arena.take.1",
        "arena.block.1",
        "arena.adopt.1",
        "arena.adopt.2",
        "arena.block.2",
        "cells.make.1",
        "cells.make.2",
        "cells.make.commit",
        "cells.keep.1",
        "cells.keep.commit",
        "cells.dropped.1",
        "cells.drop.1",
        "cells.drop.2",
        "cells.drop.3",
        "cells.enter.1",
        "cells.enter.commit",
        "cells.grow.1",
        "cells.grow.commit",
        "cells.lock.1",
        "cells.lock.2",
        "cells.unlock.1",
        "cells.unlock.2",
        "cells.refold.1",
        "cells.refold.commit",
        "cells.acquire.commit",
        "cells.release.commit",
        "cells.fold.1",
        "cells.fold.commit",
        "cells.fold.3",
        "cells.fold.4",
        "cells.leave.1",
        "cells.notify.1",
        "cells.notify.2",
        "cells.notify.3",
        "cells.set.1",
        "cells.set.2",
        "cells.clear.1",
        "cells.await.1",
        "cells.await.2",
        "cells.arrive.2",
        "cells.arrive.3",
        "cells.pass.1",
        "cells.pass.2",
        "cells.break.3",
        "cells.reset.1",
        "cells.reset.2",
        "cells.depart.1",
        "cells.bury.1",
        "cells.break.1",
        "cells.move.1",
        "cells.move.2",
        "cells.hold.1",
        "cells.hold.commit",
        "cells.stale.1",
        "cells.unlease.1",
        "cells.untable.1",
        "cells.buffer.1",
        "cells.attach.1",
        "cells.attach.2",
        "cells.attach.3",
        "cells.attach.4",
        "cells.discard.2",
        "cells.discard.3",
        "cells.discard.4",
        "cells.receive.1",
        "cells.orphan.2",
        "cells.orphan.3",
        "cells.claim.1",
        "cells.claim.commit",
        "cells.reply.commit",
        "cells.reply.2",
        "queue.back.1",
        "queue.back.2",
        "queue.get.done",
        "queue.get.5",
        "queue.withdraw.1",
        "queue.put.1",
        "queue.put.2",
        "queue.put.3",
        "queue.put.commit",
        "queue.grow.1",
        "queue.grow.2",
        "queue.grow.3",
        "queue.grow.commit",
        "queue.grow.4",
        "queue.unput.1",
        "queue.unput.commit",
        "queue.unget.1",
        "queue.get.1",
        "queue.get.commit",
        "queue.leave.1",
        "queue.leave.commit",
        "queue.leave.3",
        "queue.leave.4",
        "queue.again.1",
        "queue.again.2",
        "queue.done.1",
        "queue.drop.1",
        "queue.drop.2",
    ];

    pub const fn number(name: &str) -> usize {
        let mut i = 0;
        while i < NAMES.len() {
            if same(NAMES[i].as_bytes(), name.as_bytes()) {
                return i;
            }
            i += 1;
        }
        panic!("a kill point that is not in NAMES")
    }

    const fn same(a: &[u8], b: &[u8]) -> bool {
        if a.len() != b.len() {
            return false;
        }
        let mut i = 0;
        while i < a.len() {
            if a[i] != b[i] {
                return false;
            }
            i += 1;
        }
        true
    }

    static PASSAGES: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];
    static COUNTED_BY: AtomicU32 = AtomicU32::new(0);
    /// The point to die at; `usize::MAX`: none.
    static POINT: AtomicUsize = AtomicUsize::new(usize::MAX);
    /// At which passage from now on.
    static LEFT: AtomicU64 = AtomicU64::new(0);
    /// Who armed it, and whether that is who dies, or the children that inherit this.
    static ARMED_BY: AtomicU32 = AtomicU32::new(0);
    static IN_CHILDREN: AtomicBool = AtomicBool::new(false);
    static LAST_WORDS: AtomicI32 = AtomicI32::new(-1);

    /// How often this process has passed each point.
    pub fn passages() -> Vec<u64> {
        own();
        PASSAGES.iter().map(|p| p.load(Relaxed)).collect()
    }

    /// A forked child begins at 0.
    fn own() {
        let pid = process::pid();
        if COUNTED_BY.swap(pid, Relaxed) != pid {
            for p in &PASSAGES {
                p.store(0, Relaxed);
            }
        }
    }

    /// Die at the `nth` passage of a point. The dying process writes to the file `fd`, as numbers of 8 bytes: its passages, 1.
    pub fn arm(point: usize, nth: u64, fd: i32, in_children: bool) {
        LEFT.store(nth, Relaxed);
        ARMED_BY.store(process::pid(), Relaxed);
        IN_CHILDREN.store(in_children, Relaxed);
        LAST_WORDS.store(fd, Relaxed);
        POINT.store(point, Release);
    }

    pub fn pass(point: usize) {
        own();
        PASSAGES[point].fetch_add(1, Relaxed);
        if POINT.load(Acquire) == point {
            pass_armed();
        }
    }

    #[cold]
    fn pass_armed() {
        let mine = ARMED_BY.load(Relaxed) == process::pid();
        if mine != IN_CHILDREN.load(Relaxed) && LEFT.fetch_sub(1, Relaxed) == 1 {
            let words: Vec<u8> = passages().into_iter().chain([1]).flat_map(u64::to_le_bytes).collect();
            process::last_words(LAST_WORDS.load(Relaxed), &words);
            process::end();
        }
    }
}
