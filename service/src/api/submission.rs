//! Reads a submission from a request: size, type, encoding, shape, in this order, and says where it is wrong.
//!
//! **Invariant**: nothing that is refused here consumes an idempotency key, and no message repeats a value, which may be personal.
//! It deliberately checks no rule of the domain; the core's `validate` does.

use std::time::Duration;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use rehearsal_core::{rejection::FieldError, validation::Submission};
use rehearsal_host::Host;
use serde_json::Value;

use super::problem::Problem;

/// The largest body that is read.
pub const BODY_BYTES: usize = 64 << 10;
/// A body has to arrive within this long.
const BODY_TIME: Duration = Duration::from_secs(10);
/// The deepest nesting that is read.
const DEPTH: u32 = 32;
/// A field's name is repeated up to this length.
const NAME_CHARS: usize = 64;
/// From this likeness on (Jaro-Winkler, 0 to 1), a known name is offered for an unknown one.
const ALIKE: f64 = 0.75;

const FIELDS: [&str; 7] = [
    "id",
    "request_id",
    "provider",
    "time",
    "patient_name",
    "email",
    "note",
];

/// The submission, and the `Idempotency-Key` header if there is one.
pub(super) async fn read(
    host: &Host,
    request: Request,
) -> Result<(Submission, Option<String>), Problem> {
    let (head, body) = request.into_parts();
    check_type(&head.headers)?;
    let key = idempotency_key(&head.headers)?;
    let body = collect(host, &head.headers, body).await?;
    parse(&body).map(|submission| (submission, key))
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut parts = given.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let json = essence.eq_ignore_ascii_case("application/json");
    let utf8 = parts.all(|parameter| {
        parameter.split_once('=').is_none_or(|(name, value)| {
            !name.eq_ignore_ascii_case("charset")
                || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
    });
    if json && utf8 {
        return Ok(());
    }
    let detail = "the body has to be application/json in UTF-8";
    Err(Problem::new(415, "unsupported_media_type", detail))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all("idempotency-key").iter();
    let refuse = |detail| Problem::new(400, "bad_idempotency_key", detail);
    let Some(value) = given.next() else {
        return Ok(None);
    };
    if given.next().is_some() {
        return Err(refuse("the Idempotency-Key header is given twice"));
    }
    let text = value
        .to_str()
        .map_err(|_| refuse("the Idempotency-Key header is not visible ASCII"))?;
    Ok(Some(text.to_owned()))
}

async fn collect(host: &Host, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body may have up to {BODY_BYTES} bytes");
        Problem::new(413, "body_too_large", detail)
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_BYTES as u64) {
        return Err(too_large());
    }
    let whole = Limited::new(body, BODY_BYTES).collect();
    match host.timeout(BODY_TIME, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => {
            let detail = "the body broke off before its end";
            Err(Problem::new(400, "incomplete_body", detail))
        }
        Err(_) => {
            let detail = format!("the body did not arrive within {BODY_TIME:?}");
            Err(Problem::new(408, "slow_body", detail))
        }
    }
}

fn parse(body: &[u8]) -> Result<Submission, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let detail = format!(
            "the body is not UTF-8: byte {} cannot be read",
            error.valid_up_to()
        );
        Problem::new(400, "not_utf8", detail)
    })?;
    check_depth(text)?;
    // serde would also read the fields from an array, by position.
    if !text.trim_start().starts_with('{') && serde_json::from_str::<Value>(text).is_ok() {
        return Err(not_an_object());
    }
    serde_json::from_str(text).map_err(|error| explain(text, &error))
}

/// Refuses deep nesting by a scan, before any parser recurses.
fn check_depth(text: &str) -> Result<(), Problem> {
    let (mut depth, mut in_string, mut escaped) = (0_u32, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH {
            let detail = format!("byte {at} opens level {depth}, and {DEPTH} are read");
            return Err(Problem::new(400, "nested_too_deep", detail));
        }
    }
    Ok(())
}

/// Why a text is no submission. The slow path: it may parse again.
fn explain(text: &str, error: &serde_json::Error) -> Problem {
    let malformed = |error: &serde_json::Error| {
        let detail = format!(
            "the body is not JSON: line {}, column {}",
            error.line(),
            error.column()
        );
        Problem::new(400, "malformed_json", detail)
    };
    let fields = match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return not_an_object(),
        Err(error) => return malformed(&error),
    };
    let errors: Vec<_> = fields
        .iter()
        .filter_map(|(name, value)| wrong_field(name, value))
        .collect();
    if errors.is_empty() {
        // Well-formed, known, and of the right types: then a name stands there twice.
        let detail = format!(
            "a field is given twice: line {}, column {}",
            error.line(),
            error.column()
        );
        return Problem::new(400, "malformed_json", detail);
    }
    let detail = format!("{} of the submission's fields cannot be read", errors.len());
    Problem::new(400, "invalid", detail).with_errors(errors)
}

fn not_an_object() -> Problem {
    Problem::new(400, "malformed_json", "the body has to be a JSON object")
}

fn wrong_field(name: &str, value: &Value) -> Option<FieldError> {
    let detail = if FIELDS.contains(&name) {
        if value.is_string() || value.is_null() {
            return None;
        }
        "has to be a string".to_owned()
    } else {
        let nearest = FIELDS
            .iter()
            .map(|known| (strsim::jaro_winkler(known, name), known))
            .max_by(|left, right| left.0.total_cmp(&right.0))
            .filter(|(likeness, _)| *likeness >= ALIKE);
        match nearest {
            Some((_, known)) => format!("unknown field; did you mean `{known}`?"),
            None => format!("unknown field; known are {}", FIELDS.join(", ")),
        }
    };
    let name: String = name.chars().take(NAME_CHARS).collect();
    Some(FieldError {
        pointer: format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &[u8], code: &str, shown: &str) {
        let problem = parse(body).unwrap_err();
        assert_eq!(problem.code(), code);
        let text = format!("{problem:?}");
        assert!(text.contains(shown), "{text}");
    }

    #[test]
    fn a_submission_is_read() {
        let submission = parse(br#"{"id":"a-1","email":null}"#).unwrap();
        assert_eq!(submission.id.as_deref(), Some("a-1"));
        assert_eq!(submission.email, None);
    }

    #[test]
    fn every_fault_says_where_it_is() {
        check(b"{\"id\":\"\xff\"}", "not_utf8", "byte 7");
        check(b"{\"id\":", "malformed_json", "line 1, column 6");
        check(b"[]", "malformed_json", "JSON object");
        check(b"", "malformed_json", "line 1, column 0");
        check(br#"{"id":"a","id":"b"}"#, "malformed_json", "twice");
        check(br#"{"patient":"x"}"#, "invalid", "`patient_name`");
        check(br#"{"zzzzzzzz":1}"#, "invalid", "known are id, request_id");
        check(br#"{"time":5,"note":[]}"#, "invalid", "/time");
        check("[".repeat(40).as_bytes(), "nested_too_deep", "byte 32");
        check(br#"{"a/b~":1}"#, "invalid", "/a~1b~0");
    }

    #[test]
    fn brackets_in_strings_are_not_nesting() {
        let body = format!(r#"{{"note":"\"{}"}}"#, "[".repeat(100));
        assert!(parse(body.as_bytes()).is_ok());
    }

    #[test]
    fn only_json_in_utf8_is_taken() {
        let check = |given: Option<&str>, fine: bool| {
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                headers.insert(header::CONTENT_TYPE, given.parse().unwrap());
            }
            assert_eq!(check_type(&headers).is_ok(), fine, "{given:?}");
        };
        check(Some("application/json"), true);
        check(Some("Application/JSON; charset=\"UTF-8\""), true);
        check(Some("application/json; charset=latin1"), false);
        check(Some("text/plain"), false);
        check(None, false);
    }
}
