//! The queue: a message that was committed comes to exactly one completed `get()`, whoever dies; one that was not, to
//! none.

use lightwork_models::arena::{self, blocks, layout};
use lightwork_models::cells::{self, Handle};
use lightwork_models::family::{self, EARLIER, MAIN, VICTIM, die_before, process};
use lightwork_models::members;
use lightwork_models::model::with_deaths;
use lightwork_models::queue::{Claim, INLINE, Payload, Ring};
use lightwork_models::sync::{Outcome, Wait};
use lightwork_models::sys::atomic::UnsafeCell;
use std::cell::RefCell;
use std::rc::Rc;

/// Slots of a queue's first segment.
const FIRST: u32 = 8;
/// Bytes of a message that has a block.
const LONG: u32 = 64;

/// What came of the messages, by the name of who had them in its hands.
#[derive(Clone)]
struct Queue {
    handle: Handle,
    ring: &'static Ring,
    long: bool,
    read: Rc<RefCell<Vec<(usize, u32)>>>,
}

fn waiting<R>(deadline: Option<u64>, f: impl FnOnce(&mut Wait) -> R) -> R {
    let mut never = || false;
    f(&mut Wait {
        deadline,
        interrupted: &mut never,
        is_dead: members::is_dead,
    })
}

/// The bytes of a long message, as a word that loom looks after.
fn long_message(block: u64) -> &'static UnsafeCell<u32> {
    // SAFETY: the block holds at least four bytes, and is never given back.
    unsafe { &*layout::at::<UnsafeCell<u32>>(block) }
}

impl Queue {
    /// Of short messages, or of those that have a block.
    fn new(maxsize: u64, long: bool) -> Self {
        let handle = Ring::create(maxsize).unwrap();
        Queue {
            handle,
            ring: Ring::of(handle.offset),
            long,
            read: Rc::default(),
        }
    }

    /// A process that is to run with this queue.
    fn run(&self, name: usize, program: impl FnOnce(&Queue) + 'static) -> loom::thread::JoinHandle<Option<()>> {
        let queue = self.clone();
        process(name, move || program(&queue))
    }

    fn put(&self, message: u32) {
        let payload = if self.long {
            let block = arena::alloc(LONG as u64, blocks::LETTER).unwrap();
            // SAFETY: a valid pointer to a block of ours.
            long_message(block).with_mut(|to| unsafe { *to = message });
            Payload::in_block(message, LONG, block, 0)
        } else {
            Payload {
                kind: message,
                len: INLINE as u32,
                data: [message as u8; INLINE],
            }
        };
        assert_eq!(waiting(None, |w| self.ring.put(&payload, w)).unwrap(), Outcome::Done);
    }

    /// Is the message whole? Then it is ours.
    fn complete(&self, claim: Claim) {
        let message = claim.payload.kind;
        match claim.payload.block() {
            // SAFETY: a valid pointer to a block that the claim keeps.
            Some(b) => assert_eq!(long_message(b).with(|from| unsafe { *from }), message, "a torn message"),
            None => assert_eq!(claim.bytes(), [message as u8; INLINE], "a torn message"),
        }
        self.read.borrow_mut().push((family::me(), message));
        drop(claim);
    }

    fn claim(&self) -> Claim {
        let (outcome, claim) = waiting(None, |w| self.ring.get(w));
        assert_eq!(outcome, Outcome::Done);
        claim.expect("a message")
    }

    fn get(&self) {
        self.complete(self.claim());
    }

    fn get_all_that_is_there(&self) {
        while let (Outcome::Done, claim) = waiting(Some(0), |w| self.ring.get(w)) {
            self.complete(claim.expect("a message"));
        }
    }

    /// The main thread puts one more, so that it is the next writer, too, reads what there is, and does so again. Then
    /// each of the messages `put` was read once, and so were all that the victim put, of `by_victim`, before it died.
    fn settle(self, put: &[u32], by_victim: &[u32]) {
        const LAST: [u32; 2] = [98, 99];
        for message in LAST {
            self.put(message);
            self.get_all_that_is_there();
        }
        assert!(self.ring.is_empty());

        let mut read = Vec::new();
        for name in [MAIN, VICTIM, 2, 3, EARLIER] {
            let all = self.read.borrow();
            let of_this = all.iter().filter(|r| r.0 == name).map(|r| r.1);
            let completed = match name {
                VICTIM | EARLIER => family::passed_by(name, "queue.get.done") as usize,
                _ => usize::MAX,
            };
            read.extend(of_this.take(completed));
        }
        read.sort_unstable();
        let committed = match family::died() {
            true => family::passed("queue.put.commit") as usize,
            false => by_victim.len(),
        };
        let mut expected = [put, &by_victim[..committed], &LAST].concat();
        expected.sort_unstable();
        assert_eq!(read, expected, "what was read, and what was put");
        self.check_losses();
    }

    /// Drop the queue. What a death may cost is what queue/README.md says, and letters, which go by adoption.
    fn check_losses(self) {
        cells::release(self.handle.offset);
        let deaths = [VICTIM, EARLIER].map(family::died_at);
        let died_at = |points: &[&str]| deaths.iter().flatten().filter(|p| points.contains(p)).count();
        let in_state = |state| arena::in_use().iter().filter(|b| b.1 == state).count();
        let lost_messages = if self.long { died_at(&["queue.get.done"]) } else { 0 };
        assert_eq!(in_state(blocks::QUEUED), lost_messages, "messages lost");
        assert_eq!(
            in_state(blocks::CELL),
            died_at(&["queue.grow.3", "queue.leave.3"]),
            "segments lost"
        );
        assert!(
            in_state(blocks::LETTER) <= deaths.iter().flatten().count(),
            "letters lost"
        );
    }
}

/// The victim writes two messages, which another reads; what it did not commit, the main thread puts instead.
fn written(maxsize: u64) {
    let queue = Queue::new(maxsize, maxsize == 0);
    let reader = queue.run(2, |q| (0..2).for_each(|_| q.get()));
    queue
        .run(VICTIM, |q| [1, 2].into_iter().for_each(|m| q.put(m)))
        .join()
        .unwrap();
    let missing = if family::died() {
        2 - family::passed("queue.put.commit")
    } else {
        0
    };
    let instead = [11, 12];
    let instead = &instead[..missing as usize];
    instead.iter().for_each(|&m| queue.put(m));
    reader.join().unwrap();
    queue.settle(instead, &[1, 2]);
}

#[test]
fn a_writer_dies() {
    with_deaths(|| written(0));
}

#[test]
fn a_writer_dies_that_waits_for_room() {
    with_deaths(|| written(1));
}

/// The victim reads two messages, which another writes.
fn read(long: bool) {
    let queue = Queue::new(0, long);
    let reader = queue.run(VICTIM, |q| (0..2).for_each(|_| q.get()));
    let writer = queue.run(2, |q| [1, 2].into_iter().for_each(|m| q.put(m)));
    reader.join().unwrap();
    writer.join().unwrap();
    queue.settle(&[1, 2], &[]);
}

#[test]
fn a_reader_dies() {
    with_deaths(|| read(false));
}

#[test]
fn a_reader_of_long_messages_dies() {
    with_deaths(|| read(true));
}

/// Two wait for a message each, and the victim may die with one in its hands.
#[test]
fn one_of_two_readers_dies() {
    with_deaths(|| {
        let queue = Queue::new(0, false);
        let readers = [VICTIM, 2].map(|name| queue.run(name, Queue::get));
        queue.put(1);
        queue.put(2);
        for reader in readers {
            reader.join().unwrap();
        }
        queue.settle(&[1, 2], &[]);
    });
}

#[test]
fn one_of_two_writers_dies() {
    with_deaths(|| {
        let queue = Queue::new(0, true);
        let writers = [(VICTIM, 1), (2, 2)].map(|(name, message)| queue.run(name, move |q| q.put(message)));
        for writer in writers {
            writer.join().unwrap();
        }
        queue.settle(&[2], &[1]);
    });
}

/// The first segment is full, but for slots that the main thread has in its hands.
fn full_segment(queue: &Queue) -> Claim {
    (0..FIRST).for_each(|m| queue.put(20 + m));
    let claim = queue.claim();
    (2..FIRST).for_each(|_| queue.get());
    claim
}

/// The victim's put makes the ring grow, or takes the slot that a reader frees meanwhile.
#[test]
fn a_writer_dies_that_needs_a_segment() {
    with_deaths(|| {
        let queue = Queue::new(0, false);
        (0..FIRST).for_each(|m| queue.put(20 + m));
        let reader = queue.run(2, Queue::get);
        let writer = queue.run(VICTIM, |q| q.put(1));
        reader.join().unwrap();
        writer.join().unwrap();
        queue.settle(&Vec::from_iter(20..20 + FIRST), &[1]);
    });
}

/// The victim leaves a segment with a claim open in it, and another that is given back meanwhile.
#[test]
fn a_reader_dies_that_leaves_a_segment() {
    with_deaths(|| {
        let queue = Queue::new(0, false);
        let claim = full_segment(&queue);
        queue.put(1);
        let reader = queue.run(VICTIM, |q| (0..2).for_each(|_| q.get()));
        let writer = queue.run(2, |q| q.put(2));
        queue.complete(claim);
        reader.join().unwrap();
        writer.join().unwrap();
        let put = Vec::from_iter((20..20 + FIRST).chain([1, 2]));
        queue.settle(&put, &[]);
    });
}

#[test]
fn a_reader_dies_that_gives_a_message_back() {
    with_deaths(|| {
        let queue = Queue::new(0, false);
        queue.put(1);
        let giver = queue.run(VICTIM, |q| {
            if let (_, Some(claim)) = waiting(Some(0), |w| q.ring.get(w)) {
                claim.give_back();
            }
        });
        let reader = queue.run(2, Queue::get);
        giver.join().unwrap();
        reader.join().unwrap();
        queue.settle(&[1], &[]);
    });
}

/// One has died in its use of the queue; the victim and another come upon what it left, and the victim dies, too.
fn recovered(
    point: &'static str,
    before: fn(&Queue),
    then: fn(&Queue, usize),
    put: &'static [u32],
    by_victim: &'static [u32],
) {
    with_deaths(move || {
        let queue = Queue::new(0, true);
        queue.put(1);
        queue.put(2);
        die_before((point, 1), || before(&queue));
        let heirs = [VICTIM, 2].map(|name| queue.run(name, move |q| then(q, name)));
        for heir in heirs {
            heir.join().unwrap();
        }
        queue.settle(put, by_victim);
    });
}

#[test]
fn who_finds_a_message_of_the_dead_dies() {
    for point in ["queue.get.1", "queue.get.commit"] {
        recovered(point, Queue::get, |q, _| q.get(), &[1, 2], &[]);
    }
}

#[test]
fn who_finds_half_a_put_dies() {
    for point in ["queue.put.2", "queue.put.3"] {
        let put = |q: &Queue, name| q.put(10 + name as u32);
        recovered(point, |q| q.put(3), put, &[1, 2, 12], &[11]);
    }
}

/// Work is reported done; who joins does not sleep on.
#[test]
fn who_reports_work_dies() {
    with_deaths(|| {
        let queue = Queue::new(0, false);
        queue.put(1);
        queue.put(2);
        queue.get_all_that_is_there();
        let join = |q: &Queue| assert_eq!(waiting(None, |w| q.ring.join(w)), Outcome::Done);
        let done = |q: &Queue| assert!(q.ring.task_done());
        let joiner = queue.run(3, join);
        let workers = [VICTIM, 2].map(|name| queue.run(name, done));
        for worker in workers {
            worker.join().unwrap();
        }
        if family::died() && family::passed("queue.done.1") == 0 {
            done(&queue);
        }
        joiner.join().unwrap();
        assert_eq!(queue.ring.unfinished(), 0);
    });
}

/// Who waits without taking passes its wake-up on.
#[test]
fn who_only_looks_dies() {
    with_deaths(|| {
        let queue = Queue::new(0, false);
        let look = |q: &Queue| assert_eq!(waiting(None, |w| q.ring.wait_for_message(w)), Outcome::Done);
        let looker = queue.run(VICTIM, look);
        let reader = queue.run(2, Queue::get);
        queue.put(1);
        reader.join().unwrap();
        queue.put(2);
        looker.join().unwrap();
        queue.settle(&[1, 2], &[]);
    });
}
