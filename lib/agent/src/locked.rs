//! Memory for secrets: pages of their own, kept out of swap and core dumps,
//! overwritten when given back.
//!
//! Never lends its bytes, only the value in them; never grows. One of the few
//! files that may hold `unsafe`.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::ptr;

use rustix::mm::{self, Advice};
use zeroize::Zeroize;

// A page to itself: munlock works by page, and would free a neighbour's too.
#[repr(align(4096))]
struct Page<T>(MaybeUninit<T>);

/// Holds one value in locked pages; wiped after its own destructor has run.
///
/// What the value keeps behind pointers of its own is not covered. Where the
/// system refuses to lock (RLIMIT_MEMLOCK), the value is held all the same and
/// [`Locked::is_locked`] says so.
pub(crate) struct Locked<T> {
    page: Box<Page<T>>,
    locked: bool,
}

impl<T> Locked<T> {
    /// Moves `value` into locked memory. The caller's stack may keep a copy
    /// until it is overwritten.
    pub(crate) fn new(value: T) -> Self {
        let mut page = Box::new(Page(MaybeUninit::uninit()));
        let place = ptr::from_mut(&mut *page).cast();
        let size = size_of::<Page<T>>();
        // SAFETY: `place` and `size` are exactly the live allocation of `page`;
        // both calls change how the kernel treats it, not what it holds.
        let locked = unsafe {
            // Best effort: an older kernel that cannot exclude it still locks it.
            let _ = mm::madvise(place, size, Advice::LinuxDontDump);
            mm::mlock(place, size).is_ok()
        };
        page.0.write(value);
        Locked { page, locked }
    }

    /// Tells whether the pages are out of reach of swap.
    pub(crate) fn is_locked(&self) -> bool {
        self.locked
    }
}

impl<T> Deref for Locked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: written in `new`, dropped only in `drop`.
        unsafe { self.page.0.assume_init_ref() }
    }
}

impl<T> DerefMut for Locked<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and we hold the only reference.
        unsafe { self.page.0.assume_init_mut() }
    }
}

impl<T> Drop for Locked<T> {
    fn drop(&mut self) {
        // SAFETY: written in `new`; nothing reads it after this.
        unsafe { self.page.0.assume_init_drop() };
        let size = size_of::<Page<T>>();
        let place: *mut Page<T> = &mut *self.page;
        // SAFETY: the slice is the whole live allocation, of a type for which
        // any bytes are valid; the destructor has run, so no value is harmed.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(place.cast::<MaybeUninit<u8>>(), size) };
        bytes.zeroize();
        if self.locked {
            // SAFETY: the range `new` locked, still allocated. A failure leaves
            // an empty page locked, which harms nobody.
            let _ = unsafe { mm::munlock(place.cast(), size) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Locked;

    fn locked_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|l| l.starts_with("VmLck:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn value_is_kept_and_changed_in_place() {
        let mut held = Locked::new([7u8; 5000]);
        held[4999] = 8;
        assert_eq!((held[0], held[4999]), (7, 8));
    }

    #[test]
    fn destructor_runs_once() {
        let count = Arc::new(());
        let held = Locked::new(Arc::clone(&count));
        assert_eq!(Arc::strong_count(&count), 2);
        drop(held);
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[test]
    fn pages_are_locked() {
        let held = Locked::new([0u8; 64]);
        assert_eq!(held.is_locked(), locked_kib() >= 4);
    }
}
