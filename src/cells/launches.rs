//! Children of this process that are being started: from the reservation of their rows until they have begun.
//!
//! Of a child that a thread forks nobody may ever say which pid it has, nor that the fork failed: the hooks around a fork hear
//! neither. So parent and child share a pipe, the lifeline: the child closes its end when it has come to its row. Cut before
//! that, it says that there is no child, or no more.

use super::cells;
use crate::members;
use crate::sync::Member;
use crate::sys::process::{self, Lifeline};
use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard};

#[derive(Default)]
pub struct Launches(Vec<Launch>);

/// A child that also inherits, or finds in its pickle, what is made between its row's reservation and its own beginning.
struct Launch {
    row: Member,
    /// The birth clock before the reservation.
    before: u64,
}

impl Launches {
    /// What is made now is inherited by processes born later than this.
    pub fn now(&mut self) -> u64 {
        look_after_forked();
        self.0.retain(|launch| !members::has_begun(launch.row));
        self.0
            .iter()
            .map(|launch| launch.before)
            .fold(members::births(), u64::min)
    }

    fn is_over(&mut self, row: Member) {
        self.0.retain(|launch| launch.row != row);
    }
}

/// Children that were forked and have not come to their rows: their lifelines. A forked child starts anew, and closes what it
/// has of these.
static FORKED: members::Place = members::Place::empty();

type Forked = Vec<(Member, Lifeline)>;

fn forked() -> MutexGuard<'static, Forked> {
    // SAFETY: the place is used with this type alone.
    let forked = unsafe { FORKED.get::<Mutex<Forked>>() };
    forked.lock().unwrap_or_else(|e| e.into_inner())
}

/// Free the rows of those that are gone.
pub fn look_after_forked() {
    forked().retain(|(row, lifeline)| {
        if !lifeline.is_whole() {
            return false;
        }
        let cut = lifeline.is_cut(0);
        let has_begun = members::has_begun(*row); // looked at afterwards: it begins, then cuts
        if cut && !has_begun {
            members::has_gone(*row);
        }
        !cut && !has_begun
    });
}

/// A row for a child that this process starts next: see `members::reserve_child`.
pub fn reserve_child() -> Result<Member, members::Crowded> {
    let mut cells = cells(); // nothing is made between the clock's tick and the note of it
    cells.launches.now();
    let before = members::births();
    let row = members::reserve_child()?;
    cells.launches.0.push(Launch { row, before });
    Ok(row)
}

/// The child for which this row was reserved runs with this pid, or (0) was not started.
pub fn child_started(row: Member, pid: u32) {
    cells().launches.is_over(row);
    match pid {
        0 => members::free_row(row),
        pid => members::note_child(row, pid),
    }
}

/// A fork by this thread that has not returned.
struct Fork {
    row: Option<Member>,
    lifeline: Option<(Lifeline, OwnedFd)>,
}

thread_local! {
    /// The innermost is the last: a hook, or a signal handler in one, may fork, too. A fork carries them into the child.
    static FORKS: RefCell<Vec<Fork>> = const { RefCell::new(Vec::new()) };
    /// The row of the child that this thread forked last.
    static LAST: Cell<Option<Member>> = const { Cell::new(None) };
}

/// This thread is about to fork.
pub fn before_fork() -> Result<(), members::Crowded> {
    let row = reserve_child();
    let fork = Fork {
        row: row.as_ref().ok().copied(),
        lifeline: process::lifeline(),
    };
    FORKS.with_borrow_mut(|forks| forks.push(fork));
    row.map(drop)
}

/// It has forked, or could not.
pub fn after_fork_in_parent() {
    let Some(fork) = FORKS.with_borrow_mut(Vec::pop) else {
        return; // there was no arena when it began
    };
    LAST.set(fork.row);
    let Some(row) = fork.row else { return };
    cells().launches.is_over(row);
    if let Some((ours, theirs)) = fork.lifeline {
        drop(theirs);
        forked().push((row, ours));
    }
    look_after_forked();
}

/// In the child.
pub fn after_fork_in_child() -> Result<(), members::Crowded> {
    // SAFETY: as in `forked`.
    if let Ok(mut forked) = unsafe { FORKED.get::<Mutex<Forked>>() }.try_lock() {
        forked.clear(); // else another thread of the parent's had it: then they stay open here
    }
    FORKED.forget();
    let forks = FORKS.take();
    let row = forks.last().and_then(|fork| fork.row);
    members::join_forked(row)?;
    drop(forks); // cuts the lifeline
    Ok(())
}

/// Forget which child this thread forked last.
pub fn forget_fork() {
    LAST.set(None);
}

/// The child that this thread forked last has this pid.
pub fn child_forked(pid: u32) {
    if let Some(row) = LAST.take() {
        members::note_child(row, pid);
        forked().retain(|(other, _)| *other != row);
    }
}

/// The pid of the child that this thread forked last, of whom nobody has told; waits for it to come to its row, a second at
/// most. None: there is no child, or it is not to be known here.
pub fn forked_pid() -> Option<u32> {
    let row = LAST.take()?;
    let waited_for = {
        let mut forked = forked();
        let at = forked.iter().position(|(other, _)| *other == row);
        at.map(|at| forked.swap_remove(at)) // else it has begun, or is gone
    };
    if let Some((row, lifeline)) = waited_for {
        lifeline.is_cut(1000);
        forked().push((row, lifeline));
    }
    members::pid_of_child(row)
}
