//! How a command ends: the exit codes, all of them.
//!
//! **Invariant**: these numbers are a contract with scripts and CI servers; they never change their meaning.
//! It deliberately decides nothing: a verdict, or a problem, already says which one it is.

use std::process::ExitCode;

use rehearsal_sim::{explore::Conclusion, verdict::Verdict};

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything held, and everything was examined.
    Pass = 0,
    /// A violation, a mismatch, a missed SLO.
    Fail = 1,
    /// What was typed, or a file that was named, cannot be used. Nothing was run or written.
    Usage = 2,
    /// Nothing was violated, but something was not examined: an inert fault, an oracle without a case, too few samples.
    Inconclusive = 3,
    /// The machine's fault: a target that is down, an address that is taken, a run that did not come to its end.
    Infrastructure = 4,
    /// The same inputs gave two different results.
    Nondeterminism = 5,
    /// Ctrl-C; what was finished by then is written.
    Interrupted = 130,
}

/// The exit codes for `--help`.
pub const HELP: &str = "\
Exit codes:
  0  pass: everything held, and everything was examined
  1  fail: a violation, a mismatch, a missed SLO
  2  usage or configuration: nothing was run or written
  3  inconclusive: an inert fault, an oracle that checked nothing, too few samples
  4  infrastructure: a target that is down, coverage lost
  5  nondeterminism: the same inputs gave two different results
  130  interrupted";

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Fail => Self::Fail,
            Verdict::Inconclusive => Self::Inconclusive,
            Verdict::Infrastructure => Self::Infrastructure,
        }
    }
}

impl From<Conclusion> for Exit {
    fn from(conclusion: Conclusion) -> Self {
        match conclusion {
            Conclusion::Pass => Self::Pass,
            Conclusion::Fail => Self::Fail,
            Conclusion::Inconclusive => Self::Inconclusive,
            Conclusion::Infrastructure => Self::Infrastructure,
            Conclusion::Nondeterminism => Self::Nondeterminism,
        }
    }
}

impl From<rehearsal_replay::verdict::Verdict> for Exit {
    fn from(verdict: rehearsal_replay::verdict::Verdict) -> Self {
        use rehearsal_replay::verdict::Verdict as Replay;
        match verdict {
            Replay::Pass => Self::Pass,
            Replay::Fail => Self::Fail,
            Replay::Inconclusive => Self::Inconclusive,
            Replay::Infrastructure => Self::Infrastructure,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_contract_and_the_help_names_them() {
        let contract = [
            (Exit::Pass, 0, "pass"),
            (Exit::Fail, 1, "fail"),
            (Exit::Usage, 2, "usage"),
            (Exit::Inconclusive, 3, "inconclusive"),
            (Exit::Infrastructure, 4, "infrastructure"),
            (Exit::Nondeterminism, 5, "nondeterminism"),
            (Exit::Interrupted, 130, "interrupted"),
        ];
        for (exit, number, name) in contract {
            assert_eq!(exit as u8, number);
            assert!(HELP.contains(&format!("  {number}  {name}")), "{name}");
        }
    }

    #[test]
    fn replay_agrees_on_the_numbers() {
        use rehearsal_replay::verdict::Verdict as Replay;
        for verdict in [
            Replay::Pass,
            Replay::Fail,
            Replay::Inconclusive,
            Replay::Infrastructure,
        ] {
            assert_eq!(Exit::from(verdict) as u8, verdict.exit_code());
        }
    }
}
