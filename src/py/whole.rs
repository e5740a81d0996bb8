//! Calls of Python functions under a lock that no signal handler can leave taken: here none runs between the lock's being
//! taken and whoever gives it back. `with lock:` is no such place from Python 3.14 on, where one may run, and raise, between
//! `__enter__` and the body (3,040 of 5,000 alarms left a `threading.Lock` taken on 3.14.10, none on 3.13.0).

use crate::sys::process;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::atomic::{AtomicU64, Ordering::*};

/// `with lock: return function(*args)`; an `__exit__` that would swallow exceptions swallows none.
#[pyfunction]
#[pyo3(signature = (lock, function, /, *args))]
pub fn holding<'py>(
    lock: &Bound<'py, PyAny>,
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = lock.py();
    let exit = lock.getattr(pyo3::intern!(py, "__exit__"))?;
    lock.call_method0(pyo3::intern!(py, "__enter__"))?;
    let called = function.call1(args);
    match &called {
        Ok(_) => exit.call1((py.None(), py.None(), py.None()))?,
        Err(e) => exit.call1((e.get_type(py), e.value(py), e.traceback(py)))?,
    };
    called
}

/// `function(*args)` with SIGINT blocked in this thread, and so in a process that it starts; until then it waits.
#[pyfunction]
#[pyo3(signature = (function, /, *args))]
pub fn without_interrupts<'py>(
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    process::without_interrupts(|| function.call1(args))
}

/// Whose turn it is to do something: a lock that nobody waits for.
#[pyclass(frozen, module = "lightwork._native")]
pub struct Turn {
    /// The thread that has it, from `thread()`; 0: nobody.
    owner: AtomicU64,
    depth: AtomicU64,
}

fn thread() -> u64 {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here) as u64)
}

impl Turn {
    fn take(&self) -> bool {
        let me = thread();
        if self.owner.load(Acquire) != me && self.owner.compare_exchange(0, me, AcqRel, Relaxed).is_err() {
            return false;
        }
        self.depth.fetch_add(1, Relaxed);
        true
    }

    fn give(&self) {
        if self.depth.fetch_sub(1, Relaxed) == 1 {
            self.owner.store(0, Release);
        }
    }
}

#[pymethods]
impl Turn {
    #[new]
    fn new() -> Self {
        Turn {
            owner: AtomicU64::new(0),
            depth: AtomicU64::new(0),
        }
    }

    /// Call `function(*args)` if it is this thread's turn, also when it has it already (a signal handler came in the middle
    /// of such a call). False: another thread has it, and nothing was called.
    #[pyo3(signature = (function, /, *args))]
    fn run(&self, function: &Bound<'_, PyAny>, args: &Bound<'_, PyTuple>) -> PyResult<bool> {
        if !self.take() {
            return Ok(false);
        }
        let called = function.call1(args);
        self.give();
        called.map(|_| true)
    }

    /// Has this thread got it?
    fn here(&self) -> bool {
        self.owner.load(Acquire) == thread()
    }

    /// Has another thread got it?
    fn elsewhere(&self) -> bool {
        let owner = self.owner.load(Acquire);
        owner != 0 && owner != thread()
    }
}
