//! Received buffers are their receiver's own, also after a fork: parent and child then have a copy each, as of all memory.
//!
//! The bytes lie in the arena, which is mapped shared. So before a fork the parent maps them anew, privately: from then on
//! what it writes, and what its child writes, goes to pages of their own (copy on write), and the arena's bytes stay as they
//! were. When the parent drops the buffer it maps the block shared again, so that children born later have it shared, too;
//! the heirs need not, since the block is not used again before all of them have ended (README.md, 2).

use crate::arena::{blocks, family, layout::at};
use crate::sys::memory::View;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

/// Whether each received buffer that this process holds is mapped privately. Not wiped in a forked child, to which the
/// private ones are its own memory like any other. Only touched by threads attached to the interpreter, so no fork comes
/// while it is locked.
static BUFFERS: Mutex<Option<HashMap<u64, bool>>> = Mutex::new(None);

fn buffers() -> MutexGuard<'static, Option<HashMap<u64, bool>>> {
    BUFFERS.lock().unwrap_or_else(|e| e.into_inner())
}

/// This process has received a buffer in this block.
pub fn note(offset: u64) {
    buffers().get_or_insert_default().insert(offset, false);
}

/// This process has dropped the buffer; false: the block must never be freed, for it cannot be mapped shared again.
pub fn forget(offset: u64) -> bool {
    match buffers().as_mut().and_then(|b| b.remove(&offset)) {
        // SAFETY: the block's own bytes, which this process needs no more.
        Some(true) => unsafe {
            family::map_part(offset, blocks::size(offset) as usize, View::SharedAt(at(offset))).is_ok()
        },
        _ => true,
    }
}

/// This process is about to fork. Where a buffer cannot be mapped anew (there are too many mappings, or the program has closed
/// the arena's descriptor) it stays one memory for parent and child.
pub fn before_fork() {
    for (&offset, private) in buffers().iter_mut().flatten().filter(|(_, private)| !**private) {
        // SAFETY: the block's own bytes, at the same place.
        let mapped = unsafe { family::map_part(offset, blocks::size(offset) as usize, View::PrivateAt(at(offset))) };
        *private = mapped.is_ok();
    }
}

/// In a forked child: what it has from its parent the parent frees.
pub fn after_fork() {
    *buffers() = None;
}
