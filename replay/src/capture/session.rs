//! Which session a request belongs to, from what its record shows.
//!
//! **Invariant**: a session's name holds no credential; it is a digest of one.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::capture::{Headers, header};

/// What tells one client from another, the most telling first.
const CREDENTIALS: [&str; 4] = ["cookie", "authorization", "x-forwarded-for", "x-real-ip"];

/// The session named by a request's headers: a digest of its cookie, credentials or client address.
pub(crate) fn of_headers(headers: &Headers) -> Option<String> {
    CREDENTIALS.iter().find_map(|name| {
        let value = header(headers, name)?;
        Some(format!("{name}:{}", &hex(&Sha256::digest(value))[..16]))
    })
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
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
        assert_eq!(of_headers(&Vec::new()), None);
    }
}
