//! A body made again from the parameters of a form, where a HAR holds them instead of the text.
//!
//! **Invariant**: a part whose content the exporter did not keep makes the whole body unknown.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::Deserialize;

use crate::capture::{base64_text, lenient::Text};

/// The boundary of a body whose own is not known.
const BOUNDARY: &str = "rehearsal-form-boundary-7MA4YWxk";

/// A parameter of a form.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Param<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    value: Option<Text<'a>>,
    #[serde(borrow)]
    file_name: Option<Text<'a>>,
    #[serde(borrow)]
    content_type: Option<Text<'a>>,
}

/// A body, and its media type where that had to be completed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) body: Bytes,
    pub(super) media_type: Option<String>,
}

/// `params` as a body of `media_type`; `None` if that cannot be known.
pub(super) fn encode(media_type: &str, params: &[Param<'_>]) -> Option<Encoded> {
    let kind = media_type.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("multipart/form-data") {
        return multipart(media_type, params);
    }
    if kind.to_ascii_lowercase().contains("json")
        || params.iter().any(|param| param.file_name.is_some())
    {
        return None;
    }
    let mut body = String::new();
    for param in params {
        if !body.is_empty() {
            body.push('&');
        }
        percent_encode(&param.name, &mut body);
        if let Some(value) = &param.value {
            body.push('=');
            percent_encode(value, &mut body);
        }
    }
    Some(Encoded {
        body: body.into(),
        media_type: None,
    })
}

/// Encodes what has to be. Exporters do not agree on whether parameters are decoded: what is already encoded stays as it is.
fn percent_encode(text: &str, out: &mut String) {
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => {
                out.push(char::from(*byte));
            }
            b' ' => out.push('+'),
            b'+' if text.contains('%') => out.push('+'),
            b'%' if hex(at + 1) && hex(at + 2) => out.push('%'),
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

fn multipart(media_type: &str, params: &[Param<'_>]) -> Option<Encoded> {
    let stated = media_type
        .split(';')
        .filter_map(|part| part.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("boundary"))
        .map(|(_, value)| value.trim_matches('"'));
    let boundary = stated.unwrap_or(BOUNDARY);
    let mut body = Vec::new();
    for param in params {
        let name = quoted(&param.name);
        let mut head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"");
        let content = match &param.file_name {
            Some(file) => {
                let _ = write!(head, "; filename=\"{}\"", quoted(file));
                file_content(param.value.as_deref()?)
            }
            None => param
                .value
                .as_deref()
                .unwrap_or_default()
                .as_bytes()
                .to_vec(),
        };
        if let Some(kind) = param
            .content_type
            .as_deref()
            .filter(|kind| !kind.is_empty())
        {
            let _ = write!(head, "\r\nContent-Type: {kind}");
        }
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(&content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Some(Encoded {
        body: body.into(),
        media_type: stated
            .is_none()
            .then(|| format!("multipart/form-data; boundary={BOUNDARY}")),
    })
}

/// A file's content: some exporters write it as a data URL.
fn file_content(value: &str) -> Vec<u8> {
    let data = value.strip_prefix("data:").and_then(|rest| {
        let (head, data) = rest.split_once(',')?;
        head.ends_with(";base64").then_some(data)
    });
    data.and_then(|data| base64_text::decode(data).ok())
        .unwrap_or_else(|| value.as_bytes().to_vec())
}

/// As browsers write names: quotes and line ends encoded.
fn quoted(text: &str) -> String {
    text.replace('"', "%22")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(json: &str) -> Vec<Param<'_>> {
        serde_json::from_str(json).expect("parameters")
    }

    #[test]
    fn forms_are_encoded_once() {
        let check = |json: &str, body: &str| {
            let encoded =
                encode("application/x-www-form-urlencoded", &params(json)).expect("a form");
            assert_eq!(encoded.body, body.as_bytes());
        };
        check(
            r#"[{"name":"a b","value":"c&d=é"},{"name":"e"}]"#,
            "a+b=c%26d%3D%C3%A9&e",
        );
        check(
            r#"[{"name":"f%5B1%5D","value":"${x}%5D"}]"#,
            "f%5B1%5D=%24%7Bx%7D%5D",
        );
        check(r#"[{"name":"p","value":"100%"}]"#, "p=100%25");
    }

    #[test]
    fn multipart_forms_are_made_again() {
        let json = r#"[{"name":"f","value":"data:text/plain;base64,aGk=","fileName":"a\".txt","contentType":"text/plain"},{"name":"g","value":"x"}]"#;
        let encoded = encode("multipart/form-data; boundary=B", &params(json)).expect("a form");
        let expected = "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a%22.txt\"\r\nContent-Type: text/plain\r\n\r\nhi\r\n--B\r\nContent-Disposition: form-data; name=\"g\"\r\n\r\nx\r\n--B--\r\n";
        assert_eq!(encoded.body, expected.as_bytes());
        assert_eq!(encoded.media_type, None);
        let own = encode("multipart/form-data", &params(json)).expect("a form");
        assert!(own.media_type.is_some_and(|kind| kind.ends_with(BOUNDARY)));
    }

    #[test]
    fn a_file_that_was_not_kept_makes_the_body_unknown() {
        let json = r#"[{"name":"f","fileName":"a.bin"}]"#;
        assert_eq!(
            encode("multipart/form-data; boundary=B", &params(json)),
            None
        );
        assert_eq!(
            encode("application/json", &params("[{\"name\":\"a\"}]")),
            None
        );
    }
}
