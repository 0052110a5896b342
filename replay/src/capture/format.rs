//! The formats of captures, and how one is told from another.
//!
//! **Invariant**: the content decides; the extension only helps where the content does not tell.
//! It deliberately reads nothing but the beginning: a file that goes on otherwise than it began has records that cannot be read.

use std::{fmt, str::FromStr};

use crate::capture::{goreplay, json_log};

/// Enough of the beginning to tell a format by: some writers put a preamble before what is telling.
pub(crate) const PEEK: usize = 64 << 10;

/// A format of captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Our own JSON lines.
    Rehearsal,
    /// GoReplay's `.gor`.
    GoReplay,
    /// HAR 1.2, the HTTP archive of browsers and proxies.
    Har,
    /// mitmproxy's own flow dumps.
    Mitmproxy,
    /// Envoy's HTTP tap, JSON.
    EnvoyTap,
    /// Envoy's access log, its default text.
    EnvoyLog,
    /// An access log of JSON objects: nginx's, or Envoy's.
    JsonLog,
    /// OpenTelemetry's spans, OTLP JSON.
    Otlp,
    /// Several formats in one capture of several files.
    Mixed,
}

/// Not a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "found {0:?}, expected rehearsal, goreplay, har, mitmproxy, envoy-tap, envoy-log, json-log or otlp"
)]
pub struct NotAFormat(String);

impl Format {
    /// All that can be read.
    pub const ALL: [Self; 8] = [
        Self::Rehearsal,
        Self::GoReplay,
        Self::Har,
        Self::Mitmproxy,
        Self::EnvoyTap,
        Self::EnvoyLog,
        Self::JsonLog,
        Self::Otlp,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rehearsal => "rehearsal.capture/1",
            other => other.short(),
        }
    }

    /// Its name on a command line.
    pub fn short(self) -> &'static str {
        match self {
            Self::Rehearsal => "rehearsal",
            Self::GoReplay => "goreplay",
            Self::Har => "har",
            Self::Mitmproxy => "mitmproxy",
            Self::EnvoyTap => "envoy-tap",
            Self::EnvoyLog => "envoy-log",
            Self::JsonLog => "json-log",
            Self::Otlp => "otlp",
            Self::Mixed => "mixed",
        }
    }

    /// The format of what begins with `begin`, in a file named `name`.
    pub(crate) fn detect(name: &str, begin: &[u8]) -> Option<Self> {
        let begin = begin
            .strip_prefix(b"\xef\xbb\xbf")
            .unwrap_or(begin)
            .trim_ascii_start();
        let first = begin.split(|byte| *byte == b'\n').next().unwrap_or(begin);
        if goreplay::is_meta(first) {
            return Some(Self::GoReplay);
        }
        if matches!(begin.first(), Some(b'{' | b'[')) && !envoy_text(first) {
            return json(name, begin, first);
        }
        if envoy_text(first) {
            return Some(Self::EnvoyLog);
        }
        if tnetstring(begin) {
            return Some(Self::Mitmproxy);
        }
        match extension(name)? {
            "gor" => Some(Self::GoReplay),
            "har" | "zhar" => Some(Self::Har),
            "mitm" | "flows" => Some(Self::Mitmproxy),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = NotAFormat;

    fn from_str(text: &str) -> Result<Self, NotAFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.short() == text || format.name() == text)
            .ok_or_else(|| NotAFormat(text.to_owned()))
    }
}

fn json(name: &str, begin: &[u8], first: &[u8]) -> Option<Format> {
    let mentions = |what: &str| memchr::memmem::find(begin, what.as_bytes()).is_some();
    if memchr::memmem::find(first, b"\"format\"").is_some() {
        return Some(Format::Rehearsal);
    }
    // The key that comes first tells: a body may well hold another format's key.
    let keys = [
        ("\"http_buffered_trace\"", Format::EnvoyTap),
        ("\"httpBufferedTrace\"", Format::EnvoyTap),
        ("\"http_streamed_trace_segment\"", Format::EnvoyTap),
        ("\"httpStreamedTraceSegment\"", Format::EnvoyTap),
        ("\"resourceSpans\"", Format::Otlp),
        ("\"resource_spans\"", Format::Otlp),
        ("\"resourceMetrics\"", Format::Otlp),
        ("\"resource_metrics\"", Format::Otlp),
        ("\"resourceLogs\"", Format::Otlp),
        ("\"resource_logs\"", Format::Otlp),
        ("\"log\"", Format::Har),
    ];
    let opening = keys.iter().find(|(key, _)| {
        let inner = begin[1..].trim_ascii_start();
        let inner = inner.strip_prefix(b"{").unwrap_or(inner).trim_ascii_start();
        inner.starts_with(key.as_bytes())
    });
    if let Some((_, format)) = opening {
        return Some(*format);
    }
    match extension(name) {
        Some("har" | "zhar") => return Some(Format::Har),
        Some("jsonl") if !json_log::is_log(begin) => return Some(Format::Rehearsal),
        _ => {}
    }
    if json_log::is_log(begin) {
        return Some(Format::JsonLog);
    }
    let found = keys.iter().find(|(key, _)| mentions(key));
    found.map(|(_, format)| *format)
}

/// `[2026-...] "...`: Envoy's default line.
fn envoy_text(line: &[u8]) -> bool {
    line.starts_with(b"[") && memchr::memmem::find(line, b"] \"").is_some()
}

/// `<digits>:`, with no padding.
fn tnetstring(begin: &[u8]) -> bool {
    let digits = begin
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    (1..=12).contains(&digits) && begin.get(digits) == Some(&b':')
}

/// The extension of `name` below a compression's.
pub(crate) fn extension(name: &str) -> Option<&str> {
    let name = name
        .strip_suffix(".gz")
        .or_else(|| name.strip_suffix(".zst"))
        .unwrap_or(name);
    name.rsplit_once('.').map(|(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_tells_the_format() {
        let check = |begin: &str, format: Option<Format>| {
            assert_eq!(Format::detect("x", begin.as_bytes()), format, "{begin}");
        };
        check("1 aa 5\nGET / HTTP/1.1\n", Some(Format::GoReplay));
        check(
            "{\"format\":\"rehearsal.capture/1\"}",
            Some(Format::Rehearsal),
        );
        check("\u{feff}{\n \"log\": {\"entries\":[", Some(Format::Har));
        check("12:4:type;4:http;}", Some(Format::Mitmproxy));
        check("{\n \"http_buffered_trace\": {", Some(Format::EnvoyTap));
        check(
            "[{\"http_streamed_trace_segment\":{",
            Some(Format::EnvoyTap),
        );
        check("{\"resourceSpans\":[{", Some(Format::Otlp));
        check(
            "[2026-01-01T00:00:00.000Z] \"GET / HTTP/1.1\" 200",
            Some(Format::EnvoyLog),
        );
        check(
            "{\"msec\":\"1.5\",\"m\":\"GET\",\"u\":\"/\"}",
            Some(Format::JsonLog),
        );
        check(
            "{\"start_time\":\"x\",\"method\":\"GET\",\"path\":\"/\"}",
            Some(Format::JsonLog),
        );
        check(
            "{\"msec\":\"1.5\",\"m\":\"GET\",\"u\":\"/\",\"body\":\"{\\\"log\\\":1}\"}",
            Some(Format::JsonLog),
        );
        check("{\"a\":1}", None);
        check("hello", None);
    }

    #[test]
    fn names_are_read_back() {
        for format in Format::ALL {
            assert_eq!(format.short().parse(), Ok(format));
            assert_eq!(format.name().parse(), Ok(format));
        }
        assert!("mixed".parse::<Format>().is_err());
    }
}
