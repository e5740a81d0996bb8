//! Event, the waiting room of Condition, Barrier.

use super::handle::{Name, Share, arena_full, forked, patience, share, waiting, waiting_in_one};
use super::locks::{Lock, inherited, without_lock};
use crate::cells::Kind;
use crate::cells::barrier::{Arrival, BarrierCell};
use crate::cells::event::EventCell;
use crate::cells::waitlist::WaitList as Cell;
use crate::members;
use crate::sync::Outcome;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// A flag to wait for.
#[pyclass(subclass, frozen, module = "lightwork._native")]
pub struct Event {
    share: Share,
    cell: &'static EventCell,
}

#[pymethods]
impl Event {
    #[new]
    #[pyo3(signature = (*_args, **kwargs))]
    fn new(py: Python<'_>, _args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let share = share(
            py,
            kwargs,
            "Event",
            Kind::Event,
            size_of::<EventCell>() as u64,
            EventCell::create,
        )?;
        Ok(Event {
            cell: EventCell::of(share.offset()),
            share,
        })
    }

    /// Is the flag set?
    fn is_set(&self) -> bool {
        self.cell.is_set()
    }

    /// Set the flag and wake all who wait for it.
    fn set(&self) {
        self.cell.set();
    }

    /// Unset the flag.
    fn clear(&self) {
        self.cell.clear();
    }

    /// Wait until the flag is set, at most `timeout` seconds; False if it was not in that time.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let cell = self.cell;
        if cell.is_set() {
            return Ok(true);
        }
        Ok(waiting(py, patience(true, timeout), |w| cell.wait(w))? == Outcome::Done)
    }

    fn _handle(&self, escapes: bool) -> Name {
        self.share.name(escapes)
    }
}

/// The waiters of a Condition.
#[pyclass(subclass, frozen, module = "lightwork._native")]
pub struct WaitList {
    share: Share,
    cell: &'static Cell,
}

#[pymethods]
impl WaitList {
    #[new]
    #[pyo3(signature = (**kwargs))]
    fn new(py: Python<'_>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let share = share(
            py,
            kwargs,
            "Condition",
            Kind::WaitList,
            size_of::<Cell>() as u64,
            Cell::create,
        )?;
        Ok(WaitList {
            cell: Cell::of(share.offset()),
            share,
        })
    }

    /// The whole of `Condition.wait` over a Lock or RLock that the calling thread holds: no signal handler runs between
    /// its steps, so that an exception of one leaves no waiter behind and the lock held.
    ///
    /// While the lock is taken back, the first exception of a handler is kept until that is done; the second ends the
    /// wait without the lock, which may be stuck. So does an owner's death that raises. `with` knows such exceptions
    /// (`without_lock`).
    fn wait_with(&self, py: Python<'_>, lock: &Bound<'_, Lock>, timeout: Option<f64>) -> PyResult<bool> {
        let place = self.cell.enter().map_err(|f| arena_full(py, f))?;
        let cell = lock.get().cell();
        let depth = cell.release_all();
        let waiters = self.cell;
        let (told, mut raised) = match waiting_in_one(py, patience(true, timeout), |w| waiters.wait(place, w)) {
            Ok(out) => (out == Outcome::Done, None),
            Err(e) => (false, Some(e)),
        };
        loop {
            let back = match waiting(py, None, |w| cell.acquire(w)) {
                Ok(Outcome::Inherited(_)) => inherited(py, cell),
                Ok(_) => Ok(true),
                Err(e) if raised.is_none() => {
                    raised = Some(e);
                    continue;
                }
                Err(e) => Err(e),
            };
            match back {
                Ok(_) => break,
                Err(e) => return Err(without_lock(py, cell, e, raised)),
            }
        }
        cell.restore(depth);
        raised.map_or(Ok(told), Err)
    }

    /// The same over some other object with `acquire()` and `release()`.
    fn wait_with_other(&self, py: Python<'_>, lock: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<bool> {
        let place = self.cell.enter().map_err(|f| arena_full(py, f))?;
        let waiters = self.cell;
        if let Err(e) = lock.call_method0("release") {
            let _ = waiting_in_one(py, Some(0.0), |w| waiters.wait(place, w)); // gives the place back; what else it says is no news
            return Err(e);
        }
        let told = waiting_in_one(py, patience(true, timeout), |w| waiters.wait(place, w));
        lock.call_method0("acquire")?;
        told.map(|out| out == Outcome::Done)
    }

    /// Wake up to `n` waiters, the longest waiting first.
    fn notify(&self, n: usize) {
        self.cell.notify(n);
    }

    /// How many wait.
    fn waiting(&self) -> usize {
        self.cell.waiting()
    }

    fn _handle(&self, escapes: bool) -> Name {
        self.share.name(escapes)
    }
}

/// The state of a Barrier; the action is the Python class's business.
#[pyclass(subclass, frozen, module = "lightwork._native")]
pub struct Barrier {
    share: Share,
    cell: &'static BarrierCell,
}

#[pymethods]
impl Barrier {
    #[new]
    #[pyo3(signature = (parties = 1, *_args, **kwargs))]
    fn new(
        py: Python<'_>,
        parties: i64,
        _args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let n = u32::try_from(parties).ok().filter(|&n| n > 0);
        let Some(n) = n else {
            return Err(PyValueError::new_err(format!(
                "a barrier needs at least one party, not {parties}"
            )));
        };
        let bytes = size_of::<BarrierCell>() as u64;
        let share = share(py, kwargs, "Barrier", Kind::Barrier, bytes, || BarrierCell::create(n))?;
        Ok(Barrier {
            cell: BarrierCell::of(share.offset()),
            share,
        })
    }

    /// The whole of `Barrier.wait`: no signal handler runs between its steps, so that an exception of one leaves no party behind
    /// that nobody is. Returns the party's number, and what broke the barrier for it, if something did: that happened before it
    /// came ("before"), while it waited ("waiting") or while it ran `action` as the last one ("action").
    fn _meet(
        &self,
        py: Python<'_>,
        action: Option<Bound<'_, PyAny>>,
        timeout: Option<f64>,
    ) -> PyResult<(u32, Option<&'static str>)> {
        let (cell, me) = (self.cell, members::me());
        let (index, met, broke) = match cell.arrive().map_err(|f| arena_full(py, f))? {
            Arrival::Broken => (0, false, "before"),
            Arrival::Waits(index, place) => {
                let out = waiting_in_one(py, patience(true, timeout), |w| cell.wait(place, w))?;
                (index, out == Outcome::Done, "waiting")
            }
            Arrival::Last(index, place) => {
                let done = action.map_or(Ok(()), |action| action.call0().map(drop));
                if members::me() != me {
                    return Err(done.err().unwrap_or_else(forked)); // the action forked: the place is the parent's
                }
                if let Err(e) = done {
                    cell.abort(Some(place));
                    return Err(e);
                }
                (index, cell.pass(place), "action")
            }
        };
        Ok((index, (!met).then_some(broke)))
    }

    /// Break the barrier: all who wait, and all who come, get BrokenBarrierError.
    fn abort(&self) {
        self.cell.abort(None);
    }

    /// Make the barrier whole and empty; who waits gets BrokenBarrierError.
    fn reset(&self) {
        self.cell.reset();
    }

    /// How many must arrive.
    #[getter]
    fn parties(&self) -> u32 {
        self.cell.parties()
    }

    /// How many have arrived and wait.
    #[getter]
    fn n_waiting(&self) -> u32 {
        self.cell.waiting()
    }

    /// Is the barrier broken?
    #[getter]
    fn broken(&self) -> bool {
        self.cell.is_broken()
    }

    fn _handle(&self, escapes: bool) -> Name {
        self.share.name(escapes)
    }
}
