//! The processes of a model: loom's threads, of which one may die.
//!
//! All of loom's threads are coroutines of one thread of the system, and change places at loom's operations alone: what
//! lies in `FAMILY` is changed atomically between two of these, and is no part of the model.

use crate::sys::futex::Sleeper;
use crate::sys::{atomic, futex};
use loom::sync::atomic::AtomicUsize;
use loom::thread::JoinHandle;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::Ordering::*;

/// The name of the main thread; the others follow, up to loom's limit.
pub const MAIN: usize = 0;
/// Who dies, while the others run.
pub const VICTIM: usize = 1;
/// Who died before they began.
pub const EARLIER: usize = 5;
const NAMES: usize = 6;

/// Sleeps of each process that end with their slice after a death: of who died before, and of others. (Without a limit
/// there are executions without end: two that sleep by turns while a third is never scheduled. And after the first all
/// is as if nobody had died: the next sleepers are woken.)
const SLICES: [u32; 2] = [1, 3];

/// At this passage of this point.
pub type Death = (&'static str, u32);

/// What is decided before a model runs, and the same in all its executions.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Plan {
    pub death: Option<Death>,
    /// How many sleeps of each thread end with their slice before anything happens.
    pub early: u32,
}

pub type Passages = BTreeMap<&'static str, u32>;

/// One execution.
struct Family {
    plan: Plan,
    earlier: Option<Death>,
    /// The victim's, and those of who died before.
    passages: [Passages; NAMES],
    dead: [bool; NAMES],
    /// How many sleeps of each will still end at once.
    early: [u32; NAMES],
    /// How many later sleeps of each will end with their slice.
    late: [u32; NAMES],
    sleepers: Vec<Sleeper>,
    words: Rc<Words>,
}

/// What the kernel and the member table keep.
pub struct Words {
    /// Of the futexes.
    pub bucket: AtomicUsize,
    /// A bit for each name: it is dead.
    pub dead: AtomicUsize,
    /// The same, and somebody noticed.
    pub deaths: AtomicUsize,
}

thread_local! {
    static FAMILY: RefCell<Option<Family>> = const { RefCell::new(None) };
    static MOST: RefCell<Passages> = const { RefCell::new(BTreeMap::new()) };
}

loom::thread_local! {
    static ME: Cell<usize> = Cell::new(MAIN);
}

/// The victim's unwinding: nothing of its program runs any more.
struct Died;

fn family<R>(f: impl FnOnce(&mut Family) -> R) -> R {
    FAMILY.with_borrow_mut(|w| f(w.as_mut().expect("no execution has begun")))
}

/// Begin an execution: to be called by the main thread, before all else.
pub fn begin(plan: Plan) {
    let fresh = Family {
        plan,
        earlier: None,
        passages: Default::default(),
        dead: [false; NAMES],
        early: [plan.early; NAMES],
        late: [0; NAMES],
        sleepers: Vec::new(),
        words: Rc::new(Words {
            bucket: AtomicUsize::new(0),
            dead: AtomicUsize::new(0),
            deaths: AtomicUsize::new(0),
        }),
    };
    FAMILY.set(Some(fresh));
    atomic::forget_all();
    crate::arena::forget_all();
}

/// How often the victim has passed each point, the most in any execution since this was asked last.
pub fn most_passages() -> Passages {
    MOST.take()
}

pub fn me() -> usize {
    ME.with(Cell::get)
}

pub fn words() -> Rc<Words> {
    family(|f| f.words.clone())
}

pub fn with_sleepers<R>(f: impl FnOnce(&mut Vec<Sleeper>) -> R) -> R {
    family(|w| f(&mut w.sleepers))
}

/// Does the calling thread's sleep end with its slice before anything else happens?
pub fn ends_early() -> bool {
    family(|f| count_down(&mut f.early[me()]))
}

/// Does it end at last, although nobody may have woken the thread?
pub fn ends_late() -> bool {
    family(|f| count_down(&mut f.late[me()]))
}

fn count_down(n: &mut u32) -> bool {
    let some = *n > 0;
    *n -= some as u32;
    some
}

/// Is the calling thread dead, or the model at its end, and this only unwinding? What it still does has no effect.
pub fn is_ghost() -> bool {
    std::thread::panicking() || {
        let me = me();
        family(|f| f.dead[me])
    }
}

/// Has the victim died?
pub fn died() -> bool {
    family(|f| f.dead[VICTIM])
}

/// The point at which a process died.
pub fn died_at(name: usize) -> Option<&'static str> {
    family(|f| {
        let death = if name == VICTIM { f.plan.death } else { f.earlier };
        death.filter(|_| f.dead[name]).map(|(point, _)| point)
    })
}

/// How often the victim has passed a point in this execution.
pub fn passed(point: &str) -> u32 {
    passed_by(VICTIM, point)
}

pub fn passed_by(name: usize, point: &str) -> u32 {
    family(|f| f.passages[name].get(point).copied().unwrap_or(0))
}

/// The calling thread has done a step.
pub fn pass(point: &'static str) {
    if is_ghost() {
        return;
    }
    let me = me();
    let dies = family(|f| {
        let death = match me {
            VICTIM => f.plan.death,
            EARLIER => f.earlier,
            _ => return false,
        };
        let n = f.passages[me].entry(point).or_insert(0);
        *n += 1;
        if me == VICTIM {
            MOST.with_borrow_mut(|most| {
                let m = most.entry(point).or_insert(0);
                *m = (*m).max(*n);
            });
        }
        f.dead[me] = death == Some((point, *n));
        f.dead[me]
    });
    if dies {
        resume_unwind(Box::new(Died));
    }
}

/// Run a process's program; None if it died.
fn live<R>(name: usize, program: impl FnOnce() -> R) -> Option<R> {
    let before = ME.with(|me| me.replace(name));
    let end = catch_unwind(AssertUnwindSafe(program));
    ME.with(|me| me.set(before));
    match end {
        Ok(r) => Some(r),
        Err(cause) if cause.is::<Died>() => {
            bury(name);
            None
        }
        Err(cause) => resume_unwind(cause),
    }
}

/// A process that runs beside the others. What it returns is lost if it dies.
pub fn process<R: 'static>(name: usize, program: impl FnOnce() -> R + 'static) -> JoinHandle<Option<R>> {
    loom::thread::spawn(move || live(name, program))
}

/// A process that dies before there are others.
pub fn die_before(death: Death, program: impl FnOnce()) {
    family(|f| f.earlier = Some(death));
    assert!(live(EARLIER, program).is_none(), "{death:?} was not reached");
}

/// The kernel knows that somebody is dead: all that it stored is visible to whoever asks it. From now on slices end.
fn bury(name: usize) {
    let words = words();
    loom::sync::atomic::fence(SeqCst);
    words.dead.fetch_or(1 << name, AcqRel);
    family(|f| f.late.iter_mut().for_each(|n| *n += SLICES[(name == VICTIM) as usize]));
    futex::end_slices();
}
