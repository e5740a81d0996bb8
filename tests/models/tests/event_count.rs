//! The event count: who sleeps is woken, without the end of a slice as long as nobody dies.

use lightwork_models::arena;
use lightwork_models::family::{self, VICTIM, die_before, process};
use lightwork_models::members;
use lightwork_models::model::with_deaths;
use lightwork_models::sync::wait::{Slices, Wait};
use lightwork_models::sync::{EventCount, OwnerLock};
use lightwork_models::sys::atomic::{AtomicU32, Ordering::*};

#[repr(C)]
struct Tokens {
    lock: OwnerLock,
    left: AtomicU32,
    event: EventCount,
}

impl Tokens {
    /// As a queue's writer does it.
    fn put(&self) {
        let g = self.lock.guard(members::me(), members::is_dead);
        self.left.store(self.left.load(Relaxed) + 1, Release);
        kill_point("put");
        drop(g);
        self.event.notify(1);
    }

    fn is_left(&self) -> bool {
        self.left.load(Acquire) > 0
    }

    /// As a queue's reader does it, `alone`: with one who spins.
    fn take(&self, alone: bool) {
        let mut never = || false;
        let mut wait = Wait {
            deadline: None,
            interrupted: &mut never,
            is_dead: members::is_dead,
        };
        let mut slices = Slices::idle();
        loop {
            let g = self.lock.guard(members::me(), members::is_dead);
            let left = self.left.load(Relaxed);
            if left > 0 {
                self.left.store(left - 1, Release);
                kill_point("taken");
                drop(g);
                if self.is_left() {
                    self.event.notify(1);
                }
                return;
            }
            drop(g);
            if alone {
                self.event
                    .sleep_unless_alone(members::me(), &mut wait, &mut slices, || self.is_left());
            } else {
                self.event.sleep_unless(&mut wait, &mut slices, || self.is_left());
            }
        }
    }
}

fn kill_point(name: &'static str) {
    family::pass(name);
}

/// One puts a token, another takes it.
fn handed_over(alone: bool) {
    let tokens = arena::zeroed::<Tokens>();
    let taker = process(2, move || tokens.take(alone));
    let putter = process(VICTIM, || tokens.put());
    putter.join().unwrap();
    if family::died() && family::passed("put") == 0 {
        tokens.put();
    }
    taker.join().unwrap();
}

/// One puts two tokens, two take one each, of whom one may die: perhaps with its token, perhaps before it had one.
fn shared(alone: bool) {
    let tokens = arena::zeroed::<Tokens>();
    let takers = [VICTIM, 2].map(|name| process(name, move || tokens.take(alone)));
    tokens.put();
    tokens.put();
    for taker in takers {
        taker.join().unwrap();
    }
    let lost = family::died() && family::passed("taken") == 0;
    assert_eq!(tokens.left.load(Acquire), lost as u32, "tokens left");
}

#[test]
fn wakes_a_sleeper() {
    with_deaths(|| handed_over(false));
}

#[test]
fn wakes_who_spins_alone() {
    with_deaths(|| handed_over(true));
}

#[test]
fn wakes_one_for_each_token() {
    with_deaths(|| shared(false));
}

#[test]
fn wakes_the_next_when_one_spins_alone() {
    with_deaths(|| shared(true));
}

/// One died as the spinner, so that wakers wake nobody; whose slice ends sees to that.
#[test]
fn wakes_a_sleeper_after_a_spinner_died() {
    with_deaths(|| {
        let tokens = arena::zeroed::<Tokens>();
        die_before(("sync.spin.1", 1), || tokens.take(true));
        let taker = process(VICTIM, || tokens.take(true));
        tokens.put();
        taker.join().unwrap();
        let lost = family::died() && family::passed("taken") == 0;
        assert_eq!(tokens.left.load(Acquire), lost as u32, "tokens left");
    });
}

/// `notify_all` without a lock before it.
#[test]
fn wakes_all() {
    with_deaths(|| {
        let tokens = arena::zeroed::<Tokens>();
        let sleep = || {
            let mut never = || false;
            let mut wait = Wait {
                deadline: None,
                interrupted: &mut never,
                is_dead: members::is_dead,
            };
            let mut slices = Slices::idle();
            while !tokens.is_left() {
                tokens.event.sleep_unless(&mut wait, &mut slices, || tokens.is_left());
            }
        };
        let open = || {
            tokens.left.store(1, Release);
            kill_point("put");
            tokens.event.notify_all();
        };
        let sleepers = [2, 3].map(|name| process(name, sleep));
        process(VICTIM, open).join().unwrap();
        if family::died() && family::passed("put") == 0 {
            open();
        }
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
    });
}
