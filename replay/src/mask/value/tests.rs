//! Values and their masks: shape kept, nothing left, nothing shared.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

fn key() -> MaskKey {
    MaskKey::new(b"a key for tests, no secret").expect("a key")
}

fn masked(value: &str) -> String {
    let image = mask(&key(), value);
    assert_ne!(image, value);
    assert_eq!(image, mask(&key(), value), "one value, one mask");
    image
}

fn is(value: &str, pattern: &str) -> String {
    let image = masked(value);
    assert!(whole(pattern).is_match(&image), "{value} -> {image}");
    image
}

#[test]
fn shapes_stay() {
    is("Ada Lovelace", "[A-Z][a-z]{2} [A-Z][a-z]{7}");
    is(
        "O'Hara-Smith, J.",
        "[A-Z]'[A-Z][a-z]{3}-[A-Z][a-z]{4}, [A-Z]\\.",
    );
    is(
        "ada.lovelace+x@mail.example.org",
        r"[a-z]{3}\.[a-z]{8}\+[a-z]@[a-z]{4}\.[a-z]{7}\.org",
    );
    is("+1 (202) 555-0142", r"\+1 \([1-9]\d{2}\) \d{3}-\d{4}");
    is("+442079460958", r"\+44[1-9]\d{9}");
    is("020 7946 0958", r"0\d{2} \d{4} \d{4}");
    is("078-05-1120", r"0\d{2}-\d{2}-\d{4}");
    is("123456789", "[1-9][0-9]{8}");
    is("9f86d081884c7d65", "[0-9a-f]{16}");
    is("sk_live_4eC39HqLyjWD", "[a-z]{2}_[a-z]{4}_[A-Za-z0-9]{12}");
    is(
        "123e4567-e89b-42d3-a456-426614174000",
        "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}",
    );
    is("1985-02-28", r"\d{4}-\d{2}-\d{2}")
        .parse::<Date>()
        .expect("a real date");
    is("1985-02-28T10:00:00Z", r"\d{4}-\d{2}-\d{2}T10:00:00Z");
    is("192.0.2.17", r"\d+\.\d+\.\d+\.\d+")
        .parse::<IpAddr>()
        .expect("an address");
    masked("2001:db8::1").parse::<IpAddr>().expect("an address");
    is("Émile Zoë", r"\p{Lu}\p{Ll}{4} [A-Z][a-z]\p{Ll}");
    is("Анна", r"\p{Lu}\p{Ll}{3}");
    assert_eq!(masked("山田太郎").chars().count(), 4);
    assert_eq!(masked(" Ada ").trim().len(), 3);
}

#[test]
fn another_key_makes_other_masks() {
    let other = MaskKey::new(b"another key, no secret").expect("a key");
    for value in [
        "Ada Lovelace",
        "ada.lovelace@mail.example.org",
        "+1 (202) 555-0142",
        "123456789",
        "sk_live_4eC39HqLyjWD",
        "123e4567-e89b-42d3-a456-426614174000",
        "1985-02-28",
        "192.0.2.17",
        "2001:db8::1",
        "\u{5c71}\u{7530}\u{592a}\u{90ce}",
    ] {
        assert_ne!(mask(&other, value), mask(&key(), value), "{value}");
    }
}

#[test]
fn case_and_spelling_do_not_change_who_it_is() {
    assert_eq!(
        masked("ADA LOVELACE").to_lowercase(),
        masked("Ada Lovelace").to_lowercase()
    );
    assert_eq!(masked("lovelace"), masked("ada lovelace")[4..]);
    for word in ["ada42", "zoe42", "42ada", "x7"] {
        let first = word[..1].to_uppercase() + &word[1..];
        for spelling in [word.to_uppercase(), first] {
            assert_eq!(masked(&spelling).to_lowercase(), masked(word), "{spelling}");
        }
    }
    let digits = |text: String| {
        text.chars()
            .filter(char::is_ascii_digit)
            .collect::<String>()
    };
    assert_eq!(digits(masked("202-555-0142")), masked("2025550142"));
}

#[test]
fn what_has_a_shape_is_masked_alike_within_a_longer_value() {
    let email = masked("ada@example.org");
    assert_eq!(email.rsplit_once('.').map(|(_, label)| label), Some("org"));
    for (value, around) in [
        (
            "Ada Lovelace <ada@example.org>",
            r"[A-Z][a-z]{2} [A-Z][a-z]{7} <\S+>",
        ),
        ("mailto:ada@example.org", r"mailto:\S+"),
        ("ada@example.org, x", r"\S+, [a-z]"),
    ] {
        assert!(is(value, around).contains(&email), "{value}");
    }
    let phone = masked("+1 202 555 0142");
    assert!(is("tel:+1 202 555 0142", r"tel:\+1 .*").ends_with(&phone));
    assert!(is("+1 202 555 0142 (Ada)", r"\+1 .*\)").starts_with(&phone));
    let address = masked("203.0.113.9");
    assert_eq!(masked("203.0.113.9:4711"), address.clone() + ":4711");
    assert!(masked("from 203.0.113.9 on").contains(&address));
    let six = masked("2001:db8::1");
    assert_eq!(masked("[2001:db8::1]:4711"), format!("[{six}]:4711"));
    let id = "123e4567-e89b-42d3-a456-426614174000";
    assert!(masked(&format!("urn:uuid:{id}")).ends_with(&masked(id)));
}

#[test]
fn a_jwt_stays_readable_and_says_nothing_else() {
    let payload = r#"{"sub":"ada@example.org","name":"Ada Lovelace","exp":1700000000}"#;
    let token = format!(
        "eyJhbGciOiJIUzI1NiJ9.{}.c2lnbmF0dXJl",
        URL_SAFE_NO_PAD.encode(payload)
    );
    let image = masked(&token);
    let parts: Vec<&str> = image.split('.').collect();
    let payload =
        String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).expect("base64")).expect("text");
    assert!(payload.contains("\"exp\":1700000000"), "{payload}");
    assert!(
        !payload.contains("Ada") && !payload.contains("ada@"),
        "{payload}"
    );
    assert!(payload.contains(&masked("Ada Lovelace")), "{payload}");
    assert_ne!(parts[2], "c2lnbmF0dXJl");
}

#[test]
fn short_values_share_no_mask() {
    let check = |values: Vec<String>| {
        let images: BTreeSet<String> = values.iter().map(|value| mask(&key(), value)).collect();
        assert_eq!(images.len(), values.len());
    };
    let letters = || LOWER.iter().map(|byte| char::from(*byte));
    check(
        letters()
            .flat_map(|a| letters().map(move |b| format!("{a}{b}")))
            .collect(),
    );
    check((0..1_200).map(|number| number.to_string()).collect());
    check((0..1_000).map(|number| format!("{number:04x}")).collect());
    check(
        (0..1_300)
            .map(|number| format!("{}{}", char::from(LOWER[number / 50]), number % 50))
            .collect(),
    );
    check(
        (0..1_300)
            .map(|number| format!("{}{}", char::from(UPPER[number / 50]), number % 50))
            .collect(),
    );
    check(
        [
            "aB1", "Ab1", "AB1", "ab1", "a1B", "A1b", "1aB", "1AB", "1ab",
        ]
        .map(str::to_owned)
        .to_vec(),
    );
    check(
        (0..1_200)
            .map(|number| format!("Patient {number:05}"))
            .collect(),
    );
}

proptest! {
    /// Two different values of any shape have different masks, of their length.
    #[test]
    fn masks_are_one_to_one(a in "[a-zA-Z0-9 @.+é-]{1,24}", b in "[a-zA-Z0-9 @.+é-]{1,24}") {
        let (one, other) = (mask(&key(), &a), mask(&key(), &b));
        prop_assert_eq!(a == b, one == other, "{} and {} -> {}", a, b, one);
        prop_assert_eq!(a.len(), one.len());
    }
}
