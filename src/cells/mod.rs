//! The primitives that live in one block each, and how long such a block lives. README.md has the lifetime's proof.

pub mod barrier;
pub mod event;
pub mod launches;
pub mod leases;
pub mod lock;
pub mod own;
pub mod parcel;
pub mod rows;
pub mod semaphore;
pub mod table;
pub mod waitlist;

use crate::arena::{self, Full, blocks, layout};
use crate::members;
use launches::Launches;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::{Mutex, MutexGuard};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    Lock = 1,
    RLock,
    Semaphore,
    WaitList,
    Event,
    Barrier,
    Queue,
    Memory,
    Rows,
}

/// The name of a cell: where, and which one of those that were there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handle {
    pub offset: u64,
    pub stamp: u64,
}

/// This process's side of a cell.
pub struct Local {
    /// The cell's first word, without its flags.
    ident: u64,
    handles: u32,
    /// Made here at this time of the birth clock; None for cells that came in a pickle.
    created: Option<u64>,
    /// It has an entry in the cell's table: see `leases`.
    leased: bool,
    destroy: fn(u64),
}

/// What this process knows of cells; a forked child starts with none.
#[derive(Default)]
pub struct Cells {
    held: HashMap<u64, Local>,
    limbo: Vec<Limbo>,
    launches: Launches,
}

/// A cell that its creator dropped while processes lived that could have inherited it.
pub struct Limbo {
    offset: u64,
    /// The cell's first word, without its flags: the block may be another's by now, if the last to let go freed it.
    ident: u64,
    created: u64,
    dropped: u64,
    destroy: fn(u64),
}

/// Entries in limbo before the living are looked at again: a look costs 3 us a process.
const PATIENCE: usize = 64;

/// Pickled otherwise than for a child's start or into a message of ours: who has it is unknown, so it stays.
const ESCAPED: u64 = 1 << 55;

const FLAGS: u64 = ESCAPED | leases::DROPPED;

/// The first word of each cell: kind (63..56), ESCAPED (55), DROPPED (54, see `leases`), stamp (53..0); 0 once the cell is
/// gone.
fn ident(offset: u64) -> &'static AtomicU64 {
    // SAFETY: every cell starts with this word, at an offset that `create` or `blocks::is_block` vouched for.
    unsafe { &*layout::at::<AtomicU64>(offset) }
}

/// A cell's first word, without its flags.
fn named(kind: Kind, stamp: u64) -> u64 {
    (kind as u64) << 56 | stamp
}

/// A new cell of `bytes` zeroed bytes (its first word included).
pub fn create(kind: Kind, bytes: u64, destroy: fn(u64)) -> Result<Handle, Full> {
    let offset = match arena::alloc_zeroed(bytes, blocks::LETTER) {
        Ok(o) => o,
        Err(full) => {
            tidy();
            arena::alloc_zeroed(bytes, blocks::LETTER).map_err(|_| full)?
        }
    };
    let stamp = layout::header().stamps.fetch_add(1, Relaxed) + 1;
    let created = {
        let mut cells = cells();
        let created = cells.launches.now();
        let local = Local {
            ident: named(kind, stamp),
            handles: 1,
            created: Some(created),
            leased: false,
            destroy,
        };
        cells.held.insert(offset, local);
        created
    };
    blocks::set_birth(offset, created);
    if kind == Kind::Memory {
        made_at(offset).store(created, Relaxed);
    }
    kill_point!("cells.make.1");
    ident(offset).store(named(kind, stamp), Release);
    kill_point!("cells.make.2");
    blocks::set_state(offset, blocks::CELL); // [make.commit] the maker's death frees it until here
    kill_point!("cells.make.commit");
    Ok(Handle { offset, stamp })
}

/// Does the cell that this handle names still exist, with this kind? Then this process holds it from now on.
pub fn attach(kind: Kind, h: Handle, bytes: u64) -> bool {
    if h.stamp >= leases::DROPPED || layout::base().is_null() || !blocks::is_block(h.offset, bytes) {
        return false;
    }
    if ident(h.offset).load(Acquire) & !FLAGS != named(kind, h.stamp) {
        return false;
    }
    cells()
        .held
        .entry(h.offset)
        .and_modify(|l| l.handles += 1)
        .or_insert(Local {
            ident: named(kind, h.stamp),
            handles: 1,
            created: None,
            leased: false,
            destroy: |_| {},
        });
    true
}

/// `attach` to a shared array that a message brings, which holds it meanwhile; it is freed when all have let go.
pub fn lease(h: Handle, bytes: u64) -> Result<bool, Full> {
    let _g = leases::lock();
    if !attach(Kind::Memory, h, bytes) {
        return Ok(false);
    }
    if let Err(full) = leases::enter(h.offset) {
        drop(_g);
        release(h.offset);
        return Err(full);
    }
    if let Some(local) = cells().held.get_mut(&h.offset) {
        local.leased = true;
        local.destroy = leases::destroy;
    }
    Ok(true)
}

/// The birth clock for what comes to this process now.
pub fn now() -> u64 {
    cells().launches.now()
}

/// A message's buffer, whose claim is over, is a cell of this process from now on; it came at the time `created`.
pub fn adopt(offset: u64, created: u64) {
    let mut cells = cells();
    blocks::set_birth(offset, created); // [keep.1]
    kill_point!("cells.keep.1");
    blocks::set_state(offset, blocks::CELL); // [keep.commit]
    kill_point!("cells.keep.commit");
    let local = Local {
        ident: ident(offset).load(Acquire) & !FLAGS,
        handles: 1,
        created: Some(created),
        leased: false,
        destroy: |_| {},
    };
    cells.held.insert(offset, local);
    own::note(offset);
}

/// A further handle object of a cell that this process holds.
pub fn hold_again(offset: u64) {
    if let Some(l) = cells().held.get_mut(&offset) {
        l.handles += 1; // else: inherited by fork, the parent's business
    }
}

/// The cell's handle went into a pickle whose fate we do not know.
pub fn escape(offset: u64) {
    ident(offset).fetch_or(ESCAPED, AcqRel);
}

fn escaped(offset: u64) -> bool {
    ident(offset).load(Acquire) & ESCAPED != 0
}

/// A handle object of this process is gone. The last one of the creator frees the cell when nobody else can hold it.
pub fn release(offset: u64) {
    let mut cells = cells();
    let Some(l) = cells.held.get_mut(&offset) else { return }; // inherited by fork: the parent's business
    l.handles -= 1;
    if l.handles > 0 {
        return;
    }
    let l = cells.held.remove(&offset).expect("looked up above");
    let id = ident(offset).load(Acquire);
    if id >> 56 == Kind::Memory as u64 {
        if !own::forget(offset) {
            return;
        }
        if leases::is_sent(offset) {
            drop(cells);
            release_sent(offset, l);
            return;
        }
    }
    let Some(created) = l.created else { return };
    let dropped = members::births();
    let heirless = dropped == created || members::no_heirs(created, dropped);
    // After the look at the heirs: one may have sent it on and died.
    if escaped(offset) {
        return;
    }
    if heirless {
        drop(cells);
        gone(offset, l.destroy);
        return;
    }
    let entry = Limbo {
        offset,
        ident: l.ident,
        created,
        dropped,
        destroy: l.destroy,
    };
    drop(cells);
    into_limbo(entry);
}

fn into_limbo(entry: Limbo) {
    let large = blocks::size(entry.offset) >= 1 << 20;
    let full = {
        let limbo = &mut cells().limbo;
        limbo.push(entry);
        limbo.len() >= PATIENCE && limbo.len().is_power_of_two()
    };
    if full || large {
        empty_limbo();
    }
}

/// The last handle object of this process to a shared array that was sent is gone.
fn release_sent(offset: u64, local: Local) {
    let dropped = members::births();
    let g = leases::lock();
    if let Some(again) = cells().held.get_mut(&offset) {
        again.created = again.created.or(local.created); // a message brought it while we waited for the lock
        return;
    }
    if local.leased {
        leases::leave(offset);
    }
    let made = local.created.unwrap_or_else(|| made_at(offset).load(Acquire));
    if local.created.is_some() {
        ident(offset).fetch_or(leases::DROPPED, AcqRel); // [dropped.1]
        kill_point!("cells.dropped.1");
    }
    if leases::is_orphaned(offset, made, local.created.map(|_| dropped)) {
        gone(offset, leases::destroy);
    } else if let Some(created) = local.created {
        drop(g);
        into_limbo(Limbo {
            offset,
            ident: local.ident,
            created,
            dropped,
            destroy: leases::destroy,
        });
    }
}

/// Is this cell, which we made, there still? A shared array that was sent is freed by whoever holds it last, and its block
/// may carry anything since; nobody else frees what is ours.
fn is_there(e: &Limbo) -> bool {
    blocks::word_at(e.offset) == members::me().word(blocks::CELL) && ident(e.offset).load(Acquire) & !FLAGS == e.ident
}

/// The third word of a Memory cell: when it was made, on the birth clock.
pub fn made_at(offset: u64) -> &'static AtomicU64 {
    // SAFETY: a Memory cell has 64 bytes before its content.
    unsafe { &*layout::at::<AtomicU64>(offset + 16) }
}

/// Free what nobody can hold any more.
pub fn empty_limbo() {
    while free_from_limbo() {} // a queue's messages may have held what was looked at before it
}

/// One look at each; was one freed?
fn free_from_limbo() -> bool {
    let waiting = {
        let mut cells = cells();
        let mut waiting = std::mem::take(&mut cells.limbo);
        waiting.retain(|e| {
            // If it came back to us, it is held again. Sent on by an heir: somebody unknown may have it.
            let back = cells.held.get_mut(&e.offset).filter(|local| local.ident == e.ident);
            if let Some(local) = back {
                (local.created, local.destroy) = (Some(e.created), e.destroy);
                return false;
            }
            is_there(e) && !escaped(e.offset)
        });
        waiting
    };
    let mut freed = false;
    for e in waiting {
        let _g = leases::lock();
        if !is_there(&e) {
            continue;
        }
        if leases::is_held(e.offset) || members::heirs_alive(e.created, Some(e.dropped)) {
            cells().limbo.push(e);
        } else if !escaped(e.offset) {
            gone(e.offset, e.destroy);
            freed = true;
        }
    }
    freed
}

/// After deaths: free what waited for them, and what the dead had.
pub fn after_deaths() {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    let deaths = members::deaths();
    if SEEN.swap(deaths, Relaxed) != deaths {
        if !cells().limbo.is_empty() {
            empty_limbo();
        }
        free_of_the_dead();
    }
}

/// Look for all that nobody has any more.
pub fn tidy() {
    members::sweep();
    launches::look_after_forked(); // those that are gone before they had begun are nobody's heirs
    blocks::free_unfinished();
    empty_limbo(); // queues first: their messages hold the rest
    parcel::free_of_the_dead();
    free_of_the_dead();
    empty_limbo();
}

/// Free the large arrays of the dead that nobody holds or can have inherited.
fn free_of_the_dead() {
    for (offset, created, word) in blocks::large_of_the_dead(blocks::CELL) {
        if members::heirs_alive(created, None) {
            continue;
        }
        let _g = leases::lock();
        // Looked at after the heirs' deaths: one may have sent it on before.
        let id = ident(offset).load(Acquire);
        let free = id >> 56 == Kind::Memory as u64 && id & ESCAPED == 0 && !leases::is_held(offset);
        if free && blocks::take(offset, word, blocks::CELL) {
            gone(offset, leases::destroy);
        }
    }
}

fn gone(offset: u64, destroy: fn(u64)) {
    destroy(offset); // [drop.1]
    kill_point!("cells.drop.1");
    blocks::set_state(offset, blocks::LETTER); // [drop.2] from here on our death frees it
    kill_point!("cells.drop.2");
    ident(offset).store(0, Release); // [drop.3]
    kill_point!("cells.drop.3");
    arena::free(offset); // [drop.commit]
}

fn cells() -> MutexGuard<'static, Cells> {
    // SAFETY: nobody else uses the place.
    let cells = unsafe { members::private().cells.get::<Mutex<Cells>>() };
    cells.lock().unwrap_or_else(|e| e.into_inner())
}
