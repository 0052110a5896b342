//! Exchanges, masked: target, headers and bodies of request and response.
//!
//! **Invariant**: a body that cannot be read is withheld, and counted: what cannot be looked into cannot be called masked. Lengths that headers
//! declare fit the masked bodies.

use std::{borrow::Cow, collections::BTreeMap, fmt, io::Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder, write::ZlibEncoder};

use crate::{
    capture::{Body, Exchange, Flag, Headers, decoded, header},
    mask::{
        MaskKey, MaskRules,
        body::{self, Scalars},
        charset::Charset,
        known::Known,
        target, text,
        value::mask,
    },
};

/// Base64 of fewer characters is not looked into: any word may be that.
const NESTED: usize = 16;

/// So many masks are remembered while a capture is masked; they are never written.
const RECENT: usize = 1 << 14;

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
            let masked = self.header(&name.to_ascii_lowercase(), value);
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
        let Ok(plain) = decoded(headers, bytes) else {
            *content = Body::Missing;
            self.counts.withheld += 1;
            return true;
        };
        let media = header(headers, "content-type")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let media = if media.starts_with("multipart/") {
            // A boundary has case.
            header(headers, "content-type")
                .unwrap_or_default()
                .to_owned()
        } else {
            media
        };
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
        *bytes = recoded(headers, masked);
        if bytes.len() != length {
            declare(headers, bytes.len());
        }
        false
    }

    fn bytes(&mut self, media: &str, charset: Charset, bytes: &[u8]) -> Vec<u8> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.typed(media, text).into_bytes(),
            Err(_) if charset == Charset::Single => {
                let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
                let masked = self.typed(media, &text);
                masked
                    .chars()
                    .map(|c| u8::try_from(c as u32).unwrap_or(b'?'))
                    .collect()
            }
            Err(_) => {
                let mut masked = Vec::with_capacity(bytes.len());
                for chunk in bytes.utf8_chunks() {
                    masked.extend_from_slice(self.text(chunk.valid()).as_bytes());
                    masked.extend_from_slice(chunk.invalid());
                }
                masked
            }
        }
    }

    fn typed(&mut self, media: &str, text: &str) -> String {
        if media.starts_with("multipart/")
            && let Some(masked) = body::multipart(self, media, text)
        {
            return masked;
        }
        if media.contains("x-www-form-urlencoded") {
            return target::form(self, text);
        }
        self.document(text)
    }

    /// JSON, base64 of something, or text.
    pub(super) fn document(&mut self, content: &str) -> String {
        let json = content.strip_prefix('\u{feff}').unwrap_or(content);
        if json.trim_start().starts_with(['{', '['])
            && let Some(masked) = body::json(json, self)
        {
            return content[..content.len() - json.len()].to_owned() + &masked;
        }
        self.changed(content).unwrap_or_else(|| content.to_owned())
    }

    /// Text with what is found in it masked.
    pub(super) fn text<'t>(&mut self, content: &'t str) -> Cow<'t, str> {
        text::free(self, content)
    }

    /// What a value that is no masked field's becomes, if it changes: text, or base64 of something.
    pub(super) fn changed(&mut self, content: &str) -> Option<String> {
        if let Some(masked) = self.nested(content) {
            return Some(masked);
        }
        match self.text(content) {
            Cow::Owned(masked) => Some(masked),
            Cow::Borrowed(_) => None,
        }
    }

    fn nested(&mut self, content: &str) -> Option<String> {
        let shaped = content.len() >= NESTED
            && content.len().is_multiple_of(4)
            && content
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        if !shaped {
            return None;
        }
        let plain = String::from_utf8(STANDARD.decode(content).ok()?).ok()?;
        if plain.chars().any(|c| c.is_control() && !c.is_whitespace()) {
            return None;
        }
        let masked = self.document(&plain);
        (masked != plain).then(|| STANDARD.encode(masked))
    }

    /// The value of a masked field.
    pub(super) fn field(&mut self, value: &str) -> String {
        if self.rules.keeps_value(value) {
            return value.to_owned();
        }
        self.counts.fields += 1;
        self.learn_value(value);
        self.image(value)
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

    /// The value of the header of this name, which is in lower case.
    pub(super) fn header(&mut self, name: &str, value: &str) -> String {
        match name {
            "authorization" | "proxy-authorization" => self.credentials(value),
            "cookie" => self.cookies(value),
            "set-cookie" => {
                let (cookie, attributes) = value.split_at(value.find(';').unwrap_or(value.len()));
                self.cookies(cookie) + attributes
            }
            "location" | "content-location" | "referer" => target::url(self, value),
            "link" => target::links(self, value),
            // What a proxy writes as a list is a list of values.
            _ if self.rules.is_header(name) => {
                let parts: Vec<String> = value.split(',').map(|part| self.field(part)).collect();
                parts.join(",")
            }
            "host" | "content-length" | "date" | "content-type" => value.to_owned(),
            _ => self.changed(value).unwrap_or_else(|| value.to_owned()),
        }
    }

    fn credentials(&mut self, value: &str) -> String {
        let Some((scheme, secret)) = value.split_once(' ') else {
            return self.field(value);
        };
        if scheme.eq_ignore_ascii_case("basic")
            && let Some(plain) = STANDARD
                .decode(secret.trim())
                .ok()
                .and_then(|plain| String::from_utf8(plain).ok())
            && let Some((user, password)) = plain.split_once(':')
        {
            let masked = format!("{}:{}", self.field(user), self.field(password));
            return format!("{scheme} {}", STANDARD.encode(masked));
        }
        format!("{scheme} {}", self.field(secret))
    }

    fn cookies(&mut self, value: &str) -> String {
        let cookies = value.split(';').map(|cookie| match cookie.split_once('=') {
            Some((name, value)) if !self.rules.is_kept(name) => {
                format!("{name}={}", self.field(value))
            }
            None if !cookie.trim().is_empty() && !self.rules.is_kept(cookie) => self.field(cookie),
            _ => cookie.to_owned(),
        });
        cookies.collect::<Vec<_>>().join(";")
    }
}

impl Scalars for Masker {
    fn is_field(&self, name: &str) -> bool {
        self.rules.is_field(name)
    }

    fn is_kept(&self, name: &str) -> bool {
        self.rules.is_kept(name)
    }

    /// Names of members are mostly names of fields, which a learned value may well be spelled like: only what no field is named is looked up.
    fn name(&mut self, name: &str) -> Option<String> {
        let ordinary = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.$@".contains(&byte));
        let masked = if ordinary {
            text::by_pattern(self, name)
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
        let url = text.starts_with('/') || target::after_scheme(text).is_some();
        if url && !text.contains(' ') {
            let masked = target::url(self, text);
            return (masked != text).then_some(masked);
        }
        if text
            .trim_start_matches('\u{feff}')
            .trim_start()
            .starts_with(['{', '['])
        {
            let masked = self.document(text);
            return (masked != text).then_some(masked);
        }
        self.changed(text)
    }

    fn number(&mut self, _: &str, masked: bool, text: &str) -> Option<String> {
        if masked {
            self.counts.fields += 1;
            self.learn_value(text);
            return Some(body::number(&self.key, text));
        }
        let learned = !self.known.find(text).is_empty();
        self.counts.learned += u64::from(learned);
        learned.then(|| body::number(&self.key, text))
    }
}

/// The bytes in the content coding that the headers name; where it cannot be made, without one.
fn recoded(headers: &mut Headers, plain: Vec<u8>) -> Bytes {
    let coding = header(headers, "content-encoding")
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let written = match coding.as_str() {
        "" | "identity" => Ok(plain),
        "gzip" | "x-gzip" => {
            let mut coder = GzEncoder::new(Vec::new(), Compression::default());
            coder.write_all(&plain).and_then(|()| coder.finish())
        }
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

fn declare(headers: &mut Headers, length: usize) {
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("content-length") {
            *value = length.to_string();
        }
    }
}
