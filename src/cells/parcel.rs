//! Blocks that travel with a message: its buffers, which it owns, and shared arrays, which it holds.
//!
//! The message's own block, the root, begins with a list of them, and names its place in the queue:
//!
//! | words of the root | meaning |
//! |---|---|
//! | place | offset of the slot that carries the message; 0 before a queue has it |
//! | count | how many entries follow |
//! | offset, bytes, stamp | an entry: which block, how many bytes of content and its flags, which cell |
//!
//! A buffer is a cell of kind Memory from the start. Its block's word:
//!
//! | state | meaning | next | a death of the owner |
//! |---|---|---|---|
//! | writer+LETTER | is being filled | writer: ATTACHED, its descriptor naming the root | freed as every LETTER |
//! | writer+ATTACHED | belongs to the message | reader: ATTACHED in its own name | it stays while the message lives, else it is freed |
//! | reader+ATTACHED | a reader unpickles the message, or has just done so | reader, the message's claim being over: CELL | the same: before the claim is over the message lives and goes to the next reader, who takes the buffers over; after that nobody has them |
//! | reader+CELL | the reader's array lies in it | free | as for every cell |
//!
//! A message lives while its place says so: the slot is in use and carries it. That is one word to look at, and what ends
//! the life is the one store that ends the reader's claim (`queue/README.md`, get.done).

use super::{Handle, Kind, ident};
use crate::arena::layout::{GRANULE, at, descriptor, header};
use crate::arena::{self, Full, blocks, heap};
use crate::members;
use crate::sync::Member;
use crate::sync::member::STATE;
use std::sync::atomic::{AtomicU64, Ordering::*};

/// The cell's first words and padding, so that the content starts on a cache line.
pub const HEADER: u64 = 64;

/// Smaller buffers stay in the pickle: a block of their own costs more than copying them twice.
pub const LEAST: u64 = heap::LARGEST; // with the header it is a large block, and those alone have a descriptor

const READONLY: u64 = 1 << 63;
const SHARED: u64 = 1 << 62;

#[repr(C)]
struct Root {
    place: AtomicU64,
    count: AtomicU64,
}

/// A block that travels with a message.
#[repr(C)]
pub struct Entry {
    offset: AtomicU64,
    bytes: AtomicU64,
    stamp: AtomicU64,
}

impl Entry {
    fn new(h: Handle, bytes: u64) -> Self {
        Entry {
            offset: AtomicU64::new(h.offset),
            bytes: AtomicU64::new(bytes),
            stamp: AtomicU64::new(h.stamp),
        }
    }

    /// A buffer that the message will own.
    pub fn buffer(h: Handle, bytes: u64, readonly: bool) -> Self {
        Self::new(h, if readonly { bytes | READONLY } else { bytes })
    }

    /// A shared array that the message will hold.
    pub fn shared(h: Handle, bytes: u64) -> Self {
        Self::new(h, bytes | SHARED)
    }

    pub fn handle(&self) -> Handle {
        Handle {
            offset: self.offset.load(Relaxed),
            stamp: self.stamp.load(Relaxed),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed) & !(READONLY | SHARED)
    }

    pub fn is_readonly(&self) -> bool {
        self.bytes.load(Relaxed) & READONLY != 0
    }

    pub fn is_shared(&self) -> bool {
        self.bytes.load(Relaxed) & SHARED != 0
    }
}

/// Bytes that the list of so many entries takes at the start of a root.
pub fn list_bytes(entries: usize) -> usize {
    (size_of::<Root>() + entries * size_of::<Entry>()).next_multiple_of(8)
}

/// A block for a buffer of `bytes` bytes, to be filled.
pub fn buffer(bytes: u64) -> Result<Handle, Full> {
    debug_assert!(bytes >= LEAST);
    after_deaths();
    super::after_deaths();
    let offset = arena::alloc(HEADER + bytes, blocks::LETTER)?;
    let stamp = header().stamps.fetch_add(1, Relaxed) + 1;
    ident(offset).store((Kind::Memory as u64) << 56 | stamp, Release); // [buffer.1]
    super::leases::clear(offset);
    kill_point!("cells.buffer.1");
    Ok(Handle { offset, stamp })
}

fn root(block: u64) -> &'static Root {
    // SAFETY: inside the arena, which stays mapped; any bytes are a valid list.
    unsafe { &*at::<Root>(block) }
}

/// The list at the start of a root.
pub fn entries(block: u64) -> &'static [Entry] {
    let room = blocks::size(block).saturating_sub(size_of::<Root>() as u64) / size_of::<Entry>() as u64;
    let count = root(block).count.load(Acquire).min(room);
    // SAFETY: as many as the block has room for; any bytes are a valid entry.
    unsafe { std::slice::from_raw_parts(at::<Entry>(block + size_of::<Root>() as u64), count as usize) }
}

/// Write the list into a root in state LETTER, and attach what it names. Without memory for a hold, what was attached is
/// the caller's to `discard`.
pub fn attach(block: u64, list: &[Entry]) -> Result<(), Full> {
    root(block).place.store(0, Relaxed);
    root(block).count.store(list.len() as u64, Release); // [attach.1]
    kill_point!("cells.attach.1");
    for (place, entry) in entries(block).iter().zip(list) {
        place.offset.store(entry.offset.load(Relaxed), Relaxed);
        place.bytes.store(entry.bytes.load(Relaxed), Relaxed);
        place.stamp.store(entry.stamp.load(Relaxed), Relaxed);
    }
    kill_point!("cells.attach.2");
    for entry in list {
        let Handle { offset, .. } = entry.handle();
        if entry.is_shared() {
            super::leases::hold(offset, block)?;
        } else {
            blocks::set_birth(offset, block); // [attach.3]
            kill_point!("cells.attach.3");
            blocks::set_state(offset, blocks::ATTACHED); // [attach.4]
            kill_point!("cells.attach.4");
        }
    }
    Ok(())
}

/// A queue's slot (its offset) is about to carry this root.
pub fn set_place(block: u64, slot: u64) {
    root(block).place.store(slot, Release);
}

/// Free a root that no queue has, with the buffers it owns.
pub fn discard(block: u64) {
    for entry in entries(block).iter().filter(|e| !e.is_shared()) {
        let Handle { offset, stamp } = entry.handle();
        let word = blocks::word_at(offset);
        // Of a dead writer's message somebody else may be freeing the buffers: it is one of us who takes each. Its stamp is
        // looked at after its word, and the name in the word is never used twice.
        if word != 0
            && ident(offset).load(Acquire) == (Kind::Memory as u64) << 56 | stamp
            && blocks::take(offset, word, word & STATE)
        {
            ident(offset).store(0, Release); // [discard.2], arena's take.1 being the first
            kill_point!("cells.discard.2");
            arena::free(offset); // [discard.3]
            kill_point!("cells.discard.3");
        }
    }
    arena::free(block); // [discard.4]
    kill_point!("cells.discard.4");
}

/// A reader has claimed the message: its buffers are in this process's name from now on, as long as the message lives.
pub fn take(entry: &Entry) {
    blocks::set_state(entry.handle().offset, blocks::ATTACHED); // [receive.1]
    kill_point!("cells.receive.1");
}

/// The same of all buffers of the message with this root.
pub fn take_all(block: u64) {
    entries(block).iter().filter(|e| !e.is_shared()).for_each(take);
}

/// Does this message live, and has it this block?
pub fn has(block: u64, offset: u64) -> bool {
    let word = blocks::word_at(block);
    let alive = match word & STATE {
        blocks::LETTER => Member::of(word).is_some_and(|m| !members::is_dead(m)),
        blocks::QUEUED => is_carried(block),
        _ => false,
    };
    alive && entries(block).iter().any(|e| e.handle().offset == offset)
}

/// Does the slot that the root names carry it? What a slot is `queue/segment.rs` says: an owner word, two halves of a word,
/// and the offset of the message's block.
fn is_carried(block: u64) -> bool {
    let place = root(block).place.load(Acquire);
    if place == 0 || !place.is_multiple_of(64) || place + 64 > header().top.load(Acquire) * GRANULE {
        return false;
    }
    // SAFETY: inside the arena and aligned; any bytes are valid words.
    let (word, carried) = unsafe { (&*at::<AtomicU64>(place), &*at::<AtomicU64>(place + 16)) };
    word.load(Acquire) != 0 && carried.load(Acquire) == block
}

/// Free the buffers of the dead whose messages live no more.
pub fn after_deaths() {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    let deaths = members::deaths();
    if SEEN.swap(deaths, Relaxed) != deaths {
        free_of_the_dead();
    }
}

/// The same, whenever they died: a message may have gone since.
pub fn free_of_the_dead() {
    for (offset, root, word) in blocks::large_of_the_dead(blocks::ATTACHED) {
        if !has(root, offset)
            && descriptor(offset / GRANULE).link.load(Acquire) == root
            && blocks::take(offset, word, word & STATE)
        {
            ident(offset).store(0, Release); // [orphan.2], arena's take.1 being the first
            kill_point!("cells.orphan.2");
            arena::free(offset); // [orphan.3]
            kill_point!("cells.orphan.3");
        }
    }
}
