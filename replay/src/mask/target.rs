//! Request targets, URLs in headers, and forms: paths segment by segment, queries parameter by parameter.
//!
//! **Invariant**: scheme, host, names of parameters and separators stay as they are.

use std::borrow::Cow;

use crate::mask::{
    encoding::{Plus, plain, respelled},
    masker::Masker,
};

/// A path with its query, or a whole URL.
pub(super) fn url(masker: &mut Masker, url: &str) -> String {
    let origin = match url.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            let path = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            scheme.len() + 3 + path
        }
        _ => 0,
    };
    let (origin, rest) = url.split_at(origin);
    let (rest, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
    let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let mut masked = origin.to_owned();
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

/// A segment of a path; `before` is the one before it.
fn segment<'s>(masker: &mut Masker, before: &str, segment: &'s str) -> Cow<'s, str> {
    if segment.is_empty() {
        return Cow::Borrowed(segment);
    }
    // A segment of lower-case letters is part of a route, such as `/token/revoke`.
    let route = segment
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || b"-_.".contains(&byte));
    let value = !route && masker.rules.is_field(before);
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
                masked.push_str(name);
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
    // `patient[name]` and `filter.email` are fields by their last word.
    let last = name
        .trim_end_matches(']')
        .rsplit(['[', '.'])
        .next()
        .unwrap_or(name);
    if masker.rules.is_kept(name) || masker.rules.is_kept(last) {
        return Cow::Borrowed(value);
    }
    let field = !value.is_empty() && (masker.rules.is_field(name) || masker.rules.is_field(last));
    respelled(value, Plus::Blank, |plain| {
        if field {
            Some(masker.field(plain))
        } else {
            masker.changed(plain)
        }
    })
}
