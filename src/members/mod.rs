//! The member table: which processes belong to this family, and which of them are dead. README.md has the protocol.

use crate::arena::layout::{self, MEMBERS};
use crate::sync::member::STATE;
use crate::sync::{self, Member};
use crate::sys;
use crate::sys::process::Mark;
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
    pub const fn empty() -> Self {
        Place(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// Start anew. (For places that no page wipes; what was there is never freed.)
    pub fn forget(&self) {
        self.0.store(std::ptr::null_mut(), Release);
    }

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

/// Become a member, if this process is none yet; in the row that was reserved for it, if there is one. None: that row is
/// nobody's any more, since nobody wants this process.
fn join_in(reserved: Option<Member>) -> Result<Option<Member>, Crowded> {
    if let Some(m) = Member::of(private().me.load(Acquire)) {
        return Ok(Some(m));
    }
    let m = match reserved {
        // Alive first: whoever reserved the row frees no living one's, and so it is ours to write.
        Some(m) if live(m) => {
            write_life(m);
            m
        }
        Some(_) => return Ok(None),
        None => {
            let m = reserve(0)?; // nobody else knows of it
            write_life(m);
            live(m);
            m
        }
    };
    match private().me.compare_exchange(0, m.raw(), AcqRel, Acquire) {
        Ok(_) => Ok(Some(m)),
        Err(first) => {
            // Another thread was faster: nobody has seen this row's name.
            row(m.slot()).ident.store(m.word(FREE), Release);
            kill_point!("members.join.3");
            Ok(Member::of(first))
        }
    }
}

/// False: it is nobody's any more.
fn live(m: Member) -> bool {
    let lives = row(m.slot())
        .ident
        .compare_exchange(m.word(EMBRYO), m.word(ALIVE), AcqRel, Relaxed)
        .is_ok();
    kill_point!("members.join.2" if lives);
    lives
}

/// This process is the one that row `m` is for.
fn write_life(m: Member) {
    let (r, mark) = (row(m.slot()), Mark::mine());
    r.start.store(mark.start, Relaxed);
    r.stack.store(mark.stack, Relaxed);
    r.place.store(here(), Relaxed);
    r.life.store(pid_under(m, sys::process::pid()), Release);
    kill_point!("members.join.1");
}

/// Become a member, if this process is none yet.
pub fn join() -> Result<Member, Crowded> {
    Ok(join_in(None)?.expect("a row of its own"))
}

/// In a forked child: become a member, in the row that was reserved for it. (If that is nobody's any more, whoever forked it
/// took it for gone: in another.)
pub fn join_forked(reserved: Option<Member>) -> Result<Member, Crowded> {
    match join_in(reserved)? {
        Some(m) => Ok(m),
        None => join(),
    }
}

/// In a child that was not forked by its parent: take the row that the parent reserved; false: nobody wants this child any
/// more. A forkserver's child has one already, and its starter's speaks for it as well: it may have what that one gave it.
pub fn take_row(reserved: Member) -> Result<bool, Crowded> {
    if private().me.load(Acquire) == 0 {
        return Ok(join_in(Some(reserved))?.is_some());
    }
    let lives = live(reserved);
    if lives {
        write_life(reserved);
    }
    Ok(lives)
}

/// A row for a child that this process starts next.
pub fn reserve_child() -> Result<Member, Crowded> {
    reserve(join()?.raw())
}

/// Has the child that this row was reserved for come to it, or is the row nobody's by now?
pub fn has_begun(m: Member) -> bool {
    let r = row(m.slot());
    let word = r.ident.load(Acquire);
    word != m.word(EMBRYO) && (word != m.word(ALIVE) || pid_in(&r.life, m).is_some())
}

/// There is no child, or no more: the row that was reserved for it is free again.
pub fn free_row(m: Member) {
    let ident = &row(m.slot()).ident;
    let _ = ident.compare_exchange(m.word(EMBRYO), m.word(FREE), AcqRel, Relaxed);
    kill_point!("members.started.1");
}

/// The child that was forked for row `m` is gone, wherever it had got to.
pub fn has_gone(m: Member) {
    free_row(m);
    if !has_begun(m) {
        bury(m, m.word(ALIVE)); // it had just come to its row
    }
}

/// Our child, for which row `m` was reserved, has this pid: remember it, so that its death is seen even if it never gets to its
/// row.
pub fn note_child(m: Member, pid: u32) {
    let r = row(m.slot());
    loop {
        let before = r.outer.load(Acquire);
        if named(r.ident.load(Acquire)) != Some(m) {
            return; // it has ended, and others may have the row
        }
        r.outer_place.store(here(), Relaxed);
        if r.outer
            .compare_exchange(before, pid_under(m, pid), AcqRel, Relaxed)
            .is_ok()
        {
            break;
        }
    }
    kill_point!("members.started.1");
}

/// The pid of the child for which row `m` was reserved, if it has said so, and to us.
pub fn pid_of_child(m: Member) -> Option<u32> {
    let r = row(m.slot());
    let pid = pid_in(&r.life, m).filter(|_| r.place.load(Relaxed) == here());
    pid.filter(|_| named(r.ident.load(Acquire)) == Some(m)) // else it is gone, and the number may be another's
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
    bury(m, word);
    true
}

/// Member `m`, with this `ident`, is dead.
fn bury(m: Member, ident: u64) {
    let r = row(m.slot());
    if r.ident.compare_exchange(ident, m.word(FREE), AcqRel, Relaxed).is_ok() {
        kill_point!("members.bury.1");
        layout::header().deaths.fetch_add(1, AcqRel);
        kill_point!("members.bury.2");
    }
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
