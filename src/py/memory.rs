//! A block of shared bytes as a writable buffer: what ctypes objects lie in.

use super::handle::{Name, Share, share};
use crate::arena::layout::GRANULE;
use crate::arena::{at, family};
use crate::cells::parcel::{Entry, HEADER};
use crate::cells::{self, Handle, Kind};
use crate::sys::memory::{self, View};
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
        // SAFETY: the caller's promise; the memory lives as long as the object.
        unsafe { expose(&slf, this.address(), this.nbytes, view, flags) }
    }
}

/// A private view of shared bytes that nobody writes to any more: what is written to it stays in this process, and only in
/// this view. Raises OSError if it cannot be mapped.
#[pyclass(frozen, module = "lightwork._native")]
pub struct Private {
    mapped: usize,
    memory: Py<Memory>,
}

impl Private {
    fn len(memory: &Memory) -> usize {
        HEADER as usize + memory.nbytes
    }
}

#[pymethods]
impl Private {
    #[new]
    fn new(memory: Bound<'_, Memory>) -> PyResult<Self> {
        let (offset, len) = (memory.get().share.offset(), Self::len(memory.get()));
        if !offset.is_multiple_of(GRANULE) {
            return Err(PyValueError::new_err("only a large block can be mapped on its own"));
        }
        // SAFETY: a new place.
        let mapped = unsafe { family::map_part(offset, len, View::Private) }?.expose_provenance();
        Ok(Private {
            mapped,
            memory: memory.unbind(),
        })
    }

    /// # Safety
    /// Called by the interpreter with a valid `view`.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let at = std::ptr::with_exposed_provenance_mut::<u8>(slf.get().mapped + HEADER as usize);
        // SAFETY: the caller's promise; the mapping lives as long as the object.
        unsafe { expose(&slf, at, slf.get().memory.get().nbytes, view, flags) }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let at = std::ptr::with_exposed_provenance_mut(self.mapped);
        // SAFETY: no view of it is left, or it would hold this object.
        unsafe { memory::unmap(at, Self::len(self.memory.get()) as u64) };
    }
}

/// # Safety
/// `view` comes from the interpreter; the bytes live as long as `owner`.
unsafe fn expose<T>(
    owner: &Bound<'_, T>,
    at: *mut u8,
    nbytes: usize,
    view: *mut ffi::Py_buffer,
    flags: c_int,
) -> PyResult<()> {
    // SAFETY: the caller's promise; the view holds the owner.
    let r = unsafe { ffi::PyBuffer_FillInfo(view, owner.as_ptr(), at.cast(), nbytes as ffi::Py_ssize_t, 0, flags) };
    if r == 0 { Ok(()) } else { Err(PyErr::fetch(owner.py())) }
}
