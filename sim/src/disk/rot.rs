//! Bits that flip while nobody looks, and whether anybody has read them since.
//!
//! **Invariant**: a flipped bit counts as read once at most, and not after something else was written over it. It holds places, no bytes: the
//! image flips them.

use std::{collections::BTreeSet, ops::Range};

use rand::RngExt;

use crate::chance::Chance;

/// Where a bit is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: u64,
    pub(super) offset: usize,
    /// 0 to 7.
    pub(super) bit: u8,
}

/// Every flipped bit of one host's disk that has not been written over.
#[derive(Debug, Default)]
pub(super) struct Rot {
    wrong: Vec<Wrong>,
    /// For each time that bits flipped: how many of them were read.
    read: Vec<u64>,
}

#[derive(Debug)]
struct Wrong {
    number: u64,
    place: Place,
    read: bool,
}

impl Rot {
    /// Draws `bits` bytes, all different, from files of these sizes, and a bit of each; fewer when there are fewer bytes.
    pub(super) fn begin(
        &mut self,
        bits: u32,
        draw: u64,
        sizes: &[(u64, usize)],
    ) -> (u64, BTreeSet<Place>) {
        let number = self.read.len() as u64;
        self.read.push(0);
        let mut chance = Chance::new(draw).named("rot").rng();
        let all: usize = sizes.iter().map(|(_, size)| size).sum();
        let mut bytes = BTreeSet::new();
        while bytes.len() < all.min(bits as usize) {
            bytes.insert(chance.random_range(0..all));
        }
        let mut places = BTreeSet::new();
        for byte in bytes {
            let mut offset = byte;
            for (file, size) in sizes {
                if offset < *size {
                    let bit = chance.random_range(0..8);
                    places.insert(Place {
                        file: *file,
                        offset,
                        bit,
                    });
                    break;
                }
                offset -= size;
            }
        }
        self.wrong.extend(places.iter().map(|place| Wrong {
            number,
            place: *place,
            read: false,
        }));
        (number, places)
    }

    pub(super) fn read(&self, number: u64) -> u64 {
        let at = usize::try_from(number).ok();
        at.and_then(|at| self.read.get(at)).copied().unwrap_or(0)
    }

    pub(super) fn was_read(&mut self, file: u64, bytes: Range<usize>) {
        for wrong in &mut self.wrong {
            if !wrong.read && wrong.place.file == file && bytes.contains(&wrong.place.offset) {
                wrong.read = true;
                let at = usize::try_from(wrong.number).expect("it was a length");
                self.read[at] += 1;
            }
        }
    }

    pub(super) fn was_written(&mut self, file: u64, bytes: Range<usize>) {
        self.wrong
            .retain(|wrong| wrong.place.file != file || !bytes.contains(&wrong.place.offset));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_counts_when_it_is_read_and_not_once_it_is_written_over() {
        let sizes = [(7, 100), (9, 0), (8, 50)];
        let mut rot = Rot::default();
        let (number, places) = rot.begin(150, 1, &sizes);
        assert_eq!(places.len(), 150, "every byte of both files");
        assert_eq!(rot.read(number), 0);
        rot.was_written(7, 0..90);
        rot.was_read(7, 0..100);
        rot.was_read(7, 0..100);
        assert_eq!(rot.read(number), 10);
        rot.was_read(8, 10..20);
        assert_eq!(rot.read(number), 20);
        let (empty, none) = rot.begin(3, 1, &[]);
        assert_eq!((none.len(), rot.read(empty)), (0, 0));
    }
}
