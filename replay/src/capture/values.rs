//! JSON values one at a time out of a stream: one a line, pretty-printed back to back, or the elements of an array.
//!
//! **Invariant**: a value's bytes are found by its brackets and strings alone; whether it is valid JSON is for the one who parses it to find.
//! Where values begin a line, a broken one ends before the next that does, and a line that holds none is one value that cannot be read.

use std::io::{self, Read};

use serde::de::IgnoredAny;

use crate::capture::input::Input;

/// What a broken value may swallow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resync {
    /// Nothing beyond the line before the next `{` that begins a line and does not belong to the value: no comma, colon or bracket is before
    /// it, or with it the value is no JSON.
    LineStart,
    /// All up to the end.
    Never,
}

/// A value's bytes.
#[derive(Debug)]
pub(crate) struct Value<'a> {
    pub(crate) offset: u64,
    /// None if it is too long.
    pub(crate) bytes: &'a [u8],
    /// Whether it was cut: the input ended in it, or the next began.
    pub(crate) cut: bool,
    /// How long it is, if that is above the limit of a record.
    pub(crate) too_long: Option<u64>,
}

impl Value<'_> {
    /// How many lines it spans beyond the first.
    pub(crate) fn lines(&self) -> u64 {
        memchr::memchr_iter(b'\n', self.bytes).count() as u64
    }
}

/// No reader of JSON goes deeper: what is nested deeper is broken.
const DEPTH: u32 = 128;

#[derive(Debug)]
struct Scan {
    resync: Resync,
    depth: u32,
    within: Within,
    line_start: bool,
    /// The last byte was a line feed.
    column_zero: bool,
    /// The last byte that was no white space.
    last: u8,
    /// How many bytes were scanned before those that are given.
    before: usize,
    /// Where the first line is, beyond the value's own, that begins with `{` and may be the next value if this one is broken.
    doubtful: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// Brackets, or what comes before the value.
    Brackets,
    /// A string.
    Text,
    /// A string, after a backslash.
    Escape,
    /// A number or a literal that stands alone.
    Scalar,
    /// A line that holds no value.
    Line,
}

/// Where a value ended: so many bytes on, whole or cut.
type End = (usize, bool);

impl Scan {
    fn new(resync: Resync, within: Within) -> Self {
        Self {
            resync,
            depth: 0,
            within,
            line_start: false,
            column_zero: false,
            last: 0,
            before: 0,
            doubtful: None,
        }
    }

    /// Goes on over `bytes`; `None` if the value goes on beyond them.
    fn over(&mut self, bytes: &[u8]) -> Option<End> {
        let mut at = 0;
        if self.within == Within::Line {
            return memchr::memchr(b'\n', bytes).map(|end| (end, true));
        }
        while at < bytes.len() {
            if matches!(self.within, Within::Text | Within::Escape) {
                match self.string(bytes, at) {
                    Ok(next) => at = next,
                    Err(end) => return Some(end),
                }
                if self.within != Within::Brackets {
                    continue;
                }
                if self.depth == 0 {
                    return Some((at, false));
                }
                continue;
            }
            let byte = bytes[at];
            if self.within == Within::Scalar {
                if matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t') {
                    return Some((at, false));
                }
                at += 1;
                continue;
            }
            match byte {
                b'"' => self.within = Within::Text,
                b'{' | b'[' => {
                    let goes_on = matches!(self.last, 0 | b',' | b':' | b'[');
                    let begins = self.line_start && byte == b'{' && !goes_on;
                    if begins && self.resync == Resync::LineStart {
                        return Some((at, true));
                    }
                    if self.column_zero && byte == b'{' && self.resync == Resync::LineStart {
                        self.doubtful.get_or_insert(self.before + at);
                    }
                    self.depth += 1;
                    if self.depth > DEPTH && self.doubtful.is_some() {
                        return Some((at, true));
                    }
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some((at + 1, false));
                    }
                }
                b'\n' => {
                    (self.line_start, self.column_zero) = (true, true);
                    at += 1;
                    continue;
                }
                _ if self.depth == 0 => self.within = Within::Scalar,
                _ => {}
            }
            if !matches!(byte, b' ' | b'\r' | b'\t') {
                self.line_start = false;
                self.last = byte;
            }
            self.column_zero = false;
            at += 1;
        }
        self.before += bytes.len();
        None
    }

    /// Goes on in a string from `at`: where it goes on after it, or where a line end cut the value.
    fn string(&mut self, bytes: &[u8], mut at: usize) -> Result<usize, End> {
        if self.within == Within::Escape {
            self.within = Within::Text;
            at += 1;
        }
        while let Some(found) = memchr::memchr3(b'"', b'\\', b'\n', bytes.get(at..).unwrap_or(&[]))
        {
            at += found;
            match bytes[at] {
                b'"' => {
                    self.within = Within::Brackets;
                    return Ok(at + 1);
                }
                b'\\' if at + 1 == bytes.len() => {
                    self.within = Within::Escape;
                    return Ok(bytes.len());
                }
                b'\\' => at += 2,
                _ if self.resync == Resync::LineStart => return Err((at, true)),
                _ => at += 1,
            }
        }
        Ok(bytes.len())
    }
}

/// The value that begins at the next byte, which is no white space.
pub(crate) fn next<R: Read>(input: &mut Input<R>, resync: Resync) -> io::Result<Value<'_>> {
    scanned(input, Scan::new(resync, Within::Brackets))
}

fn scanned<R: Read>(input: &mut Input<R>, mut scan: Scan) -> io::Result<Value<'_>> {
    let offset = input.offset();
    let limit = input.limits().record_bytes;
    let (mut seen, mut passed) = (0, 0_u64);
    let (mut length, mut cut) = loop {
        if let Some((more, cut)) = scan.over(&input.available()[seen..]) {
            break (seen + more, cut);
        }
        seen = input.available().len();
        if seen > limit {
            passed += seen as u64;
            input.consume(seen);
            seen = 0;
        }
        if !input.more()? {
            break (seen, scan.within != Within::Scalar);
        }
    };
    let whole = passed + length as u64;
    let too_long = (whole > limit as u64).then_some(whole);
    if let (None, Some(next)) = (too_long, scan.doubtful) {
        let bytes = &input.available()[..length];
        if next < length && serde_json::from_slice::<IgnoredAny>(bytes).is_err() {
            (length, cut) = (next, true);
        }
    }
    if too_long.is_some() {
        input.consume(length);
    }
    let bytes = match too_long {
        Some(_) => &[],
        None => input.take(length)?,
    };
    Ok(Value {
        offset,
        bytes,
        cut,
        too_long,
    })
}

/// The next value of a stream of them, or of an array of them; `line` counts the lines that are passed on the way. `None` at the end.
pub(crate) fn element<'a, R: Read>(
    input: &'a mut Input<R>,
    line: &mut u64,
) -> io::Result<Option<Value<'a>>> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    if input.offset() == 0 && input.peek(MARK.len())? == MARK {
        input.consume(MARK.len());
    }
    let within = loop {
        match input.skip_space(line)? {
            None => return Ok(None),
            Some(b'{') => break Within::Brackets,
            Some(b'[') if holds_no_object(input.peek(SCALAR)?) => break Within::Line,
            Some(b'[' | b']' | b',') => input.consume(1),
            Some(_) if is_of_array(input.peek(SCALAR)?) => break Within::Brackets,
            Some(_) => break Within::Line,
        }
    };
    scanned(input, Scan::new(Resync::LineStart, within)).map(Some)
}

/// A number or a literal is not longer.
const SCALAR: usize = 64;

/// Whether an array begins in `line` and nothing that is read.
fn holds_no_object(line: &[u8]) -> bool {
    let mut rest = line[1..]
        .iter()
        .filter(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
    !matches!(rest.next(), None | Some(b'{' | b'[' | b']' | b'\n'))
}

/// Whether `line` begins with a number or a literal that stands in an array, beside objects that can be read.
fn is_of_array(line: &[u8]) -> bool {
    let ends = |byte: &u8| matches!(byte, b',' | b']') || byte.is_ascii_whitespace();
    let Some(end) = line.iter().position(ends) else {
        return false;
    };
    let next = line[end..].trim_ascii_start().first();
    matches!(next, Some(b',' | b']')) && serde_json::from_slice::<IgnoredAny>(&line[..end]).is_ok()
}

/// The keys of the first object in `begin`, which may end anywhere.
pub(crate) fn first_keys(begin: &[u8]) -> Vec<String> {
    let (mut keys, mut at) = (Vec::new(), 0);
    let mut depth = 0_u32;
    while let Some(byte) = begin.get(at) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => break,
            b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                let from = at + 1;
                at = from;
                while begin.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if begin[at] == b'\\' { 2 } else { 1 };
                }
                let rest = begin.get(at + 1..).unwrap_or(&[]).trim_ascii_start();
                if depth == 1 && rest.starts_with(b":") {
                    keys.push(String::from_utf8_lossy(&begin[from..at]).into_owned());
                }
            }
            _ => {}
        }
        at += 1;
    }
    keys
}

/// Passes over the value that begins at the next byte, however long it is; `false` if the input ends in it.
pub(crate) fn pass<R: Read>(input: &mut Input<R>) -> io::Result<bool> {
    let mut scan = Scan::new(Resync::Never, Within::Brackets);
    loop {
        if let Some((length, _)) = scan.over(input.available()) {
            input.consume(length);
            return Ok(true);
        }
        input.consume(input.available().len());
        if !input.more()? {
            return Ok(scan.within == Within::Scalar);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Limits;

    struct Slow<'a>(&'a [u8]);
    impl Read for Slow<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(1);
            buf[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn values(mut input: Input<impl Read>) -> Vec<(String, bool)> {
        let mut values = Vec::new();
        while input.skip_space(&mut 0).expect("memory").is_some() {
            let value = next(&mut input, Resync::LineStart).expect("memory");
            let text = String::from_utf8_lossy(value.bytes).into_owned();
            values.push((text, value.cut));
        }
        values
    }

    fn check(text: &str, expected: &[(&str, bool)]) {
        let expected: Vec<(String, bool)> = expected
            .iter()
            .map(|(text, cut)| ((*text).to_owned(), *cut))
            .collect();
        let limits = Limits::default();
        let all = Input::new(text.as_bytes(), limits).expect("memory");
        assert_eq!(values(all), expected, "{text}");
        let slow = Input::new(Slow(text.as_bytes()), limits).expect("memory");
        assert_eq!(values(slow), expected, "{text}");
    }

    #[test]
    fn values_are_found_by_their_brackets() {
        check(
            "{\"a\":{\"b\":[1]}}{}\n[ ] ",
            &[
                ("{\"a\":{\"b\":[1]}}", false),
                ("{}", false),
                ("[ ]", false),
            ],
        );
        check(
            r#"{"a":"}\"{\\"} "x\"y" 12 null"#,
            &[
                (r#"{"a":"}\"{\\"}"#, false),
                (r#""x\"y""#, false),
                ("12", false),
                ("null", false),
            ],
        );
        check(
            "{\n  \"a\": {\n    \"b\": 1\n  }\n}\n{\n}",
            &[
                ("{\n  \"a\": {\n    \"b\": 1\n  }\n}", false),
                ("{\n}", false),
            ],
        );
    }

    #[test]
    fn a_broken_value_ends_before_the_next() {
        check(
            "{\"a\":[1\n{\"b\":2}\n",
            &[("{\"a\":[1\n", true), ("{\"b\":2}", false)],
        );
        check(
            "{\"a\":\"x\n{\"b\":2}\n{",
            &[("{\"a\":\"x", true), ("{\"b\":2}", false), ("{", true)],
        );
        for cut in ["{\"a\":1,\n", "{\"a\":\n", "{\"a\":[\n", "{\"a\":[{\n"] {
            let text = format!("{cut}{{\"b\":2}}\n{{\"c\":3}}\n");
            check(
                &text,
                &[(cut, true), ("{\"b\":2}", false), ("{\"c\":3}", false)],
            );
        }
        // What is whole may begin its lines as it likes.
        let whole = "{\"a\":[\n{\"b\":2},\n{\"c\":\n{}}]}";
        check(whole, &[(whole, false)]);
    }

    #[test]
    fn a_line_that_holds_no_value_is_one() {
        let check = |text: &str, expected: &[(u64, &str)]| {
            let mut input = Input::new(Slow(text.as_bytes()), Limits::default()).expect("memory");
            let (mut line, mut found) = (1, Vec::new());
            while let Some(value) = element(&mut input, &mut line).expect("memory") {
                let text = String::from_utf8_lossy(value.bytes).into_owned();
                let lines = value.lines();
                found.push((line, text));
                line += lines;
            }
            let found: Vec<(u64, &str)> = found.iter().map(|(at, text)| (*at, &**text)).collect();
            assert_eq!(found, expected, "{text}");
        };
        check(
            "{}\nnot json at all\n[1,2]\n\"x\" 1\n} ]\n{\"a\":1} and more\n[2026-01-01] \"GET\n12",
            &[
                (1, "{}"),
                (2, "not json at all"),
                (3, "[1,2]"),
                (4, "\"x\" 1"),
                (5, "} ]"),
                (6, "{\"a\":1}"),
                (6, "and more"),
                (7, "[2026-01-01] \"GET"),
                (8, "12"),
            ],
        );
        check(
            "[{\"a\":1}, null ,{\"b\":2}, 5]\n[\n{},\n-1.5e3,\n[{}]\n]\n[]",
            &[
                (1, "{\"a\":1}"),
                (1, "null"),
                (1, "{\"b\":2}"),
                (1, "5"),
                (3, "{}"),
                (4, "-1.5e3"),
                (5, "{}"),
            ],
        );
    }
}
