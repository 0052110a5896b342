//! Reads a trace that a run wrote: `rehearsal.trace/1`, a line of JSON an entry.
//!
//! **Invariant**: what is read is what was written, entry by entry; a line that is none is refused with its number.

use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    scenario,
    trace::{self, Entry, Trace},
};

/// A text that is no trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct NotATrace {
    /// From 1.
    pub line: usize,
    /// What was found and what was expected.
    pub reason: String,
}

/// Reads a trace.
///
/// # Errors
/// [`NotATrace`], for the first line that is not as it should be.
pub fn read<E: DeserializeOwned>(text: &str) -> Result<Trace<E>, NotATrace> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Head {
        format: String,
    }
    let wrong = |line: usize, reason: String| NotATrace { line, reason };
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let expected = format!("expected {{\"format\":\"{}\"}}", trace::FORMAT);
    let head: Head = serde_json::from_str(head)
        .map_err(|error| wrong(1, format!("{error}; {expected}, the first line of a trace")))?;
    scenario::check_format(Some(&head.format), trace::FORMAT).map_err(|reason| wrong(1, reason))?;
    let mut entries: Vec<Entry<E>> = Vec::new();
    for (number, line) in (2..).zip(lines) {
        let entry: Entry<E> = serde_json::from_str(line)
            .map_err(|error| wrong(number, format!("{error}; expected an entry of a trace")))?;
        let due = entries.len() as u64;
        if entry.ordinal != due {
            let reason = format!(
                "found ordinal {}, expected {due}: entries are missing or doubled",
                entry.ordinal
            );
            return Err(wrong(number, reason));
        }
        if entries.last().is_some_and(|last| last.at_us > entry.at_us) {
            let reason = format!(
                "found at_us {}, which is before the entry above",
                entry.at_us
            );
            return Err(wrong(number, reason));
        }
        entries.push(entry);
    }
    if entries.is_empty() {
        return Err(wrong(2, "found no entry, expected at least one".to_owned()));
    }
    Ok(Trace { entries })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "{\"format\":\"rehearsal.trace/1\"}\n";

    fn entry(ordinal: u64, at_us: u64) -> String {
        format!(
            "{{\"ordinal\":{ordinal},\"at_us\":{at_us},\"host\":\"a\",\"boot\":1,\"event\":{{\"system\":7}}}}\n"
        )
    }

    #[test]
    fn what_is_no_trace_is_refused_with_its_line() {
        let good = format!("{HEAD}{}{}", entry(0, 5), entry(1, 5));
        assert_eq!(read::<u8>(&good).unwrap().entries.len(), 2);
        let cases = [
            (String::new(), "line 1: "),
            ("format = \"rehearsal.plan/1\"\n".to_owned(), "line 1: "),
            (HEAD.replace("/1", "/9"), "line 1: "),
            (HEAD.to_owned(), "line 2: found no entry"),
            (format!("{HEAD}{}x", entry(0, 5)), "line 3: "),
            (
                format!("{HEAD}{}", entry(1, 5)),
                "line 2: found ordinal 1, expected 0",
            ),
            (
                format!("{HEAD}{}{}", entry(0, 5), entry(1, 4)),
                "line 3: found at_us 4",
            ),
        ];
        for (text, expect) in cases {
            let error = read::<u8>(&text).unwrap_err().to_string();
            assert!(error.starts_with(expect), "{text}: {error}");
        }
    }
}
