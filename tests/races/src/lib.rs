//! The core's own files below `py`, for threads that use them without an interpreter lock: README.md has what for.

#[macro_use]
#[path = "../../../src/kill_point.rs"]
mod kill_point;

#[path = "../../../src/arena/mod.rs"]
pub mod arena;
#[path = "../../../src/cells/mod.rs"]
pub mod cells;
#[path = "../../../src/members/mod.rs"]
pub mod members;
#[path = "../../../src/queue/mod.rs"]
pub mod queue;
#[path = "../../../src/sync/mod.rs"]
pub mod sync;
#[path = "../../../src/sys/mod.rs"]
pub mod sys;
