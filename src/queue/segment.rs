//! A piece of the ring: slots in a block of the arena.

use crate::arena::{self, blocks, layout};
use crate::cells::parcel;
use crate::sys::atomic::{AtomicU64, Ordering::*, UnsafeCell};

/// Bytes of a message that fit into its slot. A slot is one cache line: 64 bytes.
pub const INLINE: usize = 48;

/// States of a slot's owner word; README.md has what each means and what a death does to it.
pub const STAGED: u64 = 1;
pub const CLAIMED: u64 = 2;
pub const RETURNED: u64 = 3;

/// What a slot carries: the message itself, or the block that holds it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Payload {
    /// The codec's business.
    pub kind: u32,
    /// Bytes of the message, with its list; above INLINE they lie in the block named by the first eight bytes of `data`.
    pub len: u32,
    pub data: [u8; INLINE],
}

impl Payload {
    /// A message of `len` bytes in a block, of which the first `list` say what travels with it.
    pub fn in_block(kind: u32, len: u32, block: u64, list: u32) -> Self {
        let mut data = [0; INLINE];
        data[..8].copy_from_slice(&block.to_le_bytes());
        data[8..12].copy_from_slice(&list.to_le_bytes());
        Payload { kind, len, data }
    }

    /// How many bytes at the start of its block say what travels with it: 0 if nothing does.
    pub fn list(&self) -> usize {
        match self.block() {
            None => 0,
            Some(_) => u32::from_le_bytes(self.data[8..12].try_into().expect("four bytes")) as usize,
        }
    }

    /// Free what the message has, if no queue has it.
    pub fn discard(&self) {
        match self.block() {
            Some(b) if self.list() > 0 => parcel::discard(b),
            Some(b) => arena::free(b),
            None => {}
        }
    }

    /// The offset of the message's block, if it has one.
    pub fn block(&self) -> Option<u64> {
        (self.len as usize > INLINE).then(|| u64::from_le_bytes(self.data[..8].try_into().expect("eight bytes")))
    }
}

#[repr(C, align(64))]
pub struct Slot {
    pub word: AtomicU64,
    payload: UnsafeCell<Payload>,
}

// SAFETY: the payload is only written between finding `word` free under the put lock and the commit, and only read
// under the get lock (or by recovery) after the commit: see README.md.
unsafe impl Sync for Slot {}

impl Slot {
    /// # Safety
    /// The caller holds the put lock and the slot is free.
    pub unsafe fn write(&self, p: &Payload) {
        // SAFETY: the caller's promise: nobody else touches the payload of a free slot.
        self.payload.with_mut(|to| unsafe { *to = *p });
    }

    /// Tell the message which slot it lives in, if anything travels with it.
    pub fn carries(&self, p: &Payload) {
        if let (Some(b), 1..) = (p.block(), p.list()) {
            parcel::set_place(b, (self as *const Self).addr() as u64 - layout::base().addr() as u64);
        }
    }

    /// # Safety
    /// The caller holds the get lock and the slot is committed, or the put lock and the slot is staged by a dead writer.
    pub unsafe fn read(&self) -> Payload {
        // SAFETY: the caller's promise: nobody writes to the payload now.
        self.payload.with(|from| unsafe { *from })
    }
}

#[repr(C, align(64))]
pub struct Segment {
    /// The segment that comes after this one; not 0: writers have left for it, and `end` holds.
    pub next: AtomicU64,
    /// The index of the first message in `next`.
    pub end: AtomicU64,
    /// The index of the first message of this segment, which lies in slot 0.
    pub start: AtomicU64,
    /// A power of two.
    pub capacity: AtomicU64,
    /// Left by the readers, with claims still open: the next one such.
    pub retired_next: AtomicU64,
}

impl Segment {
    /// One that its maker's death frees until `keep`.
    pub fn create(capacity: u64, start: u64) -> Result<u64, arena::Full> {
        let bytes = size_of::<Segment>() as u64 + capacity * size_of::<Slot>() as u64;
        let offset = arena::alloc(bytes, blocks::LETTER)?;
        let s = Self::of(offset);
        for (word, value) in [
            (&s.next, 0),
            (&s.end, 0),
            (&s.start, start),
            (&s.capacity, capacity),
            (&s.retired_next, 0),
        ] {
            word.store(value, Relaxed);
        }
        for i in 0..capacity {
            s.slot(i + start).word.store(0, Relaxed);
        }
        Ok(offset)
    }

    /// It is about to become part of a ring.
    pub fn keep(offset: u64) {
        blocks::set_state(offset, blocks::CELL);
    }

    pub fn of(offset: u64) -> &'static Self {
        // SAFETY: the ring's words only ever name blocks made by `create`, and frees them only when no slot is in use.
        unsafe { &*layout::at::<Self>(offset) }
    }

    #[inline]
    pub fn slot(&'static self, index: u64) -> &'static Slot {
        let i = (index - self.start.load(Relaxed)) & (self.capacity.load(Relaxed) - 1);
        // SAFETY: the slots follow the segment in its block, and `i` is below its capacity.
        unsafe { &*(self as *const Self).add(1).cast::<Slot>().add(i as usize) }
    }

    pub fn slots(&'static self) -> impl Iterator<Item = &'static Slot> {
        let start = self.start.load(Relaxed);
        (start..start + self.capacity.load(Relaxed)).map(|i| self.slot(i))
    }
}
