//! Memory for one execution. A block is never used again, so that a use after its release is seen: `check`.

pub use blocks::{alloc, free};

const SIZE: usize = 1 << 20;

#[derive(Debug)]
pub struct Full;

/// A new execution begins.
pub fn forget_all() {
    blocks::BLOCKS.with_borrow_mut(|all| all.clear());
}

/// Zeroed words and cells of a model's own.
pub fn zeroed<T>() -> &'static T {
    let offset = blocks::alloc_zeroed(size_of::<T>() as u64, blocks::CELL).expect("room");
    // SAFETY: models ask for structures of words and cells alone, which may be zero, and their words are never touched;
    // the memory is never given back, and aligned to 64.
    unsafe { &*layout::at::<T>(offset) }
}

/// The state of every block in use, by offset.
pub fn in_use() -> Vec<(u64, u64)> {
    use crate::sync::member::STATE;
    let used = |b: &blocks::Block| b.word != 0;
    blocks::BLOCKS.with_borrow(|all| {
        all.iter()
            .filter(|b| used(b))
            .map(|b| (b.offset, b.word & STATE))
            .collect()
    })
}

/// What somebody uses has to lie in a block that is not freed. Was that zeroed?
pub fn check_use(address: usize) -> bool {
    let offset = address.wrapping_sub(layout::base().addr()) as u64;
    blocks::BLOCKS.with_borrow(|all| {
        let block = all
            .iter()
            .find(|b| (b.offset..b.offset + b.bytes).contains(&offset))
            .expect("a block");
        assert!(block.word != 0, "a use of the freed block at {}", block.offset);
        block.zeroed
    })
}

pub mod blocks {
    use super::{Full, SIZE};
    use crate::{family, members};
    use std::cell::RefCell;

    pub const CELL: u64 = 1;
    pub const LETTER: u64 = 2;
    pub const QUEUED: u64 = 3;

    /// Its word is no part of the model: only its owner, or who recovers from that one's death, looks at it.
    pub struct Block {
        pub offset: u64,
        pub bytes: u64,
        pub word: u64,
        pub zeroed: bool,
    }

    thread_local! {
        pub static BLOCKS: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
    }

    fn with<R>(offset: u64, f: impl FnOnce(&mut Block) -> R) -> R {
        BLOCKS.with_borrow_mut(|all| {
            f(all
                .iter_mut()
                .find(|b| b.offset == offset)
                .expect("the start of a block"))
        })
    }

    pub fn alloc(bytes: u64, state: u64) -> Result<u64, Full> {
        make(bytes, state, false)
    }

    pub fn alloc_zeroed(bytes: u64, state: u64) -> Result<u64, Full> {
        make(bytes, state, true)
    }

    fn make(bytes: u64, state: u64, zeroed: bool) -> Result<u64, Full> {
        let word = members::me().word(state);
        BLOCKS.with_borrow_mut(|all| {
            let offset = all.last().map_or(128, |b| (b.offset + b.bytes).next_multiple_of(64));
            if offset + bytes > SIZE as u64 {
                return Err(Full);
            }
            all.push(Block {
                offset,
                bytes,
                word,
                zeroed,
            });
            Ok(offset)
        })
    }

    pub fn free(offset: u64) {
        if !family::is_ghost() {
            with(offset, |b| {
                assert!(b.word != 0, "the block at {offset} is freed twice");
                b.word = 0;
            });
        }
    }

    pub fn set_state(offset: u64, state: u64) {
        let word = members::me().word(state);
        with(offset, |b| {
            assert!(b.word != 0, "the block at {offset} was freed");
            b.word = word;
        });
    }

    pub fn word_at(offset: u64) -> u64 {
        with(offset, |b| b.word)
    }
}

pub mod layout {
    use super::SIZE;

    #[repr(C, align(128))]
    struct Memory([u8; SIZE]);

    thread_local! {
        static BASE: *mut u8 = Box::into_raw(Box::<Memory>::new_zeroed()).cast();
    }

    pub fn base() -> *mut u8 {
        BASE.with(|b| *b)
    }

    pub fn at<T>(offset: u64) -> *mut T {
        base().wrapping_add(offset as usize).cast()
    }
}
