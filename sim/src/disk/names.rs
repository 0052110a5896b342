//! A host's file names: what they lead to now, and what they would lead to after a power loss.
//!
//! **Invariant**: applying the pending changes in their order to the durable names gives the present ones.
//!
//! A host has one directory: what looks like a deeper path is a name with slashes in it. A sync of it confirms every name.

use std::collections::BTreeMap;

use super::loss::Fate;

/// The names of one host's files.
#[derive(Debug, Default)]
pub(super) struct Names {
    present: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    pending: Vec<Change>,
}

/// A name made for a file, or removed.
#[derive(Debug)]
struct Change {
    sequence: u64,
    name: String,
    file: Option<u64>,
}

impl Names {
    pub(super) fn find(&self, name: &str) -> Option<u64> {
        self.present.get(name).copied()
    }

    pub(super) fn find_durable(&self, name: &str) -> Option<u64> {
        self.durable.get(name).copied()
    }

    /// The present names, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.present
            .iter()
            .map(|(name, file)| (name.as_str(), *file))
    }

    /// Makes `name` lead to `file`, or to nothing.
    pub(super) fn change(&mut self, sequence: u64, name: &str, file: Option<u64>) {
        self.pending.push(Change {
            sequence,
            name: name.to_owned(),
            file,
        });
        set(&mut self.present, name.to_owned(), file);
    }

    /// Makes every name as durable as it is new.
    pub(super) fn sync(&mut self) {
        self.pending.clear();
        self.durable.clone_from(&self.present);
    }

    /// Whether a name of the file is not durable yet.
    pub(super) fn is_new(&self, file: u64) -> bool {
        self.pending.iter().any(|change| change.file == Some(file))
    }

    /// Whether any name leads to the file, or may do so after a power loss.
    pub(super) fn lead_to(&self, file: u64) -> bool {
        let leads = |names: &BTreeMap<String, u64>| names.values().any(|other| *other == file);
        leads(&self.present) || leads(&self.durable) || self.is_new(file)
    }

    /// The pending changes, as their place in the order of all changes.
    pub(super) fn pending(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().map(|change| change.sequence)
    }

    /// Decides every pending change; returns how many were lost.
    pub(super) fn lose(&mut self, fate: impl Fn(u64) -> Fate) -> u64 {
        let mut lost = 0;
        for change in std::mem::take(&mut self.pending) {
            if fate(change.sequence) == Fate::Kept {
                set(&mut self.durable, change.name, change.file);
            } else {
                lost += 1;
            }
        }
        self.present.clone_from(&self.durable);
        lost
    }
}

fn set(names: &mut BTreeMap<String, u64>, name: String, file: Option<u64>) {
    match file {
        Some(file) => names.insert(name, file),
        None => names.remove(&name),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(names: &Names) -> Vec<(&str, u64)> {
        names.iter().collect()
    }

    #[test]
    fn each_change_is_kept_or_lost_by_itself() {
        let mut names = Names::default();
        names.change(1, "journal", Some(10));
        names.sync();
        names.change(2, "journal", None);
        names.change(3, "log", Some(11));
        assert_eq!(listed(&names), [("log", 11)]);
        assert!(names.lead_to(10), "its removal may be lost");
        let lost = names.lose(|sequence| {
            if sequence == 3 {
                Fate::Kept
            } else {
                Fate::Lost
            }
        });
        assert_eq!(lost, 1);
        assert_eq!(listed(&names), [("journal", 10), ("log", 11)]);
        assert_eq!(names.pending().count(), 0);
    }

    #[test]
    fn a_sync_confirms_removals_too() {
        let mut names = Names::default();
        names.change(1, "journal", Some(10));
        names.change(2, "journal", None);
        names.change(3, "log", Some(11));
        assert!(names.is_new(11));
        names.sync();
        assert!(!names.is_new(11) && !names.lead_to(10));
        names.lose(|_| Fate::Lost);
        assert_eq!(listed(&names), [("log", 11)]);
    }
}
