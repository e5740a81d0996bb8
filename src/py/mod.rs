//! The module `lightwork._native`: thin faces of the cells, typed in `_native.pyi`.

mod atomic;
mod codec;
mod handle;
#[cfg(feature = "kill_points")]
mod kill;
mod locks;
mod memory;
mod parcel;
mod queue;
mod tasks;
mod waits;
mod whole;

use crate::cells::launches;
use crate::sync::Member;
use crate::sys::process;
use crate::{arena, cells, members};
use pyo3::exceptions::{PyImportError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Make sure that this process has an arena, and is a member of its family.
fn ensure() -> PyResult<()> {
    arena::family::ensure().map_err(|e| PyOSError::new_err(format!("lightwork cannot make its shared memory: {e}")))?;
    members::join().map(|_| ()).map_err(crowded)
}

/// The stdlib's error where no further process can be had.
fn crowded(e: members::Crowded) -> PyErr {
    PyOSError::new_err((libc::EAGAIN, e.to_string()))
}

/// The family's number and the descriptor of its arena, which is created if there is none.
#[pyfunction]
fn family() -> PyResult<(u64, i32)> {
    ensure()?;
    Ok((arena::family::id(), arena::family::fd()))
}

/// Join the parent's family and take the member row that it reserved; 0: none was, and this process has nothing of its
/// parent's. False: the parent wants this process no more.
#[pyfunction]
fn join_family(id: u64, fd: i32, row: u64) -> PyResult<bool> {
    arena::family::join(fd, id).map_err(|e| PyOSError::new_err(e.to_string()))?;
    match Member::of(row) {
        Some(row) => members::take_row(row).map_err(crowded),
        None => {
            members::join().map_err(crowded)?;
            members::inherit_nothing();
            Ok(true)
        }
    }
}

/// Reserve a member row for a child about to be started by this thread: the attribute `row` of its passport. (Set in here, where
/// no signal handler can come between.)
#[pyfunction]
fn reserve_child(passport: &Bound<'_, PyAny>) -> PyResult<()> {
    ensure()?;
    let row = launches::reserve_child().map_err(crowded)?;
    passport
        .setattr("row", row.raw())
        .inspect_err(|_| launches::child_started(row, 0))
}

/// The child for which this row was reserved runs with this pid; 0: it was not started after all.
#[pyfunction]
fn child_started(row: u64, pid: u32) {
    if let Some(row) = Member::of(row) {
        launches::child_started(row, pid);
    }
}

/// Before `os.fork()`: the child's row has to exist before the child does.
#[pyfunction]
fn before_fork() -> PyResult<()> {
    if !arena::layout::base().is_null() {
        cells::own::before_fork();
        launches::before_fork().map_err(crowded)?;
    }
    Ok(())
}

/// After `os.fork()` in the parent, also if it failed.
#[pyfunction]
fn after_fork_in_parent() {
    if !arena::layout::base().is_null() {
        cells::own::after_fork_in_parent();
        launches::after_fork_in_parent();
    }
}

/// In a forked child: become a member.
#[pyfunction]
fn after_fork_in_child() -> PyResult<()> {
    if !arena::layout::base().is_null() {
        cells::own::after_fork_in_child();
        launches::after_fork_in_child().map_err(crowded)?;
    }
    Ok(())
}

/// Forget which child this thread forked last.
#[pyfunction]
fn forget_fork() {
    launches::forget_fork();
}

/// The child that this thread forked last has this pid.
#[pyfunction]
fn child_forked(pid: u32) {
    launches::child_forked(pid);
}

/// The pid of the child that this thread forked last, of whom nobody has told; waits for it to begin, a second at most. 0: there
/// is none, or it is not to be known.
#[pyfunction]
fn forked_pid(py: Python<'_>) -> u32 {
    py.detach(launches::forked_pid).unwrap_or(0)
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
    process::die_with(parent, by_signal).map_err(PyErr::from)
}

/// The folder in `/proc` of the process with this pid, which may have another number there; None if it is not to be seen.
#[pyfunction]
fn proc_folder(pid: u32) -> Option<String> {
    process::folder(pid)
}

/// Store in a Popen the exit code of its child, if that has ended, and its peak memory. The code can be had once: no signal
/// handler comes between having it and storing it. Callers take turns. If somebody else reaped the child, nothing is stored.
#[pyfunction]
fn reap(popen: &Bound<'_, PyAny>) -> PyResult<()> {
    if popen.getattr(RETURNCODE)?.is_none()
        && let Ok(Some((code, peak))) = process::reap(popen.getattr("pid")?.extract()?)
    {
        popen.setattr(RETURNCODE, code)?;
        popen.setattr("peak_memory", peak)?;
    }
    Ok(())
}

/// The same for the child of a forkserver, which writes the code to a pipe a moment after the child's end (it has a second for
/// that); 255 if the server was killed.
#[pyfunction]
fn reap_of_server(py: Python<'_>, popen: &Bound<'_, PyAny>) -> PyResult<()> {
    if !popen.getattr(RETURNCODE)?.is_none() {
        return Ok(());
    }
    let pidfd = popen.getattr("pidfd")?.extract()?;
    let pipe = match popen.getattr("_pipe")?.extract()? {
        Some(pipe) => pipe,
        None => popen.getattr("sentinel")?.extract()?,
    };
    if pidfd >= 0 && !process::is_readable(pidfd, 0) {
        return Ok(());
    }
    py.detach(|| process::is_readable(pipe, if pidfd < 0 { 0 } else { 1000 }));
    if let Some(code) = process::read_number(pipe, 255) {
        popen.setattr(RETURNCODE, code)?;
    }
    Ok(())
}

const RETURNCODE: &str = "returncode";

/// Look for dead members now (a child of ours was reaped).
#[pyfunction]
fn sweep() {
    if !arena::layout::base().is_null() {
        members::sweep();
        cells::after_deaths();
        cells::parcel::after_deaths();
    }
}

/// After a look at who died and what nobody has any more, bytes: (used, most ever used, free but still backed, budget, size).
#[pyfunction]
fn arena_stats() -> PyResult<(u64, u64, u64, u64, u64)> {
    ensure()?;
    cells::tidy();
    Ok(arena::stats())
}

/// Bytes in use by the pid that they are accounted to; 0: of processes that are gone.
#[pyfunction]
fn arena_owners() -> PyResult<std::collections::HashMap<u32, u64>> {
    ensure()?;
    let mut bytes = std::collections::HashMap::new();
    arena::runs::each(|_, d| {
        if let Some(owner) = arena::runs::owner(d) {
            let pid = if members::is_dead(owner) {
                0
            } else {
                members::describe(owner).0
            };
            *bytes.entry(pid).or_default() += arena::runs::granules(d) * arena::layout::GRANULE;
        }
    });
    Ok(bytes)
}

/// Set how many bytes of blocks may be in use at once.
#[pyfunction]
fn set_arena_budget(bytes: u64) -> PyResult<()> {
    ensure()?;
    arena::set_budget(bytes);
    Ok(())
}

// What several threads reach is atomic, under a lock, or guarded by the interpreter's critical sections.
#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use super::atomic::Atomic;
    #[pymodule_export]
    use super::codec::set_pickler;
    #[cfg(feature = "kill_points")]
    #[pymodule_export]
    use super::kill::{blocks_in_use, kill_at, kill_points, rows_in_use};
    #[pymodule_export]
    use super::locks::{Lock, Semaphore};
    #[pymodule_export]
    use super::memory::{Memory, Private};
    #[pymodule_export]
    use super::queue::{Queue, SimpleQueue};
    #[pymodule_export]
    use super::tasks::{Packed, Rows, TaskQueue};
    #[pymodule_export]
    use super::waits::{Barrier, Event, WaitList};
    #[pymodule_export]
    use super::whole::{Turn, holding, without_interrupts};
    #[pymodule_export]
    use super::{
        after_fork_in_child, arena_owners, arena_stats, before_fork, child_forked, child_started, die_with, family,
        forget_fork, forked_pid, join_family, proc_folder, reap, reap_of_server, reserve_child, set_arena_budget,
        set_name, sweep,
    };

    use super::*;

    #[pymodule_init]
    fn init(m: &Bound<'_, PyModule>) -> PyResult<()> {
        members::init().map_err(|e| PyImportError::new_err(format!("lightwork needs Linux 4.14 or newer: {e}")))?;
        m.add("LEAST_BUFFER", cells::parcel::LEAST)?;
        // The other hooks are `launch.py`'s; this one no Python code has to know of.
        let hooks = PyDict::new(m.py());
        hooks.set_item("after_in_parent", wrap_pyfunction!(after_fork_in_parent, m)?)?;
        m.py().import("os")?.call_method("register_at_fork", (), Some(&hooks))?;
        Ok(())
    }
}
