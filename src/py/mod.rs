//! The module `lightwork._native`: thin faces of the cells, typed in `_native.pyi`.

mod atomic;
mod codec;
mod handle;
mod locks;
mod memory;
mod queue;
mod tasks;
mod waits;

use crate::{arena, members};
use pyo3::exceptions::{PyImportError, PyOSError};
use pyo3::prelude::*;

/// Make sure that this process has an arena.
fn ensure() -> PyResult<()> {
    arena::family::ensure().map_err(|e| PyOSError::new_err(format!("lightwork cannot make its shared memory: {e}")))
}

/// The family's number and the descriptor of its arena, which is created if there is none.
#[pyfunction]
fn family() -> PyResult<(u64, i32)> {
    ensure()?;
    Ok((arena::family::id(), arena::family::fd()))
}

/// Join the parent's family and take the member row that it reserved.
#[pyfunction]
fn join_family(id: u64, fd: i32, row: u64) -> PyResult<()> {
    arena::family::join(fd, id).map_err(|e| PyOSError::new_err(e.to_string()))?;
    members::take_row(row);
    members::me();
    Ok(())
}

/// Reserve a member row for a child about to be started by this thread.
#[pyfunction]
fn reserve_child() -> PyResult<u64> {
    ensure()?;
    Ok(members::reserve_child())
}

/// The child of `reserve_child` runs with this pid; 0: it was not started after all.
#[pyfunction]
fn child_started(pid: u32) {
    if !arena::layout::base().is_null() {
        members::child_started(pid);
    }
}

/// Before and after `os.fork()`: the child's row has to exist before the child does.
#[pyfunction]
fn before_fork() {
    if !arena::layout::base().is_null() {
        members::reserve_child();
    }
}

/// In a forked child: become a member.
#[pyfunction]
fn after_fork_in_child() {
    if !arena::layout::base().is_null() {
        members::me();
    }
}

/// Name this process for the others' messages.
#[pyfunction]
fn set_name(name: &str) -> PyResult<()> {
    ensure()?;
    members::set_name(name);
    Ok(())
}

/// End this process when the process `parent` ends; `by_signal` if the parent's first thread started it.
#[pyfunction]
fn die_with(parent: u32, by_signal: bool) -> PyResult<()> {
    crate::sys::process::die_with(parent, by_signal).map_err(PyErr::from)
}

/// Look for dead members now (a child of ours was reaped).
#[pyfunction]
fn sweep() {
    if !arena::layout::base().is_null() {
        members::sweep();
        crate::cells::after_deaths();
    }
}

/// Bytes: (used, most ever used, free but still backed, budget, size).
#[pyfunction]
fn arena_stats() -> PyResult<(u64, u64, u64, u64, u64)> {
    ensure()?;
    Ok(arena::stats())
}

/// Set how many bytes of blocks may be in use at once.
#[pyfunction]
fn set_arena_budget(bytes: u64) -> PyResult<()> {
    ensure()?;
    arena::set_budget(bytes);
    Ok(())
}

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::atomic::Atomic;
    #[pymodule_export]
    use super::codec::set_pickler;
    #[pymodule_export]
    use super::locks::{Lock, Semaphore};
    #[pymodule_export]
    use super::memory::Memory;
    #[pymodule_export]
    use super::queue::{Queue, SimpleQueue};
    #[pymodule_export]
    use super::tasks::{Rows, TaskQueue, Turn};
    #[pymodule_export]
    use super::waits::{Barrier, Event, WaitList};
    #[pymodule_export]
    use super::{
        after_fork_in_child, arena_stats, before_fork, child_started, die_with, family, join_family, reserve_child,
        set_arena_budget, set_name, sweep,
    };

    use super::*;

    #[pymodule_init]
    fn init(_m: &Bound<'_, PyModule>) -> PyResult<()> {
        members::init().map_err(|e| PyImportError::new_err(format!("lightwork needs Linux 4.14 or newer: {e}")))
    }
}
