//! What the tests share: the arena, threads that begin together, waits that end.

use lightwork_races::sync::Wait;
use lightwork_races::{arena, cells, members};
use std::sync::Barrier;

pub const THREADS: usize = 4;

/// Rounds of each thread. ThreadSanitizer makes a round some ten times as long.
pub fn rounds(most: usize) -> usize {
    match std::env::var("ROUNDS_PERCENT").map(|percent| percent.parse::<usize>()) {
        Ok(Ok(percent)) => (most * percent / 100).max(1),
        _ => most,
    }
}

/// Call `work(thread)` in so many threads at the same moment.
pub fn together(threads: usize, work: impl Fn(usize) + Sync) {
    members::init().expect("a page that fork wipes");
    arena::family::ensure().expect("an arena");
    members::join().expect("a row");
    let start = Barrier::new(threads);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                start.wait();
                work(thread);
            });
        }
    });
}

/// A wait without end, which nothing interrupts.
pub fn waiting<R>(f: impl FnOnce(&mut Wait) -> R) -> R {
    f(&mut Wait {
        deadline: None,
        interrupted: &mut || false,
        is_dead: members::is_dead,
    })
}

/// A cell that is let go of at the end.
pub struct Held(pub cells::Handle);

impl Drop for Held {
    fn drop(&mut self) {
        cells::release(self.0.offset);
    }
}
