//! Which session a request belongs to, from what its record shows.
//!
//! **Invariant**: a session's name holds no credential; it is a digest of one.

use std::{collections::BTreeMap, fmt::Write as _};

use sha2::{Digest, Sha256};

use crate::capture::{Exchange, Headers, header};

/// What tells one client from another, the most telling first.
const CREDENTIALS: [&str; 4] = ["cookie", "authorization", "x-forwarded-for", "x-real-ip"];

/// The session named by a request's headers: a digest of its cookie, credentials or client address.
pub(crate) fn of_headers(headers: &Headers) -> Option<String> {
    CREDENTIALS.iter().find_map(|name| {
        let value = header(headers, name)?;
        Some(digest(name, value))
    })
}

/// A session named by a digest of `value`, which tells one client from another as `name`.
pub(crate) fn digest(name: &str, value: &str) -> String {
    format!("{name}:{}", hex(&Sha256::digest(value)[..8]))
}

/// A quiet connection of this long is a new session: ports are used again.
const GAP_NS: u64 = 120_000_000_000;

/// How many connections' last use is remembered.
const CONNECTIONS: usize = 50_000;

/// The connections seen so far: when each was last used, and how often it began anew.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    known: BTreeMap<String, (u64, u32)>,
}

impl Connections {
    /// Names the session of `exchange` if its connection is known: exchanges come in order of time.
    pub(crate) fn name(&mut self, exchange: &mut Exchange) {
        let (Some(conn), None) = (&exchange.conn, &exchange.session) else {
            return;
        };
        let ts_ns = exchange.ts_ns;
        if self.known.len() >= CONNECTIONS && !self.known.contains_key(conn) {
            let old = ts_ns.saturating_sub(GAP_NS);
            self.known.retain(|_, (last, _)| *last >= old);
            if self.known.len() > CONNECTIONS / 2 {
                self.known.clear();
            }
        }
        let era = if let Some((last, era)) = self.known.get_mut(conn) {
            if ts_ns.saturating_sub(*last) > GAP_NS {
                *era += 1;
            }
            *last = ts_ns.max(*last);
            *era
        } else {
            self.known.insert(conn.clone(), (ts_ns, 0));
            0
        };
        let mut session = String::with_capacity(conn.len() + 3);
        session.push_str(conn);
        if era == 0 {
            session.push_str("-0");
        } else {
            let _ = write!(session, "-{era}");
        }
        exchange.session = Some(session);
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0x0f));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_a_digest_of_the_most_telling_header() {
        let headers = vec![
            ("X-Real-IP".to_owned(), "10.0.0.1".to_owned()),
            ("Cookie".to_owned(), "secret".to_owned()),
        ];
        let session = of_headers(&headers).expect("a cookie names a session");
        assert!(session.starts_with("cookie:"), "{session}");
        assert!(!session.contains("secret"));
        assert_eq!(session.len(), "cookie:".len() + 16);
        assert_eq!(hex(&[0x00, 0x9f, 0xe0]), "009fe0");
        assert_eq!(of_headers(&Vec::new()), None);
    }
}
