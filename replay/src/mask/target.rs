//! Request targets, URLs in headers, and forms: paths segment by segment, queries parameter by parameter.
//!
//! **Invariant**: scheme, host, names of parameters and separators stay as they are; a user and password before the host do not.

use std::borrow::Cow;

use crate::mask::{
    body::Scalars,
    encoding::{Plus, plain, respelled},
    masker::Masker,
};

/// A path with its query, or a whole URL.
pub(super) fn url(masker: &mut Masker, url: &str) -> String {
    let (mut masked, rest) = match after_scheme(url) {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            let scheme = &url[..url.len() - rest.len()];
            (
                scheme.to_owned() + &self::authority(masker, authority),
                path,
            )
        }
        None => (String::new(), url),
    };
    let (rest, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
    let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let mut before = String::new();
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            masked.push('/');
        }
        masked.push_str(&self::segment(masker, &before, segment));
        before = plain(segment);
    }
    if let Some(query) = query.strip_prefix('?') {
        masked.push('?');
        masked.push_str(&form(masker, query));
    }
    if let Some(fragment) = fragment.strip_prefix('#') {
        masked.push('#');
        masked.push_str(&form(masker, fragment));
    }
    masked
}

/// What follows `scheme://` (RFC 3986, 3.1), if that is how `text` begins.
pub(super) fn after_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let shaped = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte));
    shaped.then_some(rest)
}

/// A host, with the user and the password before it masked.
fn authority(masker: &mut Masker, authority: &str) -> String {
    let Some((user, host)) = authority.rsplit_once('@') else {
        return authority.to_owned();
    };
    let mut masked = String::with_capacity(authority.len());
    for part in user.split_inclusive(':') {
        let bare = part.strip_suffix(':').unwrap_or(part);
        if !bare.is_empty() {
            masked.push_str(&respelled(bare, Plus::Plus, |plain| {
                Some(masker.field(plain))
            }));
        }
        masked.push_str(&part[bare.len()..]);
    }
    masked + "@" + host
}

/// The value of a `Link` header: URLs in angle brackets, and what is said of them.
pub(super) fn links(masker: &mut Masker, mut value: &str) -> String {
    let mut masked = String::with_capacity(value.len());
    while let Some((before, after)) = value.split_once('<') {
        masked.push_str(&masker.text(before));
        let (target, rest) = after.split_at(after.find('>').unwrap_or(after.len()));
        masked.push('<');
        masked.push_str(&url(masker, target));
        value = rest;
    }
    masked + &masker.text(value)
}

/// A segment of a path; `before` is the one before it.
fn segment<'s>(masker: &mut Masker, before: &str, segment: &'s str) -> Cow<'s, str> {
    if segment.is_empty() {
        return Cow::Borrowed(segment);
    }
    // A segment of lower-case letters is part of a route, such as `/token/revoke`, unless it is known not to be.
    let route = segment
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || b"-_.".contains(&byte));
    let value = if route {
        masker.rules.is_value_behind(segment, before)
    } else {
        masker.rules.is_field(before)
    };
    respelled(segment, Plus::Plus, |plain| {
        if value {
            Some(masker.field(plain))
        } else {
            masker.changed(plain)
        }
    })
}

/// A query, or a form.
pub(super) fn form(masker: &mut Masker, form: &str) -> String {
    let mut masked = String::with_capacity(form.len());
    for pair in form.split_inclusive(['&', ';']) {
        let (pair, separator) = match pair.strip_suffix(['&', ';']) {
            Some(bare) => (bare, &pair[bare.len()..]),
            None => (pair, ""),
        };
        match pair.split_once('=') {
            Some((name, value)) => {
                masked.push_str(&respelled(name, Plus::Blank, |plain| masker.name(plain)));
                masked.push('=');
                masked.push_str(&parameter(masker, &plain(name), value));
            }
            None => masked.push_str(&respelled(pair, Plus::Blank, |plain| masker.changed(plain))),
        }
        masked.push_str(separator);
    }
    masked
}

fn parameter<'v>(masker: &mut Masker, name: &str, value: &'v str) -> Cow<'v, str> {
    if masker.rules.is_path_kept(name) {
        return Cow::Borrowed(value);
    }
    let field = !value.is_empty() && masker.rules.is_parameter(name);
    respelled(value, Plus::Blank, |plain| {
        if field {
            Some(masker.field(plain))
        } else {
            masker.changed(plain)
        }
    })
}
