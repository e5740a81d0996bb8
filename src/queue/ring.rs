//! Put, get and growth. Step names are those of README.md.

use super::segment::{CLAIMED, INLINE, Payload, RETURNED, STAGED, Segment, Slot};
use crate::arena::{self, blocks, layout};
use crate::cells::{self, Handle, Kind, parcel};
use crate::members;
use crate::sync::wait::{Slice, Slices};
use crate::sync::{EventCount, Outcome, OwnerLock, Wait};
use crate::sys::atomic::{AtomicU64, Ordering::*};

/// Slots of a queue's first segment: 10,000 idle queues take 11 MB.
const FIRST: u64 = 8;
/// Slots of its largest: 256 KiB, which stay in a second-level cache.
const LARGEST: u64 = 4096;

/// Nanoseconds between two looks at all members, by those who sleep and by those who poll: 16 idle workers cost 0.3 ms of
/// processor time a second in looks.
const IDLE_SWEEP: u64 = 200_000_000;
pub(super) const POLL_SWEEP: u64 = 10_000_000;

/// No number of deaths.
const LOOK: u64 = u64::MAX;

#[repr(C, align(64))]
pub struct Ring {
    ident: AtomicU64,
    /// 0: no limit.
    maxsize: AtomicU64,
    /// Messages whose work was reported done (JoinableQueue).
    done: AtomicU64,
    all_done: EventCount,
    pub(super) put: End,
    pub(super) get: End,
    not_empty: EventCount,
    not_full: EventCount,
    /// Segments that readers left while claims in them were open.
    pub(super) retired: AtomicU64,
    /// Deaths of the family up to which lost claims were looked for; LOOK: there is a returned one.
    pub(super) deaths_seen: AtomicU64,
    /// Not 0: what a reader died with is not the next one's, but waits for `recall`.
    pub(super) recalled: AtomicU64,
}

/// One end of the ring, on a cache line of its own.
#[repr(C, align(64))]
pub(super) struct End {
    pub(super) lock: OwnerLock,
    /// The index of the next message to put or get.
    pub(super) index: AtomicU64,
    pub(super) segment: AtomicU64,
}

/// Why a put did not happen.
#[derive(Debug)]
pub enum Full {
    Queue,
    Arena(arena::Full),
}

/// A message taken out, until it is safely with its reader.
pub struct Claim {
    ring: &'static Ring,
    slot: &'static Slot,
    pub payload: Payload,
}

impl Claim {
    /// The message's bytes.
    pub fn bytes(&self) -> &[u8] {
        let len = self.payload.len as usize;
        match self.payload.block() {
            None => &self.payload.data[..len],
            // SAFETY: the block belongs to the claimed slot until `Drop`, and holds at least `len` bytes.
            Some(b) => unsafe { &std::slice::from_raw_parts(layout::at::<u8>(b), len)[self.payload.list()..] },
        }
    }

    /// What travels with it.
    pub fn entries(&self) -> &[parcel::Entry] {
        match self.payload.block() {
            Some(b) if self.payload.list() > 0 => parcel::entries(b),
            _ => &[],
        }
    }

    /// A forked child's copy is nothing of its own.
    #[inline]
    fn is_mine(&self) -> bool {
        self.slot.word.load(Relaxed) == members::me().word(CLAIMED)
    }

    /// The reader cannot keep the message: it goes to the next.
    #[cold]
    pub fn give_back(self) {
        if !self.is_mine() {
            return;
        }
        let ring = self.ring;
        let g = ring.get.lock.guard(members::me(), members::is_dead);
        if g.inherited {
            ring.recover_get();
        }
        self.slot.word.store(members::me().word(RETURNED), Release); // [back.1]
        kill_point!("queue.back.1");
        ring.deaths_seen.store(LOOK, Relaxed); // [back.2]
        kill_point!("queue.back.2");
        drop(g);
        std::mem::forget(self);
        ring.not_empty.notify(1);
    }

    /// The reader has the message, and its block has to stay until the family ends.
    #[cold]
    pub fn leave_block(self) {
        if self.is_mine() {
            self.slot.word.store(0, Release); // [get.done]
            kill_point!("queue.get.done");
        }
        std::mem::forget(self);
    }

    /// Nobody wants the message: free it with all that travels with it. That is in our name first, so that our death frees it.
    #[cold]
    pub fn discard(self) {
        if !self.is_mine() {
            return;
        }
        let payload = self.payload;
        if let (Some(block), 1..) = (payload.block(), payload.list()) {
            parcel::take_all(block);
        }
        self.slot.word.store(0, Release); // [get.done]
        kill_point!("queue.get.done");
        std::mem::forget(self);
        payload.discard(); // [get.5]
        kill_point!("queue.get.5");
    }
}

impl Drop for Claim {
    /// [get.done] The reader has the message: free its slot, then its block. (A death between the two leaks a block; the
    /// other order would let the next reader find a freed one.)
    fn drop(&mut self) {
        if !self.is_mine() {
            return;
        }
        let block = self.payload.block();
        self.slot.word.store(0, Release);
        kill_point!("queue.get.done");
        if let Some(b) = block {
            arena::free(b); // [get.5]
            kill_point!("queue.get.5");
        }
    }
}

impl Ring {
    pub fn create(maxsize: u64) -> Result<Handle, arena::Full> {
        let h = cells::create(Kind::Queue, size_of::<Self>() as u64, |o| Self::of(o).destroy())?;
        let r = Self::of(h.offset);
        let first = Segment::create(FIRST, 0).inspect_err(|_| cells::release(h.offset))?;
        Segment::keep(first);
        r.maxsize.store(maxsize, Relaxed);
        r.put.segment.store(first, Relaxed);
        r.get.segment.store(first, Relaxed);
        Ok(h)
    }

    /// A queue without limits; what its readers die with waits for `recall`.
    pub fn create_recalled() -> Result<Handle, arena::Full> {
        let h = Self::create(0)?;
        Self::of(h.offset).recalled.store(1, Relaxed);
        Ok(h)
    }

    pub fn of(offset: u64) -> &'static Self {
        // SAFETY: the handle was checked to name a queue's cell; rings hold only atomics and stay mapped.
        unsafe { &*layout::at::<Self>(offset) }
    }

    pub const BYTES: u64 = size_of::<Self>() as u64;

    pub fn maxsize(&self) -> u64 {
        self.maxsize.load(Relaxed)
    }

    #[inline]
    pub fn len(&self) -> u64 {
        let head = self.get.index.load(Acquire);
        self.put.index.load(Acquire).saturating_sub(head)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A reader should not fall asleep: there is a message, or one was given back. (A look that finds none clears that.)
    #[inline]
    fn asks_for_a_look(&self) -> bool {
        !self.is_empty() || self.deaths_seen.load(Relaxed) == LOOK
    }

    /// Was anything ever put?
    pub fn was_used(&self) -> bool {
        self.put.index.load(Relaxed) > 0
    }

    pub fn is_full(&self) -> bool {
        let max = self.maxsize();
        max > 0 && self.len() >= max
    }

    // -- putting

    /// Put without waiting for anything; None if the lock is taken.
    #[inline]
    pub fn try_put(&self, p: &Payload) -> Option<Result<(), Full>> {
        let g = self.put.lock.try_guard(members::me())?;
        let r = self.put_locked(p);
        drop(g);
        if r.is_ok() {
            self.not_empty.notify(1);
        }
        Some(r)
    }

    /// Put, waiting for the lock and for room.
    pub fn put(&self, p: &Payload, wait: &mut Wait) -> Result<Outcome, arena::Full> {
        let mut slices = Slices::idle();
        loop {
            let r = {
                let g = self.put.lock.guard(members::me(), members::is_dead);
                if g.inherited {
                    self.recover_put();
                }
                self.put_locked(p)
            };
            match r {
                Ok(()) => {
                    self.not_empty.notify(1);
                    return Ok(Outcome::Done);
                }
                Err(Full::Arena(full)) => return Err(full),
                Err(Full::Queue) => {}
            }
            match self.not_full.sleep_unless(wait, &mut slices, || !self.is_full()) {
                Slice::Again | Slice::Supervise => {}
                Slice::TimedOut if !self.is_full() => {}
                Slice::TimedOut => return Ok(Outcome::TimedOut),
                Slice::Interrupted => return Ok(Outcome::Interrupted),
            }
        }
    }

    /// Put a message that was taken out to the end of this queue without limits, as it is; without memory for its slot it is
    /// the next reader's. (A death in between leaves it in both places: for the owner of a queue whose readers die with it.)
    pub fn put_back(&self, claim: Claim) -> Result<(), arena::Full> {
        debug_assert!(claim.is_mine());
        let g = self.put.lock.guard(members::me(), members::is_dead);
        if g.inherited {
            self.recover_put();
        }
        let put = self.put_locked(&claim.payload);
        drop(g);
        if let Err(Full::Arena(full)) = put {
            claim.give_back();
            return Err(full);
        }
        claim.slot.word.store(0, Release); // [withdraw.1] the block is the new slot's now
        kill_point!("queue.withdraw.1");
        std::mem::forget(claim);
        self.not_empty.notify(1);
        Ok(())
    }

    #[inline]
    fn put_locked(&self, p: &Payload) -> Result<(), Full> {
        let t = self.put.index.load(Relaxed);
        let max = self.maxsize.load(Relaxed);
        if max > 0 && t - self.get.index.load(Acquire) >= max {
            return Err(Full::Queue);
        }
        let mut segment = Segment::of(self.put.segment.load(Relaxed));
        if segment.next.load(Relaxed) != 0 || segment.slot(t).word.load(Acquire) != 0 {
            segment = self.advance(segment, t).map_err(Full::Arena)?; // pairs with [get.done]
        }
        let slot = segment.slot(t);
        // SAFETY: we hold the put lock and the slot is free.
        unsafe { slot.write(p) }; // [put.1]
        kill_point!("queue.put.1");
        slot.word.store(members::me().word(STAGED), Release); // [put.2]
        kill_point!("queue.put.2");
        if let Some(b) = p.block() {
            slot.carries(p); // not before put.2: a message that is put back has lived in another slot until here
            blocks::set_state(b, blocks::QUEUED); // [put.3]
            kill_point!("queue.put.3");
        }
        self.put.index.store(t + 1, Release); // [put.commit]
        kill_point!("queue.put.commit");
        Ok(())
    }

    /// The segment for message `t` when the present one is full, or was left by a writer who died before saying so.
    #[cold]
    fn advance(&self, mut segment: &'static Segment, t: u64) -> Result<&'static Segment, arena::Full> {
        loop {
            let next = segment.next.load(Acquire);
            if next == 0 {
                break;
            }
            self.put.segment.store(next, Release); // [grow.4]
            kill_point!("queue.grow.4");
            segment = Segment::of(next);
        }
        if segment.slot(t).word.load(Acquire) != 0 {
            let capacity = (segment.capacity.load(Relaxed) * 2).min(LARGEST);
            let fresh = Segment::create(capacity, t)?; // [grow.1]
            kill_point!("queue.grow.1");
            segment.end.store(t, Relaxed); // [grow.2]
            kill_point!("queue.grow.2");
            Segment::keep(fresh); // [grow.3]
            kill_point!("queue.grow.3");
            segment.next.store(fresh, Release); // [grow.commit]
            kill_point!("queue.grow.commit");
            self.put.segment.store(fresh, Release); // [grow.4]
            kill_point!("queue.grow.4");
            segment = Segment::of(fresh);
        }
        Ok(segment)
    }

    // -- getting

    /// Get without waiting for anything; None if the lock is taken.
    #[inline]
    pub fn try_get(&'static self) -> Option<Option<Claim>> {
        let g = self.get.lock.try_guard(members::me())?;
        let claim = self.get_locked();
        drop(g);
        if claim.is_some() {
            self.room();
        }
        Some(claim)
    }

    /// Get, waiting for the lock only.
    pub fn get_if_any(&'static self) -> Option<Claim> {
        let claim = {
            let g = self.get.lock.guard(members::me(), members::is_dead);
            if g.inherited {
                self.recover_get();
            }
            self.get_locked()
        };
        if claim.is_some() {
            self.room();
        }
        claim
    }

    /// Get, waiting for the lock and for a message. Done: there is a claim.
    pub fn get(&'static self, wait: &mut Wait) -> (Outcome, Option<Claim>) {
        let mut slices = Slices::idle();
        loop {
            let claim = self.get_if_any();
            if claim.is_some() {
                if !self.is_empty() {
                    self.not_empty.notify(1); // while we spun, writers woke nobody
                }
                return (Outcome::Done, claim);
            }
            match self
                .not_empty
                .sleep_unless_alone(members::me(), wait, &mut slices, || self.asks_for_a_look())
            {
                Slice::Again => {}
                Slice::Supervise => {
                    members::sweep_if_older(IDLE_SWEEP); // a reader may have died with a message in its hands
                }
                Slice::TimedOut if !self.is_empty() => {}
                Slice::TimedOut => {
                    let found = self.poll_the_dead();
                    return (
                        if found.is_some() {
                            Outcome::Done
                        } else {
                            Outcome::TimedOut
                        },
                        found,
                    );
                }
                Slice::Interrupted => return (Outcome::Interrupted, None),
            }
        }
    }

    #[inline]
    pub(super) fn room(&self) {
        if self.maxsize.load(Relaxed) > 0 {
            self.not_full.notify(1);
        }
    }

    #[inline]
    pub(super) fn get_locked(&'static self) -> Option<Claim> {
        if self.deaths_seen.load(Relaxed) != members::deaths()
            && let Some(claim) = self.claim_of_the_dead()
        {
            return Some(claim);
        }
        let h = self.get.index.load(Relaxed);
        if h == self.put.index.load(Acquire) {
            return None; // pairs with [put.commit]
        }
        let mut segment = Segment::of(self.get.segment.load(Relaxed));
        if segment.next.load(Acquire) != 0 {
            segment = self.follow(segment, h);
        }
        let slot = segment.slot(h);
        // SAFETY: we hold the get lock and the slot is committed.
        let payload = unsafe { slot.read() };
        slot.word.store(members::me().word(CLAIMED), Release); // [get.1]
        kill_point!("queue.get.1");
        self.get.index.store(h + 1, Release); // [get.commit]
        kill_point!("queue.get.commit");
        Some(self.claim(slot, payload))
    }

    /// Leave segments whose last message was taken.
    #[cold]
    pub(super) fn follow(&self, mut segment: &'static Segment, h: u64) -> &'static Segment {
        loop {
            let next = segment.next.load(Acquire);
            if next == 0 || segment.end.load(Relaxed) != h {
                return segment;
            }
            // No writer is in it: message `h` is committed, and its writer stored put.segment [grow.4] before.
            let left = self.get.segment.load(Relaxed);
            if self.retired.load(Relaxed) != left {
                segment.retired_next.store(self.retired.load(Relaxed), Relaxed);
                self.retired.store(left, Release); // [leave.1]
                kill_point!("queue.leave.1");
            }
            self.get.segment.store(next, Release); // [leave.commit]
            kill_point!("queue.leave.commit");
            segment = Segment::of(next);
            self.free_retired();
        }
    }

    /// Free the left segments in which no claim is open any more.
    fn free_retired(&self) {
        let mut link = &self.retired;
        loop {
            let at = link.load(Acquire);
            if at == 0 {
                return;
            }
            let s = Segment::of(at);
            if s.slots().any(|slot| slot.word.load(Acquire) != 0) {
                link = &s.retired_next;
            } else {
                link.store(s.retired_next.load(Relaxed), Release); // [leave.3]
                kill_point!("queue.leave.3");
                arena::free(at); // [leave.4]
                kill_point!("queue.leave.4");
            }
        }
    }

    #[inline]
    pub(super) fn claim(&'static self, slot: &'static Slot, payload: Payload) -> Claim {
        Claim {
            ring: self,
            slot,
            payload,
        }
    }

    // -- JoinableQueue

    /// One message's work is done; false if more was reported than put.
    pub fn task_done(&self) -> bool {
        let put = || self.put.index.load(Acquire); // again for each look at `done`, which is never ahead of it
        let counted = self
            .done
            .fetch_update(AcqRel, Acquire, |d| (d < put()).then_some(d + 1));
        kill_point!("queue.done.1" if counted.is_ok());
        if counted.is_ok_and(|before| before + 1 == put()) {
            self.all_done.notify_all();
        }
        counted.is_ok()
    }

    pub fn unfinished(&self) -> u64 {
        self.put.index.load(Acquire).saturating_sub(self.done.load(Acquire))
    }

    pub fn join(&self, wait: &mut Wait) -> Outcome {
        let mut slices = Slices::idle();
        loop {
            if self.unfinished() == 0 {
                return Outcome::Done;
            }
            match self.all_done.sleep_unless(wait, &mut slices, || self.unfinished() == 0) {
                Slice::Again | Slice::Supervise => {}
                Slice::TimedOut => return Outcome::TimedOut,
                Slice::Interrupted => return Outcome::Interrupted,
            }
        }
    }

    /// Sleep until there is a message, without taking it. For the thread behind `fileno()`.
    pub fn wait_for_message(&self, wait: &mut Wait) -> Outcome {
        let mut slices = Slices::idle();
        let mut woken = false;
        loop {
            if !self.is_empty() || self.has_come_back() {
                if woken {
                    self.not_empty.notify(1); // we took a wake-up and no message: pass it on
                }
                return Outcome::Done;
            }
            match self
                .not_empty
                .sleep_unless(wait, &mut slices, || self.asks_for_a_look())
            {
                Slice::Again => woken = true,
                Slice::Supervise => {
                    members::sweep_if_older(IDLE_SWEEP);
                }
                Slice::TimedOut => {
                    members::sweep_if_older(POLL_SWEEP);
                    let found = !self.is_empty() || self.has_come_back();
                    return if found { Outcome::Done } else { Outcome::TimedOut };
                }
                Slice::Interrupted => return Outcome::Interrupted,
            }
        }
    }
}

const _: () = assert!(size_of::<Slot>() == 64 && INLINE == 48 && std::mem::offset_of!(Payload, data) == 8);
