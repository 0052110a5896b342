//! The one printer: data to stdout, talk to stderr.
//!
//! **Invariant**: nothing else in this program prints, and no meaning is in a color alone. A reader of stdout that goes away ends nothing:
//! the verdict is the exit code.

use std::io::{self, IsTerminal, Write};

use crate::problem::Problem;

/// Where output goes and whether it may be colored.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    color_out: bool,
    color_err: bool,
}

/// A color with a meaning; the words beside it say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// Something held.
    Good,
    /// Something did not.
    Bad,
    /// Something is open.
    Doubtful,
    /// Less important.
    Faint,
}

impl Printer {
    /// Colors only for terminals, and not when `NO_COLOR` is set to anything or the terminal is dumb.
    pub fn from_environment() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let wanted = !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self {
            color_out: wanted && io::stdout().is_terminal(),
            color_err: wanted && io::stderr().is_terminal(),
        }
    }

    /// Without colors, for what is not a terminal's.
    pub fn plain() -> Self {
        Self {
            color_out: false,
            color_err: false,
        }
    }

    /// `text` for stdout, in its tone.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        colored(self.color_out, tone, text)
    }

    /// Whether stderr shows colors.
    pub fn colors_talk(&self) -> bool {
        self.color_err
    }

    /// Data, to stdout, as it is.
    ///
    /// # Errors
    /// When stdout takes nothing (a full disk), but not when its reader has gone.
    pub fn data(&self, text: &str) -> Result<(), Problem> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(
                Problem::infrastructure(format!("cannot write to stdout: {error}")),
            ),
            _ => Ok(()),
        }
    }

    /// A line of talk, to stderr.
    pub fn talk(&self, line: &str) {
        // There is nowhere to say that nobody listens.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// A warning, to stderr.
    pub fn warn(&self, line: &str) {
        self.talk(&format!(
            "{} {line}",
            colored(self.color_err, Tone::Doubtful, "warning:")
        ));
    }

    /// A problem, to stderr: the error first, the hint after it.
    pub fn problem(&self, problem: &Problem) {
        self.talk(&format!(
            "{} {}",
            colored(self.color_err, Tone::Bad, "error:"),
            problem.message
        ));
        if let Some(hint) = &problem.hint {
            self.talk(&format!(
                "\n{} {hint}",
                colored(self.color_err, Tone::Faint, "hint:")
            ));
        }
    }

    /// Writes over the current line of a terminal's stderr; nothing when stderr is none. An empty text clears it.
    pub fn overwrite(&self, text: &str) {
        let mut err = io::stderr().lock();
        if err.is_terminal() {
            let _ = write!(err, "\r\u{1b}[2K{text}").and_then(|()| err.flush());
        }
    }
}

fn colored(color: bool, tone: Tone, text: &str) -> String {
    let code = match tone {
        Tone::Good => "32",
        Tone::Bad => "31",
        Tone::Doubtful => "33",
        Tone::Faint => "2",
        Tone::Plain => return text.to_owned(),
    };
    if color {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_is_only_ever_added() {
        assert_eq!(colored(false, Tone::Bad, "FAIL"), "FAIL");
        assert_eq!(colored(true, Tone::Bad, "FAIL"), "\u{1b}[31mFAIL\u{1b}[0m");
        assert_eq!(colored(true, Tone::Plain, "FAIL"), "FAIL");
    }
}
