//! The queue: a growing ring of slots between two internal locks. README.md has the steps, the proof and the deaths.

mod recover;
mod ring;
mod segment;

pub use ring::{Claim, Full, Ring};
pub use segment::{INLINE, Payload};
