//! Lock, RLock, Semaphore.

use super::handle::{Name, Share, arena_full, error, patience, share, waiting};
use crate::cells::Kind;
use crate::cells::lock::LockCell;
use crate::cells::semaphore::{self, Semaphore as Cell};
use crate::members;
use crate::sync::Outcome;
use pyo3::exceptions::{PyAssertionError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

/// An argument of `__exit__`.
type Ignored<'a, 'py> = &'a Bound<'py, PyAny>;

fn raises(kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<bool> {
    let Some(choice) = kwargs.map(|k| k.get_item("on_owner_death")).transpose()?.flatten() else {
        return Ok(false);
    };
    match choice.extract::<String>()?.as_str() {
        "warn" => Ok(false),
        "raise" => Ok(true),
        other => Err(PyValueError::new_err(format!(
            "on_owner_death is 'warn' or 'raise', not {other:?}"
        ))),
    }
}

/// The lock was taken from a dead owner: warn, or give it back and raise.
#[cold]
fn inherited(py: Python<'_>, what: &str, cell: &LockCell, release: impl FnOnce()) -> PyResult<bool> {
    let (pid, name) = cell.dead_owner().map(members::describe).unwrap_or_default();
    let who = if pid == 0 {
        "a process".into()
    } else {
        format!("process {pid} ({name})")
    };
    if cell.raises.load(std::sync::atomic::Ordering::Relaxed) != 0 {
        release();
        return Err(error(
            py,
            "OwnerDied",
            format!(
                "{who} died holding this {what}: what the {what} guards may be half changed; the {what} is free again"
            ),
        ));
    }
    let text = format!("{who} died holding this {what}: it was taken over, but what it guards may be half changed");
    let warning = error(py, "OwnerDiedWarning", text);
    let class = warning.get_type(py);
    let message = std::ffi::CString::new(warning.value(py).to_string()).unwrap_or_default();
    if let Err(e) = PyErr::warn(py, &class, &message, 2) {
        release();
        return Err(e);
    }
    Ok(true)
}

/// A lock that any process or thread of the family may release; it survives the death of its holder.
#[pyclass(subclass, frozen, module = "lightwork._native")]
pub struct Lock {
    share: Share,
    cell: &'static LockCell,
}

#[pymethods]
impl Lock {
    #[new]
    #[pyo3(signature = (*_args, **kwargs))]
    fn new(py: Python<'_>, _args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let raises = raises(kwargs)?;
        let share = share(py, kwargs, "Lock", Kind::Lock, 64, || {
            LockCell::create(Kind::Lock, raises)
        })?;
        Ok(Lock {
            cell: LockCell::of(share.offset()),
            share,
        })
    }

    /// Take the lock; False if it could not be had in time (seconds; None waits for ever).
    #[pyo3(signature = (block = true, timeout = None))]
    fn acquire(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<bool> {
        if self.cell.try_acquire() {
            return Ok(true);
        }
        if !block || timeout.is_some_and(|t| t <= 0.0) {
            return self.settle(py, self.cell.take_over());
        }
        self.acquire_slow(py, timeout)
    }

    /// Free the lock, whoever holds it. Raises ValueError if it is free.
    fn release(&self) -> PyResult<()> {
        if self.cell.release() {
            return Ok(());
        }
        Err(PyValueError::new_err("semaphore or lock released too many times"))
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        if self.cell.try_acquire() {
            Ok(true)
        } else {
            self.acquire_slow(py, None)
        }
    }

    #[pyo3(signature = (_type, _value, _traceback, /))]
    fn __exit__(&self, _type: Ignored<'_, '_>, _value: Ignored<'_, '_>, _traceback: Ignored<'_, '_>) -> PyResult<()> {
        self.release()
    }

    /// Is it held, by anybody?
    fn locked(&self) -> bool {
        self.cell.lock.owner().is_some()
    }

    fn _is_mine(&self) -> bool {
        self.cell.is_mine()
    }

    fn _held_by_this_process(&self) -> bool {
        self.cell.held_by_this_process()
    }

    /// Did the present holder take the lock from a process that died holding it?
    #[getter]
    fn owner_died(&self) -> bool {
        self.cell.dead_owner().is_some()
    }

    fn _handle(&self, escapes: bool) -> Name {
        self.share.name(escapes)
    }
}

impl Lock {
    pub fn cell(&self) -> &'static LockCell {
        self.cell
    }

    #[cold]
    fn acquire_slow(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let cell = self.cell;
        let out = waiting(py, patience(true, timeout), |w| cell.acquire(w))?;
        self.settle(py, out)
    }

    fn settle(&self, py: Python<'_>, out: Outcome) -> PyResult<bool> {
        match out {
            Outcome::Done => Ok(true),
            Outcome::Inherited(_) => inherited(py, "lock", self.cell, || {
                self.cell.release();
            }),
            _ => Ok(false),
        }
    }
}

/// A lock that its owner (one thread of one process) may take again.
#[pyclass(subclass, frozen, module = "lightwork._native")]
pub struct RLock {
    share: Share,
    cell: &'static LockCell,
}

#[pymethods]
impl RLock {
    #[new]
    #[pyo3(signature = (*_args, **kwargs))]
    fn new(py: Python<'_>, _args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let raises = raises(kwargs)?;
        let share = share(py, kwargs, "RLock", Kind::RLock, 64, || {
            LockCell::create(Kind::RLock, raises)
        })?;
        Ok(RLock {
            cell: LockCell::of(share.offset()),
            share,
        })
    }

    /// Take the lock, or one level more of it; False if it could not be had in time (seconds; None waits for ever).
    #[pyo3(signature = (block = true, timeout = None))]
    fn acquire(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<bool> {
        if self.cell.try_acquire_again() {
            return Ok(true);
        }
        if !block || timeout.is_some_and(|t| t <= 0.0) {
            return self.settle(py, self.cell.take_over_recursive());
        }
        self.acquire_slow(py, timeout)
    }

    /// Give one level back. Raises AssertionError if the calling thread does not hold the lock.
    fn release(&self) -> PyResult<()> {
        if self.cell.release_one() {
            return Ok(());
        }
        Err(PyAssertionError::new_err(
            "attempt to release recursive lock not owned by thread",
        ))
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        if self.cell.try_acquire_again() {
            Ok(true)
        } else {
            self.acquire_slow(py, None)
        }
    }

    #[pyo3(signature = (_type, _value, _traceback, /))]
    fn __exit__(&self, _type: Ignored<'_, '_>, _value: Ignored<'_, '_>, _traceback: Ignored<'_, '_>) -> PyResult<()> {
        self.release()
    }

    /// Is it held, by anybody?
    fn locked(&self) -> bool {
        self.cell.lock.owner().is_some()
    }

    fn _is_mine(&self) -> bool {
        self.cell.is_mine()
    }

    /// How many levels the calling thread holds.
    fn _depth(&self) -> u32 {
        if self.cell.is_mine() {
            self.cell.depth.load(std::sync::atomic::Ordering::Relaxed)
        } else {
            0
        }
    }

    fn _held_by_this_process(&self) -> bool {
        self.cell.held_by_this_process()
    }

    /// Did the present holder take the lock from a process that died holding it?
    #[getter]
    fn owner_died(&self) -> bool {
        self.cell.dead_owner().is_some()
    }

    fn _handle(&self, escapes: bool) -> Name {
        self.share.name(escapes)
    }
}

impl RLock {
    pub fn cell(&self) -> &'static LockCell {
        self.cell
    }

    #[cold]
    fn acquire_slow(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let cell = self.cell;
        let out = waiting(py, patience(true, timeout), |w| cell.acquire_recursive(w))?;
        self.settle(py, out)
    }

    fn settle(&self, py: Python<'_>, out: Outcome) -> PyResult<bool> {
        match out {
            Outcome::Done => Ok(true),
            Outcome::Inherited(_) => inherited(py, "lock", self.cell, || {
                self.cell.release_one();
            }),
            _ => Ok(false),
        }
    }
}

/// A counter that waits at zero; what a dead process holds of it comes back.
#[pyclass(subclass, frozen, module = "lightwork._native")]
pub struct Semaphore {
    share: Share,
    cell: &'static Cell,
}

#[pymethods]
impl Semaphore {
    #[new]
    #[classmethod]
    #[pyo3(signature = (value = 1, **kwargs))]
    fn new(cls: &Bound<'_, PyType>, value: i64, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let py = cls.py();
        if !(0..=semaphore::MAX).contains(&value) {
            return Err(PyValueError::new_err(format!(
                "a semaphore's initial value is from 0 to {}, not {value}",
                semaphore::MAX
            )));
        }
        let bounded = cls.getattr("_BOUNDED")?.is_truthy()?;
        let bytes = size_of::<Cell>() as u64;
        let share = share(py, kwargs, "Semaphore", Kind::Semaphore, bytes, || {
            Cell::create(value, bounded)
        })?;
        Ok(Semaphore {
            cell: Cell::of(share.offset()),
            share,
        })
    }

    /// Take one; False if none could be had in time (seconds; None waits for ever).
    #[pyo3(signature = (block = true, timeout = None))]
    fn acquire(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<bool> {
        let cell = self.cell;
        if cell.try_acquire().map_err(|f| arena_full(py, f))? {
            return Ok(true);
        }
        let out = waiting(py, patience(block, timeout), |w| cell.acquire(w))?;
        Ok(out.map_err(|f| arena_full(py, f))? == Outcome::Done)
    }

    /// Give one back. Raises ValueError if that would pass the bound.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        if self.cell.release().map_err(|f| arena_full(py, f))? {
            return Ok(());
        }
        Err(PyValueError::new_err("semaphore or lock released too many times"))
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        self.acquire(py, true, None)
    }

    #[pyo3(signature = (_type, _value, _traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _type: Ignored<'_, '_>,
        _value: Ignored<'_, '_>,
        _traceback: Ignored<'_, '_>,
    ) -> PyResult<()> {
        self.release(py)
    }

    /// How many could be taken now.
    fn get_value(&self) -> i64 {
        self.cell.value()
    }

    fn _handle(&self, escapes: bool) -> Name {
        self.share.name(escapes)
    }

    /// Does `release` refuse to pass the initial value? A subclass says so.
    #[classattr]
    const _BOUNDED: bool = false;

    #[classattr]
    const VALUE_MAX: i64 = semaphore::MAX;
}
