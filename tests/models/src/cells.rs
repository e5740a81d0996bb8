//! Cells that live until they are released once. Nothing travels beside a model's messages.

use crate::arena::{self, blocks};
use std::cell::RefCell;
use std::collections::HashMap;

pub enum Kind {
    Queue,
}

#[derive(Clone, Copy)]
pub struct Handle {
    pub offset: u64,
}

thread_local! {
    static DESTROY: RefCell<HashMap<u64, fn(u64)>> = RefCell::default();
}

pub fn create(_: Kind, bytes: u64, destroy: fn(u64)) -> Result<Handle, arena::Full> {
    let offset = blocks::alloc_zeroed(bytes, blocks::CELL)?;
    DESTROY.with_borrow_mut(|all| all.insert(offset, destroy));
    Ok(Handle { offset })
}

pub fn release(offset: u64) {
    let destroy = DESTROY.with_borrow(|all| all[&offset]);
    destroy(offset);
    arena::free(offset);
}

pub mod parcel {
    pub struct Entry;

    pub fn entries(_root: u64) -> &'static [Entry] {
        unreachable!("a message with a list")
    }

    pub fn discard(_root: u64) {
        unreachable!("a message with a list")
    }

    pub fn take_all(_root: u64) {
        unreachable!("a message with a list")
    }

    pub fn set_place(_root: u64, _slot: u64) {
        unreachable!("a message with a list")
    }
}
