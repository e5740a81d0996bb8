//! The words that processes share: std's atomics, and a cell for what is read and written between them. tests/models puts
//! its own in their place, of the same layout, so that loom sees each access.

pub use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Plain bytes of shared memory; who may touch them when is what the words around them say.
#[repr(transparent)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    /// Read through the pointer.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Write through the pointer.
    #[inline]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
