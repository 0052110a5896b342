//! Reproducers in the reports: what was written where, and the command that replays it.
//!
//! **Invariant**: at most ten kilobytes of Markdown, and the JSON keeps its form: an array that is empty becomes one that is not.

use std::fmt::Write;

use crate::diff::shortened;

/// A report shows so many; a caller makes no more.
const SHOWN: usize = 20;

/// What the report's JSON has where nothing was reproduced.
const EMPTY: &str = "\"reproducers\": []";

/// A file that shows one cluster.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Reproducer {
    /// The cluster's fingerprint.
    pub fingerprint: String,
    /// The file, in our JSON lines.
    pub file: String,
    /// How many requests it holds.
    pub requests: u64,
    /// Whether it was run, as it is, and showed the cluster.
    pub verified: bool,
    /// How many runs it took to find.
    pub trials: u64,
    /// What replays it.
    pub command: String,
}

/// The report's JSON with `reproducers` in it.
pub fn inserted(json: &str, reproducers: &[Reproducer]) -> String {
    let Some(at) = json.rfind(EMPTY).filter(|_| !reproducers.is_empty()) else {
        return json.to_owned();
    };
    let list = serde_json::to_string_pretty(reproducers)
        .expect("a reproducer is plain data")
        .replace('\n', "\n  ");
    let (before, after) = (&json[..at], &json[at + EMPTY.len()..]);
    format!("{before}\"reproducers\": {list}{after}")
}

/// A section of the Markdown report; empty when there is none.
pub fn markdown(reproducers: &[Reproducer]) -> String {
    let mut out = String::new();
    if reproducers.is_empty() {
        return out;
    }
    out.push_str("\n## Reproducers\n\n| cluster | requests | shown | file |\n|---|---:|---|---|\n");
    let cell = |text: &str| {
        shortened(text)
            .replace('|', "\\|")
            .replace('`', "'")
            .replace('<', "&lt;")
    };
    for one in reproducers.iter().take(SHOWN) {
        let (cluster, file) = (cell(&one.fingerprint), cell(&one.file));
        let _ = writeln!(
            out,
            "| `{cluster}` | {} | {} | `{file}` |",
            one.requests,
            shown(one)
        );
    }
    let verified = reproducers.iter().find(|one| one.verified);
    if let Some(first) = verified.or(reproducers.first()) {
        let command: String = first
            .command
            .chars()
            .filter(|one| !one.is_control())
            .take(1_000)
            .collect();
        let _ = writeln!(out, "\n```sh\n{command}\n```");
    }
    out
}

/// For a terminal: a line each.
pub fn lines(reproducers: &[Reproducer]) -> String {
    reproducers
        .iter()
        .take(5)
        .fold(String::new(), |mut out, one| {
            let _ = writeln!(
                out,
                "  reproducer   {} requests, {}: {}",
                one.requests,
                shown(one),
                one.file
            );
            out
        })
}

fn shown(one: &Reproducer) -> String {
    match (one.verified, one.trials) {
        (true, trials) => format!("yes, in {trials} runs"),
        (false, 0) => "not run again".to_owned(),
        (false, trials) => format!("not in {trials} runs: it needs more than these"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str) -> Reproducer {
        Reproducer {
            fingerprint: format!("GET /a value /{name}"),
            file: format!("results/reproducers/{name}.jsonl"),
            requests: 2,
            verified: name == "seen",
            trials: if name == "live" { 0 } else { 7 },
            command: format!("rehearsal replay results/reproducers/{name}.jsonl"),
        }
    }

    #[test]
    fn they_go_where_the_empty_array_was() {
        let json = "{\n  \"x\": 1,\n  \"reproducers\": [],\n  \"timing\": {}\n}\n";
        assert_eq!(inserted(json, &[]), json);
        let with = inserted(json, &[one("a"), one("b")]);
        let read: serde_json::Value = serde_json::from_str(&with).expect("JSON");
        assert_eq!(read["reproducers"][1]["requests"], 2);
        assert_eq!(read["timing"], serde_json::json!({}));
    }

    #[test]
    fn what_was_not_run_is_said() {
        let text = markdown(&[one("live"), one("lost"), one("seen")]);
        insta::assert_snapshot!(text, @r"
        ## Reproducers

        | cluster | requests | shown | file |
        |---|---:|---|---|
        | `GET /a value /live` | 2 | not run again | `results/reproducers/live.jsonl` |
        | `GET /a value /lost` | 2 | not in 7 runs: it needs more than these | `results/reproducers/lost.jsonl` |
        | `GET /a value /seen` | 2 | yes, in 7 runs | `results/reproducers/seen.jsonl` |

        ```sh
        rehearsal replay results/reproducers/seen.jsonl
        ```
        ");
        assert_eq!(markdown(&[]), "");
        let many: Vec<Reproducer> = (0..500).map(|_| one(&"|<`".repeat(900))).collect();
        assert!(markdown(&many).len() < 20_000, "{}", markdown(&many).len());
        assert_eq!(lines(&many).lines().count(), 5);
    }
}
