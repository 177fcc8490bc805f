//! Whole pages from the kernel, and what it is asked to do for them.
//!
//! Knows nothing of what is kept in them.

use std::ffi::c_void;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::fs::ftruncate;
use rustix::io::Errno;
use rustix::mm::{self, Advice, MapFlags, ProtFlags};
use smr_channel::local::Memory;
use zeroize::Zeroize;

const PAGE: usize = 4096;

/// Pages with room for one `T`, which they neither make nor drop; overwritten
/// and unmapped on drop.
pub(super) struct Pages<T> {
    place: *mut T,
    memory: Memory,
}

impl<T> Pages<T> {
    // No value has to lie at more than a page's alignment.
    const SIZE: usize = {
        assert!(align_of::<T>() <= PAGE);
        match size_of::<T>() {
            0 => PAGE,
            size => size.div_ceil(PAGE) * PAGE,
        }
    };

    /// Maps pages in the best memory there is. Aborts, as a heap does, where
    /// there is none at all.
    pub(super) fn map() -> Self {
        match hidden(Self::SIZE) {
            Ok(place) => Pages {
                place: place.cast(),
                memory: Memory::Hidden,
            },
            Err(_) => Self::map_ordinary(),
        }
    }

    fn map_ordinary() -> Self {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping where the kernel finds room touches no other.
        let mapped =
            unsafe { mm::mmap_anonymous(ptr::null_mut(), Self::SIZE, access, MapFlags::PRIVATE) };
        let Ok(place) = mapped else {
            std::alloc::handle_alloc_error(std::alloc::Layout::new::<T>());
        };
        // SAFETY: exactly the mapping just made; both calls change how the
        // kernel treats it, not what it holds.
        let locked = unsafe {
            // Best effort: an older kernel that cannot exclude it still locks it.
            let _ = mm::madvise(place, Self::SIZE, Advice::LinuxDontDump);
            mm::mlock(place, Self::SIZE).is_ok()
        };
        let memory = match locked {
            true => Memory::Locked,
            false => Memory::Open,
        };
        Pages {
            place: place.cast(),
            memory,
        }
    }

    pub(super) fn place(&self) -> *mut T {
        self.place
    }

    pub(super) fn memory(&self) -> Memory {
        self.memory
    }
}

impl<T> Drop for Pages<T> {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, readable and writable, still ours; bytes
        // may have any value.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.place.cast::<u8>(), Self::SIZE) };
        bytes.zeroize();
        // SAFETY: the mapping made in `map`, to which no reference is left.
        let _ = unsafe { mm::munmap(self.place.cast(), Self::SIZE) };
    }
}

// memfd_secret(2): pages that are in no other address space, the kernel's own
// included, so that neither root, nor another process, nor a dump can read them.
// Counts against RLIMIT_MEMLOCK.
fn hidden(size: usize) -> Result<*mut c_void, Errno> {
    // SAFETY: takes flags, touches no memory; what it returns is checked below.
    let number = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let number = i32::try_from(number).map_err(|_| Errno::BADF)?;
    if number < 0 {
        return Err(Errno::NOSYS);
    }
    // SAFETY: a descriptor just made for us, which nobody else knows.
    let file = unsafe { OwnedFd::from_raw_fd(number) };
    ftruncate(&file, size as u64)?;
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping where the kernel finds room; it outlives the file.
    unsafe {
        mm::mmap(
            ptr::null_mut(),
            size,
            access,
            MapFlags::SHARED,
            file.as_fd(),
            0,
        )
    }
}
