//! The lock: who holds it is alone, and it survives its holder.

use lightwork_models::arena;
use lightwork_models::family::{self, EARLIER, VICTIM, die_before, process};
use lightwork_models::members;
use lightwork_models::model::with_deaths;
use lightwork_models::sync::OwnerLock;
use lightwork_models::sys::atomic::UnsafeCell;

#[repr(C)]
struct Guarded {
    lock: OwnerLock,
    /// Loom panics if two are here at once, or one does not see what the last one wrote.
    count: UnsafeCell<u32>,
}

impl Guarded {
    fn new() -> &'static Self {
        let fresh = arena::zeroed::<Guarded>();
        fresh.change(|_| 0);
        fresh
    }

    fn change(&self, f: impl FnOnce(u32) -> u32) -> u32 {
        self.count.with_mut(|n| {
            // SAFETY: a valid pointer; loom sees to it that nobody else is here.
            unsafe {
                *n = f(*n);
                *n
            }
        })
    }

    /// Counts one up, inside; was the lock taken over from the dead?
    fn add(&self) -> bool {
        let g = self.lock.guard(members::me(), members::is_dead);
        self.change(|n| n + 1);
        g.inherited
    }
}

/// Did it die with the lock in its hands, and how often was it through with it before?
fn end_of(name: usize) -> (bool, u32) {
    let takes = family::passed_by(name, "sync.take.1") + family::passed_by(name, "sync.inherit.1");
    let gives = family::passed_by(name, "sync.give.1");
    (takes > gives, gives)
}

/// So many processes take it, then the main thread. All get it, and just one of them as the heir of each who died
/// inside.
fn contended(guarded: &'static Guarded, processes: usize) {
    let all: Vec<_> = (VICTIM..=processes)
        .map(|name| process(name, || guarded.add()))
        .collect();
    let living: Vec<_> = all.into_iter().filter_map(|p| p.join().unwrap()).collect();
    let last = guarded.add();

    let ends = [end_of(VICTIM), end_of(EARLIER)];
    let inside = ends.iter().filter(|(inside, _)| *inside).count();
    let victim_is_heir = family::died() && family::passed("sync.inherit.1") > 0;
    let heirs = living.iter().chain([&last]).filter(|&&inherited| inherited).count() + victim_is_heir as usize;
    assert_eq!(heirs, inside, "heirs of those who died inside");
    let through = living.len() as u32 + 1 + if family::died() { ends[0].1 } else { 0 };
    assert_eq!(guarded.change(|n| n), through, "what was done inside");
}

#[test]
fn of_two() {
    with_deaths(|| contended(Guarded::new(), 2));
}

#[test]
fn of_three() {
    with_deaths(|| contended(Guarded::new(), 3));
}

#[test]
fn of_the_dead() {
    with_deaths(|| {
        let guarded = Guarded::new();
        die_before(("sync.take.1", 1), || _ = guarded.add());
        contended(guarded, 2);
    });
}
