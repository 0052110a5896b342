//! A keyed permutation of digit strings of any radices: an alternating Feistel network with HMAC-SHA-256 as its round function, as in FF1 of
//! NIST SP 800-38G, but with each digit added in its own radix.
//!
//! **Invariant**: for one key, tweak and list of radices it maps digit strings one to one. It deliberately claims no more than a pseudonym
//! needs: of a domain of ten values, whoever sees many masks learns much.

use crate::mask::MaskKey;

/// FF1 has ten rounds.
const ROUNDS: u8 = 10;

/// Replaces `digits`, each below its radix, in place.
pub(super) fn permute(key: &MaskKey, tweak: &[u8], digits: &mut [u32], radices: &[u32]) {
    assert_eq!(digits.len(), radices.len(), "a radix for each digit");
    if digits.len() < 2 {
        return add(key, tweak, u8::MAX, &[], digits, radices);
    }
    let middle = digits.len() / 2;
    let (left, right) = digits.split_at_mut(middle);
    for round in 0..ROUNDS {
        if round % 2 == 0 {
            add(key, tweak, round, right, left, &radices[..middle]);
        } else {
            add(key, tweak, round, left, right, &radices[middle..]);
        }
    }
}

/// Adds what the round makes of one half to the other.
fn add(key: &MaskKey, tweak: &[u8], round: u8, from: &[u32], to: &mut [u32], radices: &[u32]) {
    let from: Vec<u8> = from.iter().flat_map(|digit| digit.to_le_bytes()).collect();
    // Four bytes a digit: a block makes eight.
    for (block, (to, radices)) in (0_u64..).zip(to.chunks_mut(8).zip(radices.chunks(8))) {
        let length = radices.len() as u64;
        let stream = key.digest(&[
            b"permutation",
            tweak,
            &[round],
            &block.to_le_bytes(),
            &length.to_le_bytes(),
            &from,
        ]);
        for ((digit, radix), bytes) in to.iter_mut().zip(radices).zip(stream.chunks_exact(4)) {
            let addend = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            *digit = (*digit + addend % radix) % radix;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn check(radices: &[u32]) {
        let key = MaskKey::new(b"a key for tests, no secret").expect("a key");
        let size: u32 = radices.iter().product();
        let mut seen = BTreeSet::new();
        for number in 0..size {
            let mut rest = number;
            let mut digits: Vec<u32> = radices
                .iter()
                .map(|radix| {
                    let digit = rest % radix;
                    rest /= radix;
                    digit
                })
                .collect();
            permute(&key, b"t", &mut digits, radices);
            assert!(
                digits
                    .iter()
                    .zip(radices)
                    .all(|(digit, radix)| digit < radix)
            );
            seen.insert(digits);
        }
        assert_eq!(seen.len(), size as usize, "{radices:?}");
    }

    #[test]
    fn every_digit_string_has_an_image_of_its_own() {
        check(&[1]);
        check(&[26]);
        check(&[26, 26]);
        check(&[9, 10, 10]);
        check(&[1, 30, 7, 2]);
        check(&[3, 3, 3, 3, 3, 3]);
    }

    #[test]
    fn long_strings_differ_in_every_part() {
        let key = MaskKey::new(b"a key for tests, no secret").expect("a key");
        let radices = [10; 100];
        let image = |first: u32| {
            let mut digits = [0; 100];
            digits[0] = first;
            permute(&key, b"t", &mut digits, &radices);
            digits
        };
        let (a, b) = (image(0), image(1));
        let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
        assert!(same < 40, "{same} of 100 digits are the same");
    }
}
