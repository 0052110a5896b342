//! Blocks of memory by size class: lists of free ones, and a stretch that new ones are cut from.
//!
//! **Invariant**: a block is in one list or with one owner, never both, and no two overlap. It deliberately has no lock, and gives nothing back:
//! [`super::Heap`] is for one thread and one short run.
#![expect(
    clippy::cast_ptr_alignment,
    reason = "blocks are aligned to 16 and hold an address while they are free"
)]

use std::ptr;

/// Blocks up to this size have a class every 16 bytes; beyond, four for each doubling.
const FINE: usize = 1 << 10;
/// Every block's address is a multiple of this.
pub(super) const UNIT: usize = 16;
/// The larger alignment that blocks may ask for, of a line of cache and its neighbor: tokio's tasks do.
const LINE: usize = 128;
/// Classes up to 4 GiB.
const CLASSES: usize = FINE / UNIT + 4 * 22 + 1;

/// How many free blocks of each fine class a used heap begins with.
const LEFT_OVER: usize = 8;

pub(super) struct Blocks {
    /// Free blocks by class; each holds the address of the next.
    free: [*mut u8; CLASSES],
    /// Those whose address is a multiple of [`LINE`].
    free_lines: [*mut u8; CLASSES],
    pub(super) stretch: Stretch,
}

/// Memory that no block has had yet, and so reads as zeros.
pub(super) struct Stretch {
    pub(super) next: *mut u8,
    pub(super) left: usize,
}

/// A size class, and whether its blocks lie on lines.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Class {
    number: usize,
    size: usize,
    line: bool,
}

impl Class {
    /// That of a block; `None` when it is not the heap's.
    #[inline]
    pub(super) fn of(size: usize, align: usize) -> Option<Self> {
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
}

impl Blocks {
    pub(super) const NONE: Self = Self {
        free: [ptr::null_mut(); CLASSES],
        free_lines: [ptr::null_mut(); CLASSES],
        stretch: Stretch::NONE,
    };

    fn list(&mut self, class: Class) -> &mut *mut u8 {
        if class.line {
            &mut self.free_lines[class.number]
        } else {
            &mut self.free[class.number]
        }
    }

    /// A block, and whether it reads as zeros; `None` when there is no room.
    #[inline]
    pub(super) fn take(&mut self, class: Class) -> Option<(*mut u8, bool)> {
        let head = self.list(class);
        let block = *head;
        if block.is_null() {
            return Some((self.stretch.cut(class)?, true));
        }
        // SAFETY: a block in a list is free, aligned, and holds the address of the next, as `give_back` left it.
        *head = unsafe { block.cast::<*mut u8>().read() };
        Some((block, false))
    }

    /// # Safety
    /// `block` was taken as one of `class` and is its owner's no longer.
    #[inline]
    pub(super) unsafe fn give_back(&mut self, block: *mut u8, class: Class) {
        let head = self.list(class);
        // SAFETY: by contract; every block has room for an address and is aligned for it.
        unsafe { block.cast::<*mut u8>().write(*head) };
        *head = block;
    }

    /// Leaves free blocks behind, the lowest address last.
    pub(super) fn wear(&mut self) {
        for number in 1..=FINE / UNIT {
            for line in [false, true] {
                let Some(class) = Class::of(number * UNIT, if line { LINE } else { UNIT }) else {
                    continue;
                };
                for _ in 0..LEFT_OVER {
                    if let Some(block) = self.stretch.cut(class) {
                        // SAFETY: it was just cut, and nobody has it.
                        unsafe { self.give_back(block, class) };
                    }
                }
            }
        }
    }

    /// Makes a block of class `from` one of class `to` where it lies.
    pub(super) fn resize(&mut self, block: *mut u8, from: Class, to: Class) -> bool {
        from == to || from.size < to.size && self.stretch.extend(block, from, to)
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
            blocks.stretch = Stretch {
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
            let mut blocks = Blocks::NONE;
            blocks.stretch = Stretch {
                next: memory.as_mut_ptr().cast(),
                left: size_of_val(&memory[..]),
            };
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
