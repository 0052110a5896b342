//! What was typed after the commands that read captures and replay nothing, `import` and `inspect`, and how all commands read them.
//!
//! **Invariant**: the same files and flags give the same capture; a key is named by its place, never typed.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use jiff::Timestamp;
use rehearsal_replay::{
    capture::{self, Fields, NotAField, Options, Spans, Unreadable},
    rules::Template,
};

use super::value::{self, Format};

/// `rehearsal import`.
#[derive(Debug, Args)]
#[command(after_help = "\
Formats are found out by content, then by extension: our JSON lines, GoReplay, HAR, mitmproxy, Envoy, nginx, OTLP.
A masked capture replays like the original: one value has one mask, of its own length and shape. docs/masking.md
says what is found and what is not.

Examples:
  rehearsal import hour.gor --out hour.jsonl.zst
  rehearsal import captures/ --out all.jsonl.gz --mask key.txt
  zcat big.har.gz | rehearsal import - --out some.jsonl --sample 10% --method GET --path '/orders/{id}'")]
pub struct ImportFlags {
    /// Captures: files, folders, or - for standard input
    #[arg(required = true, value_name = "CAPTURE")]
    pub captures: Vec<PathBuf>,
    /// The capture to write; compressed if its name ends in .gz or .zst
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// How the captures are read
    #[command(flatten)]
    pub reading: ReadingFlags,
    /// Stop at the first record that cannot be read, and write nothing
    #[arg(long)]
    pub strict: bool,
    /// Mask what is personal, with the key in this file: at least 16 bytes that nobody else knows
    #[arg(long, value_name = "KEYFILE")]
    pub mask: Option<PathBuf>,
    /// Mask with the key in this environment variable
    #[arg(long, conflicts_with = "mask", value_name = "NAME")]
    pub mask_env: Option<String>,
    /// Which fields and headers are masked, instead of the shipped ones
    #[arg(long, value_name = "FILE")]
    pub mask_rules: Option<PathBuf>,
    /// Only requests with these methods
    #[arg(long, value_delimiter = ',', value_name = "METHODS")]
    pub method: Vec<String>,
    /// Only requests to these paths: /orders, /orders/{id}, /api/{rest...}
    #[arg(long, value_parser = template, value_name = "PATH")]
    pub path: Vec<Template>,
    /// Only requests sent from this time on: 2027-03-01T09:30:00Z, or 10m after the first
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Only requests sent before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// Only so many of all entities, each with all of its requests; without an entity, sessions
    #[arg(long, value_parser = value::percent, value_name = "SHARE")]
    pub sample: Option<f64>,
    /// What is printed to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `rehearsal inspect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rehearsal inspect hour.gor
  rehearsal inspect captures/ --format markdown
  rehearsal inspect app.log --from json-log --field method=verb --field target=where.path
  zcat big.har.gz | rehearsal inspect - --from har --format json")]
pub struct InspectFlags {
    /// Captures: files, folders, or - for standard input
    #[arg(required = true, value_name = "CAPTURE")]
    pub captures: Vec<PathBuf>,
    /// How the captures are read
    #[command(flatten)]
    pub reading: ReadingFlags,
    /// Stop at the first record that cannot be read
    #[arg(long)]
    pub strict: bool,
    /// What is printed to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// How captures are read, whatever is made of them.
#[derive(Debug, Args)]
pub struct ReadingFlags {
    /// The captures' format, where it is not to be found out
    #[arg(long, value_name = "FORMAT")]
    pub from: Option<capture::Format>,
    /// What a log of JSON objects calls a field: method=verb, target=where.path, header:X-Tenant=tenant
    #[arg(long, value_parser = field, value_name = "FIELD=KEY")]
    pub field: Vec<String>,
    /// Take the spans of clients for the requests of a trace, instead of those of servers
    #[arg(long)]
    pub client_spans: bool,
}

impl ReadingFlags {
    /// The flags as they were typed, each with its value.
    pub fn typed(&self) -> Vec<(&'static str, Option<&str>)> {
        let from = self.from.map(|format| ("--from", Some(format.short())));
        let fields = self.field.iter().map(|field| ("--field", Some(&**field)));
        let spans = self.client_spans.then_some(("--client-spans", None));
        from.into_iter().chain(fields).chain(spans).collect()
    }

    /// As the readers of captures take it; `strict` stops at the first record that cannot be read.
    ///
    /// # Panics
    /// Never: a field that is none was refused when it was typed.
    pub fn options(&self, strict: bool) -> Options {
        let mut fields = Fields::default();
        for field in &self.field {
            fields.set(field).expect("it was checked when it was typed");
        }
        Options {
            format: self.from,
            unreadable: if strict {
                Unreadable::Stop
            } else {
                Unreadable::Count
            },
            fields,
            spans: if self.client_spans {
                Spans::Client
            } else {
                Spans::Server
            },
            ..Options::default()
        }
    }
}

fn field(text: &str) -> Result<String, NotAField> {
    Fields::default().set(text)?;
    Ok(text.to_owned())
}

/// A time, or one after the first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nanoseconds since the epoch.
    At(u64),
    /// After the first request.
    After(Duration),
}

impl Moment {
    /// In nanoseconds since the epoch, in a capture whose first request was sent at `first_ns`.
    pub fn ns(self, first_ns: u64) -> u64 {
        match self {
            Self::At(ns) => ns,
            Self::After(time) => {
                first_ns.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
            }
        }
    }
}

impl fmt::Display for Moment {
    /// As it can be typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(ns) => match Timestamp::from_nanosecond(i128::from(*ns)) {
                Ok(time) => write!(f, "{time}"),
                Err(error) => write!(f, "{error}"),
            },
            Self::After(time) => write!(f, "{}s", time.as_secs_f64()),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self::At(u64::try_from(time.as_nanosecond()).unwrap_or(0)));
        }
        value::duration(text).map(Self::After).map_err(|_| {
            format!("found {text:?}, expected a time such as 2027-03-01T09:30:00Z, or one after the first request such as 10m")
        })
    }
}

fn template(text: &str) -> Result<Template, String> {
    Template::parse(text)
        .map_err(|error| format!("{error}, expected a path such as /orders/{{id}}"))
}
