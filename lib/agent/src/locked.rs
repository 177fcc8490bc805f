//! Memory for secrets: pages of their own, out of swap and dumps, and of the
//! kernel's own sight where it can do that; overwritten when given back.
//!
//! Never lends its bytes, only the value in them; never grows. One of the few
//! rooms that may hold `unsafe`.
#![allow(unsafe_code)]

mod heap;
mod pages;

use std::ops::{Deref, DerefMut};

use smr_channel::local::Memory;

pub use heap::Heap;
pub(crate) use heap::scrub;
use pages::Pages;

/// Holds one value in pages of its own; wiped after its own destructor has run.
///
/// What the value keeps behind pointers of its own is not covered: see
/// [`Heap`]. Where the system refuses to lock (RLIMIT_MEMLOCK), the value is
/// held all the same and [`Locked::memory`] says so.
pub(crate) struct Locked<T> {
    pages: Pages<T>,
}

impl<T> Locked<T> {
    /// Moves `value` into locked memory. The caller's stack may keep a copy
    /// until [`scrub`].
    pub(crate) fn new(value: T) -> Self {
        let pages = Pages::<T>::map();
        // SAFETY: as large and as aligned as a T, ours alone, and holding none.
        unsafe { pages.place().write(value) };
        Locked { pages }
    }

    /// Tells what guards the pages.
    pub(crate) fn memory(&self) -> Memory {
        self.pages.memory()
    }
}

// SAFETY: the pages belong to this value alone, as a box's would.
unsafe impl<T: Send> Send for Locked<T> {}
// SAFETY: shared references give shared references to the value, no more.
unsafe impl<T: Sync> Sync for Locked<T> {}

impl<T> Deref for Locked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: written in `new`, dropped only in `drop`.
        unsafe { &*self.pages.place() }
    }
}

impl<T> DerefMut for Locked<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and we hold the only reference.
        unsafe { &mut *self.pages.place() }
    }
}

impl<T> Drop for Locked<T> {
    fn drop(&mut self) {
        // SAFETY: written in `new`; nothing reads it after this, and the pages
        // go, overwritten, when this has run.
        unsafe { self.pages.place().drop_in_place() };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use smr_channel::local::Memory;

    use super::Locked;

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
    fn values_without_size_and_values_that_panic_are_no_trouble() {
        let _empty = Locked::new(());
        struct Sore;
        impl Drop for Sore {
            fn drop(&mut self) {
                panic!("on purpose");
            }
        }
        let held = Locked::new(Sore);
        assert!(std::panic::catch_unwind(move || drop(held)).is_err());
    }

    #[test]
    fn what_guards_the_pages_is_what_the_kernel_says() {
        let held = Locked::new([0u8; 64]);
        let place = std::ptr::from_ref(&*held).addr();
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = maps.lines().skip_while(|line| {
            !line
                .split_once('-')
                .is_some_and(|(from, _)| usize::from_str_radix(from, 16) == Ok(place))
        });
        let head = lines.next().expect("the pages are mapped");
        let flags = lines.find(|line| line.starts_with("VmFlags:")).unwrap();
        let has = |flag: &str| flags.split(' ').any(|word| word == flag);
        match held.memory() {
            Memory::Hidden => assert!(head.contains("secretmem"), "{head}"),
            Memory::Locked => assert!(has("lo") && has("dd"), "{flags}"),
            Memory::Open => assert!(!has("lo"), "{flags}"),
        }
    }
}
