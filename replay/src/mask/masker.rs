//! Exchanges, masked: target, headers and bodies of request and response.
//!
//! **Invariant**: a body that cannot be read is withheld, and counted: what cannot be looked into cannot be called masked. Lengths that headers
//! declare fit the masked bodies.

use std::{borrow::Cow, collections::BTreeMap, fmt, io::Write};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder, write::ZlibEncoder};

use crate::{
    capture::{Body, Exchange, Flag, Headers, codings, decoded, header},
    mask::{
        MaskKey, MaskRules,
        body::{self, Scalars},
        charset::{self, Charset},
        encoding::{self, Plus, respelled},
        headers,
        known::Known,
        multipart, number, target, text,
        value::mask,
        wrapped,
    },
};

/// How gzip begins (RFC 1952, 2.3.1), with its only method.
const GZIP: &[u8] = b"\x1f\x8b\x08";

/// So many masks are remembered while a capture is masked; they are never written.
const RECENT: usize = 1 << 14;

/// What is wrapped (percent-encoded, in base64, in a string) is unwrapped so often: no program does it as many times, and a hostile one ends.
const WRAPPED: usize = 8;

/// What was masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MaskCounts {
    /// Values of fields, headers and cookies.
    pub fields: u64,
    /// Values found by their pattern.
    pub patterns: u64,
    /// Values found because they were learned.
    pub learned: u64,
    /// Bodies left out because they could not be read.
    pub withheld: u64,
}

/// Masks exchanges with one key.
#[derive(Clone)]
pub struct Masker {
    key: MaskKey,
    pub(super) rules: MaskRules,
    pub(super) known: Known,
    pub(super) counts: MaskCounts,
    learning: bool,
    /// How many wrappings what is looked at now came out of.
    depth: usize,
    /// Masks made lately: a session's token comes with each of its requests.
    recent: BTreeMap<String, String>,
}

impl fmt::Debug for Masker {
    /// Shows no value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Masker {
    /// A masker that has learned nothing.
    pub fn new(key: MaskKey, rules: MaskRules) -> Self {
        let seed = key.digest(&[b"known"]);
        let seed = seed[..8]
            .iter()
            .fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        Self {
            key,
            rules,
            known: Known::new(seed),
            counts: MaskCounts::default(),
            learning: false,
            depth: 0,
            recent: BTreeMap::new(),
        }
    }

    /// Learns the values of masked fields of an exchange, to find them in other text from now on.
    pub fn learn(&mut self, exchange: &Exchange) {
        let counts = self.counts;
        self.learning = true;
        let mut copy = exchange.clone();
        self.walk(&mut copy);
        self.learning = false;
        self.counts = counts;
    }

    /// Masks an exchange.
    pub fn mask(&mut self, exchange: &mut Exchange) {
        self.walk(exchange);
        for name in [&mut exchange.session, &mut exchange.conn]
            .into_iter()
            .flatten()
        {
            // A session may be a plain digest of an address or a cookie, which whoever can guess those can try.
            *name = self.key.token(name);
        }
    }

    /// The name of a file with what is found in it masked.
    pub fn file_name(&mut self, name: &str) -> String {
        self.text(name).into_owned()
    }

    /// What was masked so far.
    pub fn counts(&self) -> MaskCounts {
        self.counts
    }

    /// Whether there was more to learn than is kept.
    pub fn is_full(&self) -> bool {
        self.known.is_full()
    }

    fn walk(&mut self, exchange: &mut Exchange) {
        let request = &mut exchange.request;
        request.target = target::url(self, &request.target);
        let withheld = self.message(&mut request.headers, &mut request.body);
        let mut flags = vec![withheld];
        if let Some(response) = &mut exchange.response {
            flags.push(self.message(&mut response.headers, &mut response.body));
        }
        if flags.contains(&true) && !exchange.flags.contains(&Flag::BodyMissing) {
            exchange.flags.push(Flag::BodyMissing);
        }
    }

    /// Headers and body of a message; whether the body had to be withheld.
    fn message(&mut self, headers: &mut Headers, content: &mut Body) -> bool {
        let withheld = self.content(headers, content);
        for (name, value) in headers.iter_mut() {
            let masked = headers::value(self, &name.to_ascii_lowercase(), value);
            *value = masked;
        }
        withheld
    }

    fn content(&mut self, headers: &mut Headers, content: &mut Body) -> bool {
        let bytes = match content {
            Body::Missing => return false,
            Body::Whole(bytes) | Body::Truncated { bytes, .. } => bytes,
        };
        if bytes.is_empty() {
            return false;
        }
        let unpacked = decoded(headers, bytes).and_then(unpacked);
        let Ok((plain, packed)) = unpacked else {
            *content = Body::Missing;
            self.counts.withheld += 1;
            return true;
        };
        let media = header(headers, "content-type")
            .unwrap_or_default()
            .to_owned();
        let Some(charset) = Charset::of(&media, &plain) else {
            *content = Body::Missing;
            self.counts.withheld += 1;
            return true;
        };
        let masked = self.bytes(&media, charset, &plain);
        if masked == *plain {
            return false;
        }
        let length = bytes.len();
        *bytes = recoded(headers, if packed { gzip(&masked) } else { masked });
        if bytes.len() != length {
            declare(headers, bytes.len());
        }
        false
    }

    fn bytes(&mut self, media: &str, charset: Charset, bytes: &[u8]) -> Vec<u8> {
        let error = match std::str::from_utf8(bytes) {
            Ok(text) => return self.typed(media, text).into_bytes(),
            Err(error) => error,
        };
        // A body that was cut within its last character is text up to there.
        if error.error_len().is_none()
            && charset == Charset::Utf8
            && let Ok(text) = std::str::from_utf8(&bytes[..error.valid_up_to()])
        {
            let masked = self.typed(media, text);
            return [masked.as_bytes(), &bytes[text.len()..]].concat();
        }
        // Parts of any kind are told apart by text between them.
        let parts = media.to_ascii_lowercase().starts_with("multipart/");
        if charset == Charset::Single || charset::is_text(bytes) || parts {
            return charset::bytes(&self.typed(media, &charset::characters(bytes)));
        }
        let mut masked = Vec::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            masked.extend_from_slice(self.text(chunk.valid()).as_bytes());
            masked.extend_from_slice(chunk.invalid());
        }
        masked
    }

    fn typed(&mut self, media: &str, text: &str) -> String {
        // A boundary has case, a media type has none.
        let kind = media.to_ascii_lowercase();
        let parts = kind.starts_with("multipart/")
            || (text.starts_with("--") && text.contains("\nContent-Disposition: form-data"));
        if parts && let Some(masked) = multipart::masked(self, media, text) {
            return masked;
        }
        if kind.contains("x-www-form-urlencoded") {
            return target::form(self, text);
        }
        self.document(text)
    }

    /// A body, or what was wrapped like one.
    pub(super) fn document(&mut self, content: &str) -> String {
        self.changed(content).unwrap_or_else(|| content.to_owned())
    }

    /// Text with what is found in it masked.
    pub(super) fn text<'t>(&mut self, content: &'t str) -> Cow<'t, str> {
        text::free(self, content)
    }

    /// What a value that is no masked field's becomes, if it changes: a URL, JSON, base64 of something, or text.
    pub(super) fn changed(&mut self, content: &str) -> Option<String> {
        let unwrapped = self.within(|masker| masker.unwrapped(content));
        if let Some(Some(masked)) = unwrapped {
            return (masked != content).then_some(masked);
        }
        match self.text(content) {
            Cow::Owned(masked) => Some(masked),
            Cow::Borrowed(_) => None,
        }
    }

    /// A value that is something else as a whole, masked as that.
    fn unwrapped(&mut self, content: &str) -> Option<String> {
        let url = content.starts_with('/') || target::after_scheme(content).is_some();
        if url && !content.contains(char::is_whitespace) {
            return Some(target::url(self, content));
        }
        let json = content.strip_prefix('\u{feff}').unwrap_or(content);
        if json.trim_start().starts_with(['{', '['])
            && let Some(masked) = body::json(json, self)
        {
            return Some(content[..content.len() - json.len()].to_owned() + &masked);
        }
        wrapped::base64(self, content)
    }

    pub(super) fn counts_field(&mut self, masked: bool) {
        self.counts.fields += u64::from(masked);
    }

    /// The value of a masked field.
    pub(super) fn field(&mut self, value: &str) -> String {
        if self.rules.keeps_value(value) {
            return value.to_owned();
        }
        if encoding::is_escaped(value)
            && let Some(masked) = self.within(|masker| {
                respelled(value, Plus::Plus, |plain| Some(masker.field(plain))).into_owned()
            })
        {
            return masked;
        }
        self.counts.fields += 1;
        self.learn_value(value);
        self.image(value)
    }

    /// What is made of something that was wrapped; nothing if it was wrapped too often.
    pub(super) fn within<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.depth >= WRAPPED {
            return None;
        }
        self.depth += 1;
        let made = make(self);
        self.depth -= 1;
        Some(made)
    }

    pub(super) fn learn_value(&mut self, value: &str) {
        if self.learning {
            self.known.learn(value);
        }
    }

    /// The mask of a value; while learning, the value.
    pub(super) fn image(&mut self, value: &str) -> String {
        if self.learning {
            return value.to_owned();
        }
        if let Some(image) = self.recent.get(value) {
            return image.clone();
        }
        if self.recent.len() >= RECENT {
            self.recent.clear();
        }
        let image = mask(&self.key, value);
        self.recent.insert(value.to_owned(), image.clone());
        image
    }
}

impl Scalars for Masker {
    fn is_field(&self, name: &str) -> bool {
        self.rules.is_field(name)
    }

    fn is_kept(&self, name: &str) -> bool {
        self.rules.is_kept(name)
    }

    /// Names of members are mostly names of fields, which a learned value may well be spelled like: only what no field is named is looked up
    /// like any text.
    fn name(&mut self, name: &str) -> Option<String> {
        if self.learning {
            self.known.learn_interface(name);
        }
        let ordinary = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.$@".contains(&byte));
        let masked = if ordinary {
            text::name(self, name)
        } else {
            self.text(name)
        };
        match masked {
            Cow::Owned(masked) => Some(masked),
            Cow::Borrowed(_) => None,
        }
    }

    fn string(&mut self, _: &str, masked: bool, text: &str) -> Option<String> {
        if masked && !text.is_empty() {
            return Some(self.field(text));
        }
        self.changed(text)
    }

    fn number(&mut self, _: &str, masked: bool, text: &str) -> Option<String> {
        if masked {
            self.counts.fields += 1;
            self.learn_value(text);
            return Some(body::number(&self.key, text));
        }
        if number::is_card(text) && text.bytes().all(|byte| byte.is_ascii_digit()) {
            self.counts.patterns += 1;
            return Some(body::number(&self.key, text));
        }
        let learned = !self.known.find(text).is_empty();
        self.counts.learned += u64::from(learned);
        learned.then(|| body::number(&self.key, text))
    }
}

/// The bytes in the content coding that the headers name; where it cannot be made, without one.
fn recoded(headers: &mut Headers, plain: Vec<u8>) -> Bytes {
    let coding = codings(headers).trim().to_ascii_lowercase();
    let written = match coding.as_str() {
        "" | "identity" => Ok(plain),
        "gzip" | "x-gzip" => Ok(gzip(&plain)),
        "deflate" => {
            let mut coder = ZlibEncoder::new(Vec::new(), Compression::default());
            coder.write_all(&plain).and_then(|()| coder.finish())
        }
        _ => {
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-encoding"));
            Ok(plain)
        }
    };
    Bytes::from(written.expect("memory takes what is written"))
}

/// What is in a body that is gzip although no header says so, and whether it is.
fn unpacked(plain: Cow<'_, [u8]>) -> Result<(Cow<'_, [u8]>, bool), String> {
    if !plain.starts_with(GZIP) {
        return Ok((plain, false));
    }
    let coding = vec![("content-encoding".to_owned(), "gzip".to_owned())];
    let bytes = Bytes::from(plain.into_owned());
    let inner = decoded(&coding, &bytes)?.into_owned();
    Ok((Cow::Owned(inner), true))
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut coder = GzEncoder::new(Vec::new(), Compression::default());
    let written = coder.write_all(plain).and_then(|()| coder.finish());
    written.expect("memory takes what is written")
}

fn declare(headers: &mut Headers, length: usize) {
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("content-length") {
            *value = length.to_string();
        }
    }
}
