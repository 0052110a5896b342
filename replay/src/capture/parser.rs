//! The parsers of all formats behind one call.
//!
//! **Invariant**: whatever the format, a body is within the limit, and what a body lacks is flagged.

use std::{io::Read, sync::Arc};

use crate::capture::{
    CaptureError, Format, Limits, Manifest, Options,
    envoy::{log::EnvoyLog, tap::EnvoyTap},
    goreplay::GoReplay,
    har::Har,
    input::Input,
    json_log::JsonLog,
    lines::Lines,
    mitmproxy::Mitmproxy,
    otlp::Otlp,
    parsed::{Next, What},
};

/// A parser.
#[derive(Debug)]
pub(crate) enum Parser<R: Read> {
    Lines(Box<Lines<R>>),
    GoReplay(Box<GoReplay<R>>),
    Har(Box<Har<R>>),
    Mitmproxy(Box<Mitmproxy<R>>),
    EnvoyTap(Box<EnvoyTap<R>>),
    EnvoyLog(Box<EnvoyLog<R>>),
    JsonLog(Box<JsonLog<R>>),
    Otlp(Box<Otlp<R>>),
}

/// The same call on whichever parser it is.
macro_rules! each {
    ($self:expr, $parser:ident => $call:expr) => {
        match $self {
            Parser::Lines($parser) => $call,
            Parser::GoReplay($parser) => $call,
            Parser::Har($parser) => $call,
            Parser::Mitmproxy($parser) => $call,
            Parser::EnvoyTap($parser) => $call,
            Parser::EnvoyLog($parser) => $call,
            Parser::JsonLog($parser) => $call,
            Parser::Otlp($parser) => $call,
        }
    };
}

impl<R: Read> Parser<R> {
    pub(crate) fn new(
        format: Format,
        name: Arc<str>,
        input: Input<R>,
        options: &Options,
    ) -> Result<Self, CaptureError> {
        Ok(match format {
            Format::Rehearsal => Self::Lines(Box::new(Lines::new(name, input)?)),
            Format::GoReplay | Format::Mixed => {
                Self::GoReplay(Box::new(GoReplay::new(name, input)))
            }
            Format::Har => Self::Har(Box::new(Har::new(name, input))),
            Format::Mitmproxy => Self::Mitmproxy(Box::new(Mitmproxy::new(name, input))),
            Format::EnvoyTap => Self::EnvoyTap(Box::new(EnvoyTap::new(name, input))),
            Format::EnvoyLog => Self::EnvoyLog(Box::new(EnvoyLog::new(name, input))),
            Format::JsonLog => {
                let fields = options.fields.clone();
                Self::JsonLog(Box::new(JsonLog::new(name, input, fields)))
            }
            Format::Otlp => Self::Otlp(Box::new(Otlp::new(name, input, options.spans))),
        })
    }

    /// The next record of the file.
    pub(crate) fn next(&mut self) -> Next {
        let limits: Limits = *self.input().limits();
        let own = matches!(self, Self::Lines(_));
        let mut parsed = each!(self, parser => parser.next())?;
        match parsed.as_mut().map(|parsed| &mut parsed.what) {
            Some(What::Exchange(exchange) | What::Request(_, exchange)) => {
                limits.bound(exchange);
                // What we wrote is flagged already, and is read back as it was.
                if !own {
                    exchange.flag_bodies();
                }
            }
            Some(What::Response(response)) => {
                if limits.bound_body(&mut response.body) {
                    response.flags.push(crate::capture::Flag::BodyTooLarge);
                }
            }
            Some(What::Skipped(..) | What::SkippedBefore(..)) | None => {}
        }
        Ok(parsed)
    }

    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Lines(_) => Format::Rehearsal,
            Self::GoReplay(_) => Format::GoReplay,
            Self::Har(_) => Format::Har,
            Self::Mitmproxy(_) => Format::Mitmproxy,
            Self::EnvoyTap(_) => Format::EnvoyTap,
            Self::EnvoyLog(_) => Format::EnvoyLog,
            Self::JsonLog(_) => Format::JsonLog,
            Self::Otlp(_) => Format::Otlp,
        }
    }

    pub(crate) fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::Lines(lines) => Some(lines.manifest()),
            _ => None,
        }
    }

    pub(crate) fn input(&self) -> &Input<R> {
        each!(self, parser => parser.input())
    }

    pub(crate) fn into_input(self) -> Input<R> {
        each!(self, parser => parser.into_input())
    }
}
