//! Pickles with large buffers and shared arrays beside them: how they get into a message, and out of it.
//!
//! A claim's buffers are in this process's name while it unpickles them, and its own cells only when the claim is over: see
//! `cells/parcel.rs`. Until then nothing here lets go of one.

use super::codec::{Letter, PICKLE};
use super::handle::{arena_full, error};
use super::memory::Memory;
use crate::arena::{self, blocks};
use crate::cells::parcel::{self, Entry, HEADER};
use crate::cells::{self, Handle};
use crate::members;
use crate::queue::{Claim, INLINE, Payload};
use crate::sync::Member;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyMemoryView, PyTuple};

/// The message of a pickle, its buffers and the shared arrays that it names: (bytes, [memoryview], [Memory]).
pub fn pack(head: &[u8], parts: &Bound<'_, PyTuple>) -> PyResult<Letter> {
    let py = parts.py();
    let pickle = PyBuffer::<u8>::get(&parts.get_item(0)?)?;
    let mut list = Filled(Vec::new());
    for buffer in parts.get_item(1)?.try_iter()? {
        let entry = fill(py, &PyBuffer::<u8>::get(&buffer?)?)?;
        list.0.push(entry);
    }
    for memory in parts.get_item(2)?.try_iter()? {
        let memory = memory?.cast_into::<Memory>()?;
        let memory = memory.get();
        list.0.push(Entry::shared(memory.handle(), memory.nbytes() as u64));
    }
    let room = parcel::list_bytes(list.0.len()).max(INLINE + 8); // so that it needs its block, whatever comes after it
    let all = room + head.len() + pickle.len_bytes();
    let (Ok(len), Some(kind)) = (u32::try_from(all), Letter::kind(PICKLE, head.len())) else {
        return Err(PyValueError::new_err(format!(
            "a message of {all} bytes, not counting its buffers, is over the limit of 4 GiB: send it in parts"
        )));
    };
    let root = arena::alloc(all as u64, blocks::LETTER).map_err(|f| arena_full(py, f))?;
    // SAFETY: the block is ours and holds at least so many bytes; the pickler's output is contiguous, and held.
    unsafe {
        let to = arena::at::<u8>(root).add(room);
        to.copy_from_nonoverlapping(head.as_ptr(), head.len());
        to.add(head.len())
            .copy_from_nonoverlapping(pickle.buf_ptr().cast(), pickle.len_bytes());
    }
    let attached = parcel::attach(root, &list.0);
    list.0.clear(); // the root's now
    let letter = Letter::of(Payload::in_block(kind, len, root, room as u32));
    attached.map_err(|f| arena_full(py, f))?;
    Ok(letter)
}

/// Buffers that no root has yet: freed with this.
struct Filled(Vec<Entry>);

impl Drop for Filled {
    fn drop(&mut self) {
        for entry in self.0.iter().filter(|e| !e.is_shared()) {
            arena::free(entry.handle().offset);
        }
    }
}

/// A block with the bytes of a buffer. Copied without the interpreter: that takes a while, and blocks no other thread.
fn fill(py: Python<'_>, from: &PyBuffer<u8>) -> PyResult<Entry> {
    let bytes = from.len_bytes();
    let source = from.buf_ptr().addr();
    let handle = py.detach(|| -> Result<Handle, arena::Full> {
        let handle = parcel::buffer(bytes as u64)?;
        // SAFETY: the block is ours and holds so many bytes; the buffer is held, contiguous and so long.
        unsafe {
            let to = arena::at::<u8>(handle.offset + HEADER);
            to.copy_from_nonoverlapping(std::ptr::with_exposed_provenance(source), bytes);
        }
        Ok(handle)
    });
    let handle = handle.map_err(|f| arena_full(py, f))?;
    Ok(Entry::buffer(handle, bytes as u64, from.readonly()))
}

/// What came with a claimed message.
#[derive(Default)]
pub struct Enclosed {
    /// When it came, on the birth clock, and to whom: a forked child's copy is nothing of its own.
    came: u64,
    receiver: Option<Member>,
    buffers: Vec<(Py<Memory>, bool)>,
    leases: Vec<Py<Memory>>,
}

impl Enclosed {
    /// Take the buffers into this process's name, and hold the shared arrays.
    pub fn open(py: Python<'_>, claim: &Claim) -> PyResult<Self> {
        let mut enclosed = Enclosed::default();
        for entry in claim.entries() {
            if entry.is_shared() {
                let memory = Memory::lease(entry).map_err(|f| arena_full(py, f))?;
                let memory = memory.ok_or_else(|| {
                    error(
                        py,
                        "ForeignHandle",
                        "a shared array in this message is gone".to_string(),
                    )
                })?;
                enclosed.leases.push(Py::new(py, memory)?);
            } else {
                if enclosed.buffers.is_empty() {
                    (enclosed.came, enclosed.receiver) = (cells::now(), Some(members::me()));
                }
                parcel::take(entry);
                enclosed
                    .buffers
                    .push((Py::new(py, Memory::buffer(entry))?, entry.is_readonly()));
            }
        }
        Ok(enclosed)
    }

    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty() && self.leases.is_empty()
    }

    /// For the unpickler.
    pub fn buffers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for (memory, readonly) in &self.buffers {
            let view = PyMemoryView::from(memory.bind(py))?;
            match readonly {
                true => list.append(view.call_method0("toreadonly")?)?,
                false => list.append(view)?,
            }
        }
        Ok(list)
    }

    /// To be kept until the pickle that names them is read.
    pub fn leases<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, &self.leases)
    }

    /// The claim is over: the buffers are this process's.
    pub fn keep(self) {
        if self.receiver.is_none_or(|receiver| receiver != members::me()) {
            return;
        }
        for (memory, _) in &self.buffers {
            cells::adopt(memory.get().handle().offset, self.came);
        }
    }
}
