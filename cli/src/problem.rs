//! Why a command could not do what it was asked: whose fault, where, what was found and what was expected, and at most one hint.
//!
//! **Invariant**: a problem carries its exit code; a bad input is always [`Exit::Usage`], and then nothing was written.

use std::{fmt, path::Path};

use rehearsal_replay::{capture::CaptureError, rules::RulesError};
use rehearsal_sim::scenario::Refused;

use crate::exit::Exit;

/// A command that ends without a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What the process ends with.
    pub exit: Exit,
    /// For people: the file or flag, the place, what was found and what was expected.
    pub message: String,
    /// What to do about it, where one thing is likely.
    pub hint: Option<String>,
}

impl Problem {
    /// The caller's fault: a flag or a file that cannot be used.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
            hint: None,
        }
    }

    /// The machine's fault.
    pub fn infrastructure(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Infrastructure,
            message: message.into(),
            hint: None,
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A file that cannot be read.
    pub fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        Self::usage(format!("{}: cannot be read: {error}", file.display()))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Refused> for Problem {
    /// The reader of scenarios puts its hint on a last line of its own.
    fn from(refused: Refused) -> Self {
        let text = refused.to_string();
        match text.rsplit_once("\nhint: ") {
            Some((message, hint)) => Self::usage(message.trim_end()).hint(hint),
            None => Self::usage(text),
        }
    }
}

impl From<CaptureError> for Problem {
    fn from(error: CaptureError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<RulesError> for Problem {
    fn from(error: RulesError) -> Self {
        Self::usage(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_of_the_reader_becomes_the_hint_of_the_problem() {
        let refused = Refused::new(
            Path::new("x.toml"),
            "TOML parse error\nunknown key `a`\nhint: did you mean `b`?",
        );
        let problem = Problem::from(refused);
        assert_eq!(problem.message, "x.toml: TOML parse error\nunknown key `a`");
        assert_eq!(problem.hint.as_deref(), Some("did you mean `b`?"));
        assert_eq!(problem.exit, Exit::Usage);
    }
}
