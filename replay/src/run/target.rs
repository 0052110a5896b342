//! Whom to ask, and how to reach it.
//!
//! **Invariant**: a target's URL is `http://name:port` or `https://name:port`, without a path; with `https` there is a [`Tls`].

use rehearsal_host::tls::Tls;

use crate::rules::Side;

/// Whom to ask.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which side it plays.
    pub side: Side,
    /// Its base URL: `http://name:port`.
    pub url: String,
    /// How to speak to it.
    pub transport: Transport,
}

/// How to speak to a target.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// Without TLS, the protocol that is spoken; with it, both ends agree on one.
    pub protocol: Protocol,
    /// What secures its connections.
    pub tls: Option<Tls>,
}

/// The version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, without asking first ("prior knowledge").
    Http2,
}

impl Target {
    /// A target that speaks HTTP/1.1 without TLS.
    pub fn new(side: Side, url: impl Into<String>) -> Self {
        Self {
            side,
            url: url.into(),
            transport: Transport::default(),
        }
    }
}
