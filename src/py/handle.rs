//! What a Python object holds of a cell, how it travels in a pickle, and how threads wait.

use crate::arena::{self, family};
use crate::cells::{self, Handle, Kind};
use crate::members;
use crate::sync::Wait;
use crate::sys::{self, clock};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

/// Family, offset, stamp: a cell's name in a pickle.
pub type Name = (u64, u64, u64);

/// This object's share in a cell.
pub struct Share(Handle);

impl Share {
    pub fn new(h: Handle) -> Self {
        Share(h)
    }

    /// The cell that a pickle names.
    pub fn attach(py: Python<'_>, what: &str, kind: Kind, name: Name, bytes: u64) -> PyResult<Self> {
        let (id, offset, stamp) = name;
        let h = Handle { offset, stamp };
        if id != family::id() {
            return Err(error(
                py,
                "ForeignHandle",
                format!(
                    "this {what} belongs to another family of processes: it can only be used by processes that were \
                 started, directly or not, by the program that made it, through lightwork"
                ),
            ));
        }
        if !cells::attach(kind, h, bytes) {
            return Err(error(
                py,
                "ForeignHandle",
                format!(
                    "this {what} is gone: the process that made it dropped it before the pickle was read; keep a reference \
                 to it there"
                ),
            ));
        }
        Ok(Share(h))
    }

    /// One more share in the same cell, for another object of this process.
    pub fn again(&self) -> Self {
        cells::hold_again(self.0.offset);
        Share(self.0)
    }

    pub fn handle(&self) -> Handle {
        self.0
    }

    #[inline]
    pub fn offset(&self) -> u64 {
        self.0.offset
    }

    /// The name for a pickle; `escapes` unless the pickle goes to a child that is being started.
    pub fn name(&self, escapes: bool) -> Name {
        if escapes {
            cells::escape(self.0.offset);
        }
        (family::id(), self.0.offset, self.0.stamp)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        cells::release(self.0.offset);
    }
}

/// The share of an object under construction: attached if there is a `handle=`, else made by `make`.
pub fn share(
    py: Python<'_>,
    kwargs: Option<&Bound<'_, PyDict>>,
    what: &str,
    kind: Kind,
    bytes: u64,
    make: impl FnOnce() -> Result<Handle, arena::Full>,
) -> PyResult<Share> {
    if let Some(kwargs) = kwargs
        && let Some(name) = kwargs.get_item("handle")?
    {
        return Share::attach(py, what, kind, name.extract()?, bytes);
    }
    super::ensure()?;
    make().map(Share::new).map_err(|full| arena_full(py, full))
}

/// An error of `lightwork.errors` by name.
pub fn error(py: Python<'_>, name: &str, message: String) -> PyErr {
    static ERRORS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let class = ERRORS
        .get_or_try_init(py, || py.import("lightwork.errors").map(Bound::unbind))
        .and_then(|m| m.bind(py).getattr(name))
        .and_then(|c| c.cast_into::<PyType>().map_err(PyErr::from));
    match class {
        Ok(class) => PyErr::from_type(class, message),
        Err(_) => PyRuntimeError::new_err(message),
    }
}

pub fn arena_full(py: Python<'_>, f: arena::Full) -> PyErr {
    let mib = |b: u64| format!("{:.1} MiB", b as f64 / (1 << 20) as f64);
    let error = error(
        py,
        "ArenaFull",
        format!(
            "shared memory is full: {} asked for, {} of {} in use; drop shared objects, drain queues, or raise the limit \
         with lightwork.arena.set_budget()",
            mib(f.wanted),
            mib(f.used),
            mib(f.budget)
        ),
    );
    let _ = error.value(py).setattr("fits", f.wanted <= f.budget);
    error
}

/// Was this raised for a lack of room that may end?
pub fn will_fit(py: Python<'_>, e: &PyErr) -> bool {
    e.is_instance_of::<PyMemoryError>(py)
        && e.value(py)
            .getattr("fits")
            .is_ok_and(|f| f.is_truthy().unwrap_or(false))
}

/// Run `f` detached from the interpreter; signal handlers run in between, and what they raise ends the wait. If one forks, the
/// child that returns from it waits anew, in its own name.
pub fn waiting<R: Send>(py: Python<'_>, timeout: Option<f64>, mut f: impl FnMut(&mut Wait) -> R + Send) -> PyResult<R> {
    let deadline = deadline(timeout);
    loop {
        if let Some(r) = wait_once(py, deadline, &mut f)? {
            return Ok(r);
        }
    }
}

/// The same of what one process does and no child of its can go on with: an error for the child.
pub fn waiting_in_one<R: Send>(
    py: Python<'_>,
    timeout: Option<f64>,
    f: impl FnOnce(&mut Wait) -> R + Send,
) -> PyResult<R> {
    wait_once(py, deadline(timeout), f)?.ok_or_else(forked)
}

fn deadline(timeout: Option<f64>) -> Option<u64> {
    timeout.map(|s| clock::now().saturating_add((s.max(0.0) * 1e9).min(4e18) as u64))
}

/// None: this is a child that a signal handler forked meanwhile.
fn wait_once<R: Send>(
    py: Python<'_>,
    deadline: Option<u64>,
    f: impl FnOnce(&mut Wait) -> R + Send,
) -> PyResult<Option<R>> {
    let me = members::me();
    let mut raised = None;
    let r = py.detach(|| {
        // Only the main thread runs handlers. Another one must not attach here: the interpreter may be gone by then.
        let main = sys::process::in_main_thread();
        let mut interrupted = || {
            if !main {
                return false;
            }
            raised = Python::attach(|py| py.check_signals()).err();
            raised.is_some() || members::me() != me
        };
        f(&mut Wait {
            deadline,
            interrupted: &mut interrupted,
            is_dead: members::is_dead,
        })
    });
    match raised {
        Some(e) => Err(e),
        None => Ok((members::me() == me).then_some(r)),
    }
}

/// Of a child in the middle of what its parent does.
#[cold]
pub fn forked() -> PyErr {
    PyRuntimeError::new_err(
        "a signal handler forked this process in the middle of a call that its parent goes on with: what was put is the \
         parent's, and so is the place among those who wait; end the child in the handler (os._exit), or call anew in it",
    )
}

/// `block` and `timeout` as the stdlib reads them: what `waiting` takes. A NaN waits for nothing.
pub fn patience(block: bool, timeout: Option<f64>) -> Option<f64> {
    if block {
        timeout.map(|t| if t.is_nan() { 0.0 } else { t })
    } else {
        Some(0.0)
    }
}

/// Whether to block: any object, by its truth, as in the stdlib. For `from_py_with`.
#[inline]
pub fn truth(obj: &Bound<'_, PyAny>) -> PyResult<bool> {
    obj.is_truthy()
}
