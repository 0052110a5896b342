//! Which values the recorded service invented, and which later requests carry them.
//!
//! A replayed service invents values of its own, so a request that carries a recorded one has to carry the live one instead. A value flows when
//! an answer was the first to show it and a later request repeats it.
//!
//! **Invariant**: a value that any request carried before an answer showed it is the clients' own, and is never replaced.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::{
    capture::{Exchange, Request, Response, decoded, header},
    json::{self, Json},
    plan::{Use, spots, token},
};

/// A value that an answer invents and later requests need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its identity: the recorded value, for a short number with what it numbers.
    pub identity: String,
    /// The recorded value.
    pub recorded: String,
    /// The request whose answer invents it: its place in the capture.
    pub producer: u64,
    /// Where the answer has it.
    pub place: ValuePlace,
    /// Whether the answer only showed it: it was there before, so a target may well have it as it was recorded.
    pub shown: bool,
}

/// Where an answer has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValuePlace {
    /// In the JSON body: a pointer; the part of the value, where it is a URL.
    Json(String, Part),
    /// In this header.
    Header(String, Part),
    /// In the cookie of this name.
    Cookie(String),
    /// In a text body, behind this text.
    Text(String),
}

/// Which part of a text is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Of a URL: the path segment so many from its end.
    Segment(usize),
    /// Of a URL: the query's parameter.
    Parameter(String),
}

/// What was found in a capture, which is walked twice: at first all is [expected](Self::expect), then it is [followed](Self::follow).
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) values: Vec<Value>,
    /// Digests of what requests carry.
    wanted: BTreeSet<u64>,
    /// Digests of what requests carried before an answer showed it.
    own: BTreeSet<u64>,
    /// Invented values by their identity: their places, and when they were shown.
    known: BTreeMap<String, (usize, u64)>,
    /// Numbers that an answer to a write gave to what it made, under a name that no request has for it: `/register` makes a user.
    unnamed: BTreeMap<String, (Value, u64)>,
}

/// A number with fewer digits is too many things to be known without its name.
const UNNAMED_DIGITS: usize = 4;

/// So many characters before a value in a text tell its place.
const BEFORE: usize = 32;

impl Flow {
    /// Takes note of what a request carries.
    pub(super) fn expect(&mut self, request: &Request) {
        spots::in_request(request, |identity, _| {
            self.wanted.insert(hashed(identity));
        });
    }

    /// Follows an exchange, in order of time: the values that its request carries. `created` is a value that is wanted whatever later
    /// requests carry: the recorded id of what the exchange creates.
    pub(super) fn follow(&mut self, exchange: &Exchange, created: Option<&str>) -> Vec<Use> {
        let mut uses: Vec<Use> = Vec::new();
        spots::in_request(&exchange.request, |identity, cookie| {
            self.name(identity);
            match self.known.get(identity) {
                Some((value, shown_ns)) if *shown_ns <= exchange.ts_ns => {
                    match uses.iter_mut().find(|known| known.value == *value) {
                        Some(known) => known.cookie &= cookie,
                        None => uses.push(Use {
                            value: *value,
                            cookie,
                        }),
                    }
                }
                _ => {
                    self.own.insert(hashed(identity));
                }
            }
        });
        let Some(response) = &exchange.response else {
            return uses;
        };
        let subject = token::subject(exchange.request.path());
        shown(response, subject, |identity, recorded, place| {
            let hash = hashed(identity);
            let needed = self.wanted.contains(&hash) || created == Some(recorded);
            if self.own.contains(&hash) || self.known.contains_key(identity) {
                return;
            }
            let asks = matches!(&*exchange.request.method, "GET" | "HEAD" | "OPTIONS");
            let value = Value {
                identity: identity.to_owned(),
                recorded: recorded.to_owned(),
                producer: exchange.seq,
                shown: asks && place.lasts(),
                place,
            };
            if needed {
                let shown = (self.values.len(), response.ts_ns);
                self.known.insert(identity.to_owned(), shown);
                self.values.push(value);
            } else if !asks && identity != recorded && recorded.len() >= UNNAMED_DIGITS {
                self.unnamed
                    .insert(recorded.to_owned(), (value, response.ts_ns));
            }
        });
        uses
    }

    /// Gives a number its name, when a request is the first to call it so: `user 1001`, where the answer of `/register` had but the number.
    fn name(&mut self, identity: &str) {
        let Some((_, number)) = identity.rsplit_once(' ') else {
            return;
        };
        if self.known.contains_key(identity) || self.own.contains(&hashed(identity)) {
            return;
        }
        if let Some((mut value, shown_ns)) = self.unnamed.remove(number) {
            self.known
                .insert(identity.to_owned(), (self.values.len(), shown_ns));
            identity.clone_into(&mut value.identity);
            self.values.push(value);
        }
    }
}

fn hashed(identity: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    identity.hash(&mut hasher);
    hasher.finish()
}

/// Tells `each` value of an answer: its identity, its text and its place.
fn shown(response: &Response, subject: &str, mut each: impl FnMut(&str, &str, ValuePlace)) {
    for (name, value) in &response.headers {
        let name = name.to_ascii_lowercase();
        if name == "set-cookie" {
            if let Some((cookie, value)) = set_cookie(value)
                && let Some(identity) = token::identity(value, cookie, "")
            {
                each(&identity, value, ValuePlace::Cookie(cookie.to_owned()));
            }
        } else if let Some((_, text)) = spots::header_value(&name, value) {
            parts(text, &name, subject, |identity, text, part| {
                each(identity, text, ValuePlace::Header(name.clone(), part));
            });
        }
    }
    let Some(body) = response.body.whole() else {
        return;
    };
    let Ok(body) = decoded(&response.headers, body) else {
        return;
    };
    if matches!(
        json::unmarked(&body).trim_ascii_start().first(),
        Some(b'{' | b'[')
    ) {
        if let Ok(document) = json::parse(&body) {
            scalars(&document, &mut Vec::new(), subject, &mut each);
        }
        return;
    }
    if !header(&response.headers, "content-type").is_some_and(|media| media.starts_with("text/")) {
        return;
    }
    let Ok(text) = std::str::from_utf8(&body) else {
        return;
    };
    for (at, word) in spots::words(text) {
        if let Some(identity) = token::identity(word, "", subject) {
            each(
                &identity,
                word,
                ValuePlace::Text(before(text, at).to_owned()),
            );
        }
    }
}

fn before(text: &str, at: usize) -> &str {
    let mut start = at.saturating_sub(BEFORE);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..at]
}

/// The name and value that a `Set-Cookie` header sets.
pub(crate) fn set_cookie(header: &str) -> Option<(&str, &str)> {
    let pair = header.split(';').next()?;
    let (name, value) = pair.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    (!name.is_empty() && !value.is_empty()).then_some((name, value))
}

/// A text's value, or those of its parts where it is a URL.
fn parts(text: &str, name: &str, within: &str, mut each: impl FnMut(&str, &str, Part)) {
    let Some(target) = target(text) else {
        if let Some(identity) = token::identity(text, name, within) {
            each(&identity, text, Part::Whole);
        }
        return;
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let spots = spots::in_target(target);
    for spot in spots.iter().filter(|spot| spot.range.end <= path.len()) {
        let after = path[spot.range.end..].matches('/').count();
        let text = spots::percent_decoded(&path[spot.range.clone()]);
        each(&spot.identity, &text, Part::Segment(after));
    }
    for (name, raw) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let text = spots::percent_decoded(raw);
        if let Some(identity) = token::identity(&text, name, within) {
            each(&identity, &text, Part::Parameter(name.to_owned()));
        }
    }
}

/// The path and query of a URL or an absolute path.
fn target(text: &str) -> Option<&str> {
    if text.starts_with('/') {
        return Some(text);
    }
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))?;
    Some(rest.find('/').map_or("/", |at| &rest[at..]))
}

fn scalars<'j>(
    value: &'j Json<'_>,
    path: &mut Vec<std::borrow::Cow<'j, str>>,
    subject: &str,
    each: &mut impl FnMut(&str, &str, ValuePlace),
) {
    let text = match value {
        Json::Object(members) => {
            for (key, member) in members {
                path.push(key.as_ref().into());
                scalars(member, path, subject, each);
                path.pop();
            }
            return;
        }
        Json::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                path.push(at.to_string().into());
                scalars(item, path, subject, each);
                path.pop();
            }
            return;
        }
        Json::String(text) => text.as_ref(),
        Json::Number(number) => number.text(),
        Json::Null | Json::Bool(_) => return,
    };
    // The key of an array's item is the array's.
    let keys: Vec<&str> = path
        .iter()
        .map(std::borrow::Cow::as_ref)
        .filter(|key| !key.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    let name = keys.last().copied().unwrap_or_default();
    let parent = keys.len().checked_sub(2).map(|at| keys[at]);
    parts(
        text,
        name,
        token::within(parent, subject),
        |identity, text, part| {
            each(identity, text, ValuePlace::Json(pointer(path), part));
        },
    );
}

fn pointer(path: &[std::borrow::Cow<'_, str>]) -> String {
    path.iter().fold(String::new(), |text, step| {
        text + "/" + &step.replace('~', "~0").replace('/', "~1")
    })
}

impl ValuePlace {
    /// Whether what stands here is the name of something that stays, and not a token that is good for a while.
    fn lasts(&self) -> bool {
        let Self::Json(pointer, _) = self else {
            return false;
        };
        let word = |step: &&str| !step.bytes().all(|byte| byte.is_ascii_digit());
        !pointer
            .rsplit('/')
            .find(word)
            .is_some_and(token::is_passing)
    }

    /// Whether a live answer has `recorded` anywhere under the key that stands here: in another order, perhaps, or in another wrapping.
    pub(crate) fn has(
        &self,
        headers: &crate::capture::Headers,
        body: &bytes::Bytes,
        identity: &str,
        subject: &str,
    ) -> bool {
        let Self::Json(..) = self else {
            return false;
        };
        let Ok(body) = decoded(headers, body) else {
            return false;
        };
        let Ok(document) = json::parse(&body) else {
            return false;
        };
        let mut found = false;
        scalars(&document, &mut Vec::new(), subject, &mut |shown, _, _| {
            found |= shown == identity;
        });
        found
    }

    /// The value that a live answer has here. `renamed` gives the name that a member may have there instead.
    pub(crate) fn find(
        &self,
        headers: &crate::capture::Headers,
        body: &bytes::Bytes,
        renamed: impl Fn(&str) -> Option<String>,
    ) -> Option<String> {
        match self {
            Self::Header(name, part) => part.of(header(headers, name)?),
            Self::Cookie(name) => headers
                .iter()
                .filter(|(header, _)| header.eq_ignore_ascii_case("set-cookie"))
                .filter_map(|(_, value)| set_cookie(value))
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.to_owned()),
            Self::Json(pointer, part) => {
                let body = decoded(headers, body).ok()?;
                let document = json::parse(&body).ok()?;
                let value = document.pointer(pointer).or_else(|| {
                    let key = pointer.rsplit('/').next()?;
                    let other = renamed(key);
                    only(&document, &|name| {
                        name == key || Some(name) == other.as_deref()
                    })
                })?;
                match value {
                    Json::String(text) => part.of(text),
                    Json::Number(number) => part.of(number.text()),
                    _ => None,
                }
            }
            Self::Text(before) => {
                let body = decoded(headers, body).ok()?;
                let text = std::str::from_utf8(&body).ok()?;
                let at = text.find(before.as_str())? + before.len();
                let (_, word) = spots::words(&text[at..])
                    .next()
                    .filter(|(at, _)| *at == 0)?;
                Some(word.to_owned())
            }
        }
    }
}

/// The only scalar under a fitting key, whatever its depth.
fn only<'j, 'a>(value: &'j Json<'a>, fits: &impl Fn(&str) -> bool) -> Option<&'j Json<'a>> {
    fn collect<'j, 'a>(
        value: &'j Json<'a>,
        fits: &impl Fn(&str) -> bool,
        found: &mut Vec<&'j Json<'a>>,
    ) {
        match value {
            Json::Object(members) => {
                for (key, member) in members {
                    if fits(key) && matches!(member, Json::String(_) | Json::Number(_)) {
                        found.push(member);
                    }
                    collect(member, fits, found);
                }
            }
            Json::Array(items) => items.iter().for_each(|item| collect(item, fits, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(value, fits, &mut found);
    match found[..] {
        [one] => Some(one),
        _ => None,
    }
}

impl Part {
    fn of(&self, text: &str) -> Option<String> {
        match self {
            Self::Whole => Some(text.to_owned()),
            Self::Segment(from_end) => {
                let path = target(text)?.split(['?', '#']).next()?;
                let segment = path.rsplit('/').nth(*from_end)?;
                Some(spots::percent_decoded(segment).into_owned())
            }
            Self::Parameter(name) => {
                let (_, query) = target(text)?.split_once('?')?;
                let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                let (_, raw) = pairs.into_iter().find(|(known, _)| known == name)?;
                Some(spots::percent_decoded(raw).into_owned())
            }
        }
    }
}
