//! The member table: which processes belong to this family, and which of them are dead. README.md has the protocol.

use crate::arena::layout::{self, MEMBERS};
use crate::sync::member::STATE;
use crate::sync::{self, Member};
use crate::sys;
use crate::sys::process::Mark;
use std::cell::Cell;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, Ordering::*};

/// Nobody's slot: the generation of its last user stays in the word.
const FREE: u64 = 0;
/// Reserved by a parent for a child that it is about to start, or by a process that is writing its row.
const EMBRYO: u64 = 1;
const ALIVE: u64 = 2;
/// Taken, but its birth is not written yet: the row still shows its last user's. In place of the slot the word has the pid
/// of the process that is writing it, so that its death is seen.
const UNBORN: u64 = 3;

const NAME: usize = 48;

/// One process. See README.md for the states of `ident`.
#[repr(C, align(128))]
pub struct Row {
    ident: AtomicU64,
    /// Generation of the member that reserved this row, or 0: who knows the pid of an embryo.
    parent: AtomicU64,
    /// When this member was reserved, on the family's birth clock.
    birth: AtomicU64,
    /// Of its process: `sys::process::Mark`; 0: not known.
    start: AtomicU64,
    stack: AtomicU64,
    /// Its pid as it sees it itself, under the generation that it belongs to: the pid of the row's last user must not speak for
    /// the next. `place`, stored before it: in which namespaces.
    life: AtomicU64,
    place: AtomicU64,
    /// The same as its parent sees it.
    outer: AtomicU64,
    outer_place: AtomicU64,
    /// Not 0: reserved by one that inherited nothing (a forkserver). All that this member could inherit is that one's, and
    /// what it got for its start; for that the row speaks which the starter reserved.
    served: AtomicU64,
    name: [AtomicU8; NAME],
}

/// What this process keeps to itself. It lies in a page that reads as zeros in a forked child.
#[repr(C)]
pub struct Private {
    pub me: AtomicU64,
    /// `sys::process::namespaces`; 0: not asked yet.
    place: AtomicU64,
    /// `arena::heap`'s and `cells`' own.
    pub heap: Place,
    pub cells: Place,
}

/// Where a layer keeps what it knows about this process alone, made at the first need; a forked child starts anew.
#[repr(transparent)]
pub struct Place(AtomicPtr<()>);

impl Place {
    /// # Safety
    /// A place is only ever used with one type.
    #[inline]
    pub unsafe fn get<T: Default + Sync>(&self) -> &'static T {
        let p = self.0.load(Acquire).cast::<T>();
        if p.is_null() {
            return self.make();
        }
        // SAFETY: once stored, what `make` made is never freed, and it is a `T` (the caller's promise).
        unsafe { &*p }
    }

    #[cold]
    fn make<T: Default>(&self) -> &'static T {
        let fresh = Box::into_raw(Box::<T>::default());
        let first = self
            .0
            .compare_exchange(std::ptr::null_mut(), fresh.cast(), AcqRel, Acquire);
        // SAFETY: `fresh` is ours alone unless it was stored; what was stored is never freed.
        unsafe {
            match first {
                Ok(_) => &*fresh,
                Err(first) => {
                    drop(Box::from_raw(fresh));
                    &*first.cast()
                }
            }
        }
    }
}

const _: () = assert!(size_of::<Row>() as u64 == layout::MEMBER);

static PRIVATE: AtomicPtr<Private> = AtomicPtr::new(std::ptr::null_mut());

thread_local! {
    /// The row that this thread reserved for the child it is starting; a fork carries it into the child.
    static RESERVED: Cell<u64> = const { Cell::new(0) };
    /// The child that this thread forked last.
    static FORKED: Cell<u32> = const { Cell::new(0) };
}

pub fn init() -> std::io::Result<()> {
    sync::wait::init();
    if PRIVATE.load(Acquire).is_null() {
        PRIVATE.store(sys::memory::wiped_on_fork()?.cast(), Release);
    }
    Ok(())
}

#[inline]
pub fn private() -> &'static Private {
    // SAFETY: `init` ran when the module was imported; the page is never unmapped and an all-zero `Private` is valid.
    unsafe { &*PRIVATE.load(Relaxed) }
}

/// This process, registered at its first need.
#[inline]
pub fn me() -> Member {
    Member::of(private().me.load(Relaxed)).unwrap_or_else(register)
}

/// Who cannot get a row (only a process that was forked although `before_fork` failed) has no name to act in.
#[cold]
fn register() -> Member {
    join().unwrap_or_else(|crowded| panic!("{crowded}"))
}

fn row(slot: usize) -> &'static Row {
    debug_assert!(slot < MEMBERS);
    // SAFETY: the table is part of the arena's fixed layout, `slot` is below its length, and rows hold only atomics.
    unsafe { &*layout::at::<Row>(layout::MEMBERS_AT + slot as u64 * layout::MEMBER) }
}

/// No row is free: as many processes live as one family may have.
#[derive(Debug)]
pub struct Crowded;

impl std::fmt::Display for Crowded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "lightwork: more than {} live processes in one family", MEMBERS - 1)
    }
}

/// The namespaces of this process, which no process ever leaves.
fn here() -> u64 {
    let place = &private().place;
    match place.load(Relaxed) {
        0 => {
            let asked = sys::process::namespaces();
            place.store(asked, Relaxed);
            asked
        }
        known => known,
    }
}

/// Reserve a free row as an embryo; sweeps the dead once if none is free.
fn reserve(parent: u64) -> Result<Member, Crowded> {
    let h = layout::header();
    if h.place
        .compare_exchange(0, here(), AcqRel, Acquire)
        .is_err_and(|first| first != here())
    {
        h.places.store(1, Release); // before the row is UNBORN: its word has no room for where its pid is from
    }
    for attempt in 0..2 {
        for slot in 1..MEMBERS {
            let r = row(slot);
            let word = r.ident.load(Acquire);
            if word & STATE != FREE {
                continue;
            }
            let generation = (word >> 32) as u32 + 1;
            let unborn = (generation as u64) << 32 | (sys::process::pid() as u64) << 8 | UNBORN;
            if r.ident.compare_exchange(word, unborn, AcqRel, Relaxed).is_ok() {
                kill_point!("members.reserve.1");
                h.rows.fetch_max(slot as u64 + 1, AcqRel); // before the tick: who has seen that sees the row, too
                r.start.store(0, Relaxed);
                r.stack.store(0, Relaxed);
                r.name[0].store(0, Relaxed);
                let inherited_nothing = |parent: Member| row(parent.slot()).birth.load(Acquire) == 0;
                let served = Member::of(parent).is_some_and(inherited_nothing);
                r.served.store(served as u64, Relaxed);
                r.parent.store(parent, Relaxed);
                kill_point!("members.reserve.2");
                r.birth.store(h.births.fetch_add(1, AcqRel) + 1, Release);
                kill_point!("members.reserve.3");
                let next = Member::new(slot, generation);
                r.ident.store(next.word(EMBRYO), Release);
                kill_point!("members.reserve.4");
                return Ok(next);
            }
        }
        if attempt == 0 {
            sweep();
        }
    }
    Err(Crowded)
}

/// The member that a row's `ident` names; None if the row is nobody's, or nobody's yet.
fn named(ident: u64) -> Option<Member> {
    Member::of(ident).filter(|_| !matches!(ident & STATE, FREE | UNBORN))
}

/// A row that was taken and not written by a process that died is free again. Nobody had its name, so nothing has to be
/// looked for.
fn free_unborn(slot: usize, ident: u64) {
    let by = (ident >> 8) as u32 & 0xff_ffff;
    if layout::header().places.load(Acquire) == 0 && !sys::process::is_alive(by, Mark::default()) {
        let free = Member::new(slot, (ident >> 32) as u32).word(FREE);
        let _ = row(slot).ident.compare_exchange(ident, free, AcqRel, Relaxed);
        kill_point!("members.unborn.1");
    }
}

/// Make row `m`, which was reserved for it, this process's own; None if somebody took it for a dead one's meanwhile.
fn adopt(m: Member) -> Option<Member> {
    let r = row(m.slot());
    if r.ident.load(Acquire) != m.word(EMBRYO) {
        return None;
    }
    live_in(m);
    kill_point!("members.join.1");
    r.ident
        .compare_exchange(m.word(EMBRYO), m.word(ALIVE), AcqRel, Relaxed)
        .ok()?;
    kill_point!("members.join.2");
    match private().me.compare_exchange(0, m.raw(), AcqRel, Acquire) {
        Ok(_) => Some(m),
        Err(first) => {
            // Another thread was faster: nobody has seen this row's name.
            r.ident.store(m.word(FREE), Release);
            kill_point!("members.join.3");
            Member::of(first)
        }
    }
}

/// This process is the one that row `m` was reserved for.
fn live_in(m: Member) {
    let (r, mark) = (row(m.slot()), Mark::mine());
    r.start.store(mark.start, Relaxed);
    r.stack.store(mark.stack, Relaxed);
    r.place.store(here(), Relaxed);
    r.life.store(pid_under(m, sys::process::pid()), Release);
}

/// Become a member, if this process is none yet.
pub fn join() -> Result<Member, Crowded> {
    loop {
        if let Some(m) = Member::of(private().me.load(Acquire)) {
            return Ok(m);
        }
        let row = match Member::of(RESERVED.replace(0)) {
            Some(m) => m,
            None => reserve(0)?,
        };
        if let Some(m) = adopt(row) {
            return Ok(m);
        }
    }
}

/// A row for the child that this thread starts next. A forked child finds it by itself; others are told the word.
pub fn reserve_child() -> Result<u64, Crowded> {
    let m = reserve(join()?.raw())?;
    RESERVED.set(m.raw());
    Ok(m.raw())
}

/// The row that this thread reserved last and told nobody the pid of; 0: none.
pub fn reserved() -> u64 {
    RESERVED.get()
}

/// Is this row still waiting for the child that it was reserved for?
pub fn is_embryo(word: u64) -> bool {
    Member::of(word).is_some_and(|m| row(m.slot()).ident.load(Acquire) == m.word(EMBRYO))
}

/// The child runs: remember its pid, so that its death is seen even if it never gets to its row. 0: it was not started.
pub fn child_started(pid: u32) {
    let Some(m) = Member::of(RESERVED.replace(0)) else {
        return;
    };
    if pid == 0 {
        let embryo = &row(m.slot()).ident;
        let _ = embryo.compare_exchange(m.word(EMBRYO), m.word(FREE), AcqRel, Relaxed);
    } else {
        note_child(m, pid);
    }
    kill_point!("members.started.1");
}

/// Our child, for which row `m` was reserved, has this pid.
fn note_child(m: Member, pid: u32) {
    let r = row(m.slot());
    r.outer_place.store(here(), Relaxed);
    r.outer.store(pid_under(m, pid), Release);
}

/// This thread has forked, and nobody says what pid the child has: note it, so that its death is seen even if it never gets
/// to its row.
pub fn child_forked() {
    let Some(m) = Member::of(RESERVED.get()) else { return };
    let Ok(youngest) = sys::process::youngest_child() else {
        return; // whoever knows the pid will say it
    };
    RESERVED.set(0);
    let known = |pid| {
        (1..layout::header().rows.load(Acquire) as usize).any(|slot| {
            slot != m.slot()
                && named(row(slot).ident.load(Acquire))
                    .and_then(seen)
                    .is_some_and(|(p, _)| p == pid)
        })
    };
    match youngest {
        Some(pid) if !known(pid) => {
            FORKED.set(pid);
            note_child(m, pid);
        }
        // No child, or an older one: this one was reaped already, or there is none. (If it lives, it has got to its row.)
        _ => {
            let embryo = &row(m.slot()).ident;
            let _ = embryo.compare_exchange(m.word(EMBRYO), m.word(FREE), AcqRel, Relaxed);
        }
    }
    kill_point!("members.started.1");
}

/// The pid of the child that this thread forked last since this was asked; 0: none, or it is not known.
pub fn take_forked() -> u32 {
    FORKED.take()
}

fn pid_under(m: Member, pid: u32) -> u64 {
    (m.generation() as u64) << 32 | pid as u64
}

/// The pid that a word of this member's row holds, if it was written for this member.
fn pid_in(word: &AtomicU64, m: Member) -> Option<u32> {
    let pid = word.load(Acquire);
    ((pid >> 32) as u32 == m.generation()).then_some(pid as u32)
}

/// The pid of a member in its own eyes, or else in its parent's, if its row has it by now.
fn pid_of(m: Member) -> Option<u32> {
    let r = row(m.slot());
    pid_in(&r.life, m).or_else(|| pid_in(&r.outer, m))
}

/// The pid of a member in this process's eyes, if that can be known here, and what else tells it from others.
fn seen(m: Member) -> Option<(u32, Mark)> {
    let r = row(m.slot());
    let by = |pid, place: &AtomicU64| pid_in(pid, m).filter(|_| place.load(Relaxed) == here());
    let pid = by(&r.life, &r.place).or_else(|| by(&r.outer, &r.outer_place))?;
    let mark = match pid_in(&r.life, m) {
        Some(_) => Mark {
            start: r.start.load(Relaxed),
            stack: r.stack.load(Relaxed),
        },
        None => Mark::default(),
    };
    Some((pid, mark))
}

/// In a child that was not forked by its parent: take the row that the parent reserved. A forkserver's child has one already,
/// and its parent's speaks for it as well: it may have what that one gave it.
pub fn take_row(word: u64) -> Result<Member, Crowded> {
    RESERVED.set(word);
    let me = join()?;
    let reserved = Member::of(RESERVED.replace(0)).filter(|_| is_embryo(word));
    if let Some(m) = reserved {
        live_in(m);
    }
    Ok(me)
}

/// Is this member gone? Frees its row if so: from then on its generation alone says that it is dead.
pub fn is_dead(m: Member) -> bool {
    if private().me.load(Relaxed) == m.raw() {
        return false;
    }
    let r = row(m.slot());
    let word = r.ident.load(Acquire);
    if word & !STATE != m.raw() || word & STATE == FREE {
        return true;
    }
    if seen(m).is_none_or(|(pid, mark)| sys::process::is_alive(pid, mark)) {
        return false;
    }
    if r.ident.compare_exchange(word, m.word(FREE), AcqRel, Relaxed).is_ok() {
        kill_point!("members.bury.1");
        layout::header().deaths.fetch_add(1, AcqRel);
        kill_point!("members.bury.2");
    }
    true
}

/// This process was started anew, and given nothing: it is no heir of what was made before it.
pub fn inherit_nothing() {
    row(me().slot()).birth.store(0, Release);
}

/// Look at every member; returns how many deaths the family has seen.
pub fn sweep() -> u64 {
    for slot in 1..layout::header().rows.load(Acquire) as usize {
        let word = row(slot).ident.load(Acquire);
        if word & STATE == UNBORN {
            free_unborn(slot, word);
        } else if let Some(m) = named(word) {
            is_dead(m);
        }
    }
    deaths()
}

/// `sweep`, if nobody of the family did so within the last `age` nanoseconds: many waiters share one look at the members
/// (3 us each). True if there was a death.
#[cold]
pub fn sweep_if_older(age: u64) -> bool {
    let last = &layout::header().swept;
    let (before, now) = (last.load(Relaxed), sys::clock::now());
    if now < before + age || last.compare_exchange(before, now, AcqRel, Relaxed).is_err() {
        return false;
    }
    let deaths = deaths();
    sweep() != deaths
}

/// How many deaths have been noticed in this family: who keeps something for the dead compares it with what it saw last.
#[inline]
pub fn deaths() -> u64 {
    layout::header().deaths.load(Acquire)
}

/// The family's birth clock: one tick for each process reserved.
#[inline]
pub fn births() -> u64 {
    layout::header().births.load(Acquire)
}

/// Could a member for which `counts` have inherited what was created at `created` (on the birth clock)? Those born before
/// have it only by a pickle. `dropped`: we made it, and dropped it then: we have it no more, and our own children born later
/// never had it. None: a dead process made it, and we may be an heir like all others.
fn has_heir(created: u64, dropped: Option<u64>, counts: impl Fn(Member) -> bool) -> bool {
    let mine = me();
    let born = births();
    let found = (1..layout::header().rows.load(Acquire) as usize).any(|slot| {
        let r = row(slot);
        let word = r.ident.load(Acquire);
        let Some(m) = named(word) else {
            return word & STATE == UNBORN;
        };
        let (birth, parent) = (r.birth.load(Acquire), r.parent.load(Acquire));
        let ours = parent == mine.raw();
        let served = r.served.load(Acquire) != 0;
        let never = dropped.is_some_and(|d| m == mine || if ours { birth > d } else { served });
        birth > created && !never && counts(m)
    });
    // Whoever was born meanwhile may be the child of one whom we came too late for, in a row that we had passed.
    found || births() != born
}

/// Is there no possible heir of what we made and dropped, not even one whose death nobody noticed yet? One load of memory
/// for each row, where `heirs_alive` asks the kernel.
pub fn no_heirs(created: u64, dropped: u64) -> bool {
    !has_heir(created, Some(dropped), |_| true)
}

/// Does a possible heir live? `dropped`: see `has_heir`.
pub fn heirs_alive(created: u64, dropped: Option<u64>) -> bool {
    has_heir(created, dropped, |m| !is_dead(m))
}

/// The pid and the process name of a member, also of a dead one whose row nobody has taken since.
pub fn describe(m: Member) -> (u32, String) {
    let Some(pid) = pid_of(m) else {
        return (0, String::new());
    };
    let r = row(m.slot());
    let bytes: Vec<u8> = r.name.iter().map(|b| b.load(Relaxed)).take_while(|&b| b != 0).collect();
    (pid, String::from_utf8_lossy(&bytes).into_owned())
}

/// Tell the others this process's name (cut to what the row holds).
pub fn set_name(name: &str) {
    let r = row(me().slot());
    let bytes = name.bytes().take(NAME - 1).chain(std::iter::repeat(0));
    for (place, b) in r.name.iter().zip(bytes) {
        place.store(b, Relaxed);
    }
}

/// (state, pid in our eyes or 0) of each row in use.
#[cfg(feature = "kill_points")]
pub fn rows_in_use() -> Vec<(u64, u32)> {
    (1..layout::header().rows.load(Acquire) as usize)
        .map(|slot| row(slot).ident.load(Acquire))
        .filter(|word| word & STATE != FREE)
        .map(|word| (word & STATE, named(word).and_then(seen).map_or(0, |(pid, _)| pid)))
        .collect()
}
