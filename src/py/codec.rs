//! Messages as bytes. Small exact ints, floats, str, bytes, None, bools and flat tuples of them skip pickle.
//!
//! | kind | bytes |
//! |---|---|
//! | NONE, FALSE, TRUE | none |
//! | INT | 8, little-endian, signed |
//! | FLOAT | 8, IEEE 754 |
//! | BYTES, STR | as they are (UTF-8) |
//! | TUPLE | for each item: its kind (1), for BYTES and STR the length (4), its bytes |
//! | PICKLE | what the pickler wrote |

use super::handle::arena_full;
use crate::arena::{self, blocks};
use crate::queue::{Claim, INLINE};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString, PyTuple};

use crate::queue::Payload;

const NONE: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const BYTES: u8 = 5;
const STR: u8 = 6;
const TUPLE: u8 = 7;
const PICKLE: u8 = 8;

/// Longer tuples are pickled: by then its cost is small beside theirs.
const LONGEST_TUPLE: usize = 32;

static PICKLER: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();

/// Name the functions that pickle (object -> buffer) and unpickle (buffer -> object) what the fast format has no word for.
#[pyfunction]
pub fn set_pickler(py: Python<'_>, dumps: Py<PyAny>, loads: Py<PyAny>) {
    let _ = PICKLER.set(py, (dumps, loads));
}

fn pickler(py: Python<'_>) -> PyResult<&(Py<PyAny>, Py<PyAny>)> {
    PICKLER
        .get(py)
        .ok_or_else(|| PyRuntimeError::new_err("lightwork._native is used without lightwork"))
}

/// An encoded message that no queue has taken yet: its block is freed with it.
pub struct Letter(Payload);

impl Letter {
    fn new(py: Python<'_>, kind: u8, bytes: &[u8]) -> PyResult<Self> {
        let Ok(len) = u32::try_from(bytes.len()) else {
            return Err(pyo3::exceptions::PyValueError::new_err(format!(
                "a message of {} bytes is over the limit of 4 GiB: send it in parts",
                bytes.len()
            )));
        };
        let mut p = Payload {
            kind: kind as u32,
            len,
            data: [0; INLINE],
        };
        if bytes.len() <= INLINE {
            p.data[..bytes.len()].copy_from_slice(bytes);
        } else {
            let block = arena::alloc(bytes.len() as u64, blocks::LETTER).map_err(|f| arena_full(py, f))?;
            // SAFETY: the block is ours and holds at least this many bytes.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), arena::at::<u8>(block), bytes.len()) };
            p.data[..8].copy_from_slice(&block.to_le_bytes());
        }
        Ok(Letter(p))
    }

    #[inline]
    fn small(kind: u8, bytes: [u8; 8]) -> Self {
        let mut data = [0; INLINE];
        data[..8].copy_from_slice(&bytes);
        Letter(Payload {
            kind: kind as u32,
            len: 8,
            data,
        })
    }

    #[inline]
    pub fn payload(&self) -> &Payload {
        &self.0
    }

    /// A queue has it.
    #[inline]
    pub fn sent(self) {
        std::mem::forget(self);
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        if let Some(b) = self.0.block() {
            arena::free(b);
        }
    }
}

/// The value of an exact int that fits 64 bits.
#[inline]
fn int(obj: &Bound<'_, PyAny>) -> Option<i64> {
    let mut overflow = 0;
    // SAFETY: `obj` is an int, so this cannot fail; an overflow is reported apart.
    let v = unsafe { ffi::PyLong_AsLongLongAndOverflow(obj.as_ptr(), &mut overflow) };
    (overflow == 0).then_some(v)
}

/// Raises what the pickler raises for an object that cannot be sent.
#[inline]
pub fn encode(obj: &Bound<'_, PyAny>) -> PyResult<Letter> {
    let py = obj.py();
    if obj.is_exact_instance_of::<PyInt>()
        && let Some(v) = int(obj)
    {
        return Ok(Letter::small(INT, v.to_le_bytes()));
    }
    if let Ok(b) = obj.cast_exact::<PyBytes>() {
        return Letter::new(py, BYTES, b.as_bytes());
    }
    if let Ok(t) = obj.cast_exact::<PyTuple>()
        && let Some(mut flat) = Flat::of(t)
    {
        return Letter::new(py, TUPLE, flat.bytes());
    }
    if let Ok(s) = obj.cast_exact::<PyString>()
        && let Ok(s) = s.to_str()
    {
        return Letter::new(py, STR, s.as_bytes());
    }
    if obj.is_none() {
        return Letter::new(py, NONE, &[]);
    }
    if let Ok(f) = obj.cast_exact::<PyFloat>() {
        return Ok(Letter::small(FLOAT, f.value().to_le_bytes()));
    }
    if let Ok(b) = obj.cast_exact::<PyBool>() {
        return Letter::new(py, if b.is_true() { TRUE } else { FALSE }, &[]);
    }
    let pickle = pickler(py)?.0.bind(py).call1((obj,))?;
    if let Ok(b) = pickle.cast_exact::<PyBytes>() {
        return Letter::new(py, PICKLE, b.as_bytes());
    }
    let buffer = PyBuffer::<u8>::get(&pickle)?;
    // SAFETY: the buffer is held, contiguous (a pickler's output) and nobody else knows of it.
    let bytes = unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()) };
    Letter::new(py, PICKLE, bytes)
}

/// The bytes of a flat tuple: on the stack while they are few.
struct Flat {
    few: [u8; INLINE],
    len: usize,
    many: Vec<u8>,
}

impl Flat {
    fn of(t: &Bound<'_, PyTuple>) -> Option<Self> {
        if t.len() > LONGEST_TUPLE {
            return None;
        }
        let mut f = Flat {
            few: [0; INLINE],
            len: 0,
            many: Vec::new(),
        };
        for i in 0..t.len() {
            f.item(&*t.get_borrowed_item(i).ok()?)?;
        }
        Some(f)
    }

    #[inline]
    fn item(&mut self, obj: &Bound<'_, PyAny>) -> Option<()> {
        if obj.is_exact_instance_of::<PyInt>() {
            let v = int(obj)?;
            self.push(&[INT]);
            self.push(&v.to_le_bytes());
        } else if let Ok(v) = obj.cast_exact::<PyFloat>() {
            self.push(&[FLOAT]);
            self.push(&v.value().to_le_bytes());
        } else if let Ok(b) = obj.cast_exact::<PyBytes>() {
            self.text(BYTES, b.as_bytes())?;
        } else if let Ok(s) = obj.cast_exact::<PyString>() {
            self.text(STR, s.to_str().ok()?.as_bytes())?;
        } else if obj.is_none() {
            self.push(&[NONE]);
        } else if let Ok(b) = obj.cast_exact::<PyBool>() {
            self.push(&[if b.is_true() { TRUE } else { FALSE }]);
        } else {
            return None;
        }
        Some(())
    }

    fn text(&mut self, kind: u8, bytes: &[u8]) -> Option<()> {
        self.push(&[kind]);
        self.push(&u32::try_from(bytes.len()).ok()?.to_le_bytes());
        self.push(bytes);
        Some(())
    }

    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        if self.many.is_empty() && self.len + bytes.len() <= INLINE {
            self.few[self.len..self.len + bytes.len()].copy_from_slice(bytes);
            self.len += bytes.len();
        } else {
            if self.many.is_empty() {
                self.many.extend_from_slice(&self.few[..self.len]);
            }
            self.many.extend_from_slice(bytes);
        }
    }

    fn bytes(&mut self) -> &[u8] {
        if self.many.is_empty() {
            &self.few[..self.len]
        } else {
            &self.many
        }
    }
}

/// What a claimed message says. The claim is over when this returns, whether it could be read or not.
#[inline]
pub fn decode<'py>(py: Python<'py>, claim: Claim) -> PyResult<Bound<'py, PyAny>> {
    let kind = claim.payload.kind as u8;
    match kind {
        TUPLE => Reader(claim.bytes()).tuple(py),
        PICKLE => unpickle(py, claim),
        _ => plain(py, kind, claim.bytes()),
    }
}

fn corrupt() -> PyErr {
    PyRuntimeError::new_err("a message in a lightwork queue is damaged: some process wrote over shared memory")
}

#[inline]
fn plain<'py>(py: Python<'py>, kind: u8, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let eight = || bytes.try_into().map_err(|_| corrupt());
    Ok(match kind {
        NONE => py.None().into_bound(py),
        FALSE => PyBool::new(py, false).to_owned().into_any(),
        TRUE => PyBool::new(py, true).to_owned().into_any(),
        INT => i64::from_le_bytes(eight()?).into_pyobject(py)?.into_any(),
        FLOAT => PyFloat::new(py, f64::from_le_bytes(eight()?)).into_any(),
        BYTES => PyBytes::new(py, bytes).into_any(),
        STR => PyString::new(py, std::str::from_utf8(bytes).map_err(|_| corrupt())?).into_any(),
        _ => return Err(corrupt()),
    })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> PyResult<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n).ok_or_else(corrupt)?;
        self.0 = rest;
        Ok(head)
    }

    fn tuple<'py>(mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut items = Vec::with_capacity(8);
        while !self.0.is_empty() {
            let kind = self.take(1)?[0];
            let len = match kind {
                INT | FLOAT => 8,
                BYTES | STR => u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes")) as usize,
                _ => 0,
            };
            items.push(plain(py, kind, self.take(len)?)?);
        }
        Ok(PyTuple::new(py, items)?.into_any())
    }
}

fn unpickle<'py>(py: Python<'py>, claim: Claim) -> PyResult<Bound<'py, PyAny>> {
    let loads = pickler(py)?.1.bind(py);
    let bytes = claim.bytes();
    if bytes.len() <= INLINE {
        return loads.call1((PyBytes::new(py, bytes),));
    }
    // SAFETY: the memory stays until the claim is dropped, which is after the view is released below. The pointer is
    // only read through (PyBUF_READ).
    let view = unsafe {
        let p = ffi::PyMemoryView_FromMemory(
            bytes.as_ptr() as *mut _,
            bytes.len() as ffi::Py_ssize_t,
            ffi::PyBUF_READ,
        );
        Bound::from_owned_ptr_or_err(py, p)?
    };
    let value = loads.call1((&view,));
    if view.call_method0("release").is_err() {
        std::mem::forget(claim); // something still looks at the message: it has to stay
    }
    value
}
