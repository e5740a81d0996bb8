//! Words that processes share and sleep on. Knows nothing of who the members are: liveness comes from above as a
//! function. README.md beside this file has the state tables and the proofs.

pub mod eventcount;
pub mod lock;
pub mod member;
pub mod wait;

pub use eventcount::EventCount;
pub use lock::{Guard, OwnerLock};
pub use member::Member;
pub use wait::{Outcome, Wait};
