//! A pool's side of the core: queues of tasks and results, and the rows of the workers.
//!
//! A message is a head (job, index, tag, elapsed as LEB128 numbers, then a word of bytes) and an object. A worker's claim
//! is in its row before its hold on the message ends: so a task is in the queue, or in a row, or its outcome is in the
//! result queue, whatever dies. In two of them for a moment: then the outcome counts, or else the row. So what a dead worker
//! had of the task queue no other takes over: the pool's owner looks at the rows, and gives back what none claims (`recall`).

use super::codec::{Letter, corrupt, encode, is_packed, not_kept, sealed, split, spread};
use super::handle::{Name, Share, arena_full, patience, share, waiting_in_one};
use crate::cells::Kind;
use crate::cells::rows::{self, Row};
use crate::queue::{Claim, Ring};
use crate::sync::Outcome;
use crate::sys::process;
use pyo3::exceptions::{PyIndexError, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PySet, PyTuple};

/// The rows of a pool's workers. A slot that there is not raises IndexError.
#[pyclass(subclass, frozen, module = "lightwork._native")]
pub struct Rows {
    share: Share,
    rows: &'static [Row],
}

impl Rows {
    fn row(&self, slot: usize) -> PyResult<&'static Row> {
        self.rows
            .get(slot)
            .ok_or_else(|| PyIndexError::new_err(format!("there are {} rows, no row {slot}", self.rows.len())))
    }

    /// The row of this process, which is the worker in `slot`.
    fn mine(&self, slot: usize) -> PyResult<&'static Row> {
        let row = self.row(slot)?;
        if row.is_mine() {
            Ok(row)
        } else {
            Err(PySystemExit::new_err(0))
        }
    }
}

#[pymethods]
impl Rows {
    #[new]
    #[pyo3(signature = (count = 0, **kwargs))]
    fn new(py: Python<'_>, count: u32, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let bytes = rows::bytes(count as u64);
        let share = share(py, kwargs, "table of workers", Kind::Rows, bytes, || {
            rows::make(count as u64)
        })?;
        Ok(Rows {
            rows: rows::rows(share.offset()),
            share,
        })
    }

    /// This process is the worker in `slot` from now on.
    fn begin(&self, slot: usize) -> PyResult<()> {
        self.row(slot)?.begin();
        Ok(())
    }

    /// The worker in `slot` is through with its initializer.
    fn ready(&self, slot: usize) -> PyResult<()> {
        self.row(slot)?.set_ready(true);
        Ok(())
    }

    /// The worker in `slot` goes on to these items of its piece. Raises SystemExit in a process that the task has forked.
    fn progress(&self, slot: usize, first: u32, count: u32) -> PyResult<()> {
        self.mine(slot)?.progress(first, count);
        Ok(())
    }

    /// Is this process the worker in `slot`? Not one that a task has forked.
    fn is_mine(&self, slot: usize) -> PyResult<bool> {
        Ok(self.row(slot)?.is_mine())
    }

    /// Empty a row, between two workers.
    fn clear(&self, slot: usize) -> PyResult<()> {
        self.row(slot)?.clear();
        Ok(())
    }

    /// Kill the worker in `slot`, a process (pid, its pidfd or -1 if none is to be had), unless it has come to something else
    /// than this job, and this piece and these items of it where they are given. Returns whether it was killed; not either if it
    /// is just coming to something else.
    #[pyo3(signature = (slot, process, job, index = None, items = None))]
    fn end_task(
        &self,
        slot: usize,
        process: (u32, i32),
        job: u64,
        index: Option<u64>,
        items: Option<(u64, u64)>,
    ) -> PyResult<bool> {
        let (pid, pidfd) = process;
        Ok(self
            .row(slot)?
            .end_task(job, index, items, || process::kill(pid, pidfd))?)
    }

    /// (job or 0, index, (first item, how many), nanoseconds on these, ready, tasks done, nanoseconds spent on them).
    fn read(&self, slot: usize) -> PyResult<rows::Report> {
        Ok(self.row(slot)?.read())
    }

    fn _handle(&self, escapes: bool) -> Name {
        self.share.name(escapes)
    }
}

/// What comes before the object.
struct Head<'a> {
    numbers: [u64; 4],
    word: &'a [u8],
}

impl<'a> Head<'a> {
    fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.word.len());
        for mut n in self.numbers {
            while n >= 0x80 {
                out.push(n as u8 | 0x80);
                n >>= 7;
            }
            out.push(n as u8);
        }
        out.extend_from_slice(self.word);
        out
    }

    fn read(mut bytes: &'a [u8]) -> PyResult<Self> {
        let mut numbers = [0; 4];
        for n in &mut numbers {
            for shift in (0..64).step_by(7) {
                let (&b, rest) = bytes.split_first().ok_or_else(corrupt)?;
                bytes = rest;
                *n |= ((b & 0x7f) as u64) << shift;
                if b < 0x80 {
                    break;
                }
            }
        }
        Ok(Head { numbers, word: bytes })
    }
}

/// Many numbers that still lie in their message: its receiver knows the list that they belong in.
#[pyclass(frozen, module = "lightwork._native")]
pub struct Packed {
    claim: Claim,
    /// The claim lies in it.
    _queue: Share,
}

#[pymethods]
impl Packed {
    /// Put them into `list`, from `start` on. Raises IndexError if it is too short.
    fn spread(&self, list: &Bound<'_, PyList>, start: usize) -> PyResult<()> {
        spread(&self.claim, list, start)
    }

    /// They as a list of their own.
    fn unpack<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(sealed(py, &self.claim)?.1) // numbers: nothing comes with them
    }
}

/// Results that one `receive` takes at most: while workers are faster than the reader it would never end.
const MANY: usize = 1024;

/// A queue of tasks or of results.
#[pyclass(subclass, frozen, module = "lightwork._native")]
pub struct TaskQueue {
    share: Share,
    ring: &'static Ring,
}

#[pymethods]
impl TaskQueue {
    /// `recalled`: what a reader took and died with waits for `recall`.
    #[new]
    #[pyo3(signature = (recalled = false, **kwargs))]
    fn new(py: Python<'_>, recalled: bool, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let share = share(py, kwargs, "queue of tasks", Kind::Queue, Ring::BYTES, || {
            if recalled {
                Ring::create_recalled()
            } else {
                Ring::create(0)
            }
        })?;
        Ok(TaskQueue {
            ring: Ring::of(share.offset()),
            share,
        })
    }

    /// Send a piece of a job. Raises what the pickler raises.
    fn put(&self, job: u64, index: u64, tag: u64, word: &Bound<'_, PyBytes>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        let head = Head {
            numbers: [job, index, tag, 0],
            word: word.as_bytes(),
        };
        self.send(obj.py(), encode(&head.write(), obj)?)
    }

    /// Send the outcome of what the worker in `slot` has claimed, and end the claim. Raises what the pickler raises, and
    /// SystemExit in a process that the task has forked; then the claim goes on.
    fn reply(&self, rows: &Rows, slot: usize, tag: u64, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        let row = rows.mine(slot)?;
        let (job, index) = row.claimed();
        let elapsed = row.elapsed();
        let head = Head {
            numbers: [job, index, tag, elapsed],
            word: &[],
        };
        self.send(obj.py(), encode(&head.write(), obj)?)?;
        row.done(elapsed);
        Ok(())
    }

    /// Wait for a task and claim it for the worker in `slot`: (job, index, tag, word, pickled, object). If `pickled`, the
    /// object is still its pickle, or a tuple of that, its buffers, and what has to be kept until it is read. Job 0 is no job and leaves no claim.
    fn take<'py>(&self, py: Python<'py>, rows: &Rows, slot: usize) -> PyResult<Bound<'py, PyTuple>> {
        let row = rows.mine(slot)?;
        let claim = match self.ring.try_get().flatten() {
            Some(claim) => claim,
            None => self.wait(py, None)?.expect("a wait without end gives a message"),
        };
        let taken = || {
            let head = Head::read(split(&claim)?.0)?;
            let [job, index, tag, _] = head.numbers;
            if job != 0 {
                row.claim(job, index);
            }
            let (pickled, obj, enclosed) = sealed(py, &claim)?;
            let task = (job, index, tag, PyBytes::new(py, head.word), pickled, obj).into_pyobject(py)?;
            Ok((task, enclosed))
        };
        match taken() {
            Ok((task, enclosed)) => {
                drop(claim);
                enclosed.keep();
                Ok(task)
            }
            Err(e) => {
                claim.discard();
                Err(e)
            }
        }
    }

    /// Of what readers took and died with: what a row claims is that row's alone from now on, and the rest is in the queue
    /// again. For who made both; other readers do not take it over.
    fn recall(&self, py: Python<'_>, rows: &Rows) {
        let (ring, rows) = (self.ring, rows.rows);
        py.detach(|| {
            for claim in ring.recall() {
                let task = split(&claim).and_then(|(head, _)| Ok(Head::read(head)?.numbers));
                let claimed = |job, index| rows.iter().any(|row| row.claimed() == (job, index));
                match task {
                    Ok([job, index, ..]) if job == 0 || !claimed(job, index) => claim.give_back(),
                    _ => claim.discard(),
                }
            }
        });
    }

    /// Call `sink` for each result that is there (up to a thousand), waiting at most `timeout` seconds for the first: (job,
    /// index, tag, nanoseconds, pickled, object), the object of many numbers being a `Packed`. Returns how many there were.
    /// No Python code runs in between (if `sink` runs none), so that no signal handler can come between a result's leaving
    /// the queue and its arrival.
    fn receive(&self, sink: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<usize> {
        let py = sink.py();
        let mut claim = self.ring.try_get().flatten();
        if claim.is_none() && timeout.is_none_or(|t| t > 0.0) {
            claim = self.wait(py, timeout)?;
        }
        let mut count = 0;
        while let Some(c) = claim {
            let [job, index, tag, elapsed] = Head::read(split(&c)?.0)?.numbers;
            if is_packed(&c) {
                let packed = Packed {
                    claim: c,
                    _queue: self.share.again(),
                };
                sink.call1(((job, index, tag, elapsed, false, Bound::new(py, packed)?),))?;
            } else {
                let (pickled, obj, enclosed) = match sealed(py, &c) {
                    Ok(found) => found,
                    Err(e) => return Err(not_kept(py, c, e)),
                };
                if let Err(e) = sink.call1(((job, index, tag, elapsed, pickled, obj),)) {
                    return Err(not_kept(py, c, e));
                }
                drop(c);
                enclosed.keep();
            }
            count += 1;
            claim = if count < MANY {
                self.ring.try_get().flatten()
            } else {
                None
            };
        }
        Ok(count)
    }

    /// Is there a task here, or one that a worker has taken and not yet claimed in its row?
    fn is_in_use(&self, py: Python<'_>) -> bool {
        py.detach(|| self.ring.is_in_use())
    }

    /// Take the tasks of these jobs out of the queue; returns the jobs of those that were there. (Of some, if shared memory
    /// is so full that others cannot be passed over.)
    fn withdraw(&self, py: Python<'_>, jobs: &Bound<'_, PySet>) -> PyResult<Vec<u64>> {
        let jobs: std::collections::HashSet<u64> = jobs.extract()?;
        let ring = self.ring;
        let taken = py.detach(|| {
            let mut taken = Vec::new();
            for _ in 0..ring.len() {
                let Some(claim) = ring.get_if_any() else { break };
                let job = split(&claim)
                    .and_then(|(head, _)| Head::read(head))
                    .map(|head| head.numbers[0]);
                match job {
                    Ok(job) if jobs.contains(&job) => {
                        claim.discard();
                        taken.push(job);
                    }
                    _ if ring.put_back(claim).is_err() => break, // no room: the rest stays
                    _ => {}
                }
            }
            taken
        });
        Ok(taken)
    }

    fn _handle(&self, escapes: bool) -> Name {
        self.share.name(escapes)
    }
}

impl TaskQueue {
    fn send(&self, py: Python<'_>, letter: Letter) -> PyResult<()> {
        match self.ring.try_put(letter.payload()) {
            Some(Ok(())) => {}
            _ => {
                let ring = self.ring;
                let out = waiting_in_one(py, None, |w| ring.put(letter.payload(), w))?;
                out.map_err(|full| arena_full(py, full))?;
            }
        }
        letter.sent();
        Ok(())
    }

    /// A message, or None if the time is over.
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Claim>> {
        let ring = self.ring;
        let (out, claim) = waiting_in_one(py, patience(true, timeout), |w| ring.get(w))?;
        debug_assert!(claim.is_some() || out == Outcome::TimedOut);
        Ok(claim)
    }
}
