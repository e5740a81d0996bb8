//! The shared-memory protocols under loom: README.md has what is modelled, and how.
//!
//! `sync` and `queue` are the package's own files. What they import is here: `sys` gives them loom's atomics and a
//! futex of loom's threads, the other modules the least that they need of the layers around them.

#[macro_use]
mod kill_point;

pub mod arena;
pub mod cells;
pub mod family;
pub mod members;
pub mod model;
#[path = "../../../src/queue/mod.rs"]
pub mod queue;
#[path = "../../../src/sync/mod.rs"]
pub mod sync;
pub mod sys;
