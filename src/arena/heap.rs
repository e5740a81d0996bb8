//! Small blocks: spans that one member owns and cuts, so that taking one needs no lock that others use.
//!
//! A span is a run of granules: one owner word for each block, then the blocks. Only the span's owner takes blocks from
//! it; anybody frees one by storing 0 into its word. The owner's list of free blocks is private and only a cache: when
//! it is empty the words are read again. A dead owner's span is adopted by the next member that needs a span of its
//! class (CAS of the run's owner word); the dead one's uncommitted messages are freed by that.

use super::Full;
use super::layout::{GRANULE, at, descriptor};
use super::runs::{self, HELD, Kind};
use crate::members;
use crate::sync::Member;
use crate::sync::member::STATE;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::{Mutex, MutexGuard};

/// Block sizes in bytes: whole cache lines, two to a doubling.
pub const SIZES: [u64; 18] = [
    64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768,
];
pub const LARGEST: u64 = SIZES[SIZES.len() - 1];
/// A span holds at least this many blocks, so that its owner word table and its run are paid for.
const LEAST: u64 = 15;
/// Spans read before a new one is made: bounds the search when nearly all blocks are in use.
const LOOK: usize = 8;

/// What this process has of the heap; forgotten by a forked child, which owns none of it.
#[derive(Default)]
struct LocalHeap {
    classes: [Mutex<Class>; SIZES.len()],
    /// Of large blocks: how many bytes from each run's start on this process has brought in.
    brought_in: Mutex<HashMap<u64, u64>>,
}

#[derive(Default)]
struct Class {
    free: Vec<u64>,
    spans: Vec<u64>,
    cursor: usize,
    deaths_seen: u64,
}

fn local() -> &'static LocalHeap {
    // SAFETY: nobody else uses the place.
    unsafe { members::private().heap.get() }
}

fn brought_in_of_all() -> MutexGuard<'static, HashMap<u64, u64>> {
    local().brought_in.lock().unwrap_or_else(|e| e.into_inner())
}

pub fn brought_in(first: u64) -> u64 {
    brought_in_of_all().get(&first).copied().unwrap_or(0)
}

pub fn note_brought_in(first: u64, bytes: u64) {
    brought_in_of_all().insert(first, bytes);
}

fn class_for(bytes: u64) -> usize {
    SIZES.partition_point(|&s| s < bytes)
}

/// Where the parts of a span lie.
struct Span {
    at: u64,
    class: usize,
    count: u64,
}

impl Span {
    fn granules(class: usize) -> u64 {
        (SIZES[class] * LEAST).div_ceil(GRANULE)
    }

    fn of(first: u64, class: usize) -> Self {
        let bytes = Self::granules(class) * GRANULE;
        Span {
            at: first * GRANULE,
            class,
            count: (bytes - 64) / (SIZES[class] + 8),
        }
    }

    fn blocks_at(&self) -> u64 {
        self.at + (self.count * 8).next_multiple_of(64)
    }

    fn block(&self, i: u64) -> u64 {
        self.blocks_at() + i * SIZES[self.class]
    }

    fn word(&self, i: u64) -> &'static AtomicU64 {
        debug_assert!(i < self.count);
        // SAFETY: the table at the span's start has `count` words, inside the run; only atomics touch it.
        unsafe { &*at::<AtomicU64>(self.at + i * 8) }
    }

    fn index(&self, block: u64) -> u64 {
        (block - self.blocks_at()) / SIZES[self.class]
    }
}

/// The owner word of a small block.
pub fn word_of(block: u64) -> &'static AtomicU64 {
    let (first, class) = span_of(block);
    let s = Span::of(first, class);
    s.word(s.index(block))
}

fn span_of(block: u64) -> (u64, usize) {
    let g = block / GRANULE;
    let d = descriptor(g);
    let first = if runs::is(d, Kind::Inside) {
        d.link.load(Acquire)
    } else {
        g
    };
    (first, runs::class(descriptor(first)))
}

pub fn usable(block: u64) -> u64 {
    SIZES[span_of(block).1]
}

/// Does a block of a span start here?
pub fn is_block(offset: u64) -> bool {
    let d = descriptor(offset / GRANULE);
    if !runs::is(d, Kind::Span) && !runs::is(d, Kind::Inside) {
        return false;
    }
    let (first, class) = span_of(offset);
    let run = descriptor(first);
    if !runs::is(run, Kind::Span) || run.owner.load(Acquire) == 0 {
        return false; // left by a death between run.2 and run.commit
    }
    let s = Span::of(first, class);
    offset >= s.blocks_at() && s.index(offset) < s.count && s.block(s.index(offset)) == offset
}

fn class_lock(class: usize) -> MutexGuard<'static, Class> {
    local().classes[class].lock().unwrap_or_else(|e| e.into_inner())
}

/// A block of at least `bytes`, in `state`. Its memory holds old bytes.
pub fn alloc(bytes: u64, state: u64) -> Result<u64, Full> {
    let me = members::me();
    let class = class_for(bytes);
    let mut c = class_lock(class);
    let block = match c.free.pop() {
        Some(b) => b,
        None => refill(&mut c, class, me)?,
    };
    word_of(block).store(me.word(state), Release);
    kill_point!("arena.block.1");
    Ok(block)
}

#[cold]
fn refill(c: &mut Class, class: usize, me: Member) -> Result<u64, Full> {
    for _ in 0..c.spans.len().min(LOOK) {
        c.cursor = (c.cursor + 1) % c.spans.len();
        let span = Span::of(c.spans[c.cursor], class);
        collect(c, &span);
        if c.free.len() as u64 * 8 >= span.count {
            return Ok(c.free.pop().expect("just filled"));
        }
    }
    if let Some(b) = c.free.pop() {
        return Ok(b);
    }
    if let Some(b) = adopt(c, class, me) {
        return Ok(b);
    }
    let size = Span::granules(class);
    let prepare = |first, used_before| {
        for g in first + 1..first + size {
            let d = descriptor(g);
            d.link.store(first, Relaxed);
            d.info.store(runs::info(1, class, Kind::Inside), Release);
        }
        if used_before {
            let span = Span::of(first, class);
            for i in 0..span.count {
                span.word(i).store(0, Relaxed);
            }
        }
    };
    let cut = runs::Cut {
        class,
        prepare: &prepare,
    };
    let (first, _) = runs::alloc(size, Some(cut))?;
    let span = Span::of(first, class);
    c.spans.push(first);
    c.cursor = c.spans.len() - 1;
    c.free.extend((0..span.count).rev().map(|i| span.block(i)));
    Ok(c.free.pop().expect("a span has blocks"))
}

/// Put the span's free blocks into the cache.
fn collect(c: &mut Class, span: &Span) {
    for i in (0..span.count).rev() {
        if span.word(i).load(Acquire) == 0 {
            c.free.push(span.block(i));
        }
    }
}

/// Take over spans of this class whose owners died, until one has a free block. (Not all of them: the next member that looks
/// would find none and make a new one, and so would each that is born after it.)
fn adopt(c: &mut Class, class: usize, me: Member) -> Option<u64> {
    let deaths = members::deaths();
    if c.deaths_seen == deaths {
        return None;
    }
    runs::each(|first, d| {
        if !c.free.is_empty() || !runs::is(d, Kind::Span) || runs::class(d) != class {
            return;
        }
        let word = d.owner.load(Acquire);
        let Some(owner) = Member::of(word) else { return };
        if owner == me || !members::is_dead(owner) {
            return;
        }
        if d.owner.compare_exchange(word, me.word(HELD), AcqRel, Relaxed).is_err() {
            return;
        }
        kill_point!("arena.adopt.1");
        let span = Span::of(first, class);
        for i in 0..span.count {
            // A message of a dead writer that no queue took.
            let w = span.word(i).load(Acquire);
            if w & STATE == super::blocks::LETTER && Member::of(w).is_some_and(members::is_dead) {
                span.word(i).store(0, Release);
                kill_point!("arena.adopt.2");
            }
        }
        collect(c, &span);
        c.spans.push(first);
    });
    if c.free.is_empty() {
        c.deaths_seen = deaths; // there is nothing more to take over
    }
    c.free.pop()
}

/// Free a block: one store; if the span is ours the block goes to the cache at once.
pub fn free(block: u64) {
    let (first, class) = span_of(block);
    let d = descriptor(first);
    let span = Span::of(first, class);
    let word = span.word(span.index(block));
    if runs::owner(d) == Some(members::me()) {
        let mut c = class_lock(class);
        word.store(0, Release);
        c.free.push(block);
    } else {
        word.store(0, Release);
    }
    kill_point!("arena.block.2");
}

/// Each block of a span that is in use, and its owner word.
#[cfg(feature = "kill_points")]
pub fn each_block(first: u64, f: &mut impl FnMut(u64, u64)) {
    let span = Span::of(first, runs::class(descriptor(first)));
    for i in 0..span.count {
        match span.word(i).load(Acquire) {
            0 => {}
            word => f(span.block(i), word),
        }
    }
}
