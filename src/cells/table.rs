//! A set of (owner word, value) entries that grows: who holds how much, who waits with which ticket.
//!
//! Only touched under the cell's internal lock. An entry is taken by storing its value and then its word (commit), and
//! given back by storing 0 into the word. Chunks are only added, by one store of `next`. A death changes nothing here:
//! the cell decides what an entry of a dead member means.

use crate::arena::{self, Full, blocks, layout};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::*};

#[repr(C)]
pub struct Entry {
    pub word: AtomicU64,
    pub value: AtomicI64,
}

/// The part inside the cell.
#[repr(C)]
pub struct Table {
    first: [Entry; 6],
    next: AtomicU64,
}

#[repr(C)]
struct Chunk {
    entries: [Entry; 31],
    next: AtomicU64,
}

fn chunk(offset: u64) -> Option<&'static Chunk> {
    // SAFETY: a non-zero `next` is the offset of a zeroed block of a chunk's size, which lives as long as the cell.
    (offset != 0).then(|| unsafe { &*layout::at::<Chunk>(offset) })
}

impl Table {
    /// Every entry, used or not.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.first
            .iter()
            .chain(Chunks(&self.next).flat_map(|c| c.entries.iter()))
    }

    /// Those in use.
    pub fn used(&self) -> impl Iterator<Item = (&Entry, u64)> {
        self.entries()
            .map(|e| (e, e.word.load(Acquire)))
            .filter(|&(_, w)| w != 0)
    }

    /// Take a free entry.
    pub fn insert(&self, word: u64, value: i64) -> Result<&Entry, Full> {
        let free = self.entries().find(|e| e.word.load(Acquire) == 0);
        let e = match free {
            Some(e) => e,
            None => self.grow()?,
        };
        e.value.store(value, Release); // [enter.1]
        kill_point!("cells.enter.1");
        e.word.store(word, Release); // [enter.commit]
        kill_point!("cells.enter.commit");
        Ok(e)
    }

    fn grow(&self) -> Result<&Entry, Full> {
        let offset = arena::alloc_zeroed(size_of::<Chunk>() as u64, blocks::CELL)?;
        kill_point!("cells.grow.1");
        let last = Chunks(&self.next).last().map_or(&self.next, |c| &c.next);
        last.store(offset, Release); // [grow.commit]
        kill_point!("cells.grow.commit");
        Ok(&chunk(offset).expect("just made").entries[0])
    }

    /// Give the chunks back, with the cell.
    pub fn destroy(&self) {
        let mut next = self.next.swap(0, AcqRel);
        while let Some(c) = chunk(next) {
            let this = next;
            next = c.next.load(Acquire);
            arena::free(this);
        }
    }
}

struct Chunks<'a>(&'a AtomicU64);

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a Chunk;

    fn next(&mut self) -> Option<&'a Chunk> {
        let c = chunk(self.0.load(Acquire))?;
        self.0 = &c.next;
        Some(c)
    }
}
