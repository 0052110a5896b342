//! Causes in texts: case, cutting, and how characters are coded.
//!
//! **Invariant**: a text is cut between characters where the services cut characters, and between bytes only where that is supposed.

use crate::{
    hypothesis::{
        cause::{Cause, Class},
        place::{Example, Place},
        value::{in_both, in_legacy, text_change},
    },
    json::Json,
};

type Coding = (&'static str, fn(&str) -> String);

/// What becomes of characters on a wrong way through a service.
const CODINGS: [Coding; 9] = [
    ("UTF-8 is read as Latin-1", as_latin1),
    ("UTF-8 is read as Windows-1252", as_windows1252),
    ("characters outside ASCII become question marks", |text| {
        replaced(text, "?")
    }),
    ("characters outside ASCII are left out", |text| {
        replaced(text, "")
    }),
    (
        "characters outside ASCII become replacement characters",
        |text| replaced(text, "\u{fffd}"),
    ),
    ("texts are escaped for HTML", html),
    ("texts are escaped for addresses", percent),
    ("texts are escaped twice for JSON", twice),
    ("accents are left out", plain),
];

pub(super) fn causes<'c>(place: &'c Place, examples: &[Example]) -> Vec<Cause<'c>> {
    let texts: Vec<(&str, &str)> = examples
        .iter()
        .filter_map(|one| match (&one.legacy, &one.candidate) {
            (Some(Json::String(a)), Some(Json::String(b))) => Some((a.as_ref(), b.as_ref())),
            _ => None,
        })
        .collect();
    if texts.is_empty() {
        return Vec::new();
    }
    let path = if place.path.is_empty() {
        "the body"
    } else {
        &place.path
    };
    let mut causes = cuts(place, path, &texts);
    causes.push(Cause::new(
        Class::Case,
        format!("texts at {path} are in upper case"),
        in_legacy(place, text_change(|text| Some(text.to_uppercase()))),
    ));
    causes.push(Cause::new(
        Class::Case,
        format!("texts at {path} are in lower case"),
        in_legacy(place, text_change(|text| Some(text.to_lowercase()))),
    ));
    causes.push(Cause::new(
        Class::Case,
        format!("texts at {path} differ in case only"),
        in_both(place, text_change(|text| Some(text.to_lowercase()))),
    ));
    for (said, coding) in CODINGS {
        causes.push(Cause::new(
            Class::Encoding,
            format!("{said} at {path}"),
            in_legacy(place, text_change(move |text| Some(coding(text)))),
        ));
    }
    causes.push(Cause::new(
        Class::Encoding,
        format!("blanks at {path} are written otherwise"),
        in_both(
            place,
            text_change(|text| Some(text.split_whitespace().collect::<Vec<_>>().join(" "))),
        ),
    ));
    causes
}

/// Texts of which the end is missing.
fn cuts<'c>(place: &'c Place, path: &str, texts: &[(&str, &str)]) -> Vec<Cause<'c>> {
    let mut causes = Vec::new();
    if texts
        .iter()
        .all(|(a, b)| a.starts_with(b) && a.len() > b.len())
    {
        let most = texts
            .iter()
            .map(|(_, b)| b.chars().count())
            .max()
            .unwrap_or(0);
        let bytes = texts.iter().map(|(_, b)| b.len()).max().unwrap_or(0);
        let less = texts
            .iter()
            .map(|(a, b)| a.chars().count() - b.chars().count())
            .max()
            .unwrap_or(0);
        causes.push(Cause::new(
            Class::Truncation,
            format!("texts at {path} are cut after {most} characters"),
            in_legacy(
                place,
                text_change(move |text| {
                    Some(
                        text.chars()
                            .take(most)
                            .collect::<String>()
                            .trim_end()
                            .to_owned(),
                    )
                }),
            ),
        ));
        causes.push(Cause::new(
            Class::Truncation,
            format!("texts at {path} are cut after {bytes} bytes"),
            in_legacy(
                place,
                text_change(move |text| Some(text[..text.floor_char_boundary(bytes)].to_owned())),
            ),
        ));
        causes.push(Cause::new(
            Class::Truncation,
            format!("texts at {path} lack their last {less} characters"),
            in_legacy(
                place,
                text_change(move |text| {
                    let keep = text.chars().count().saturating_sub(less);
                    Some(text.chars().take(keep).collect())
                }),
            ),
        ));
        causes.push(Cause::new(
            Class::Truncation,
            format!("texts at {path} lack the blanks at their end"),
            in_legacy(place, text_change(|text| Some(text.trim_end().to_owned()))),
        ));
        causes.push(Cause::new(
            Class::Truncation,
            format!("texts at {path} are cut at the first blank"),
            in_legacy(
                place,
                text_change(|text| text.split_whitespace().next().map(str::to_owned)),
            ),
        ));
    }
    if let Some(mark) = cut_mark(texts) {
        let most = texts
            .iter()
            .map(|(_, b)| b.chars().count() - mark.chars().count())
            .max()
            .unwrap_or(0);
        causes.push(Cause::new(
            Class::Truncation,
            format!("texts at {path} are cut after {most} characters and end in {mark:?}"),
            in_legacy(
                place,
                text_change(move |text| {
                    let long = text.chars().count() > most + mark.chars().count();
                    long.then(|| text.chars().take(most).chain(mark.chars()).collect())
                }),
            ),
        ));
    }
    causes
}

/// What stands at the end of all cut texts.
fn cut_mark(texts: &[(&str, &str)]) -> Option<&'static str> {
    ["...", "…"].into_iter().find(|mark| {
        texts
            .iter()
            .all(|(a, b)| b.strip_suffix(mark).is_some_and(|kept| a.starts_with(kept)))
    })
}

fn as_latin1(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

fn as_windows1252(text: &str) -> String {
    encoding_rs::WINDOWS_1252
        .decode_without_bom_handling(text.as_bytes())
        .0
        .into_owned()
}

fn replaced(text: &str, by: &str) -> String {
    let one = |character: char| {
        if character.is_ascii() {
            character.to_string()
        } else {
            by.to_owned()
        }
    };
    text.chars().map(one).collect()
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn percent(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

fn twice(text: &str) -> String {
    let quoted = Json::String(text.into()).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Letters of western Europe without their accents.
fn plain(text: &str) -> String {
    const WITH: &str = "ÀÁÂÃÄÅÇÈÉÊËÌÍÎÏÑÒÓÔÕÖÙÚÛÜÝàáâãäåçèéêëìíîïñòóôõöùúûüýÿ";
    const WITHOUT: &str = "AAAAAACEEEEIIIINOOOOOUUUUYaaaaaaceeeeiiiinooooouuuuyy";
    let one = |character: char| {
        let found = WITH.chars().position(|known| known == character);
        found
            .and_then(|at| WITHOUT.chars().nth(at))
            .unwrap_or(character)
    };
    text.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_go_wrong_in_known_ways() {
        assert_eq!(as_latin1("é"), "Ã©");
        assert_eq!(as_windows1252("’"), "â€™");
        assert_eq!(replaced("café", "?"), "caf?");
        assert_eq!(html("<a & b>"), "&lt;a &amp; b&gt;");
        assert_eq!(percent("a b"), "a%20b");
        assert_eq!(twice("a\"b"), "a\\\"b");
        assert_eq!(plain("Zoë Müller"), "Zoe Muller");
    }
}
