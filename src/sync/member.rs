//! The name of a process in an owner word.

/// A participant: its slot in the member table and the generation of that slot.
///
/// | bits | meaning |
/// |---|---|
/// | 63..32 | generation, at least 1: a slot that is used again gets a new one |
/// | 31..24 | unused |
/// | 23..8 | slot |
/// | 7..0 | state, its meaning given by the word that holds it; zero in a `Member` |
///
/// An owner word is `member.raw() | state`, and 0 where nobody owns it. **A death** changes no word: whoever finds
/// that the member is dead (its process gone, or its slot in a later generation) may take what it owned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member(u64);

pub const STATE: u64 = 0xff;

impl Member {
    pub fn new(slot: usize, generation: u32) -> Self {
        debug_assert!(slot < 1 << 16 && generation > 0);
        Member((generation as u64) << 32 | (slot as u64) << 8)
    }

    /// The member that a word names, whatever its state; None for a word that nobody owns.
    #[inline]
    pub fn of(word: u64) -> Option<Self> {
        let m = word & !STATE;
        (m != 0).then_some(Member(m))
    }

    #[inline]
    pub fn raw(self) -> u64 {
        self.0
    }

    /// The owner word of this member in `state`.
    #[inline]
    pub fn word(self, state: u64) -> u64 {
        self.0 | state
    }

    #[inline]
    pub fn slot(self) -> usize {
        (self.0 >> 8) as usize & 0xffff
    }

    #[inline]
    pub fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}
