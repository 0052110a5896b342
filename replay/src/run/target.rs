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

/// Whether two base URLs are of one service, as far as their texts tell: this machine has several names.
pub fn is_one_service(one: &str, other: &str) -> bool {
    one == other || matches!((place(one), place(other)), (Some(a), Some(b)) if a == b)
}

/// The host and port of a base URL, without the aliases of this machine.
fn place(url: &str) -> Option<(String, u16)> {
    let (scheme, authority) = url.split_once("://")?;
    let usual = if scheme == "https" { 443 } else { 80 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (authority, usual),
    };
    let host = host.to_ascii_lowercase();
    let own = [
        "localhost",
        "127.1",
        "0",
        "0.0.0.0",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ];
    let host = if own.contains(&&*host) {
        "127.0.0.1".to_owned()
    } else {
        host
    };
    Some((host, port))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_known_by_all_its_names() {
        let check = |one: &str, other: &str, expect: bool| {
            assert_eq!(is_one_service(one, other), expect, "{one} {other}");
        };
        check("http://127.0.0.1:8080", "http://localhost:8080", true);
        check(
            "http://[::ffff:127.0.0.1]:8080",
            "http://0.0.0.0:8080",
            true,
        );
        check("http://[::1]", "http://127.1:80", true);
        check("https://Shop.example", "https://shop.example:443", true);
        check("http://shop.example", "https://shop.example", false);
        check("http://127.0.0.1:8080", "http://127.0.0.1:8081", false);
        check("http://127.0.0.2:8080", "http://127.0.0.1:8080", false);
    }
}
