//! A block of shared bytes as a writable buffer: what ctypes objects lie in.

use super::handle::{Name, Share, share};
use crate::arena::at;
use crate::cells::parcel::{Entry, HEADER};
use crate::cells::{self, Handle, Kind};
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::ffi::c_int;

/// `nbytes` zeroed bytes in shared memory. Raises ValueError for a negative size, MemoryError (ArenaFull) for one that
/// cannot be had.
#[pyclass(subclass, frozen, weakref, module = "lightwork._native")]
pub struct Memory {
    share: Share,
    nbytes: usize,
}

impl Memory {
    /// The buffer of a message; this object's only once it is adopted (`cells::adopt`).
    pub fn buffer(entry: &Entry) -> Self {
        Memory {
            share: Share::new(entry.handle()),
            nbytes: entry.bytes() as usize,
        }
    }

    /// The shared array that a message brings; None if there is none such.
    pub fn lease(entry: &Entry) -> Result<Option<Self>, crate::arena::Full> {
        let there = cells::lease(entry.handle(), entry.bytes() + HEADER)?;
        Ok(there.then(|| Self::buffer(entry)))
    }

    pub fn handle(&self) -> Handle {
        self.share.handle()
    }

    pub fn address(&self) -> *mut u8 {
        at(self.share.offset() + HEADER)
    }

    pub fn nbytes(&self) -> usize {
        self.nbytes
    }
}

#[pymethods]
impl Memory {
    #[new]
    #[pyo3(signature = (nbytes, **kwargs))]
    fn new(py: Python<'_>, nbytes: i64, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let Ok(n) = u64::try_from(nbytes) else {
            return Err(PyValueError::new_err(format!(
                "a shared block cannot have {nbytes} bytes"
            )));
        };
        let bytes = n + HEADER;
        let share = share(py, kwargs, "shared memory", Kind::Memory, bytes, || {
            cells::create(Kind::Memory, bytes, |_| {})
        })?;
        Ok(Memory {
            share,
            nbytes: n as usize,
        })
    }

    #[getter(nbytes)]
    fn py_nbytes(&self) -> usize {
        self.nbytes
    }

    /// The address of the first byte in this process.
    #[getter(address)]
    fn py_address(&self) -> usize {
        self.address() as usize
    }

    fn _handle(&self, escapes: bool) -> Name {
        self.share.name(escapes)
    }

    /// # Safety
    /// Called by the interpreter with a valid `view`.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let this = slf.get();
        // SAFETY: `view` comes from the interpreter; the memory lives as long as the object, which the view holds.
        let r = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                this.address().cast(),
                this.nbytes as ffi::Py_ssize_t,
                0,
                flags,
            )
        };
        if r == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
