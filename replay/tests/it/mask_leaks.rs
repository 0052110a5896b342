//! Places where masking once left something: each beside what must stay as it is.
//!
//! **Invariant**: a case names what has to be gone and what has to be there still; one that only looked for the first would pass on a body
//! that was thrown away.

use bytes::Bytes;
use rehearsal_replay::{
    capture::{Body, Flag, header},
    mask::{MaskKey, MaskRules, Masker},
};

use crate::mask::{body, exchange, masked};

/// The masked body of a request of this media type.
fn sent(media: &str, content: &str) -> String {
    let one = exchange("/", (&[("content-type", media)], content), (&[], ""));
    body(&masked(one).request.body)
}

fn check(masked: &str, gone: &[&str], stays: &[&str]) {
    for secret in gone {
        assert!(!masked.contains(secret), "{secret:?} is left in {masked:?}");
    }
    for kept in stays {
        assert!(masked.contains(kept), "{kept:?} is gone from {masked:?}");
    }
}

#[test]
fn a_named_value_is_masked_around_the_patterns_in_it() {
    let text = |content: &str, gone: &[&str], stays: &[&str]| {
        check(&sent("text/plain", content), gone, stays);
    };
    text(
        "id 17; name: Alan Turing alan@example.org; state: open",
        &["Alan", "Turing", "alan@"],
        &["id 17; name: ", ".org; state: open"],
    );
    text(
        "name: alan@example.org (Alan Turing)\n",
        &["Alan", "Turing", "alan@"],
        &["name: ", ".org ("],
    );
    text(
        "<p><name>Alan 202-555-0142 Turing</name></p>",
        &["Alan", "Turing", "0142"],
        &["<p><name>", "</name></p>"],
    );
    text(
        "authorization: Bearer tok8f2e9a77b1 done",
        &["8f2e9a77b1"],
        &["authorization: Bearer "],
    );
    // What was learned with a pattern in it is found around the pattern.
    let learned = sent(
        "application/json",
        r#"{"name":"Alan Turing alan@example.org","note":"for Alan Turing alan@example.org now"}"#,
    );
    check(
        &learned,
        &["Alan", "Turing", "alan@"],
        &["\"note\":\"for ", " now\""],
    );
}

#[test]
fn what_only_looks_like_a_url_is_text_and_user_and_password_are_masked() {
    let json = |value: &str, gone: &[&str], stays: &[&str]| {
        check(
            &sent("application/json", &format!(r#"{{"v":"{value}"}}"#)),
            gone,
            stays,
        );
    };
    json(
        "ada.one@example.org;see=https://h/x",
        &["ada.one@"],
        &[";see=https://h/x"],
    );
    json(
        "https://ada:Secret99x@host/p?q=1",
        &["ada:", "Secret99x"],
        &["https://", "@host/p?q=1"],
    );
    json(
        "https://ada@host.example/p",
        &["ada@"],
        &["https://", "@host.example/p"],
    );
    json(
        "see https://ada:Secret99x@host/p now",
        &["Secret99x"],
        &["see https://", "@host/p now"],
    );
    json(
        "https://host.example:8443/p?at=a@b",
        &[],
        &["https://host.example:8443/p?at=a@b"],
    );
    json(
        "git+ssh://host/orders/17",
        &[],
        &["git+ssh://host/orders/17"],
    );
    let headers = [
        ("location", "https://ada:Secret99x@host/p"),
        (
            "link",
            "<https://ada:Secret99x@host/p?email=ada%40example.org>; rel=\"next\"",
        ),
    ];
    let one = masked(exchange(
        "https://ada:Secret99x@host/p",
        (&headers, ""),
        (&[], ""),
    ));
    check(
        &one.request.target,
        &["Secret99x"],
        &["https://", "@host/p"],
    );
    for (name, _) in headers {
        let value = header(&one.request.headers, name).expect("it was there");
        check(value, &["Secret99x", "ada"], &["https://", "@host/p"]);
    }
    check(
        header(&one.request.headers, "link").expect("a link"),
        &[],
        &[">; rel=\"next\""],
    );
}

#[test]
fn the_head_of_a_part_keeps_its_names_and_loses_the_names_of_files() {
    let part = |head: &str, value: &str| {
        let content = format!("--Xy\r\n{head}\r\n\r\n{value}\r\n--Xy--\r\n");
        sent("multipart/form-data; boundary=Xy", &content)
    };
    let plain = part(
        "Content-Disposition: form-data; name=\"patient_name\"",
        "Ada Lovelace",
    );
    check(
        &plain,
        &["Ada"],
        &["form-data; name=\"patient_name\"\r\n\r\n"],
    );
    // The name of the part is learned from nowhere, so it stays in other text as well.
    let text = part(
        "Content-Disposition: form-data; name=\"patient_name\"",
        "the patient_name field",
    );
    check(&text, &["field"], &["name=\"patient_name\"\r\n"]);
    let file = part(
        "Content-Disposition: form-data; name=\"scan\"; filename=\"Ada Lovelace.pdf\"\r\nContent-Type: application/pdf",
        "nothing",
    );
    check(
        &file,
        &["Ada", "Lovelace"],
        &[
            "name=\"scan\"; filename=\"",
            ".pdf\"\r\nContent-Type: application/pdf\r\n\r\nnothing\r\n--Xy--",
        ],
    );
    let encoded = part(
        "Content-Disposition: form-data; name=a; filename*=UTF-8''Ada%20Lovelace.pdf",
        "x",
    );
    check(
        &encoded,
        &["Ada", "Lovelace"],
        &["; name=a; filename*=UTF-8''", "%20", ".pdf\r\n\r\nx\r\n"],
    );
}

#[test]
fn names_of_members_and_bare_cookies_are_looked_into() {
    let json = r#"{"ada@example.org":{"state":"open"},"patient_name":"Rosalind Franklin","by":{"Rosalind Franklin":1,"202-555-0142":2}}"#;
    check(
        &sent("application/json", json),
        &["ada@", "Rosalind", "Franklin", "555-0142"],
        &[
            ".org\":{\"state\":\"open\"},\"patient_name\":\"",
            "\"by\":{\"",
        ],
    );
    let headers = [
        ("cookie", "k8f2e9a77b1; theme=dark9; ; flag"),
        ("set-cookie", "t8f2e9a77b1; Path=/"),
    ];
    let one = masked(exchange("/", (&headers, ""), (&[], "")));
    let cookie = header(&one.request.headers, "cookie").expect("a cookie");
    check(cookie, &["8f2e9a77b1", "dark9"], &["; theme=", "; ; "]);
    let set = header(&one.request.headers, "set-cookie").expect("a cookie");
    check(set, &["8f2e9a77b1"], &["; Path=/"]);
}

#[test]
fn a_date_field_with_a_name_in_it_keeps_none() {
    let masked = sent(
        "application/json",
        r#"{"dob":"1985-02-28 Rosalind Franklin","birthday":"1985-02-28T10:00:00.5+02:00"}"#,
    );
    check(
        &masked,
        &["Rosalind", "Franklin", "1985-02-28"],
        &["T10:00:00.5+02:00\"}"],
    );
}

#[test]
fn a_byte_order_mark_hides_no_json() {
    // Only in JSON is what stands below a masked field masked.
    let content = "\u{feff}{\"patient\":{\"known_as\":\"ada\"},\"n\":1.50}";
    let masked = sent("application/json", content);
    check(
        &masked,
        &["ada"],
        &["\u{feff}{\"patient\":{\"known_as\":\"", "\"},\"n\":1.50}"],
    );
    assert_eq!(masked.len(), content.len());
}

#[test]
fn text_in_a_charset_that_is_not_read_is_withheld() {
    let plain = r#"{"patient_name":"Ada Lovelace","email":"ada@example.org"}"#;
    let little: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = plain.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let marked = [&b"\xff\xfe"[..], &little].concat();
    let wide: Vec<u8> = plain
        .chars()
        .flat_map(|c| u32::from(c).to_be_bytes())
        .collect();
    let withheld = |media: &str, content: &[u8]| {
        let mut one = exchange("/", (&[("content-type", media)], ""), (&[], ""));
        one.request.body = Body::Whole(Bytes::copy_from_slice(content));
        let key = MaskKey::new(b"a key for tests, no secret").expect("a key");
        let mut masker = Masker::new(key, MaskRules::shipped());
        masker.learn(&one);
        masker.mask(&mut one);
        assert_eq!(
            masker.counts().withheld == 1,
            one.flags.contains(&Flag::BodyMissing)
        );
        assert_eq!(
            masker.counts().withheld == 1,
            one.request.body == Body::Missing
        );
        masker.counts().withheld == 1
    };
    for content in [&little, &big, &marked, &wide] {
        assert!(withheld("application/json", content));
        assert!(withheld("application/json; charset=UTF-16", content));
    }
    assert!(withheld(
        "text/plain; charset=Shift_JIS",
        b"name: \x8e\x52\x93\x63"
    ));
    // What is read all the same: a charset that is named and not used, one byte a character, and no text at all.
    assert!(!withheld(
        "application/json; charset=\"utf-16\"",
        plain.as_bytes()
    ));
    assert!(!withheld(
        "text/plain; charset=windows-1251",
        b"name: \xc0\xed\xed\xe0"
    ));
    assert!(!withheld(
        "application/json; charset=utf-8",
        plain.as_bytes()
    ));
    assert!(!withheld(
        "image/png",
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x01\x90\0\0\x01\x2c\x08\x06"
    ));
}
