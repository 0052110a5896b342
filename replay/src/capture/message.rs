//! An HTTP/1.x message as a recorder wrote it, read leniently.
//!
//! **Invariant**: what is read leniently is flagged, and a body that is not wholly there is never taken for a whole one.
//! It deliberately undoes the transfer coding (chunks), which belongs to a connection, and keeps the content coding, which belongs to the message.

use std::borrow::Cow;

use bytes::Bytes;

use crate::capture::{Body, Flag, Headers, header};

/// Room for as many headers as most messages have.
const HEADERS: usize = 12;

/// What a header's name may be made of (RFC 9110, 5.6.2).
static TOKEN: [bool; 256] = {
    let mut token = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        token[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    token
};

/// A message: start line, headers and body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) start: Cow<'a, str>,
    pub(crate) headers: Headers,
    pub(crate) body: Body,
    pub(crate) flags: Vec<Flag>,
    /// So many bytes of the payload it takes; what follows is no part of it.
    pub(crate) length: usize,
}

/// What a head leaves open.
pub(crate) struct Framing<B, U> {
    /// Whether the body is empty whatever the head of this start line declares (a 204, a 304).
    pub(crate) bodiless: B,
    /// How many of the bytes behind a head that declares no length are its body.
    pub(crate) undeclared: U,
}

/// Reads a message from the beginning of `payload`.
///
/// # Errors
/// For people: what is wrong with the start line.
pub(crate) fn parse<B, U>(payload: &[u8], framing: Framing<B, U>) -> Result<Message<'_>, String>
where
    B: FnOnce(&str) -> bool,
    U: FnOnce(&[u8]) -> usize,
{
    let (line, mut rest) = split_line(payload);
    let start = text(without_end(line));
    if !start.contains("HTTP/") {
        let shown: String = start.chars().take(40).collect();
        return Err(format!("{shown:?} is no HTTP start line"));
    }
    let mut flags = Vec::new();
    if !line.ends_with(b"\r") {
        flags.push(Flag::LineFeedOnly);
    }
    let mut headers = Headers::with_capacity(HEADERS);
    let mut blank = false;
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        let line = without_end(line);
        if line.is_empty() {
            blank = true;
            rest = after;
            break;
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            // An obsolete folded header: it goes on with the value above.
            if let Some((_, value)) = headers.last_mut() {
                value.push(' ');
                value.push_str(text(line).trim());
            }
        } else if let Some((name, value)) = header_line(line) {
            headers.push((name, value));
        } else {
            break;
        }
        rest = after;
    }
    if !blank {
        flags.push(Flag::NoBlankLine);
    }
    let head = payload.len() - rest.len();
    let (body, taken) = if (framing.bodiless)(&start) {
        (Body::EMPTY, 0)
    } else {
        body(&mut headers, rest, framing.undeclared, &mut flags)
    };
    Ok(Message {
        start,
        headers,
        body,
        flags,
        length: head + taken,
    })
}

/// The body, and how many bytes of `rest` it takes.
fn body(
    headers: &mut Headers,
    rest: &[u8],
    undeclared: impl FnOnce(&[u8]) -> usize,
    flags: &mut Vec<Flag>,
) -> (Body, usize) {
    let length = header(headers, "content-length").and_then(|value| value.trim().parse().ok());
    let chunked = header(headers, "transfer-encoding")
        .is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
    if chunked {
        match dechunk(rest) {
            Ok((bytes, taken)) => {
                headers.retain(|(name, _)| !name.eq_ignore_ascii_case("transfer-encoding"));
                return (Body::Whole(bytes.into()), taken);
            }
            // A recorder that decodes bodies may leave the header: then the first line is no chunk size at all.
            Err(Chunks::NotChunked) => {
                headers.retain(|(name, _)| !name.eq_ignore_ascii_case("transfer-encoding"));
                flags.push(Flag::BadEncoding);
            }
            Err(Chunks::Cut(bytes)) => {
                flags.push(Flag::Truncated);
                let body = Body::Truncated {
                    bytes: bytes.into(),
                    length: None,
                };
                return (body, rest.len());
            }
        }
    }
    match length {
        Some(length) if length > rest.len() as u64 => {
            flags.push(Flag::Truncated);
            let body = Body::Truncated {
                bytes: Bytes::copy_from_slice(rest),
                length: Some(length),
            };
            (body, rest.len())
        }
        Some(length) => {
            let length = usize::try_from(length).unwrap_or(rest.len());
            (Body::Whole(Bytes::copy_from_slice(&rest[..length])), length)
        }
        None => {
            let taken = undeclared(rest).min(rest.len());
            (Body::Whole(Bytes::copy_from_slice(&rest[..taken])), taken)
        }
    }
}

enum Chunks {
    NotChunked,
    Cut(Vec<u8>),
}

/// The bytes of all chunks, and how many bytes they and what follows the last take.
fn dechunk(all: &[u8]) -> Result<(Vec<u8>, usize), Chunks> {
    let (mut bytes, mut rest) = (Vec::new(), all);
    // A head that declares chunks and none of them: an answer to HEAD, or a recorder's limit.
    if all.is_empty() {
        return Err(Chunks::Cut(bytes));
    }
    let mut first = true;
    loop {
        let (line, after) = split_line(rest);
        let size = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.split(';').next())
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let Some(size) = size else {
            return Err(if first {
                Chunks::NotChunked
            } else {
                Chunks::Cut(bytes)
            });
        };
        if size == 0 {
            let left = without_trailers(after);
            return Ok((bytes, all.len() - left.len()));
        }
        if size > after.len() {
            bytes.extend_from_slice(after);
            return Err(Chunks::Cut(bytes));
        }
        bytes.extend_from_slice(&after[..size]);
        rest = &after[size..];
        rest = rest.strip_prefix(b"\r").unwrap_or(rest);
        rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        first = false;
    }
}

/// What follows the trailers behind the last chunk, and the blank line that ends them.
fn without_trailers(mut rest: &[u8]) -> &[u8] {
    loop {
        let (line, after) = split_line(rest);
        let line = without_end(line);
        if line.is_empty() {
            return after;
        }
        if header_line(line).is_none() {
            return rest;
        }
        rest = after;
    }
}

/// Without the end of a line; a file whose every LF became CR LF has two CR there.
fn without_end(mut line: &[u8]) -> &[u8] {
    while let Some(shorter) = line.strip_suffix(b"\r") {
        line = shorter;
    }
    line
}

fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'\n', bytes) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

fn header_line(line: &[u8]) -> Option<(String, String)> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let token = |byte: &u8| TOKEN[usize::from(*byte)];
    (!name.is_empty() && name.iter().all(token)).then(|| {
        (
            text(name).into_owned(),
            text(value.trim_ascii()).into_owned(),
        )
    })
}

/// UTF-8 where it is, Latin-1 (each byte a character) where it is not.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(payload: &[u8]) -> Result<Message<'_>, String> {
        let framing = Framing {
            bodiless: |_: &str| false,
            undeclared: <[u8]>::len,
        };
        parse(payload, framing)
    }

    fn check(payload: &str, body: &Body, flags: &[Flag]) {
        let message = read(payload.as_bytes()).expect("a message");
        assert_eq!(&message.body, body, "{payload:?}");
        assert_eq!(message.flags, flags, "{payload:?}");
    }

    fn whole(text: &'static str) -> Body {
        Body::Whole(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn bodies_are_framed_as_their_head_declares() {
        check("GET / HTTP/1.1\r\nA: b\r\n\r\n", &Body::EMPTY, &[]);
        check(
            "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabc",
            &whole("ab"),
            &[],
        );
        check(
            "HTTP/1.1 200 OK\r\n\r\nto the end",
            &whole("to the end"),
            &[],
        );
        check(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
            &whole("abcde"),
            &[],
        );
    }

    #[test]
    fn a_message_ends_where_its_head_says() {
        let check = |payload: &str, left: &str| {
            let length = read(payload.as_bytes()).expect("a message").length;
            assert_eq!(&payload[length..], left, "{payload:?}");
        };
        check("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabc", "c");
        check("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "");
        check("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabc", "");
        check("HTTP/1.1 200 OK\r\n\r\nabc", "");
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";
        check(&format!("{chunked}0\r\n\r\nabc"), "abc");
        check(&format!("{chunked}0\r\nX: y\r\n\r\nabc"), "abc");
        check(&format!("{chunked}0\r\nabc"), "abc");
        check(&format!("{chunked}0"), "");
    }

    #[test]
    fn what_is_cut_or_odd_is_flagged() {
        check(
            "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
            &Body::Truncated {
                bytes: Bytes::from_static(b"abc"),
                length: Some(9),
            },
            &[Flag::Truncated],
        );
        check(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nde",
            &Body::Truncated {
                bytes: Bytes::from_static(b"abcde"),
                length: None,
            },
            &[Flag::Truncated],
        );
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            &Body::Truncated {
                bytes: Bytes::new(),
                length: None,
            },
            &[Flag::Truncated],
        );
        check(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{\"a\":1}",
            &whole("{\"a\":1}"),
            &[Flag::BadEncoding],
        );
        check(
            "GET / HTTP/1.1\nA: b\n\n",
            &Body::EMPTY,
            &[Flag::LineFeedOnly],
        );
        check(
            "POST / HTTP/1.1\r\nA: b\r\n{\"a\":1}",
            &whole("{\"a\":1}"),
            &[Flag::NoBlankLine],
        );
        check(
            "GET / HTTP/1.1",
            &Body::EMPTY,
            &[Flag::LineFeedOnly, Flag::NoBlankLine],
        );
    }

    #[test]
    fn heads_are_read_leniently() {
        let payload = b"GET / HTTP/1.1\r\nA:b\r\n c\r\nName: M\xfcller\r\n\r\n";
        let message = read(payload).expect("a message");
        let expected: Headers = vec![
            ("A".into(), "b c".into()),
            ("Name".into(), "M\u{fc}ller".into()),
        ];
        assert_eq!(message.headers, expected);
        assert!(read(b"nonsense\r\n\r\n").is_err());
    }
}
