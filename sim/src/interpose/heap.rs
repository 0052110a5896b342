//! The program's allocator: mimalloc, and in a simulated process a heap made for one short run.
//!
//! A run lives for some ten milliseconds on one thread, allocates a hundred thousand small blocks, and ends with its process. So its heap is
//! one dense stretch of memory and a list of free blocks for each size class: no page headers, no atomics, no coalescing, nothing given back.
//! What it touches lies close together and on huge pages where the system has them, so a run faults in a handful of pages, not thousands.
//!
//! **Invariant**: a block of the heap is recognized by its address, so what was allocated before [`enter`] goes back to where it came from.
//! Before [`enter`], and for what the heap has no room or no class for, everything is mimalloc's. It deliberately knows no threads: a simulated
//! process that starts one is ended by its interposer.

#![expect(
    clippy::cast_ptr_alignment,
    reason = "blocks are aligned to 16 and hold an address while they are free"
)]

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    ptr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use libmimalloc_sys as sys;

/// Virtual memory for small blocks, and as much again for large ones; only what is touched is real.
const SPAN: usize = 8 << 30;
/// From this size on a block is large: it lies apart on pages of the usual size, as files and buffers have room that they never use.
const LARGE: usize = 64 << 10;
/// Blocks up to this size have a class every 16 bytes; beyond, four for each doubling.
const FINE: usize = 1 << 10;
/// Every block's address is a multiple of this.
const UNIT: usize = 16;
/// The larger alignment that blocks may ask for, of a line of cache and its neighbor: tokio's tasks do.
const LINE: usize = 128;
/// Classes up to 4 GiB.
const CLASSES: usize = FINE / UNIT + 4 * 22 + 1;

/// Where the heap lies; 0 and 0 before [`enter`].
static START: AtomicUsize = AtomicUsize::new(0);
static LENGTH: AtomicUsize = AtomicUsize::new(0);

static BLOCKS: Single = Single(UnsafeCell::new(Blocks::NONE));

/// Whether the heaps of this process's children begin as used ones.
static USED: AtomicBool = AtomicBool::new(false);

/// How many free blocks of each fine class a used heap begins with.
const LEFT_OVER: usize = 8;

/// See the module; for `#[global_allocator]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap;

/// What only the one thread of a simulated process touches.
struct Single(UnsafeCell<Blocks>);

// SAFETY: reached only through `blocks`, whose callers have seen `LENGTH` set: this process has one thread and keeps one.
unsafe impl Sync for Single {}

struct Blocks {
    /// Free blocks by class; each holds the address of the next.
    free: [*mut u8; CLASSES],
    /// Those whose address is a multiple of [`LINE`].
    free_lines: [*mut u8; CLASSES],
    small: Stretch,
    large: Stretch,
}

/// Memory that no block has had yet, and so reads as zeros.
struct Stretch {
    next: *mut u8,
    left: usize,
}

/// A size class, and whether its blocks lie on lines.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Class {
    number: usize,
    size: usize,
    line: bool,
}

impl Class {
    /// That of a block; `None` when it is not the heap's.
    #[inline]
    fn of(size: usize, align: usize) -> Option<Self> {
        let line = align > UNIT;
        let size = if !line {
            size.max(UNIT)
        } else if align <= LINE {
            size.max(1).checked_next_multiple_of(LINE)?
        } else {
            return None;
        };
        if size <= FINE {
            let number = size.div_ceil(UNIT);
            let size = number * UNIT;
            return Some(Self { number, size, line });
        }
        let below = size - 1;
        let doublings = below.ilog2() - FINE.ilog2();
        let step = below.ilog2() - 2;
        let quarters = below >> step;
        let number = FINE / UNIT + doublings as usize * 4 + (quarters & 3) + 1;
        let size = (quarters + 1) << step;
        (number < CLASSES).then_some(Self { number, size, line })
    }

    fn is_large(self) -> bool {
        self.size >= LARGE
    }
}

impl Blocks {
    const NONE: Self = Self {
        free: [ptr::null_mut(); CLASSES],
        free_lines: [ptr::null_mut(); CLASSES],
        small: Stretch::NONE,
        large: Stretch::NONE,
    };

    fn list(&mut self, class: Class) -> &mut *mut u8 {
        if class.line {
            &mut self.free_lines[class.number]
        } else {
            &mut self.free[class.number]
        }
    }

    fn stretch(&mut self, class: Class) -> &mut Stretch {
        if class.is_large() {
            &mut self.large
        } else {
            &mut self.small
        }
    }

    /// A block, and whether it reads as zeros; `None` when there is no room.
    #[inline]
    fn take(&mut self, class: Class) -> Option<(*mut u8, bool)> {
        let head = self.list(class);
        let block = *head;
        if block.is_null() {
            return Some((self.stretch(class).cut(class)?, true));
        }
        // SAFETY: a block in a list is free, aligned, and holds the address of the next, as `give_back` left it.
        *head = unsafe { block.cast::<*mut u8>().read() };
        Some((block, false))
    }

    /// # Safety
    /// `block` was taken as one of `class` and is its owner's no longer.
    #[inline]
    unsafe fn give_back(&mut self, block: *mut u8, class: Class) {
        let head = self.list(class);
        // SAFETY: by contract; every block has room for an address and is aligned for it.
        unsafe { block.cast::<*mut u8>().write(*head) };
        *head = block;
    }

    /// Leaves free blocks behind, the lowest address last.
    fn wear(&mut self) {
        for number in 1..=FINE / UNIT {
            for line in [false, true] {
                let Some(class) = Class::of(number * UNIT, if line { LINE } else { UNIT }) else {
                    continue;
                };
                for _ in 0..LEFT_OVER {
                    if let Some(block) = self.stretch(class).cut(class) {
                        // SAFETY: it was just cut, and nobody has it.
                        unsafe { self.give_back(block, class) };
                    }
                }
            }
        }
    }

    /// Makes a block of class `from` one of class `to` where it lies.
    fn resize(&mut self, block: *mut u8, from: Class, to: Class) -> bool {
        from == to
            || from.size < to.size
                && from.is_large() == to.is_large()
                && self.stretch(from).extend(block, from, to)
    }
}

impl Stretch {
    const NONE: Self = Self {
        next: ptr::null_mut(),
        left: 0,
    };

    /// A block that nobody has used.
    fn cut(&mut self, class: Class) -> Option<*mut u8> {
        let align = if class.line { LINE } else { UNIT };
        let gap = self.next.addr().wrapping_neg() % align;
        if gap + class.size > self.left {
            return None;
        }
        self.left -= gap + class.size;
        // SAFETY: both are within what is left of this stretch.
        unsafe {
            let block = self.next.add(gap);
            self.next = block.add(class.size);
            Some(block)
        }
    }

    /// Gives `block` of class `from` the room of the larger class `to`, when it was cut last.
    fn extend(&mut self, block: *mut u8, from: Class, to: Class) -> bool {
        let more = to.size - from.size;
        let fits = block.wrapping_add(from.size) == self.next && more <= self.left;
        if fits {
            self.left -= more;
            self.next = self.next.wrapping_add(more);
        }
        fits
    }
}

/// From now on the heap is used. Without effect where the system refuses the memory, and the second time.
pub(super) fn enter() {
    if LENGTH.load(Relaxed) != 0 {
        return;
    }
    // SAFETY: a new private mapping anywhere; nothing that exists is touched.
    let made = unsafe {
        libc::mmap(
            ptr::null_mut(),
            2 * SPAN,
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
    blocks.small = Stretch {
        next: start,
        left: SPAN,
    };
    blocks.large = Stretch {
        next: start.wrapping_add(SPAN),
        left: SPAN,
    };
    if USED.load(Relaxed) {
        blocks.wear();
    }
    START.store(start.addr(), Relaxed);
    LENGTH.store(2 * SPAN, Relaxed);
}

/// From now on simulated processes forked from this one begin with a heap that was used: their first blocks lie in another order than on a new
/// one, for `verify` to show what depends on it.
pub fn begin_used() {
    USED.store(true, Relaxed);
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
    use rand::RngExt;

    use super::*;
    use crate::chance::Chance;

    #[test]
    fn classes_are_large_enough_and_waste_at_most_a_quarter() {
        let mut before = 0;
        for size in (1..5_000).chain((13..32).flat_map(|bits| {
            let power = 1_usize << bits;
            [
                power - 1,
                power,
                power + 1,
                power + power / 4,
                power + power / 3,
            ]
        })) {
            for align in [1, 8, 16, 64, 128] {
                let class = Class::of(size, align).expect("below 4 GiB");
                assert!(
                    class.size >= size && class.size.is_multiple_of(align.max(UNIT)),
                    "{size} {align}"
                );
                assert!(
                    class.size <= size + (size / 4).max(LINE),
                    "{size} {align}: {}",
                    class.size
                );
                assert_eq!(
                    Class::of(class.size, align).map(|it| it.number),
                    Some(class.number)
                );
            }
            let plain = Class::of(size, 8).expect("below 4 GiB").number;
            assert!(plain >= before, "{size}");
            before = plain;
        }
        assert!(Class::of(8 << 30, 8).is_none() && Class::of(100, 4096).is_none());
    }

    #[test]
    fn the_first_blocks_of_a_used_heap_lie_in_another_order() {
        let rises = |used: bool| {
            let mut memory = vec![0_u128; 1 << 16];
            let mut blocks = Blocks::NONE;
            blocks.small = Stretch {
                next: memory.as_mut_ptr().cast(),
                left: size_of_val(&memory[..]),
            };
            if used {
                blocks.wear();
            }
            let class = Class::of(100, 8).expect("small");
            let taken: Vec<_> = (0..LEFT_OVER)
                .filter_map(|_| blocks.take(class))
                .map(|(block, _)| block.addr())
                .collect();
            assert_eq!(taken.len(), LEFT_OVER);
            taken.is_sorted()
        };
        assert!(rises(false) && !rises(true));
    }

    /// Blocks of random sizes are taken, resized and given back on a little memory of their own; each keeps what was written to it.
    #[test]
    fn no_block_touches_another() {
        for seed in 0..50 {
            let mut chance = Chance::new(seed).named("heap").rng();
            let mut memory = vec![0_u128; 1 << 17];
            let (small, large) = memory.split_at_mut(1 << 16);
            let stretch = |half: &mut [u128]| Stretch {
                next: half.as_mut_ptr().cast(),
                left: size_of_val(half),
            };
            let mut blocks = Blocks::NONE;
            (blocks.small, blocks.large) = (stretch(small), stretch(large));
            let mut held: Vec<(*mut u8, Class, u8)> = Vec::new();
            let (mut taken, mut again, mut grown) = (0, 0, 0);
            for step in 0..2_000_u32 {
                let align = [8, 16, 128][chance.random_range(0..3_usize)];
                let size = 1 << chance.random_range(0..17_u32);
                let class = Class::of(size + chance.random_range(0..size), align).expect("small");
                let mark = step.to_le_bytes()[0] | 1;
                match chance.random_range(0..5_u32) {
                    0 | 1 => {
                        let Some((block, zeros)) = blocks.take(class) else {
                            continue;
                        };
                        assert_eq!(block.addr() % if class.line { LINE } else { UNIT }, 0);
                        // SAFETY: the block was just given to this test.
                        unsafe {
                            let bytes = std::slice::from_raw_parts(block, class.size);
                            assert!(!zeros || bytes.iter().all(|byte| *byte == 0));
                            block.write_bytes(mark, class.size);
                        }
                        held.push((block, class, mark));
                        taken += 1;
                        again += u32::from(!zeros);
                    }
                    2 if !held.is_empty() => {
                        let (block, from, _) = held.pop().expect("not empty");
                        let to = Class {
                            line: from.line,
                            ..class
                        };
                        let to =
                            Class::of(to.size, if from.line { LINE } else { UNIT }).expect("small");
                        let now = if blocks.resize(block, from, to) {
                            to
                        } else {
                            from
                        };
                        grown += u32::from(now != from);
                        // SAFETY: the block is this test's, in its new size.
                        unsafe { block.write_bytes(mark, now.size) };
                        held.push((block, now, mark));
                    }
                    _ if !held.is_empty() => {
                        let (block, class, mark) =
                            held.swap_remove(chance.random_range(0..held.len()));
                        // SAFETY: the block is this test's until it is given back.
                        unsafe {
                            let bytes = std::slice::from_raw_parts(block, class.size);
                            assert!(
                                bytes.iter().all(|byte| *byte == mark),
                                "seed {seed} step {step}"
                            );
                            blocks.give_back(block, class);
                        }
                    }
                    _ => {}
                }
            }
            assert!(
                taken > 100 && again > 50 && grown > 0,
                "seed {seed}: {taken} {again} {grown}"
            );
        }
    }
}
