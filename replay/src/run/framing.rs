//! Where an HTTP/1.1 answer ends.
//!
//! **Invariant**: RFC 9112, section 6.3, in its order: no body by status or method, then the transfer coding, then the length, then the
//! connection's end. Lengths that contradict each other, or are none, are malformed.

use httparse::Header;

/// So many bytes of extensions and trailers a body's chunks may have: they are read and dropped.
const ASIDE_BYTES: usize = 64 << 10;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// How a body's end is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Nothing,
    /// It has so many bytes.
    Length(u64),
    /// It comes in chunks, each with its length.
    Chunked(Chunks),
    /// It ends with the connection.
    UntilClosed,
}

/// The framing of an answer; `head_only` if it answers `HEAD`, `current` if it is HTTP/1.1 rather than 1.0.
pub(super) fn framing(
    status: u16,
    head_only: bool,
    current: bool,
    headers: &[Header<'_>],
) -> Result<Framing, Malformed> {
    if head_only || matches!(status, 101 | 204 | 304) {
        return Ok(Framing::Nothing);
    }
    if let Some(coding) = named(headers, "transfer-encoding").last() {
        if !current {
            return Err(Malformed("HTTP/1.0 with a transfer coding"));
        }
        let last = coding.rsplit(|byte| *byte == b',').next().unwrap_or(coding);
        return Ok(if last.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            Framing::Chunked(Chunks::default())
        } else {
            Framing::UntilClosed
        });
    }
    let mut length = None;
    for text in named(headers, "content-length").flat_map(|value| value.split(|b| *b == b',')) {
        let one = number(text.trim_ascii(), 10).ok_or(Malformed("a length that is none"))?;
        if length.is_some_and(|known| known != one) {
            return Err(Malformed("two lengths"));
        }
        length = Some(one);
    }
    Ok(length.map_or(Framing::UntilClosed, Framing::Length))
}

/// Whether the target keeps the connection. One that says two things of where its answer ends is not to be asked again on it.
pub(super) fn kept(current: bool, headers: &[Header<'_>]) -> bool {
    let says = |word: &str| {
        named(headers, "connection")
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    let named = |name: &str| named(headers, name).next().is_some();
    let clear = !(named("transfer-encoding") && named("content-length"));
    clear && !says("close") && (current || says("keep-alive"))
}

fn named<'h>(headers: &'h [Header<'_>], name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value)
}

/// Digits and nothing else.
fn number(text: &[u8], radix: u32) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(|byte| char::from(*byte).is_digit(radix));
    let text = std::str::from_utf8(text).ok().filter(|_| digits)?;
    u64::from_str_radix(text, radix).ok()
}

/// A chunked body, while it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunks {
    part: Part,
    /// Bytes of extensions and trailers so far.
    aside: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Part {
    /// A line with the next chunk's length.
    #[default]
    Size,
    /// So many bytes of a chunk are left.
    Data(u64),
    /// The line's end after a chunk.
    End,
    /// Lines after the last chunk, up to an empty one.
    Trailers,
}

impl Chunks {
    /// Takes what is whole of `bytes`, adds data to `body`, and says how much was taken and whether the body is at its end.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        body: &mut Vec<u8>,
    ) -> Result<(usize, bool), Malformed> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            if let Part::Data(left) = &mut self.part {
                let count = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                body.extend_from_slice(&rest[..count]);
                at += count;
                *left -= count as u64;
                if *left > 0 {
                    return Ok((at, false));
                }
                self.part = Part::End;
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', rest) else {
                if self.aside + rest.len() > ASIDE_BYTES {
                    return Err(Malformed("a chunk's line is too long"));
                }
                return Ok((at, false));
            };
            let line = rest[..end].strip_suffix(b"\r");
            let line = line.ok_or(Malformed("a line without a carriage return"))?;
            at += end + 1;
            match self.part {
                Part::Size => {
                    let digits = line.split(|byte| *byte == b';').next().unwrap_or(line);
                    self.aside += line.len() - digits.len();
                    let size = number(digits.trim_ascii_end(), 16)
                        .ok_or(Malformed("a chunk without a length"))?;
                    self.part = if size == 0 {
                        Part::Trailers
                    } else {
                        Part::Data(size)
                    };
                }
                Part::End if line.is_empty() => self.part = Part::Size,
                Part::End => return Err(Malformed("a chunk that is longer than it says")),
                Part::Trailers if line.is_empty() => return Ok((at, true)),
                Part::Trailers => self.aside += line.len(),
                Part::Data(_) => {}
            }
            if self.aside > ASIDE_BYTES {
                return Err(Malformed("too much beside its chunks"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, head_only: bool, current: bool, head: &str) -> Result<Framing, Malformed> {
        let lines: Vec<(&str, &str)> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .collect();
        let headers: Vec<Header<'_>> = lines
            .iter()
            .map(|(name, value)| Header {
                name,
                value: value.as_bytes(),
            })
            .collect();
        framing(status, head_only, current, &headers)
    }

    #[test]
    fn a_body_ends_as_the_standard_says() {
        let check = |head: &str, expect: Result<Framing, &'static str>| {
            let found = of(200, false, true, head);
            assert_eq!(found, expect.map_err(Malformed), "{head:?}");
        };
        let chunked = Framing::Chunked(Chunks::default());
        check("", Ok(Framing::UntilClosed));
        check("Content-Length: 12", Ok(Framing::Length(12)));
        check(
            "content-length: 5, 5\ncontent-length: 5",
            Ok(Framing::Length(5)),
        );
        check("content-length: 5\ncontent-length: 6", Err("two lengths"));
        check("content-length: 5,6", Err("two lengths"));
        for wrong in ["+5", "-1", "0x5", "5 5", "99999999999999999999"] {
            check(
                &format!("content-length: {wrong}"),
                Err("a length that is none"),
            );
        }
        check("Transfer-Encoding: chunked", Ok(chunked.clone()));
        check(
            "content-length: 7\ntransfer-encoding: gzip, Chunked",
            Ok(chunked.clone()),
        );
        check("transfer-encoding: chunked, gzip", Ok(Framing::UntilClosed));
        for status in [101, 204, 304] {
            assert_eq!(
                of(status, false, true, "content-length: 9"),
                Ok(Framing::Nothing)
            );
        }
        assert_eq!(
            of(200, true, true, "content-length: 9"),
            Ok(Framing::Nothing)
        );
        assert!(of(200, false, false, "transfer-encoding: chunked").is_err());
    }

    #[test]
    fn a_connection_is_kept_as_the_target_says() {
        let check = |current, value: &str, expect| {
            let header = Header {
                name: "Connection",
                value: value.as_bytes(),
            };
            assert_eq!(kept(current, &[header]), expect, "{value}");
        };
        check(true, "x-custom", true);
        check(true, "x, Close", false);
        check(false, "x", false);
        check(false, "Keep-Alive", true);
        check(true, "keep-alive, close", false);
        let both = ["content-length", "transfer-encoding"].map(|name| Header { name, value: b"7" });
        assert!(!kept(true, &both), "it contradicts itself");
    }

    #[test]
    fn chunks_are_put_together_wherever_they_are_cut() {
        let whole = b"4;a=b\r\nwiki\r\n1A \r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nx: y\r\n\r\nmore";
        for cut in 0..whole.len() {
            let (mut chunks, mut body) = (Chunks::default(), Vec::new());
            let (used, early) = chunks.take(&whole[..cut], &mut body).expect("valid");
            assert_eq!(early, cut >= whole.len() - 4, "{cut}");
            if early {
                continue;
            }
            let (more, all) = chunks.take(&whole[used..], &mut body).expect("valid");
            assert_eq!((used + more, all), (whole.len() - 4, true), "{cut}");
            assert_eq!(body, b"wikiabcdefghijklmnopqrstuvwxyz", "{cut}");
        }
        for wrong in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "1\nx",
            "1\r\nxy\r\n",
            "11111111111111111\r\n",
        ] {
            let taken = Chunks::default().take(wrong.as_bytes(), &mut Vec::new());
            assert!(taken.is_err(), "{wrong:?}");
        }
        let endless = "x".repeat(ASIDE_BYTES + 1);
        assert!(
            Chunks::default()
                .take(endless.as_bytes(), &mut Vec::new())
                .is_err()
        );
    }
}
