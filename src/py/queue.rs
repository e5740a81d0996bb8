//! Queue and SimpleQueue: one ring, two signatures.

use super::codec::{Letter, decode, encode};
use super::handle::{Name, Share, arena_full, patience, share, truth, waiting};
use crate::cells::Kind;
use crate::queue::{Full, Ring};
use crate::sync::Outcome;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};
use std::sync::atomic::{AtomicBool, Ordering::*};

/// `queue.Full` or `queue.Empty`.
fn queue_error(py: Python<'_>, name: &'static str) -> PyErr {
    static FULL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static EMPTY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let place = if name == "Full" { &FULL } else { &EMPTY };
    match place.import(py, "queue", name) {
        Ok(class) => PyErr::from_type(class.clone(), ()),
        Err(e) => e,
    }
}

/// Put an encoded message, waiting for room as told.
fn put(py: Python<'_>, ring: &'static Ring, letter: Letter, block: bool, timeout: Option<f64>) -> PyResult<()> {
    match ring.try_put(letter.payload()) {
        Some(Ok(())) => {
            letter.sent();
            return Ok(());
        }
        Some(Err(Full::Queue)) if !block => return Err(queue_error(py, "Full")),
        Some(Err(Full::Arena(f))) => return Err(arena_full(py, f)),
        _ => {}
    }
    let out = waiting(py, patience(block, timeout), |w| ring.put(letter.payload(), w))?;
    match out.map_err(|f| arena_full(py, f))? {
        Outcome::TimedOut => Err(queue_error(py, "Full")),
        _ => {
            letter.sent();
            Ok(())
        }
    }
}

fn get<'py>(py: Python<'py>, ring: &'static Ring, block: bool, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
    match ring.try_get() {
        Some(Some(claim)) => return decode(py, claim),
        Some(None) if !block => {
            return match ring.poll_the_dead() {
                Some(claim) => decode(py, claim),
                None => Err(queue_error(py, "Empty")),
            };
        }
        _ => {}
    }
    match waiting(py, patience(block, timeout), |w| ring.get(w))?.1 {
        Some(claim) => decode(py, claim),
        None => Err(queue_error(py, "Empty")),
    }
}

/// What `put` does with an object that the pickler refused: the stdlib's hook decides (ours raises).
#[cold]
fn refused(slf: &Bound<'_, PyAny>, e: PyErr, obj: &Bound<'_, PyAny>) -> PyResult<()> {
    let e = e.into_value(slf.py());
    slf.call_method1("_on_queue_feeder_error", (e, obj)).map(|_| ())
}

/// A first-in first-out queue between processes and threads.
#[pyclass(subclass, frozen, weakref, module = "lightwork._native")]
pub struct Queue {
    share: Share,
    ring: &'static Ring,
    closed: AtomicBool,
}

#[pymethods]
impl Queue {
    #[new]
    #[pyo3(signature = (maxsize = 0, *_args, **kwargs))]
    fn new(
        py: Python<'_>,
        maxsize: i64,
        _args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let max = maxsize.max(0) as u64;
        let share = share(py, kwargs, "Queue", Kind::Queue, Ring::BYTES, || Ring::create(max))?;
        Ok(Queue {
            ring: Ring::of(share.offset()),
            share,
            closed: AtomicBool::new(false),
        })
    }

    /// Put an object: it is visible to every reader when this returns. Raises `queue.Full` if there was no room in time
    /// (`timeout` in seconds), what the pickler raises if the object cannot be pickled, ValueError if the queue is closed.
    #[pyo3(signature = (obj, block = true, timeout = None))]
    fn put(
        slf: &Bound<'_, Self>,
        obj: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = truth)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let this = slf.get();
        if this.closed.load(Relaxed) {
            return Err(closed(slf));
        }
        match encode(obj) {
            Ok(letter) => put(slf.py(), this.ring, letter, block, timeout),
            Err(e) => refused(slf, e, obj),
        }
    }

    /// Take the oldest object. Raises `queue.Empty` if there was none in time (`timeout` in seconds), ValueError if the
    /// queue is closed, what unpickling raises.
    #[pyo3(signature = (block = true, timeout = None))]
    fn get<'py>(
        slf: &Bound<'py, Self>,
        #[pyo3(from_py_with = truth)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let this = slf.get();
        if this.closed.load(Relaxed) {
            return Err(closed(slf));
        }
        get(slf.py(), this.ring, block, timeout)
    }

    /// `put(obj, False)`.
    fn put_nowait(slf: &Bound<'_, Self>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::put(slf, obj, false, None)
    }

    /// `get(False)`.
    fn get_nowait<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::get(slf, false, None)
    }

    /// How many objects are in the queue now.
    fn qsize(&self) -> u64 {
        self.ring.len()
    }

    /// Is the queue empty now? Raises OSError if this process closed it and it was ever used (as the stdlib does).
    fn empty(slf: &Bound<'_, Self>) -> PyResult<bool> {
        if slf.get().closed.load(Relaxed) && slf.get().ring.was_used() {
            return Err(PyOSError::new_err(format!("Queue {} is closed", slf.repr()?)));
        }
        Ok(slf.get().ring.is_empty())
    }

    /// Would `put` have to wait now?
    fn full(&self) -> bool {
        self.ring.is_full()
    }

    /// This process is done with the queue: later calls raise ValueError. What was put stays for the others.
    fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    #[getter]
    fn _closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    #[getter]
    fn _maxsize(&self) -> u64 {
        match self.ring.maxsize() {
            0 => i32::MAX as u64,
            n => n,
        }
    }

    /// Wait until there is a message, at most `timeout` seconds, without taking it.
    #[pyo3(signature = (timeout = None))]
    fn _wait_for_message(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let ring = self.ring;
        Ok(waiting(py, patience(true, timeout), |w| ring.wait_for_message(w))? == Outcome::Done)
    }

    fn _task_done(&self) -> bool {
        self.ring.task_done()
    }

    fn _join(&self, py: Python<'_>) -> PyResult<()> {
        let ring = self.ring;
        waiting(py, None, |w| ring.join(w)).map(|_| ())
    }

    fn _handle(&self, escapes: bool) -> Name {
        self.share.name(escapes)
    }
}

#[cold]
fn closed(slf: &Bound<'_, Queue>) -> PyErr {
    match slf.repr() {
        Ok(r) => PyValueError::new_err(format!("Queue {r} is closed")),
        Err(e) => e,
    }
}

/// A queue without limits or time-outs.
#[pyclass(subclass, frozen, weakref, module = "lightwork._native")]
pub struct SimpleQueue {
    share: Share,
    ring: &'static Ring,
    closed: AtomicBool,
}

#[pymethods]
impl SimpleQueue {
    #[new]
    #[pyo3(signature = (*_args, **kwargs))]
    fn new(py: Python<'_>, _args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let share = share(py, kwargs, "SimpleQueue", Kind::Queue, Ring::BYTES, || Ring::create(0))?;
        Ok(SimpleQueue {
            ring: Ring::of(share.offset()),
            share,
            closed: AtomicBool::new(false),
        })
    }

    /// Put an object: it is visible to every reader when this returns. Raises what the pickler raises if the object
    /// cannot be pickled, OSError if this process closed the queue.
    fn put(slf: &Bound<'_, Self>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.get().open()?;
        put(slf.py(), slf.get().ring, encode(obj)?, true, None)
    }

    /// Take the oldest object, waiting for one. Raises OSError if this process closed the queue.
    fn get<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().open()?;
        get(slf.py(), slf.get().ring, true, None)
    }

    /// Is the queue empty now?
    fn empty(&self) -> PyResult<bool> {
        self.open()?;
        Ok(self.ring.is_empty())
    }

    /// This process is done with the queue.
    fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    #[getter]
    fn _closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Wait until there is a message, at most `timeout` seconds, without taking it.
    #[pyo3(signature = (timeout = None))]
    fn _wait_for_message(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let ring = self.ring;
        Ok(waiting(py, patience(true, timeout), |w| ring.wait_for_message(w))? == Outcome::Done)
    }

    fn _handle(&self, escapes: bool) -> Name {
        self.share.name(escapes)
    }
}

impl SimpleQueue {
    fn open(&self) -> PyResult<()> {
        if self.closed.load(Relaxed) {
            Err(PyOSError::new_err("handle is closed"))
        } else {
            Ok(())
        }
    }
}
