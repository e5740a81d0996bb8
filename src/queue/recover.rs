//! What the dead left in a queue: half a put, half a get, messages in their hands, and the whole queue when nobody holds it.
//! Step names are those of README.md.

use super::ring::{Claim, POLL_SWEEP, Ring};
use super::segment::{CLAIMED, Payload, RETURNED, STAGED, Segment, Slot};
use crate::arena::{self, blocks};
use crate::members;
use crate::sync::Member;
use crate::sync::member::STATE;
use crate::sys::atomic::Ordering::*;

impl Ring {
    /// The last writer died inside: if it had staged a message without committing it, that message never was.
    pub(super) fn recover_put(&self) {
        let t = self.put.index.load(Relaxed);
        let segment = Segment::of(self.put.segment.load(Relaxed));
        let oldest = self.get.index.load(Acquire).max(segment.start.load(Relaxed));
        if segment.next.load(Acquire) != 0 || t - oldest >= segment.capacity.load(Relaxed) {
            return; // it had not come to [put.1]: the slot at `t` belongs to an older message
        }
        let slot = segment.slot(t);
        let staged = slot.word.load(Acquire);
        if staged & STATE == STAGED {
            // SAFETY: we hold the put lock and the writer of this slot is dead.
            let p = unsafe { slot.read() };
            if let (Some(b), Some(writer)) = (p.block(), Member::of(staged))
                && blocks::word_at(b) == writer.word(blocks::QUEUED)
            {
                p.discard(); // [unput.1] else it had not come to [put.3]: a LETTER goes by adoption, or has gone already
                kill_point!("queue.unput.1");
            }
            slot.word.store(0, Release); // [unput.commit]
            kill_point!("queue.unput.commit");
        }
    }

    /// The last reader died inside: a claim at the present index was never committed, the message is still queued.
    pub(super) fn recover_get(&self) {
        members::sweep();
        let h = self.get.index.load(Relaxed);
        if h != self.put.index.load(Acquire) {
            let segment = self.follow(Segment::of(self.get.segment.load(Relaxed)), h);
            segment.slot(h).word.store(members::me().word(STAGED), Release); // [unget.1]
            kill_point!("queue.unget.1");
        }
    }

    /// A message that a reader took and died with, or could not keep, goes to the next reader.
    #[cold]
    pub(super) fn claim_of_the_dead(&'static self) -> Option<Claim> {
        while let Some((slot, w)) = self.come_back() {
            let mine = members::me().word(CLAIMED);
            if slot.word.compare_exchange(w, mine, AcqRel, Relaxed).is_ok() {
                kill_point!("queue.again.1");
                // SAFETY: we hold the get lock; the slot was committed, and whoever claimed it has given it up.
                let payload = unsafe { slot.read() };
                return Some(self.claim(slot, payload));
            }
        }
        None
    }

    /// Take over what readers of a queue of this kind have died with.
    pub fn recall(&'static self) -> Vec<Claim> {
        let g = self.get.lock.guard(members::me(), members::is_dead);
        if g.inherited {
            self.recover_get();
        }
        let mine = members::me().word(CLAIMED);
        let of_the_dead = |slot: &&Slot| {
            let w = slot.word.load(Acquire);
            w & STATE == CLAIMED && Member::of(w).is_some_and(members::is_dead)
        };
        let take = |slot: &'static Slot| {
            slot.word.store(mine, Release); // [again.1]
            kill_point!("queue.again.1");
            // SAFETY: as in `claim_of_the_dead`.
            self.claim(slot, unsafe { slot.read() })
        };
        self.claimable().filter(of_the_dead).map(take).collect()
    }

    /// Under the get lock: the slots that readers may have claimed.
    fn claimable(&self) -> impl Iterator<Item = &'static Slot> {
        let mut at = self.retired.load(Acquire);
        let retired = std::iter::from_fn(move || {
            let s = (at != 0).then(|| Segment::of(at))?;
            at = s.retired_next.load(Relaxed);
            Some(s)
        });
        let current = Segment::of(self.get.segment.load(Relaxed));
        retired.chain([current]).flat_map(|s| s.slots())
    }

    /// Is there a message in the queue, or one that a reader has taken and is not done with?
    pub fn is_in_use(&self) -> bool {
        if !self.is_empty() {
            return true;
        }
        let g = self.get.lock.guard(members::me(), members::is_dead);
        if g.inherited {
            self.recover_get();
        }
        self.claimable()
            .any(|slot| matches!(slot.word.load(Acquire) & STATE, CLAIMED | RETURNED))
    }

    /// Under the get lock: the slot of such a message, and its word. None is remembered until the next death.
    fn come_back(&self) -> Option<(&'static Slot, u64)> {
        let deaths = members::deaths();
        let recalled = self.recalled.load(Relaxed) != 0;
        for slot in self.claimable() {
            let w = slot.word.load(Acquire);
            let given_up = match w & STATE {
                CLAIMED => !recalled && Member::of(w).is_some_and(members::is_dead),
                state => state == RETURNED,
            };
            if given_up {
                return Some((slot, w));
            }
        }
        self.deaths_seen.store(deaths, Relaxed);
        kill_point!("queue.again.2");
        None
    }

    /// For readers that never wait a whole slice: has one died with a message in its hands? The family
    /// looks at most once in POLL_SWEEP.
    #[cold]
    pub fn poll_the_dead(&'static self) -> Option<Claim> {
        if !members::sweep_if_older(POLL_SWEEP) && self.deaths_seen.load(Relaxed) == members::deaths() {
            return None;
        }
        self.get_if_any()
    }

    /// Is there a message that a reader took and died with?
    pub(super) fn has_come_back(&self) -> bool {
        if self.deaths_seen.load(Relaxed) == members::deaths() {
            return false;
        }
        let g = self.get.lock.guard(members::me(), members::is_dead);
        if g.inherited {
            self.recover_get();
        }
        self.come_back().is_some()
    }

    /// With the cell: free the messages that nobody has, those that the dead had included, and the segments.
    pub(super) fn destroy(&self) {
        let mut segments = Vec::new();
        let current = self.get.segment.load(Acquire);
        let mut at = self.retired.load(Acquire);
        while at != 0 {
            if at != current {
                segments.push(at); // else: a reader died between [leave.1] and [leave.commit]
            }
            at = Segment::of(at).retired_next.load(Acquire);
        }
        at = current;
        while at != 0 {
            segments.push(at);
            at = Segment::of(at).next.load(Acquire);
        }
        let mut found: Vec<_> = segments
            .iter()
            .flat_map(|&s| Segment::of(s).slots())
            .filter_map(nobodys)
            .collect();
        found.sort_unstable_by_key(|p| p.block());
        found.dedup_by_key(|p| p.block()); // one may be named twice, after a death in `put_back`
        for payload in found {
            payload.discard(); // [drop.1]
            kill_point!("queue.drop.1");
        }
        for at in segments {
            arena::free(at); // [drop.2]
            kill_point!("queue.drop.2");
        }
    }
}

/// What a slot of a queue that is dropped carries, if it has a block, and if neither a living reader has claimed it nor a
/// writer died before [put.3].
fn nobodys(slot: &Slot) -> Option<Payload> {
    let w = slot.word.load(Acquire);
    if w == 0 || w & STATE == CLAIMED && !Member::of(w).is_some_and(members::is_dead) {
        return None;
    }
    // SAFETY: nobody else holds the queue, and this slot was filled: [put.2].
    let payload = unsafe { slot.read() };
    let queued = |&b: &u64| blocks::word_at(b) & STATE == blocks::QUEUED;
    payload.block().filter(queued).map(|_| payload)
}
