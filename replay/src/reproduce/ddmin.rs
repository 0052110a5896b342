//! Delta debugging (Zeller and Hildebrandt 2002): a small part of a list that still shows something.
//!
//! **Invariant**: what is returned is the whole list or was shown; it is a function of the list and of the answers.

/// A part of `items` that `shows`, from which no single item can be left out; `items` themselves are taken to show it.
pub(super) fn ddmin<T: Clone>(mut items: Vec<T>, mut shows: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut parts = 2;
    while items.len() >= 2 {
        let size = items.len().div_ceil(parts);
        // One part alone, where there are more than two parts or halves; then all but one part.
        let alone = items
            .chunks(size)
            .find(|part| shows(part))
            .map(<[T]>::to_vec);
        if let Some(part) = alone {
            (items, parts) = (part, 2);
            continue;
        }
        let starts = (0..items.len()).step_by(size);
        let without = starts.map(|start| {
            let end = (start + size).min(items.len());
            [&items[..start], &items[end..]].concat()
        });
        let smaller = if parts > 2 {
            without.into_iter().find(|rest| shows(rest))
        } else {
            None
        };
        match smaller {
            Some(rest) => {
                parts = (parts - 1).clamp(2, rest.len().max(2));
                items = rest;
            }
            None if parts >= items.len() => break,
            None => parts = (parts * 2).min(items.len()),
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shrinks 0..count while all of `needed` are there; also how many trials it took.
    fn check(count: u32, needed: &[u32]) -> usize {
        let mut trials = 0;
        let found = ddmin((0..count).collect(), |kept| {
            trials += 1;
            needed.iter().all(|one| kept.contains(one))
        });
        assert_eq!(found, needed, "of {count}");
        trials
    }

    #[test]
    fn nothing_that_is_left_can_be_left_out() {
        assert_eq!(check(1, &[0]), 0);
        check(2, &[1]);
        check(2, &[0, 1]);
        check(9, &[0, 4, 8]);
        check(64, &[7, 8, 40, 63]);
        assert!(check(1_000, &[999]) < 40);
        assert!(check(1_000, &[3, 500]) < 120);
        check(7, &[0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn what_needs_any_two_keeps_two() {
        let found = ddmin((0..50).collect::<Vec<u32>>(), |kept| kept.len() >= 2);
        assert_eq!(found.len(), 2);
    }
}
