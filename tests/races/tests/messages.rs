//! Blocks of all sizes, and queues that carry them: each message comes once, whole, and what it lay in is free then.

mod common;

use common::{Held, THREADS, rounds, together, waiting};
use lightwork_races::arena::{self, blocks};
use lightwork_races::cells::{
    self,
    parcel::{self, Entry},
};
use lightwork_races::queue::{INLINE, Payload, Ring};
use lightwork_races::sync::Outcome;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Some number that follows from these.
fn mix(a: usize, b: usize) -> usize {
    (a + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 7
}

fn fill(offset: u64, bytes: u64, with: u8) {
    // SAFETY: the block is the caller's, and this long.
    unsafe { std::ptr::write_bytes(arena::at::<u8>(offset), with, bytes as usize) };
}

fn is_filled(bytes: &[u8], with: u8) -> bool {
    bytes.iter().all(|&b| b == with)
}

/// A message of `len` bytes that all say `with`; beside it a large buffer, if it is to have one.
fn message(len: u64, with: u8, buffer: bool) -> Payload {
    if !buffer && len as usize <= INLINE {
        let (kind, len) = (with as u32, len as u32);
        return Payload {
            kind,
            len,
            data: [with; INLINE],
        };
    }
    let list = if buffer {
        parcel::list_bytes(1).max(INLINE + 8) as u64
    } else {
        0
    };
    let root = arena::alloc(list + len, blocks::LETTER).expect("room");
    fill(root + list, len, with);
    if buffer {
        let h = parcel::buffer(parcel::LEAST).expect("room");
        fill(h.offset + parcel::HEADER, parcel::LEAST, with);
        parcel::attach(root, &[Entry::buffer(h, parcel::LEAST, false)]).expect("room");
    }
    Payload::in_block(with as u32, (list + len) as u32, root, list as u32)
}

/// Writers and readers of one queue, `maxsize` as given. Every 64th message is given back once.
fn carry(maxsize: u64, n: usize, size: impl Fn(usize) -> (u64, bool) + Sync) {
    let once = OnceLock::new();
    let (sums, came): ([AtomicU64; 2], AtomicU64) = Default::default();
    together(THREADS, |thread| {
        let h = *once.get_or_init(|| Ring::create(maxsize).expect("room"));
        let ring = Ring::of(h.offset);
        for i in 0..n {
            if thread % 2 == 0 {
                let number = mix(thread, i);
                let (len, buffer) = size(number);
                sums[0].fetch_add(number as u8 as u64 + len, Relaxed);
                let payload = message(len, number as u8, buffer);
                assert_eq!(waiting(|w| ring.put(&payload, w)).expect("room"), Outcome::Done);
            } else {
                let mut claim = waiting(|w| ring.get(w)).1.expect("a message");
                if came.fetch_add(1, Relaxed) % 64 == 0 {
                    claim.give_back();
                    claim = waiting(|w| ring.get(w)).1.expect("a message");
                }
                let with = claim.payload.kind as u8;
                assert!(is_filled(claim.bytes(), with));
                sums[1].fetch_add(with as u64 + claim.bytes().len() as u64, Relaxed);
                let (mut buffers, came) = (Vec::new(), cells::now());
                for entry in claim.entries() {
                    parcel::take(entry);
                    buffers.push(entry.handle().offset);
                }
                drop(claim);
                for offset in buffers {
                    cells::adopt(offset, came);
                    // SAFETY: the buffer is ours by now, and so long.
                    let bytes = unsafe {
                        let at = arena::at::<u8>(offset + parcel::HEADER);
                        std::slice::from_raw_parts(at, parcel::LEAST as usize)
                    };
                    assert!(is_filled(bytes, with));
                    cells::release(offset);
                }
            }
        }
    });
    let h = *once.get().expect("made");
    assert!(Ring::of(h.offset).is_empty());
    drop(Held(h));
    assert_eq!(sums[0].load(Relaxed), sums[1].load(Relaxed));
}

#[test]
fn a_queue_without_limits_carries_messages_of_all_sizes() {
    carry(0, rounds(20_000), |number| ([8, 40, 200, 3000][number % 4], false));
}

#[test]
fn a_queue_of_three_carries_messages_of_all_sizes() {
    carry(3, rounds(5_000), |number| ([8, 40, 200, 70_000][number % 4], false));
}

#[test]
fn a_queue_carries_buffers() {
    carry(0, rounds(2_000), |number| (8, number.is_multiple_of(2)));
}

#[test]
fn blocks_are_freed_by_others() {
    static PLACES: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
    const SIZES: [u64; 6] = [64, 100, 1000, 30_000, 100_000, 2 << 20];
    let n = rounds(5_000);
    together(THREADS, |thread| {
        for i in 0..n {
            let number = mix(thread, i);
            let bytes = SIZES[if number.is_multiple_of(50) { 5 } else { number % 5 }];
            let block = arena::alloc(bytes, blocks::LETTER).expect("room");
            assert_eq!(block % 64, 0);
            fill(block, bytes.min(4096), number as u8);
            // AcqRel, as whatever hands a block on orders what was written to it.
            let other = PLACES[number % 64].swap(block, std::sync::atomic::Ordering::AcqRel);
            if other != 0 {
                // SAFETY: the block is ours now; the least one has 64 bytes.
                let bytes = unsafe { std::slice::from_raw_parts(arena::at::<u8>(other), 64) };
                assert!(is_filled(bytes, bytes[0]));
                arena::free(other);
            }
        }
    });
    for place in &PLACES {
        let block = place.load(Relaxed);
        if block != 0 {
            arena::free(block);
        }
    }
}
