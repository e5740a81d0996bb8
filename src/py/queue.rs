//! Queue and SimpleQueue: one ring, two signatures.

use super::codec::{Letter, decode, encode};
use super::handle::{Name, Share, arena_full, forked, patience, share, truth, waiting, waiting_in_one, will_fit};
use crate::cells::Kind;
use crate::members;
use crate::queue::{Full, Ring};
use crate::sync::{Member, Outcome};
use pyo3::exceptions::{PyException, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering::*};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

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

/// A `Queue.put` that waits for room in shared memory. (`SimpleQueue.put` has no time-out, and raises at once.)
struct Room {
    end: Option<Instant>,
}

impl Room {
    /// A block is freed by one store, and nobody is told of it: so often we look again.
    const PAUSE: Duration = Duration::from_millis(10);

    fn new(timeout: Option<f64>) -> Self {
        let end = timeout.and_then(|s| Instant::now().checked_add(Duration::try_from_secs_f64(s.max(0.0)).ok()?));
        Room { end }
    }

    /// Seconds; None: without end.
    fn left(&self) -> Option<f64> {
        self.end
            .map(|end| end.saturating_duration_since(Instant::now()).as_secs_f64())
    }

    /// Wait a little. Raises `queue.Full` if the time is over, and what signal handlers raise.
    fn wait(&self, py: Python<'_>) -> PyResult<()> {
        if self.end.is_some_and(|end| Instant::now() >= end) {
            return Err(queue_error(py, "Full"));
        }
        py.detach(|| {
            members::sweep_if_older(200_000_000); // what the dead had is room, too
            std::thread::sleep(Self::PAUSE);
        });
        py.check_signals()
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
    let out = waiting_in_one(py, patience(block, timeout), |w| ring.put(letter.payload(), w))?;
    match out.map_err(|f| arena_full(py, f))? {
        Outcome::TimedOut => Err(queue_error(py, "Full")),
        _ => {
            letter.sent();
            Ok(())
        }
    }
}

/// Take the oldest message; None if there was none in time.
fn take<'py>(
    py: Python<'py>,
    ring: &'static Ring,
    block: bool,
    timeout: Option<f64>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let claim = match ring.try_get() {
        Some(Some(claim)) => return decode(py, claim).map(Some),
        Some(None) if !block => ring.poll_the_dead(),
        _ => waiting(py, patience(block, timeout), |w| ring.get(w))?.1,
    };
    claim.map(|c| decode(py, c)).transpose()
}

/// Bits of an object's `state`: what makes a call something else than an access to the ring.
mod state {
    /// This process is done with the queue.
    pub const CLOSED: u8 = 1;
    /// `_message_taken()` is to be called when something was taken or nothing was there: the object has a doorbell.
    pub const TOLD: u8 = 2;
    /// There is something in `left`.
    pub const LEFT: u8 = 4;
}
use state::{CLOSED, LEFT, TOLD};

/// Messages (or what came of unpickling them) that were taken for a caller who could not be given them: they are first
/// in line for the next. A forked child gets a copy, which is not its own.
struct Left {
    owner: Member,
    items: VecDeque<PyResult<Py<PyAny>>>,
}

/// What both kinds of queue are, in this process.
struct Face {
    share: Share,
    ring: &'static Ring,
    state: AtomicU8,
    left: Mutex<Option<Left>>,
}

impl Face {
    fn new(share: Share) -> Self {
        Face {
            ring: Ring::of(share.offset()),
            share,
            state: AtomicU8::new(0),
            left: Mutex::new(None),
        }
    }

    #[inline]
    fn is(&self, bit: u8) -> bool {
        self.state.load(Relaxed) & bit != 0
    }

    fn set(&self, bit: u8) {
        self.state.fetch_or(bit, Relaxed);
    }

    #[inline]
    fn get<'py>(&self, slf: &Bound<'py, PyAny>, block: bool, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if self.state.load(Relaxed) == 0
            && let Some(Some(claim)) = self.ring.try_get()
        {
            return decode(py, claim);
        }
        self.get_slowly(slf, block, timeout)
    }

    #[cold]
    fn get_slowly<'py>(
        &self,
        slf: &Bound<'py, PyAny>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let taken = self.take_and_tell(slf, block, timeout)?;
        taken.ok_or_else(|| queue_error(slf.py(), "Empty"))
    }

    fn take_and_tell<'py>(
        &self,
        slf: &Bound<'py, PyAny>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let taken = self.next(slf.py(), block, timeout);
        if let Err(e) = self.tell(slf) {
            self.leave(taken.transpose());
            return Err(e);
        }
        taken
    }

    /// What was left over, else from the ring.
    fn next<'py>(&self, py: Python<'py>, block: bool, timeout: Option<f64>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.take_left() {
            Some(item) => item.map(|o| Some(o.into_bound(py))),
            None => take(py, self.ring, block, timeout),
        }
    }

    fn take_left(&self) -> Option<PyResult<Py<PyAny>>> {
        if !self.is(LEFT) {
            return None;
        }
        let mut left = self.left();
        let item = left.as_mut().and_then(|l| l.items.pop_front());
        if left.as_ref().is_none_or(|l| l.items.is_empty()) {
            self.state.fetch_and(!LEFT, Relaxed);
        }
        item
    }

    /// The next caller gets these before all others.
    fn leave<'py>(&self, items: impl IntoIterator<Item = PyResult<Bound<'py, PyAny>>>) {
        let mut left = self.left();
        let line = left.get_or_insert_with(|| Left {
            owner: members::me(),
            items: VecDeque::new(),
        });
        let later = std::mem::take(&mut line.items);
        line.items
            .extend(items.into_iter().map(|item| item.map(Bound::unbind)).chain(later));
        if !line.items.is_empty() {
            self.set(LEFT);
        }
    }

    fn left(&self) -> MutexGuard<'_, Option<Left>> {
        let mut left = self.left.lock().unwrap_or_else(|e| e.into_inner());
        if left.as_ref().is_some_and(|l| l.owner != members::me()) {
            std::mem::forget(left.take()); // the parent's; no destructor runs in here
        }
        left
    }

    /// How many messages are left over.
    fn count_left(&self) -> usize {
        match self.is(LEFT) {
            true => self.left().as_ref().map_or(0, |l| l.items.len()),
            false => 0,
        }
    }

    fn tell(&self, slf: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.is(TOLD) {
            slf.call_method0("_message_taken")?;
        }
        Ok(())
    }

    /// One object as `get`, and up to `n` if they are there.
    fn get_many<'py>(
        &self,
        slf: &Bound<'py, PyAny>,
        n: usize,
        timeout: Option<f64>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let py = slf.py();
        let mut found = vec![self.get(slf, true, timeout)?];
        let mut interrupt = None;
        while found.len() < n {
            match self.next(py, false, None) {
                Ok(Some(obj)) => found.push(obj),
                Ok(None) => break,
                Err(e) if e.is_instance_of::<PyException>(py) => {
                    self.leave([Err(e)]);
                    break;
                }
                Err(e) => {
                    interrupt = Some(e);
                    break;
                }
            }
        }
        let Some(e) = interrupt.or_else(|| self.tell(slf).err()) else {
            return Ok(found);
        };
        self.leave(found.into_iter().map(Ok));
        self.tell(slf).and(Err(e))
    }

    fn wait_for_message(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let ring = self.ring;
        Ok(self.count_left() > 0
            || waiting(py, patience(true, timeout), |w| ring.wait_for_message(w))? == Outcome::Done)
    }

    fn is_empty(&self) -> bool {
        self.ring.is_empty() && self.count_left() == 0
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
pub struct Queue(Face);

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
        Ok(Queue(Face::new(share)))
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
        let face = &slf.get().0;
        if face.is(CLOSED) {
            return Err(closed(slf));
        }
        let room = Room::new(patience(block, timeout));
        let me = members::me();
        loop {
            // Both may find no room: for the message, and for its slot, if the ring has to grow.
            let sent = match encode(&[], obj) {
                Ok(letter) => put(slf.py(), face.ring, letter, block, room.left()),
                Err(e) if !will_fit(slf.py(), &e) => return refused(slf, e, obj),
                Err(e) => Err(e),
            };
            match sent {
                Err(e) if will_fit(slf.py(), &e) => {
                    room.wait(slf.py())?;
                    if members::me() != me {
                        return Err(forked());
                    }
                }
                sent => return sent,
            }
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
        let face = &slf.get().0;
        if face.is(CLOSED) {
            return Err(closed(slf));
        }
        face.get(slf, block, timeout)
    }

    /// `put(obj, False)`.
    fn put_nowait(slf: &Bound<'_, Self>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::put(slf, obj, false, None)
    }

    /// `get(False)`.
    fn get_nowait<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::get(slf, false, None)
    }

    /// Up to `n` objects: waits (at most `timeout` seconds) for the first, takes the others only if they are there.
    ///
    /// Raises `queue.Empty` if not even one came in time, ValueError if `n` is less than 1 or the queue is closed. An
    /// error in unpickling a later object is raised by the next call that takes from this queue object; an interrupt
    /// (any other BaseException) at once, and then that next call returns what was taken before it.
    #[pyo3(signature = (n, timeout = None))]
    fn get_many<'py>(slf: &Bound<'py, Self>, n: i64, timeout: Option<f64>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        if n < 1 {
            let message = format!("get_many takes at least 1 object, not {n}");
            return Err(PyValueError::new_err(message));
        }
        let face = &slf.get().0;
        if face.is(CLOSED) {
            return Err(closed(slf));
        }
        face.get_many(slf, n as usize, timeout)
    }

    /// How many objects are in the queue now.
    fn qsize(&self) -> u64 {
        self.0.ring.len() + self.0.count_left() as u64
    }

    /// Is the queue empty now? Raises OSError if this process closed it and it was ever used (as the stdlib does).
    fn empty(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let face = &slf.get().0;
        if face.is(CLOSED) && face.ring.was_used() {
            return Err(PyOSError::new_err(format!("Queue {} is closed", slf.repr()?)));
        }
        Ok(face.is_empty())
    }

    /// Would `put` have to wait now?
    fn full(&self) -> bool {
        self.0.ring.is_full()
    }

    /// This process is done with the queue: later calls raise ValueError. What was put stays for the others.
    fn close(&self) {
        self.0.set(CLOSED);
    }

    #[getter]
    fn _closed(&self) -> bool {
        self.0.is(CLOSED)
    }

    /// From now on call `_message_taken()` when something was taken or nothing was there.
    fn _tell_taken(&self) {
        self.0.set(TOLD);
    }

    #[getter]
    fn _maxsize(&self) -> u64 {
        match self.0.ring.maxsize() {
            0 => i32::MAX as u64,
            n => n,
        }
    }

    /// Wait until there is a message, at most `timeout` seconds, without taking it.
    #[pyo3(signature = (timeout = None))]
    fn _wait_for_message(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        self.0.wait_for_message(py, timeout)
    }

    fn _task_done(&self) -> bool {
        self.0.ring.task_done()
    }

    fn _join(&self, py: Python<'_>) -> PyResult<()> {
        let ring = self.0.ring;
        waiting(py, None, |w| ring.join(w)).map(|_| ())
    }

    fn _handle(&self, escapes: bool) -> Name {
        self.0.share.name(escapes)
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
pub struct SimpleQueue(Face);

#[pymethods]
impl SimpleQueue {
    #[new]
    #[pyo3(signature = (*_args, **kwargs))]
    fn new(py: Python<'_>, _args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let share = share(py, kwargs, "SimpleQueue", Kind::Queue, Ring::BYTES, || Ring::create(0))?;
        Ok(SimpleQueue(Face::new(share)))
    }

    /// Put an object: it is visible to every reader when this returns. Raises what the pickler raises if the object
    /// cannot be pickled, OSError if this process closed the queue.
    fn put(slf: &Bound<'_, Self>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.get().open()?;
        put(slf.py(), slf.get().0.ring, encode(&[], obj)?, true, None)
    }

    /// Take the oldest object, waiting for one. Raises OSError if this process closed the queue.
    fn get<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().open()?;
        slf.get().0.get(slf, true, None)
    }

    /// Is the queue empty now?
    fn empty(&self) -> PyResult<bool> {
        self.open()?;
        Ok(self.0.is_empty())
    }

    /// This process is done with the queue.
    fn close(&self) {
        self.0.set(CLOSED);
    }

    #[getter]
    fn _closed(&self) -> bool {
        self.0.is(CLOSED)
    }

    /// From now on call `_message_taken()` when something was taken or nothing was there.
    fn _tell_taken(&self) {
        self.0.set(TOLD);
    }

    /// Wait until there is a message, at most `timeout` seconds, without taking it.
    #[pyo3(signature = (timeout = None))]
    fn _wait_for_message(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        self.0.wait_for_message(py, timeout)
    }

    fn _handle(&self, escapes: bool) -> Name {
        self.0.share.name(escapes)
    }
}

impl SimpleQueue {
    fn open(&self) -> PyResult<()> {
        if self.0.is(CLOSED) {
            Err(PyOSError::new_err("handle is closed"))
        } else {
            Ok(())
        }
    }
}
