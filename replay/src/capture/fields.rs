//! What an access log of JSON objects calls its fields: every log format is its operator's own.
//!
//! **Invariant**: a field that is named by the user is looked for first; the names that nginx and Envoy users commonly take come after it.

use std::collections::BTreeMap;

/// What can be read from an access log, and the keys that it is looked for under.
const KNOWN: &[(&str, &[&str])] = &[
    ("start", &["start_time", "start"]),
    (
        "end",
        &[
            "msec",
            "time_iso8601",
            "time_local",
            "time",
            "timestamp",
            "@timestamp",
            "ts",
        ],
    ),
    ("duration_s", &["rt", "request_time"]),
    ("duration_ms", &["duration", "duration_ms"]),
    ("request", &["request", "request_line"]),
    ("method", &["m", "method", "request_method", "verb"]),
    // The target as it was sent; a `request` has it too. Else it is a path and a query.
    ("target", &["u", "request_uri"]),
    ("path", &["x_envoy_original_path", "uri", "path", "url"]),
    ("query", &["args", "query_string"]),
    ("protocol", &["proto", "protocol", "server_protocol"]),
    ("host", &["host", "http_host", "authority"]),
    (
        "status",
        &["st", "status", "response_code", "status_code", "code"],
    ),
    ("connection", &["conn", "connection", "connection_id"]),
    ("connection_request", &["creq", "connection_requests"]),
    (
        "address",
        &[
            "addr",
            "remote_addr",
            "x_forwarded_for",
            "http_x_forwarded_for",
            "downstream_remote_address",
            "client_ip",
        ],
    ),
    ("content_type", &["ct", "content_type"]),
    (
        "content_length",
        &["cl", "content_length", "bytes_received"],
    ),
    ("authorization", &["auth", "authorization"]),
    ("cookie", &["cookie"]),
    ("idempotency_key", &["idem", "idempotency_key"]),
    // What the client sent goes before what the proxy made of it.
    (
        "id",
        &["http_x_request_id", "x_request_id", "request_id", "id"],
    ),
    ("user_agent", &["ua", "user_agent"]),
    ("body", &["body", "request_body"]),
    ("response_body", &["resp", "resp_body", "response_body"]),
    ("response_length", &["body_bytes_sent"]),
];

/// The names of an access log's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    named: BTreeMap<String, String>,
    headers: Vec<(String, String)>,
}

/// Not a field of an access log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {found:?}, expected {expected}")]
pub struct NotAField {
    found: String,
    expected: String,
}

impl Fields {
    /// Names a field: `method=verb`, or a request's header: `header:X-Tenant=tenant`. A key of an object in the object is `outer.inner`.
    ///
    /// # Errors
    /// What is no `FIELD=KEY`, and a field that is not read.
    pub fn set(&mut self, text: &str) -> Result<(), NotAField> {
        let error = |expected: String| NotAField {
            found: text.to_owned(),
            expected,
        };
        let Some((field, key)) = text.split_once('=').filter(|(_, key)| !key.is_empty()) else {
            return Err(error("FIELD=KEY, as in method=verb".to_owned()));
        };
        if let Some(header) = field
            .strip_prefix("header:")
            .filter(|name| !name.is_empty())
        {
            self.headers.push((header.to_owned(), key.to_owned()));
            return Ok(());
        }
        if KNOWN.iter().all(|(known, _)| *known != field) {
            let nearest = KNOWN
                .iter()
                .map(|(known, _)| *known)
                .max_by(|left, right| {
                    let of = |name: &str| strsim::jaro_winkler(name, field);
                    of(left).total_cmp(&of(right))
                })
                .unwrap_or_default();
            let all: Vec<&str> = KNOWN.iter().map(|(known, _)| *known).collect();
            return Err(error(format!(
                "{nearest}=KEY perhaps; the fields are {} and header:NAME",
                all.join(", ")
            )));
        }
        self.named.insert(field.to_owned(), key.to_owned());
        Ok(())
    }

    /// The keys that `field` is looked for under, the first the first.
    pub(crate) fn keys<'a>(&'a self, field: &str) -> impl Iterator<Item = &'a str> {
        let known = KNOWN.iter().find(|(known, _)| *known == field);
        debug_assert!(known.is_some(), "{field} is no field");
        let known = known.map_or(&[] as &[&str], |(_, keys)| keys);
        self.named
            .get(field)
            .map(String::as_str)
            .into_iter()
            .chain(known.iter().copied())
    }

    /// The headers that the user named, with their keys.
    pub(crate) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Whether `key` is looked for at all.
    pub(crate) fn is_known(key: &str) -> bool {
        KNOWN.iter().any(|(_, keys)| keys.contains(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_and_what_is_none_is_refused() {
        let mut fields = Fields::default();
        fields.set("method=verb2").expect("a field");
        fields.set("header:X-Tenant=tenant").expect("a header");
        assert_eq!(fields.keys("method").next(), Some("verb2"));
        assert_eq!(fields.keys("method").nth(1), Some("m"));
        assert_eq!(
            fields.headers(),
            [("X-Tenant".to_owned(), "tenant".to_owned())]
        );
        let error = fields.set("metod=x").expect_err("no field");
        assert!(error.to_string().contains("expected method=KEY"), "{error}");
        assert!(fields.set("method").is_err());
        assert!(fields.set("method=").is_err());
    }
}
