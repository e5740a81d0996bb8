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

#[derive(Default)]
struct Buffers {
    /// Whether each received buffer that this process holds is mapped privately.
    private: HashMap<u64, bool>,
    /// Forks that have begun: what is received now is mapped privately at once, or they would not find it so.
    forks: u32,
}

/// Not wiped in a forked child, to which the private ones are its own memory like any other. Only touched by threads
/// attached to the interpreter, which a fork waits for, with the interpreter lock or without: so none comes while it is
/// locked.
static BUFFERS: Mutex<Option<Buffers>> = Mutex::new(None);

fn buffers() -> MutexGuard<'static, Option<Buffers>> {
    BUFFERS.lock().unwrap_or_else(|e| e.into_inner())
}

/// Map a buffer anew, so that a fork copies it. Where that cannot be done (there are too many mappings, or the program has
/// closed the arena's descriptor) it stays one memory for parent and child.
fn made_private(offset: u64) -> bool {
    // SAFETY: the block's own bytes, at the same place.
    unsafe { family::map_part(offset, blocks::size(offset) as usize, View::PrivateAt(at(offset))) }.is_ok()
}

/// This process has received a buffer in this block.
pub fn note(offset: u64) {
    let mut buffers = buffers();
    let buffers = buffers.get_or_insert_default();
    let private = buffers.forks > 0 && made_private(offset);
    buffers.private.insert(offset, private);
}

/// This process has dropped the buffer; false: the block must never be freed, for it cannot be mapped shared again.
pub fn forget(offset: u64) -> bool {
    match buffers().as_mut().and_then(|b| b.private.remove(&offset)) {
        // SAFETY: the block's own bytes, which this process needs no more.
        Some(true) => unsafe {
            family::map_part(offset, blocks::size(offset) as usize, View::SharedAt(at(offset))).is_ok()
        },
        _ => true,
    }
}

/// This process is about to fork, and other threads go on until it does.
pub fn before_fork() {
    let mut buffers = buffers();
    let buffers = buffers.get_or_insert_default();
    buffers.forks += 1;
    for (&offset, private) in buffers.private.iter_mut().filter(|(_, private)| !**private) {
        *private = made_private(offset);
    }
}

/// It has forked, or could not.
pub fn after_fork_in_parent() {
    if let Some(buffers) = buffers().as_mut() {
        buffers.forks = buffers.forks.saturating_sub(1); // the arena may be younger than `before_fork`
    }
}

/// In a forked child: what it has from its parent the parent frees.
pub fn after_fork_in_child() {
    *buffers() = None;
}
