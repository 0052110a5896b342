//! Where the legacy service's log lines go.
//!
//! **Invariant**: lines are free text, with names and emails unmasked: that is one of the defects. They are deliberately not structured;
//! nobody should parse them.

/// The sink of the legacy service's log. Closures are journals.
pub trait LegacyJournal: Send + Sync {
    /// Takes one line, without its newline. Must not block.
    fn line(&self, line: &str);
}

impl<F: Fn(&str) + Send + Sync> LegacyJournal for F {
    fn line(&self, line: &str) {
        self(line);
    }
}
