//! The core of Lightwork: what lives in shared memory, and what is on the hot path. Everything else is Python.
//!
//! | layer | knows | imports |
//! |---|---|---|
//! | `py` | the interpreter: classes, exceptions, the message codec | everything below |
//! | `queue` | the ring | cells, arena, members, sync |
//! | `cells` | lock, semaphore, condition, event, barrier; the lifetime of cells | arena, members, sync |
//! | `arena`, `members` | who owns which bytes; who is alive | each other, sync, sys |
//! | `sync` | owner words, waiting | sys |
//! | `sys` | the kernel: nobody else makes system calls | |
//!
//! `kill_point!` marks the steps of the protocols for tests/kill, and is nothing in an ordinary build.

#[macro_use]
mod kill_point;

pub mod arena;
pub mod cells;
pub mod members;
pub mod py;
pub mod queue;
pub mod sync;
pub mod sys;
