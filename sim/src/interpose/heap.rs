//! The program's allocator: mimalloc, and in a simulated process a heap made for one short run.
//!
//! A run lives for some ten milliseconds on one thread, allocates a hundred thousand small blocks, and ends with its process. So its heap is
//! one dense stretch of memory and a list of free blocks for each size class: no page headers, no atomics, no coalescing, nothing given back.
//! What it touches lies close together and on huge pages where the system has them, so a run faults in a handful of pages, not thousands.
//!
//! **Invariant**: a block of the heap is recognized by its address, so what was allocated before [`enter`] goes back to where it came from.
//! Before [`enter`], and for what the heap has no room or no class for, everything is mimalloc's. It deliberately knows no threads: a simulated
//! process that starts one is ended by its interposer.

mod blocks;

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    ptr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use libmimalloc_sys as sys;

use self::blocks::{Blocks, Class, Stretch, UNIT};

/// Virtual memory for blocks; only what is touched is real.
const SPAN: usize = 16 << 30;
/// Where the heap lies; 0 and 0 before [`enter`].
static START: AtomicUsize = AtomicUsize::new(0);
static LENGTH: AtomicUsize = AtomicUsize::new(0);

static BLOCKS: Single = Single(UnsafeCell::new(Blocks::NONE));

/// Whether the heaps of this process's children begin as used ones.
static USED: AtomicBool = AtomicBool::new(false);

/// See the module; for `#[global_allocator]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap;

/// What only the one thread of a simulated process touches.
struct Single(UnsafeCell<Blocks>);

// SAFETY: reached only through `blocks`, whose callers have seen `LENGTH` set: this process has one thread and keeps one.
unsafe impl Sync for Single {}

/// From now on the heap is used. Without effect where the system refuses the memory, and the second time.
pub(super) fn enter() {
    if LENGTH.load(Relaxed) != 0 {
        return;
    }
    // SAFETY: a new private mapping anywhere; nothing that exists is touched.
    let made = unsafe {
        libc::mmap(
            ptr::null_mut(),
            SPAN,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if made == libc::MAP_FAILED {
        return;
    }
    // SAFETY: advice about the mapping that was just made; where it is not taken, pages have the usual size.
    unsafe { libc::madvise(made, SPAN, libc::MADV_HUGEPAGE) };
    let start: *mut u8 = made.cast();
    // SAFETY: the heap is not in use yet, and this process has one thread.
    let blocks = unsafe { blocks() };
    blocks.stretch = Stretch {
        next: start,
        left: SPAN,
    };
    if USED.load(Relaxed) {
        blocks.wear();
    }
    START.store(start.addr(), Relaxed);
    LENGTH.store(SPAN, Relaxed);
}

/// From now on simulated processes forked from this one begin with a heap that was used: their first blocks lie in another order than on a new
/// one, for `verify` to show what depends on it.
pub fn begin_used() {
    USED.store(true, Relaxed);
}

/// mimalloc's `mi_option_purge_delay`, in ms, by its place in `mi_option_e`: the bindings have no name for it.
const PURGE_DELAY: sys::mi_option_t = 15;

/// From now on memory that is freed goes back to the system at once, where mimalloc else keeps it for a second: for work that reads far more than it
/// holds, so that what it took at its peak is what it held.
pub fn purge_at_once() {
    // SAFETY: it writes one number of mimalloc's own, which is read whenever memory is freed.
    unsafe { sys::mi_option_set(PURGE_DELAY, 0) };
}

/// # Safety
/// In a process of one thread, and no other result is alive.
unsafe fn blocks<'a>() -> &'a mut Blocks {
    // SAFETY: by contract.
    unsafe { &mut *BLOCKS.0.get() }
}

/// Whether the heap is used, and so this process has one thread.
fn is_used() -> bool {
    LENGTH.load(Relaxed) != 0
}

fn is_ours(block: *mut u8) -> bool {
    block.addr().wrapping_sub(START.load(Relaxed)) < LENGTH.load(Relaxed)
}

/// A block of the heap and whether it reads as zeros; `None` where it is mimalloc's to give.
#[inline]
fn take(layout: Layout) -> Option<(*mut u8, bool)> {
    if !is_used() {
        return None;
    }
    let class = Class::of(layout.size(), layout.align())?;
    // SAFETY: the heap is used, so there is one thread, and `take` calls nothing that allocates.
    unsafe { blocks() }.take(class)
}

/// mimalloc aligns to 16 what is as large as its alignment; asked for an alignment, it would take a detour.
fn is_plain(layout: Layout) -> bool {
    layout.align() <= UNIT && layout.align() <= layout.size()
}

// SAFETY: a block is cut from memory that nobody else has or taken from a list of free ones, of its class's size and alignment, both of which
// are at least what was asked for; everything else is mimalloc's.
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some((block, _)) = take(layout) {
            return block;
        }
        // SAFETY: the caller's contract is mimalloc's.
        unsafe {
            if is_plain(layout) {
                sys::mi_malloc(layout.size())
            } else {
                sys::mi_malloc_aligned(layout.size(), layout.align())
            }
            .cast()
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if let Some((block, zeros)) = take(layout) {
            if !zeros {
                // SAFETY: the block has at least this size and is the caller's from here on.
                unsafe { block.write_bytes(0, layout.size()) };
            }
            return block;
        }
        // SAFETY: the caller's contract is mimalloc's.
        unsafe {
            if is_plain(layout) {
                sys::mi_zalloc(layout.size())
            } else {
                sys::mi_zalloc_aligned(layout.size(), layout.align())
            }
            .cast()
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match Class::of(layout.size(), layout.align()) {
            // SAFETY: it lies in the heap, so the heap is used and gave it for this layout.
            Some(class) if is_ours(block) => unsafe { blocks().give_back(block, class) },
            // SAFETY: it came from mimalloc.
            _ => unsafe { sys::mi_free(block.cast()) },
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        if !is_ours(block) {
            let plain = is_plain(layout) && align <= size;
            // SAFETY: it came from mimalloc, and the caller's contract is mimalloc's.
            return unsafe {
                if plain {
                    sys::mi_realloc(block.cast(), size)
                } else {
                    sys::mi_realloc_aligned(block.cast(), size, align)
                }
                .cast()
            };
        }
        if let (Some(from), Some(to)) = (Class::of(layout.size(), align), Class::of(size, align))
            // SAFETY: it lies in the heap, so the heap is used; `resize` calls nothing that allocates.
            && unsafe { blocks() }.resize(block, from, to)
        {
            return block;
        }
        // SAFETY: the caller vouches for size and alignment; the new block is no part of the old one, and both have what is copied.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, align));
            if !new.is_null() {
                new.copy_from_nonoverlapping(block, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_is_the_option_that_is_meant() {
        // SAFETY: it reads one number of mimalloc's own.
        let delay = || unsafe { sys::mi_option_get(PURGE_DELAY) };
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
            assert_eq!(delay(), 1_000, "its default");
        }
        purge_at_once();
        assert_eq!(delay(), 0);
    }
}
