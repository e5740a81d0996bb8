//! Atomic operations on one number in shared memory, for every type code that holds a number.

use super::locks::Lock;
use super::memory::Memory;
use crate::cells::lock::LockCell;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::*;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize};

/// The machine's view of a number.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Form {
    None,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F32,
    F64,
}

impl Form {
    fn from_u8(x: u8) -> Self {
        use Form::*;
        [None, I8, I16, I32, I64, U8, U16, U32, U64, F32, F64][x as usize]
    }

    fn parse(name: &str) -> Option<Self> {
        use Form::*;
        Some(match name {
            "i1" => I8,
            "i2" => I16,
            "i4" => I32,
            "i8" => I64,
            "u1" => U8,
            "u2" => U16,
            "u4" => U32,
            "u8" => U64,
            "f4" => F32,
            "f8" => F64,
            _ => return Option::None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Form::None => 0,
            Form::I8 | Form::U8 => 1,
            Form::I16 | Form::U16 => 2,
            Form::I32 | Form::U32 | Form::F32 => 4,
            Form::I64 | Form::U64 | Form::F64 => 8,
        }
    }

    fn is_float(self) -> bool {
        matches!(self, Form::F32 | Form::F64)
    }

    /// A Python number as bits; an int wraps as in C (and as ctypes does).
    fn bits(self, x: &Bound<'_, PyAny>) -> PyResult<u64> {
        match self {
            Form::F32 => Ok((x.extract::<f64>()? as f32).to_bits() as u64),
            Form::F64 => Ok(x.extract::<f64>()?.to_bits()),
            // SAFETY: a valid object; an error (not an int) is fetched below.
            _ => match unsafe { ffi::PyLong_AsUnsignedLongLongMask(x.as_ptr()) } {
                u64::MAX => PyErr::take(x.py()).map_or(Ok(u64::MAX), Err),
                bits => Ok(bits),
            },
        }
    }

    /// The bits with which this type holds `x`; None if it cannot: an integer out of its range, a float too large for it.
    fn exact_bits(self, x: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
        if self.is_float() {
            let (bits, value) = (self.bits(x)?, x.extract::<f64>()?);
            let lost = self == Form::F32 && value.is_finite() && f32::from_bits(bits as u32).is_infinite();
            return Ok((!lost).then_some(bits));
        }
        let mut overflow = 0;
        // SAFETY: a valid object; an error (not an int) is fetched below.
        let v = unsafe { ffi::PyLong_AsLongLongAndOverflow(x.as_ptr(), &mut overflow) };
        if v == -1
            && overflow == 0
            && let Some(e) = PyErr::take(x.py())
        {
            return Err(e);
        }
        let fits = match self {
            _ if overflow != 0 => self == Form::U64 && overflow > 0 && x.extract::<u64>().is_ok(),
            Form::I8 => v == v as i8 as i64,
            Form::I16 => v == v as i16 as i64,
            Form::I32 => v == v as i32 as i64,
            Form::U8 => v == v as u8 as i64,
            Form::U16 => v == v as u16 as i64,
            Form::U32 => v == v as u32 as i64,
            Form::U64 => v >= 0,
            _ => true,
        };
        if fits { self.bits(x).map(Some) } else { Ok(None) }
    }

    fn number<'py>(self, py: Python<'py>, bits: u64) -> PyResult<Bound<'py, PyAny>> {
        Ok(match self {
            Form::None => py.None().into_bound(py),
            Form::I8 => (bits as i8).into_pyobject(py)?.into_any(),
            Form::I16 => (bits as i16).into_pyobject(py)?.into_any(),
            Form::I32 => (bits as i32).into_pyobject(py)?.into_any(),
            Form::I64 => (bits as i64).into_pyobject(py)?.into_any(),
            Form::U8 => (bits as u8).into_pyobject(py)?.into_any(),
            Form::U16 => (bits as u16).into_pyobject(py)?.into_any(),
            Form::U32 => (bits as u32).into_pyobject(py)?.into_any(),
            Form::U64 => bits.into_pyobject(py)?.into_any(),
            Form::F32 => (f32::from_bits(bits as u32) as f64).into_pyobject(py)?.into_any(),
            Form::F64 => f64::from_bits(bits).into_pyobject(py)?.into_any(),
        })
    }

    fn sum(self, a: u64, b: u64) -> u64 {
        match self {
            Form::F32 => (f32::from_bits(a as u32) + f32::from_bits(b as u32)).to_bits() as u64,
            Form::F64 => (f64::from_bits(a) + f64::from_bits(b)).to_bits(),
            _ => a.wrapping_add(b),
        }
    }
}

/// The base of Synchronized: `add`, `exchange`, `compare_exchange` on its number, each one atomic step without a lock.
#[pyclass(subclass, frozen, module = "lightwork._native")]
pub struct Atomic {
    address: AtomicUsize,
    form: AtomicU8,
    /// The lock that `value` takes; unset if it is another kind of object.
    lock: OnceLock<&'static LockCell>,
}

macro_rules! on_cell {
    ($form:expr, $p:expr, |$cell:ident| $body:expr) => {
        // SAFETY: `_bind` checked that the number lies in a Memory, which the Python object keeps, and is aligned; the
        // form's size selects the type; all access through this class is atomic.
        unsafe {
            match $form.bytes() {
                1 => {
                    let $cell = AtomicU8::from_ptr($p as *mut u8);
                    ($body) as u64
                }
                2 => {
                    let $cell = AtomicU16::from_ptr($p as *mut u16);
                    ($body) as u64
                }
                4 => {
                    let $cell = AtomicU32::from_ptr($p as *mut u32);
                    ($body) as u64
                }
                _ => {
                    let $cell = AtomicU64::from_ptr($p as *mut u64);
                    ($body) as u64
                }
            }
        }
    };
}

#[pymethods]
impl Atomic {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Atomic {
            address: AtomicUsize::new(0),
            form: AtomicU8::new(0),
            lock: OnceLock::new(),
        }
    }

    /// Point at the number of the form ("i4", "u8", "f8", ...) at the start of `memory`, guarded by `lock`. The caller
    /// keeps both alive.
    fn _bind(&self, memory: &Bound<'_, Memory>, form: &str, lock: &Bound<'_, PyAny>) -> PyResult<()> {
        let f = Form::parse(form).ok_or_else(|| PyValueError::new_err(format!("no atomic form {form:?}")))?;
        if memory.get().nbytes() < f.bytes() {
            return Err(PyValueError::new_err(format!("the memory is too small for {form:?}")));
        }
        self.address.store(memory.get().address() as usize, Relaxed);
        if let Ok(lock) = lock.cast::<Lock>() {
            let _ = self.lock.set(lock.get().cell());
        }
        self.form.store(f as u8, Release);
        Ok(())
    }

    /// The number, read and written under the lock.
    #[getter]
    fn value<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let this = slf.get();
        let Some(_held) = this.hold() else {
            return slf.call_method0("_get_value");
        };
        let (form, p) = (this.form()?, this.address.load(Relaxed));
        form.number(slf.py(), on_cell!(form, p, |c| c.load(Acquire)))
    }

    #[setter]
    fn set_value(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let this = slf.get();
        if let Some(form) = this.form().ok()
            && let Ok(bits) = form.bits(value)
            && let Some(_held) = this.hold()
        {
            let p = this.address.load(Relaxed);
            on_cell!(form, p, |c| {
                c.store(bits as _, Release);
                0
            });
            return Ok(());
        }
        slf.call_method1("_set_value", (value,)).map(|_| ())
    }

    /// Add `n` in one atomic step; returns the new value. An integer wraps around as in C.
    ///
    /// Raises TypeError if the value is not a number, or `n` is not one. Atomic with the other operations of this kind,
    /// not with `value += n` under `get_lock()`: use one or the other.
    fn add<'py>(&self, n: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let form = self.form()?;
        let bits = form.bits(n)?;
        let p = self.address.load(Relaxed);
        let new = if form.is_float() {
            let mut old = on_cell!(form, p, |c| c.load(Relaxed));
            loop {
                let new = form.sum(old, bits);
                match self.swap_if(form, p, old, new) {
                    Ok(()) => break new,
                    Err(now) => old = now,
                }
            }
        } else {
            let old = on_cell!(form, p, |c| c.fetch_add(bits as _, AcqRel));
            old.wrapping_add(bits)
        };
        form.number(n.py(), new)
    }

    /// Store `value`, return what was there before, in one atomic step. Raises TypeError if it is not a number.
    fn exchange<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let form = self.form()?;
        let bits = form.bits(value)?;
        let p = self.address.load(Relaxed);
        let old = on_cell!(form, p, |c| c.swap(bits as _, AcqRel));
        form.number(value.py(), old)
    }

    /// Store `new` if the value is `old` (bit for bit), in one atomic step; returns whether it was. An `old` out of the
    /// type's range never is; `new` wraps around as in C. Raises TypeError if they are not numbers.
    fn compare_exchange<'py>(&self, old: &Bound<'py, PyAny>, new: &Bound<'py, PyAny>) -> PyResult<bool> {
        let form = self.form()?;
        let (old, new) = (form.exact_bits(old)?, form.bits(new)?);
        Ok(old.is_some_and(|old| self.swap_if(form, self.address.load(Relaxed), old, new).is_ok()))
    }
}

/// The lock, held for a moment.
struct Held(&'static LockCell);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Atomic {
    /// The lock, if it can be had at once; else the Python class does what is asked for.
    #[inline]
    fn hold(&self) -> Option<Held> {
        self.lock.get().filter(|l| l.try_acquire()).map(|l| Held(l))
    }

    #[inline]
    fn form(&self) -> PyResult<Form> {
        match Form::from_u8(self.form.load(Acquire)) {
            Form::None => Err(PyTypeError::new_err(
                "atomic operations need a value that is one number",
            )),
            f => Ok(f),
        }
    }

    fn swap_if(&self, form: Form, p: usize, old: u64, new: u64) -> Result<(), u64> {
        let mut failed = false;
        let now = on_cell!(
            form,
            p,
            |c| match c.compare_exchange(old as _, new as _, AcqRel, Acquire) {
                Ok(x) => x,
                Err(x) => {
                    failed = true;
                    x
                }
            }
        );
        if failed { Err(now) } else { Ok(()) }
    }
}
