//! The version of HTTP as a capture keeps it, however a recorder spells it.
//!
//! **Invariant**: one version has one spelling, whatever the format: `1.1`, `2`, `3`.

/// `HTTP/1.1`, `HTTP/2.0`, `3` and the rest as `1.1`, `2`, `3`; nothing is 1.1.
pub(crate) fn version(protocol: &str) -> &str {
    match protocol.strip_prefix("HTTP/").unwrap_or(protocol) {
        "" => "1.1",
        "2.0" => "2",
        "3.0" => "3",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_one_spelling() {
        for (protocol, expected) in [
            ("HTTP/1.1", "1.1"),
            ("HTTP/1.0", "1.0"),
            ("HTTP/2.0", "2"),
            ("HTTP/2", "2"),
            ("3.0", "3"),
            ("", "1.1"),
        ] {
            assert_eq!(version(protocol), expected, "{protocol}");
        }
    }
}
