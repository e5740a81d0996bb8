//! Who holds a shared array that was sent: a set of names in a table of its own, made when it is first sent.
//!
//! | entry (word, value) | meaning | it counts while |
//! |---|---|---|
//! | member+0, MEMBER | a process that got it in a message | the member lives |
//! | root's offset, MESSAGE | a message on its way | the message lives and has the array: `parcel::has` |
//!
//! Nobody takes a dead one's entry away for the array to be right: whether an entry counts can be seen at any time. The maker
//! has no entry: its block's owner word and the DROPPED flag of the cell's first word speak for it; nor have those who
//! inherited the array by fork (README.md, 2). The array is freed by whoever looks and finds that nobody holds it: a holder
//! that lets go, the maker's limbo, or, after the maker's death, `after_deaths`.
//!
//! One lock of the family for all tables: it is held for a few stores, and outlives every array. Each step under it is one
//! commit, so its next holder has nothing to recover.

use super::table::Table;
use super::{ESCAPED, Kind, ident};
use crate::arena::layout::{at, header};
use crate::arena::{self, Full, blocks};
use crate::members;
use crate::sync::{Guard, Member};
use std::sync::atomic::{AtomicU64, Ordering::*};

/// In a cell's first word: its maker holds it no more.
pub const DROPPED: u64 = 1 << 54;

const MEMBER: i64 = 0;
const MESSAGE: i64 = 1;

/// The second word of a Memory cell: its table; 0: it was never sent.
fn table_word(offset: u64) -> &'static AtomicU64 {
    // SAFETY: a Memory cell has 64 bytes before its content.
    unsafe { &*at::<AtomicU64>(offset + 8) }
}

fn table(offset: u64) -> Option<&'static Table> {
    let t = table_word(offset).load(Acquire);
    // SAFETY: the word names a zeroed block of a table's size that lives as long as the cell.
    (t != 0).then(|| unsafe { &*at::<Table>(t) })
}

pub fn lock() -> Guard<'static> {
    header().lease_lock.guard(members::me(), members::is_dead)
}

/// The cell in this block, which may have been another's, was not sent yet.
pub fn clear(offset: u64) {
    table_word(offset).store(0, Relaxed);
}

/// Was this Memory cell ever sent?
pub fn is_sent(offset: u64) -> bool {
    table_word(offset).load(Acquire) != 0
}

/// The message with this root will hold the array. The caller holds it meanwhile.
pub fn hold(offset: u64, root: u64) -> Result<(), Full> {
    let _g = lock();
    if !is_sent(offset) {
        let t = arena::alloc_zeroed(size_of::<Table>() as u64, blocks::CELL)?; // [hold.1]
        kill_point!("cells.hold.1");
        table_word(offset).store(t, Release); // [hold.commit]
        kill_point!("cells.hold.commit");
    }
    insert(offset, root, MESSAGE)
}

/// Under the lock: this process holds the array from now on. The message that brings it holds it meanwhile.
pub fn enter(offset: u64) -> Result<(), Full> {
    insert(offset, members::me().word(0), MEMBER)
}

/// Take an entry: one that counts no more, or a new one. Nothing, if there is the same already.
fn insert(offset: u64, word: u64, value: i64) -> Result<(), Full> {
    let Some(table) = table(offset) else { return Ok(()) };
    for (e, w) in table.used() {
        if w == word && e.value.load(Acquire) == value {
            return Ok(());
        }
        if !counts(offset, w, e.value.load(Acquire)) {
            e.word.store(0, Release); // [stale.1]
            kill_point!("cells.stale.1");
        }
    }
    table.insert(word, value).map(|_| ())
}

fn counts(offset: u64, word: u64, value: i64) -> bool {
    if value == MESSAGE {
        super::parcel::has(word, offset)
    } else {
        Member::of(word).is_some_and(|m| !members::is_dead(m))
    }
}

/// Under the lock: does a process or a message hold this cell, if it is a shared array?
pub fn is_held(offset: u64) -> bool {
    let is_memory = ident(offset).load(Acquire) >> 56 == Kind::Memory as u64;
    let table = is_memory.then(|| table(offset)).flatten();
    table.is_some_and(|t| t.used().any(|(e, w)| counts(offset, w, e.value.load(Acquire))))
}

/// Under the lock: this process holds the array no more.
pub fn leave(offset: u64) {
    let me = members::me().word(0);
    for (e, w) in table(offset).into_iter().flat_map(|t| t.used()) {
        if w == me && e.value.load(Acquire) == MEMBER {
            e.word.store(0, Release); // [unlease.1]
            kill_point!("cells.unlease.1");
        }
    }
}

/// Under the lock: is the array nobody's? `created`, `dropped`: see `members::heirs_alive`.
pub fn is_orphaned(offset: u64, created: u64, dropped: Option<u64>) -> bool {
    let id = ident(offset).load(Acquire);
    let left = id & DROPPED != 0 || Member::of(blocks::word_at(offset)).is_some_and(members::is_dead);
    left && !is_held(offset) && !members::heirs_alive(created, dropped) && ident(offset).load(Acquire) & ESCAPED == 0 // looked at last: an heir may have sent it on and died
}

/// With the cell.
pub fn destroy(offset: u64) {
    let t = table_word(offset).swap(0, AcqRel); // [untable.1]
    kill_point!("cells.untable.1");
    if t != 0 {
        // SAFETY: the word named a table.
        unsafe { &*at::<Table>(t) }.destroy();
        arena::free(t);
    }
}
