//! What libraries leave behind: freed heap and used stack, overwritten.
//!
//! Knows nothing of who put a secret there.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint;

/// The system's heap, with every block overwritten before it is given back.
///
/// Curves, lattices, age and Noise keep secrets behind pointers of their own,
/// and not all of them wipe. Growing a block is a new block, a copy, and the
/// old one overwritten.
pub struct Heap;

// SAFETY: System's own promises; the block is overwritten while it is still
// ours, within the size it was asked for. `realloc` is the trait's, by way of
// these.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: a live block of this size that nobody else refers to, by the
        // caller's promise.
        unsafe {
            place.write_bytes(0, layout.size());
            // The zeros are there before the block goes.
            hint::black_box(place);
            System.dealloc(place, layout);
        }
    }
}

// Twice what any work with a secret was seen to use, unoptimised: 176 KiB, to
// take a load and open a session with it.
const DEPTH: usize = 384 << 10;

/// Overwrites the stack below the caller, where the functions it has called
/// left copies of what they moved.
#[inline(never)]
pub(crate) fn scrub() {
    hint::black_box(&mut [0u8; DEPTH]);
}
