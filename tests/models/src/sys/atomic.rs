//! Words of shared memory whose accesses loom sees. They have std's layout and hold nothing: loom's atomic for a word
//! is found by its address, so that raw memory can be taken for a ring as it is in the package.
//!
//! Loom has SeqCst fences, but takes SeqCst accesses for AcqRel ones. What the protocols need of these is the order of
//! a SeqCst store or read-modify-write before a later SeqCst load or read-modify-write of the same thread, and all
//! after it, as x86-64 and AArch64 keep it: the latter gets a fence before it.

use crate::family;
use loom::sync::atomic as model;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

pub use std::sync::atomic::Ordering;

use Ordering::{AcqRel, SeqCst};

#[derive(Clone)]
enum Word {
    U32(Rc<model::AtomicU32>),
    U64(Rc<model::AtomicU64>),
}

/// A word that is zero before anybody stores to it: where, and how wide.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    address: usize,
    wide: bool,
}

impl Place {
    fn word(self) -> Word {
        if self.wide {
            Word::U64(Rc::new(model::AtomicU64::new(0)))
        } else {
            Word::U32(Rc::new(model::AtomicU32::new(0)))
        }
    }
}

thread_local! {
    static WORDS: RefCell<HashMap<usize, Word>> = RefCell::default();
    static CELLS: RefCell<HashMap<usize, Rc<loom::cell::UnsafeCell<()>>>> = RefCell::default();
    /// Words of zeroed memory that were ever used. Loom wants them made before there are threads.
    static ZEROED: RefCell<BTreeSet<Place>> = const { RefCell::new(BTreeSet::new()) };
}

loom::thread_local! {
    /// This thread's SeqCst store is not yet ordered before its loads.
    static STORED: Cell<bool> = Cell::new(false);
}

/// The panic of an execution that came to such a word for the first time: the model is to be run again, with it.
pub struct Unmade;

/// A new execution begins: nothing was stored.
pub fn forget_all() {
    CELLS.take();
    WORDS.take();
    let all = ZEROED.with_borrow(|zeroed| zeroed.clone());
    WORDS.set(all.into_iter().map(|place| (place.address, place.word())).collect());
}

/// Another model begins.
pub fn forget_zeroed() {
    ZEROED.take();
}

/// The word at this place, made by the first store to it, or zero from the beginning.
fn word(place: Place, is_stored: bool) -> Word {
    let is_zeroed = crate::arena::check_use(place.address);
    let known = WORDS.with_borrow(|all| all.get(&place.address).cloned());
    known.unwrap_or_else(|| {
        assert!(is_zeroed || is_stored, "a word of undefined content is loaded");
        if is_zeroed {
            ZEROED.with_borrow_mut(|all| all.insert(place));
            std::panic::resume_unwind(Box::new(Unmade));
        }
        let fresh = place.word();
        WORDS.with_borrow_mut(|all| all.insert(place.address, fresh.clone()));
        fresh
    })
}

fn note_store(order: Ordering) {
    if order == SeqCst {
        STORED.with(|s| s.set(true));
    }
}

fn fence_between(order: Ordering) {
    if order == SeqCst && STORED.with(|s| s.replace(false)) {
        model::fence(SeqCst);
    }
}

pub fn fence(order: Ordering) {
    if !family::is_ghost() {
        model::fence(order);
    }
}

macro_rules! atomic {
    ($name:ident, $int:ty, $variant:ident, $wide:literal) => {
        #[repr(transparent)]
        pub struct $name(std::cell::UnsafeCell<$int>);

        // SAFETY: its bytes are never touched.
        unsafe impl Sync for $name {}

        impl $name {
            fn word(&self, is_stored: bool) -> Rc<model::$name> {
                let place = Place {
                    address: std::ptr::from_ref(self).addr(),
                    wide: $wide,
                };
                match word(place, is_stored) {
                    Word::$variant(w) => w,
                    _ => panic!("a word of two widths"),
                }
            }

            pub fn load(&self, order: Ordering) -> $int {
                if family::is_ghost() {
                    return 0;
                }
                fence_between(order);
                self.word(false).load(order)
            }

            pub fn store(&self, value: $int, order: Ordering) {
                if !family::is_ghost() {
                    self.word(true).store(value, order);
                    note_store(order);
                }
            }

            pub fn swap(&self, value: $int, order: Ordering) -> $int {
                if family::is_ghost() {
                    return 0;
                }
                fence_between(order);
                let old = self.word(false).swap(value, order);
                note_store(order);
                old
            }

            pub fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                if family::is_ghost() {
                    return 0;
                }
                fence_between(order);
                let old = self.word(false).fetch_add(value, order);
                note_store(order);
                old
            }

            pub fn compare_exchange(
                &self,
                from: $int,
                to: $int,
                done: Ordering,
                failed: Ordering,
            ) -> Result<$int, $int> {
                if family::is_ghost() {
                    return Err(0);
                }
                fence_between(done);
                let was = self.word(false).compare_exchange(from, to, done, failed);
                if was.is_ok() {
                    note_store(done);
                }
                was
            }

            pub fn fetch_update(
                &self,
                done: Ordering,
                failed: Ordering,
                f: impl FnMut($int) -> Option<$int>,
            ) -> Result<$int, $int> {
                if family::is_ghost() {
                    return Err(0);
                }
                fence_between(done);
                let was = self.word(false).fetch_update(done, failed, f);
                if was.is_ok() {
                    note_store(done);
                }
                was
            }
        }
    };
}

atomic!(AtomicU32, u32, U32, false);
atomic!(AtomicU64, u64, U64, true);

impl AtomicU64 {
    /// What a futex watches of it. No other operation than `current` may be done on it.
    pub fn low_half(&self) -> &AtomicU32 {
        // SAFETY: the bytes behind it are those of a word of this type's, and are never touched.
        unsafe { &*std::ptr::from_ref(self).cast() }
    }
}

impl AtomicU32 {
    /// Its value, or that of the wide word whose low half it is, as the kernel reads it: never out of date. (Loom takes
    /// a plain store for unordered with this; but words that somebody sleeps on are changed by read-modify-writes
    /// alone.)
    pub fn current(&self) -> u32 {
        let address = std::ptr::from_ref(self).addr();
        let known = WORDS.with_borrow(|all| all.get(&address).cloned());
        match known.expect("a futex that nobody has loaded") {
            Word::U32(w) => w.fetch_add(0, AcqRel),
            Word::U64(w) => w.fetch_add(0, AcqRel) as u32,
        }
    }
}

/// Plain memory: loom panics where a write is not ordered with all other accesses.
#[repr(transparent)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    fn cell(&self) -> Rc<loom::cell::UnsafeCell<()>> {
        let address = std::ptr::from_ref(self).addr();
        crate::arena::check_use(address);
        CELLS.with_borrow_mut(|all| {
            all.entry(address)
                .or_insert_with(|| Rc::new(loom::cell::UnsafeCell::new(())))
                .clone()
        })
    }

    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        self.cell().with(|_| f(self.0.get()))
    }

    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.cell().with_mut(|_| f(self.0.get()))
    }
}

// SAFETY: loom's threads change places only at its operations, so that no two accesses happen at once; and it panics at
// those that could.
unsafe impl<T: Send> Sync for UnsafeCell<T> {}
