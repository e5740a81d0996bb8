//! Messages as bytes: a head that the caller wrote (a pool's numbers; none in a queue), then an object. Small exact ints,
//! floats, str, bytes, None, bools, flat lists of them and short flat tuples skip pickle.
//!
//! | kind | bytes |
//! |---|---|
//! | NONE, FALSE, TRUE | none |
//! | INT | 8, little-endian, signed |
//! | FLOAT | 8, IEEE 754 |
//! | BYTES, STR | as they are (UTF-8) |
//! | INTS, FLOATS | a list of only these: 8 for each |
//! | TUPLE, LIST | for each item: its kind (1), for BYTES and STR the length (4), its bytes |
//! | PICKLE | what the pickler wrote |
//!
//! A pickle may have large buffers beside it (protocol 5), each in a block of its own that travels with the message and is the
//! receiver's memory in the end, and shared arrays that it names: `parcel.rs`.

use super::handle::arena_full;
use super::parcel::{self, Enclosed};
use crate::arena::{self, blocks};
use crate::members;
use crate::queue::{Claim, INLINE};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyUnicodeDecodeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::queue::Payload;

const NONE: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const BYTES: u8 = 5;
const STR: u8 = 6;
const TUPLE: u8 = 7;
pub const PICKLE: u8 = 8;
const LIST: u8 = 9;
const INTS: u8 = 10;
const FLOATS: u8 = 11;

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
    fn new(py: Python<'_>, head: &[u8], kind: u8, bytes: &[u8]) -> PyResult<Self> {
        let (split, all) = (head.len(), head.len() + bytes.len());
        let (Ok(len), Some(kind)) = (u32::try_from(all), Self::kind(kind, split)) else {
            return Err(pyo3::exceptions::PyValueError::new_err(format!(
                "a message of {all} bytes is over the limit of 4 GiB: send it in parts"
            )));
        };
        let mut p = Payload {
            kind,
            len,
            data: [0; INLINE],
        };
        if all <= INLINE {
            p.data[..split].copy_from_slice(head);
            p.data[split..all].copy_from_slice(bytes);
        } else {
            let block = arena::alloc(all as u64, blocks::LETTER).map_err(|f| arena_full(py, f))?;
            // SAFETY: the block is ours and holds at least this many bytes.
            let room = unsafe { std::slice::from_raw_parts_mut(arena::at::<u8>(block), all) };
            room[..split].copy_from_slice(head);
            room[split..].copy_from_slice(bytes);
            p = Payload::in_block(kind, len, block, 0);
        }
        Ok(Letter(p))
    }

    /// A message whose block is filled.
    pub fn of(p: Payload) -> Self {
        Letter(p)
    }

    /// The word of a payload that says both what the object is and how long the head before it; None for a head of 16 MiB
    /// and more.
    #[inline]
    pub fn kind(kind: u8, head: usize) -> Option<u32> {
        (head < 1 << 24).then_some((head as u32) << 8 | kind as u32)
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
    /// A forked child's copy is nothing of its own.
    fn drop(&mut self) {
        let mine = |b| blocks::word_at(b) == members::me().word(blocks::LETTER);
        if self.0.block().is_some_and(mine) {
            self.0.discard();
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
pub fn encode(head: &[u8], obj: &Bound<'_, PyAny>) -> PyResult<Letter> {
    let py = obj.py();
    let letter = |kind, bytes: &[u8]| Letter::new(py, head, kind, bytes);
    if obj.is_exact_instance_of::<PyInt>()
        && let Some(v) = int(obj)
    {
        return letter(INT, &v.to_le_bytes());
    }
    if let Ok(b) = obj.cast_exact::<PyBytes>() {
        return letter(BYTES, b.as_bytes());
    }
    if let Ok(t) = obj.cast_exact::<PyTuple>()
        && let Some(mut flat) = Flat::of_tuple(t)
    {
        return letter(TUPLE, flat.bytes());
    }
    if let Ok(l) = obj.cast_exact::<PyList>() {
        if let Some((kind, numbers)) = numbers(l) {
            return letter(kind, &numbers);
        }
        if let Some(mut flat) = Flat::of_list(l) {
            return letter(LIST, flat.bytes());
        }
    }
    if let Ok(s) = obj.cast_exact::<PyString>()
        && let Ok(s) = s.to_str()
    {
        return letter(STR, s.as_bytes());
    }
    if obj.is_none() {
        return letter(NONE, &[]);
    }
    if let Ok(f) = obj.cast_exact::<PyFloat>() {
        return letter(FLOAT, &f.value().to_le_bytes());
    }
    if let Ok(b) = obj.cast_exact::<PyBool>() {
        return letter(if b.is_true() { TRUE } else { FALSE }, &[]);
    }
    let pickle = pickler(py)?.0.bind(py).call1((obj,))?;
    if let Ok(parts) = pickle.cast_exact::<PyTuple>() {
        return parcel::pack(head, parts);
    }
    if let Ok(b) = pickle.cast_exact::<PyBytes>() {
        return letter(PICKLE, b.as_bytes());
    }
    let buffer = PyBuffer::<u8>::get(&pickle)?;
    // SAFETY: the buffer is held, contiguous (a pickler's output) and nobody else knows of it.
    let bytes = unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()) };
    letter(PICKLE, bytes)
}

/// The bytes of a list of ints, or of floats. Nothing is run that could change the list meanwhile, and no other thread can.
fn numbers(l: &Bound<'_, PyList>) -> Option<(u8, Vec<u8>)> {
    with_critical_section(l, || {
        let first = l.get_item(0).ok()?;
        let floats = first.is_exact_instance_of::<PyFloat>();
        if !floats && !first.is_exact_instance_of::<PyInt>() {
            return None;
        }
        let mut out = Vec::new();
        out.try_reserve_exact(l.len() * 8).ok()?; // the pickler says that there is no memory
        out.resize(l.len() * 8, 0);
        for (i, place) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            // SAFETY: `i` is below the list's length; the borrowed item stays in the list while it is looked at.
            let item = unsafe { Borrowed::from_ptr(l.py(), ffi::PyList_GetItem(l.as_ptr(), i as ffi::Py_ssize_t)) };
            *place = if floats {
                item.cast_exact::<PyFloat>().ok()?.value().to_le_bytes()
            } else if item.is_exact_instance_of::<PyInt>() {
                int(&item)?.to_le_bytes()
            } else {
                return None;
            };
        }
        Some((if floats { FLOATS } else { INTS }, out))
    })
}

/// The bytes of a flat tuple or list: on the stack while they are few. Without memory for them there are none, and the
/// pickler says so.
struct Flat {
    few: [u8; INLINE],
    len: usize,
    many: Vec<u8>,
}

impl Flat {
    fn of_tuple(t: &Bound<'_, PyTuple>) -> Option<Self> {
        if t.len() > LONGEST_TUPLE {
            return None;
        }
        let mut f = Self::new();
        for i in 0..t.len() {
            f.item(&*t.get_borrowed_item(i).ok()?)?;
        }
        Some(f)
    }

    /// Nothing is run that could change the list meanwhile, and no other thread can.
    fn of_list(l: &Bound<'_, PyList>) -> Option<Self> {
        with_critical_section(l, || {
            let mut f = Self::new();
            for i in 0..l.len() {
                f.item(&l.get_item(i).ok()?)?;
                if i == 0 && l.len() > 8 {
                    f.many.try_reserve(l.len() * (f.len + 1)).ok()?;
                }
            }
            Some(f)
        })
    }

    fn new() -> Self {
        Flat {
            few: [0; INLINE],
            len: 0,
            many: Vec::new(),
        }
    }

    #[inline]
    fn item(&mut self, obj: &Bound<'_, PyAny>) -> Option<()> {
        if obj.is_exact_instance_of::<PyInt>() {
            let v = int(obj)?;
            self.push(&[INT])?;
            self.push(&v.to_le_bytes())?;
        } else if let Ok(v) = obj.cast_exact::<PyFloat>() {
            self.push(&[FLOAT])?;
            self.push(&v.value().to_le_bytes())?;
        } else if let Ok(b) = obj.cast_exact::<PyBytes>() {
            self.text(BYTES, b.as_bytes())?;
        } else if let Ok(s) = obj.cast_exact::<PyString>() {
            self.text(STR, s.to_str().ok()?.as_bytes())?;
        } else if obj.is_none() {
            self.push(&[NONE])?;
        } else if let Ok(b) = obj.cast_exact::<PyBool>() {
            self.push(&[if b.is_true() { TRUE } else { FALSE }])?;
        } else {
            return None;
        }
        Some(())
    }

    fn text(&mut self, kind: u8, bytes: &[u8]) -> Option<()> {
        self.push(&[kind])?;
        self.push(&u32::try_from(bytes.len()).ok()?.to_le_bytes())?;
        self.push(bytes)
    }

    #[inline]
    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        if self.many.is_empty() && self.len + bytes.len() <= INLINE {
            self.few[self.len..self.len + bytes.len()].copy_from_slice(bytes);
            self.len += bytes.len();
        } else {
            self.many.try_reserve(self.len + bytes.len()).ok()?;
            if self.many.is_empty() {
                self.many.extend_from_slice(&self.few[..self.len]);
            }
            self.many.extend_from_slice(bytes);
        }
        Some(())
    }

    fn bytes(&mut self) -> &[u8] {
        if self.many.is_empty() {
            &self.few[..self.len]
        } else {
            &self.many
        }
    }
}

/// What a claimed message says. The claim is over when this returns; if there was no memory for the object (and not
/// because of what unpickling did), the message is the next reader's.
#[inline]
pub fn decode<'py>(py: Python<'py>, claim: Claim) -> PyResult<Bound<'py, PyAny>> {
    let kind = claim.payload.kind as u8;
    if kind == PICKLE {
        return unpickle(py, claim);
    }
    plain(py, kind, claim.bytes()).map_err(|e| not_kept(py, claim, e))
}

#[cold]
pub fn not_kept(py: Python<'_>, claim: Claim, e: PyErr) -> PyErr {
    if e.is_instance_of::<PyMemoryError>(py) {
        claim.give_back();
    } else {
        claim.discard();
    }
    e
}

/// The head of a claimed message, and the bytes after it.
pub fn split(claim: &Claim) -> PyResult<(&[u8], &[u8])> {
    claim
        .bytes()
        .split_at_checked(claim.payload.kind as usize >> 8)
        .ok_or_else(corrupt)
}

/// The object after the head. A pickle comes as its bytes (true), or as them and a list of its buffers, for the caller to
/// unpickle where an error of that, or an interrupt, does no harm. What came with it is to be kept with the claim.
pub fn sealed<'py>(py: Python<'py>, claim: &Claim) -> PyResult<(bool, Bound<'py, PyAny>, Enclosed)> {
    let (_, bytes) = split(claim)?;
    match claim.payload.kind as u8 {
        PICKLE => {
            let (enclosed, pickle) = (Enclosed::open(py, claim)?, bytes_object(py, bytes)?);
            let obj = match enclosed.is_empty() {
                true => pickle,
                false => (pickle, enclosed.buffers(py)?, enclosed.leases(py)?)
                    .into_pyobject(py)?
                    .into_any(),
            };
            Ok((true, obj, enclosed))
        }
        kind => Ok((false, plain(py, kind, bytes)?, Enclosed::default())),
    }
}

/// Numbers in a message that are worth being spread into a list piece by piece: see `Packed`.
pub fn is_packed(claim: &Claim) -> bool {
    matches!(claim.payload.kind as u8, INTS | FLOATS) && claim.payload.len >= 8 * 1024
}

/// Put the numbers of a packed message into a list, from `start` on.
pub fn spread(claim: &Claim, into: &Bound<'_, PyList>, start: usize) -> PyResult<()> {
    let (py, numbers) = (into.py(), split(claim)?.1.as_chunks().0);
    let make = if claim.payload.kind as u8 == INTS {
        integer
    } else {
        float
    };
    for (i, &number) in numbers.iter().enumerate() {
        let item = make(py, number)?.into_ptr();
        // SAFETY: the item's reference becomes the list's, or is dropped with an IndexError.
        if unsafe { ffi::PyList_SetItem(into.as_ptr(), (start + i) as ffi::Py_ssize_t, item) } != 0 {
            return Err(PyErr::fetch(py));
        }
    }
    Ok(())
}

pub fn corrupt() -> PyErr {
    PyRuntimeError::new_err("a message in a lightwork queue is damaged: some process wrote over shared memory")
}

/// An object that the interpreter made, or the error of one that it could not make.
///
/// # Safety
/// `object` is a new reference, or null with an exception set.
#[inline]
unsafe fn made<'py>(py: Python<'py>, object: *mut ffi::PyObject) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the caller's promise.
    unsafe { Bound::from_owned_ptr_or_err(py, object) }
}

// These and what follows raise MemoryError where pyo3's constructors panic.

#[inline]
fn integer<'py>(py: Python<'py>, v: [u8; 8]) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a new int or null.
    unsafe { made(py, ffi::PyLong_FromLongLong(i64::from_le_bytes(v))) }
}

#[inline]
fn float<'py>(py: Python<'py>, v: [u8; 8]) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a new float or null.
    unsafe { made(py, ffi::PyFloat_FromDouble(f64::from_le_bytes(v))) }
}

#[inline]
fn bytes_object<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a new bytes object or null; `bytes` is read as far as it goes.
    unsafe {
        made(
            py,
            ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), bytes.len() as ffi::Py_ssize_t),
        )
    }
}

#[inline]
fn string<'py>(py: Python<'py>, utf8: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let (start, len) = (utf8.as_ptr().cast(), utf8.len() as ffi::Py_ssize_t);
    // SAFETY: a new str or null; `utf8` is read as far as it goes; no error handler is named.
    let s = unsafe { made(py, ffi::PyUnicode_DecodeUTF8(start, len, std::ptr::null())) };
    s.map_err(|e| match e.is_instance_of::<PyUnicodeDecodeError>(py) {
        true => corrupt(),
        false => e,
    })
}

fn tuple<'py>(py: Python<'py>, items: Vec<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a new tuple or null.
    let tuple = unsafe { made(py, ffi::PyTuple_New(items.len() as ffi::Py_ssize_t)) }?;
    for (i, item) in items.into_iter().enumerate() {
        // SAFETY: the tuple is new and ours alone, `i` is below its length, the item's reference becomes its.
        unsafe { ffi::PyTuple_SetItem(tuple.as_ptr(), i as ffi::Py_ssize_t, item.into_ptr()) };
    }
    Ok(tuple)
}

fn list<'py>(
    py: Python<'py>,
    items: impl ExactSizeIterator<Item = PyResult<Bound<'py, PyAny>>>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a new list or null.
    let list = unsafe { made(py, ffi::PyList_New(items.len() as ffi::Py_ssize_t)) }?;
    for (i, item) in items.enumerate() {
        // SAFETY: the list is new and ours alone, `i` is below its length, the item's reference becomes its.
        unsafe { ffi::PyList_SetItem(list.as_ptr(), i as ffi::Py_ssize_t, item?.into_ptr()) };
    }
    Ok(list)
}

#[inline]
fn plain<'py>(py: Python<'py>, kind: u8, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let eight = || bytes.try_into().map_err(|_| corrupt());
    match kind {
        NONE => Ok(py.None().into_bound(py)),
        FALSE => Ok(PyBool::new(py, false).to_owned().into_any()),
        TRUE => Ok(PyBool::new(py, true).to_owned().into_any()),
        INT => integer(py, eight()?),
        FLOAT => float(py, eight()?),
        BYTES => bytes_object(py, bytes),
        STR => string(py, bytes),
        TUPLE => tuple(py, Reader(bytes).items(py)?),
        LIST => list(py, Reader(bytes).items(py)?.into_iter().map(Ok)),
        INTS => list(py, bytes.as_chunks().0.iter().map(|&n| integer(py, n))),
        FLOATS => list(py, bytes.as_chunks().0.iter().map(|&x| float(py, x))),
        _ => Err(corrupt()),
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> PyResult<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n).ok_or_else(corrupt)?;
        self.0 = rest;
        Ok(head)
    }

    fn items<'py>(mut self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let mut items = Vec::new();
        let mut room = 8.max(self.0.len() / 9);
        while !self.0.is_empty() {
            let kind = self.take(1)?[0];
            let len = match kind {
                INT | FLOAT => 8,
                BYTES | STR => u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes")) as usize,
                _ => 0,
            };
            if items.len() == items.capacity() {
                items.try_reserve(room).map_err(|_| PyMemoryError::new_err(()))?;
                room = items.len();
            }
            items.push(plain(py, kind, self.take(len)?)?);
        }
        Ok(items)
    }
}

fn unpickle<'py>(py: Python<'py>, claim: Claim) -> PyResult<Bound<'py, PyAny>> {
    let loads = pickler(py)?.1.bind(py);
    let bytes = claim.bytes();
    if claim.payload.block().is_none() {
        return match bytes_object(py, bytes) {
            Ok(bytes) => loads.call1((bytes,)),
            Err(e) => Err(not_kept(py, claim, e)),
        };
    }
    // SAFETY: the memory stays until the claim is dropped, which is after the view is released below. The pointer is
    // only read through (PyBUF_READ).
    let view = unsafe {
        let p = ffi::PyMemoryView_FromMemory(
            bytes.as_ptr() as *mut _,
            bytes.len() as ffi::Py_ssize_t,
            ffi::PyBUF_READ,
        );
        made(py, p)
    };
    let parts = view.and_then(|view| {
        let enclosed = Enclosed::open(py, &claim)?;
        Ok((view, enclosed.buffers(py)?, enclosed))
    });
    let (view, buffers, enclosed) = match parts {
        Ok(parts) => parts,
        Err(e) => return Err(not_kept(py, claim, e)),
    };
    let value = match enclosed.is_empty() {
        true => loads.call1((&view,)),
        false => {
            let kwargs = PyDict::new(py);
            if let Err(e) = kwargs.set_item("buffers", buffers) {
                return Err(not_kept(py, claim, e));
            }
            loads.call((&view,), Some(&kwargs))
        }
    };
    if view.call_method0("release").is_err() {
        claim.leave_block(); // something still looks at it
    } else {
        drop(claim);
    }
    enclosed.keep();
    value
}
