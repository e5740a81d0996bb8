//! Lock (also the base of RLock) and Semaphore.

use super::handle::{Name, Share, arena_full, error, patience, share, truth, waiting};
use crate::cells::Kind;
use crate::cells::lock::LockCell;
use crate::cells::semaphore::{self, Semaphore as Cell};
use crate::members;
use crate::sync::Outcome;
use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
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

/// The `stacklevel` of the innermost frame that is not this package's: who wrote `with condition:` and not what is under it.
fn callers_level(py: Python<'_>) -> i32 {
    let mut level = 1;
    let mut frame = py.import("sys").and_then(|sys| sys.call_method0("_getframe"));
    while let Ok(f) = frame {
        let module = f
            .getattr("f_globals")
            .and_then(|g| g.get_item("__name__")?.extract::<String>());
        if !module.is_ok_and(|m| m.starts_with("lightwork.")) {
            break;
        }
        level += 1;
        frame = f.getattr("f_back");
    }
    level
}

/// The lock was taken from a dead owner: warn, or give it back and raise.
#[cold]
pub fn inherited(py: Python<'_>, cell: &LockCell) -> PyResult<bool> {
    let (pid, name) = cell.dead_owner().map(members::describe).unwrap_or_default();
    let who = if pid == 0 {
        "a process".into()
    } else {
        format!("process {pid} ({name})")
    };
    if cell.raises() {
        cell.release();
        return Err(error(
            py,
            "OwnerDied",
            format!("{who} died holding this lock: what the lock guards may be half changed; the lock is free again"),
        ));
    }
    let text = format!("{who} died holding this lock: it was taken over, but what it guards may be half changed");
    let warning = error(py, "OwnerDiedWarning", text);
    let class = warning.get_type(py);
    let message = std::ffi::CString::new(warning.value(py).to_string()).unwrap_or_default();
    if let Err(e) = PyErr::warn(py, &class, &message, callers_level(py)) {
        cell.release();
        return Err(e);
    }
    Ok(true)
}

/// A lock that survives the death of its holder. A Lock may be released by any process or thread of the family, an RLock
/// (a subclass with `_RECURSIVE`) by its owner, one thread of one process, who may also take it again.
#[pyclass(subclass, frozen, module = "lightwork._native")]
pub struct Lock {
    share: Share,
    cell: &'static LockCell,
    with: PyOnceLock<[Py<PyAny>; 2]>,
}

#[pymethods]
impl Lock {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **kwargs))]
    fn new(cls: &Bound<'_, PyType>, _args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let recursive = cls.getattr("_RECURSIVE")?.is_truthy()?;
        let raises = raises(kwargs)?;
        let bytes = size_of::<LockCell>() as u64;
        let share = share(cls.py(), kwargs, "lock", LockCell::kind(recursive), bytes, || {
            LockCell::create(recursive, raises)
        })?;
        Ok(Lock {
            cell: LockCell::of(share.offset()),
            share,
            with: PyOnceLock::new(),
        })
    }

    /// Take the lock, or one level more of an RLock; False if it could not be had in time (seconds; None waits for ever).
    #[pyo3(signature = (block = true, timeout = None))]
    fn acquire(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = truth)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<bool> {
        acquire(py, self.cell, patience(block, timeout))
    }

    /// Free a Lock, whoever holds it, or give one level of an RLock back.
    ///
    /// Raises ValueError if a Lock is free, AssertionError if the calling thread does not hold an RLock.
    fn release(&self) -> PyResult<()> {
        release(self.cell)
    }

    #[classattr]
    #[pyo3(name = "__enter__")]
    fn enter() -> WithMethod {
        WithMethod::Enter
    }

    #[classattr]
    #[pyo3(name = "__exit__")]
    fn exit() -> WithMethod {
        WithMethod::Exit
    }

    /// Is it held, by anybody?
    fn locked(&self) -> bool {
        self.cell.is_held()
    }

    fn _is_mine(&self) -> bool {
        self.cell.is_mine()
    }

    /// How many levels the calling thread holds of an RLock.
    fn _depth(&self) -> u32 {
        self.cell.depth()
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

    /// May its owner take it again? A subclass says so.
    #[classattr]
    const _RECURSIVE: bool = false;
}

impl Lock {
    pub fn cell(&self) -> &'static LockCell {
        self.cell
    }
}

#[inline]
fn acquire(py: Python<'_>, cell: &'static LockCell, timeout: Option<f64>) -> PyResult<bool> {
    if cell.try_acquire() {
        return Ok(true);
    }
    acquire_slow(py, cell, timeout)
}

#[cold]
fn acquire_slow(py: Python<'_>, cell: &'static LockCell, timeout: Option<f64>) -> PyResult<bool> {
    let out = if timeout.is_some_and(|t| t <= 0.0) {
        cell.take_over()
    } else {
        waiting(py, timeout, |w| cell.acquire(w))?
    };
    match out {
        Outcome::Done => Ok(true),
        Outcome::Inherited(_) => inherited(py, cell),
        _ => Ok(false),
    }
}

#[inline]
fn release(cell: &LockCell) -> PyResult<()> {
    if cell.release() {
        return Ok(());
    }
    Err(if cell.is_recursive() {
        PyAssertionError::new_err("attempt to release recursive lock not owned by thread")
    } else {
        PyValueError::new_err("semaphore or lock released too many times")
    })
}

/// `__enter__` and `__exit__` of a lock: descriptors that give the same two bound methods each time, since the
/// interpreter makes and frees an ordinary method's for every `with`, at several times the cost of the lock itself.
#[pyclass(frozen, module = "lightwork._native")]
#[derive(Clone, Copy)]
pub enum WithMethod {
    Enter,
    Exit,
}

#[pymethods]
impl WithMethod {
    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        lock: &Bound<'py, PyAny>,
        _type: Ignored<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if lock.is_none() {
            return Ok(slf.clone().into_any());
        }
        let lock = lock.cast::<Lock>()?.get();
        let with = lock.with.get_or_try_init(py, || {
            let holder = Bound::new(
                py,
                Holder {
                    cell: lock.cell,
                    _share: lock.share.again(),
                },
            )?;
            Ok::<_, PyErr>([
                holder.getattr("__enter__")?.unbind(),
                holder.getattr("__exit__")?.unbind(),
            ])
        })?;
        Ok(with[*slf.get() as usize].bind(py).clone())
    }

    /// `Lock.__enter__(lock)`
    #[pyo3(signature = (lock, *args))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        lock: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if lock.is_none() {
            return Err(PyTypeError::new_err("the first argument is the lock"));
        }
        Self::__get__(slf, lock, lock)?.call1(args)
    }
}

/// What an exception has that ended a wait without the lock, which is somebody else's by now: the cell's address.
const WITHOUT: &str = "_lightwork_without_lock";

/// The exception that ends a wait of `cell`'s holder without the lock: `with` gives nothing back when it passes.
pub fn without_lock(py: Python<'_>, cell: &'static LockCell, e: PyErr, earlier: Option<PyErr>) -> PyErr {
    let value = e.value(py);
    // Neither attribute is vital, and an exception that takes none is still to be raised.
    let _ = value.setattr(WITHOUT, std::ptr::from_ref(cell).addr());
    if let Some(earlier) = earlier {
        let _ = value.setattr("__context__", earlier.value(py));
    }
    e
}

#[cold]
fn says_without_lock(e: &Bound<'_, PyAny>, cell: &'static LockCell) -> bool {
    let says = e.getattr(WITHOUT).and_then(|a| a.extract::<usize>());
    says.is_ok_and(|a| a == std::ptr::from_ref(cell).addr()) && !cell.is_mine()
}

/// What those bound methods are bound to: not the lock, which keeps them.
#[pyclass(frozen, module = "lightwork._native")]
struct Holder {
    cell: &'static LockCell,
    _share: Share,
}

#[pymethods]
impl Holder {
    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        acquire(py, self.cell, None)
    }

    #[pyo3(signature = (_type, value, _traceback, /))]
    fn __exit__(&self, _type: Ignored<'_, '_>, value: &Bound<'_, PyAny>, _traceback: Ignored<'_, '_>) -> PyResult<()> {
        if !value.is_none() && says_without_lock(value, self.cell) {
            return Ok(());
        }
        release(self.cell)
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
    fn acquire(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = truth)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<bool> {
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
