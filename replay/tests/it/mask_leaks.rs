//! Places where masking once left something: each beside what must stay as it is.
//!
//! **Invariant**: a case names what has to be gone and what has to be there still; one that only looked for the first would pass on a body
//! that was thrown away.

use bytes::Bytes;
use rehearsal_replay::{
    capture::{Body, Flag, decoded, header},
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

/// The masked bodies of JSON that is learned from and of a text after it.
fn text_after(json: &str, text: &str) -> String {
    let learned = exchange(
        "/",
        (&[("content-type", "application/json")], json),
        (&[], ""),
    );
    let mut one = exchange("/", (&[("content-type", "text/plain")], text), (&[], ""));
    let mut masker = masker();
    masker.learn(&learned);
    masker.learn(&one);
    masker.mask(&mut one);
    body(&one.request.body)
}

fn masker() -> Masker {
    let key = MaskKey::new(b"a key for tests, no secret").expect("a key");
    Masker::new(key, MaskRules::shipped())
}

#[test]
fn phone_numbers_are_found_by_what_is_said_of_them_by_groups_and_by_having_been_learned() {
    for phone in [
        "+1 202 555 0142",
        "(202) 555-0142",
        "202.555.0142",
        "+44 20 7946 0958",
        "+49 (0)30 123456",
        "030 12345678",
        "0151 23456789",
        "06 12 34 56 78",
        "0049 30 1234567",
        "+41-44-668-18-00",
        "044 668 18 00",
        "1-800-555-0199",
        "0791234567",
        "98765 43210",
    ] {
        let text = sent("text/plain", &format!("at {phone} on"));
        check(&text, &[phone, &phone[phone.len() - 5..]], &["at ", " on"]);
    }
    for phone in ["2025550142", "555-0142", "13800138000", "9876543210"] {
        for said in ["please call", "Tel", "mobile is"] {
            let text = sent("text/plain", &format!("{said} {phone} soon"));
            check(&text, &[phone], &[said, " soon"]);
        }
    }
    let json = r#"{"phone":"+1 202 555 0142","mobile":"+41 79 123 45 67"}"#;
    let text = text_after(
        json,
        "2025550142, 12025550142, 202 5550142; 079 1234567 or 791234567 or 0041791234567",
    );
    check(&text, &["5550142", "1234567"], &[", 1", "; 0", " or 0041"]);
    let national: Vec<&str> = text.split([',', ';']).collect();
    assert!(national[1].ends_with(national[0]), "{text}");
    assert_eq!(national[2].replace(' ', ""), national[0], "{text}");
    let mobile = &national[3][" 0".len()..];
    assert_eq!(
        mobile,
        format!(
            "{} or {} or 0041{}",
            &mobile[..10],
            mobile[..10].replace(' ', ""),
            mobile[..10].replace(' ', "")
        )
    );
    // Ids, times and days are no phone numbers.
    let plain = "order 2025550143 at 1700000000000, 2024-01-02 10:11:12, call 2024-01-02; v 10.0.19041; 01.02.2024 id 12345678 2024-000-1234 12, 01 30 45";
    assert_eq!(text_after(json, plain), plain);
}

#[test]
fn cards_are_found_by_their_check_digit() {
    for card in [
        "4111111111111111",
        "3782 822463 10005",
        "378282246310005",
        "4111-1111-1111-1111",
    ] {
        check(
            &sent("text/plain", &format!("paid with {card} today")),
            &[card],
            &["paid with ", " today"],
        );
        let content = format!("{{\"v\":\"{card}\",\"w\":1}}");
        check(&sent("application/json", &content), &[card], &["\"w\":1"]);
    }
    check(
        &sent(
            "application/json",
            "{\"v\":4111111111111111,\"w\":4111111111111112}",
        ),
        &["4111111111111111"],
        &["4111111111111112"],
    );
    let plain = "id 4111111111111112 at 1700000000000000000 in 1234567890123456";
    assert_eq!(sent("text/plain", plain), plain);
}

#[test]
fn learned_names_are_found_in_any_case_script_and_spelling() {
    let learned = r#"{"patient_name":"Grace Oberholzer","other":{"name":"李雷"},"x":{"name":"山田太郎"},"y":{"name":"José Núñez"},"z":{"name":"محمد علي"}}"#;
    let text =
        |text: &str, gone: &[&str], stays: &[&str]| check(&text_after(learned, text), gone, stays);
    text(
        "for oberholzer, g.oberholzer OBERHOLZER",
        &["berholzer", "BERHOLZER"],
        &["for ", ", g."],
    );
    text("患者李雷已预约; 李雷 x", &["李雷"], &["患者", "已预约; "]);
    text("山田太郎様、ご予約", &["山田", "太郎"], &["様、ご予約"]);
    text("السيد محمد حضر", &["محمد"], &["السيد ", " حضر"]);
    text(
        "Dear Jose\u{301} Nu\u{301}n\u{303}ez,",
        &["Jose", "Nu\u{301}"],
        &["Dear ", "\u{301}", ","],
    );
    let target = |path: &str| {
        let json = [("content-type", "application/json")];
        masked(exchange(path, (&json, learned), (&[], "")))
            .request
            .target
    };
    check(
        &target("/search?q=oberholzer"),
        &["oberholzer"],
        &["/search?q="],
    );
    check(
        &target("/files/oberholzer.pdf"),
        &["oberholzer"],
        &["/files/", ".pdf"],
    );
    let keys = r#"{"patient_name":"Grace Oberholzer","service":{"name":"Standard Appointment"},"by":{"Oberholzer":1,"grace.oberholzer":2,"Grace Oberholzer":3},"appointment":"standard"}"#;
    check(
        &sent("application/json", keys),
        &["Oberholzer", "oberholzer"],
        &[
            "\"patient_name\"",
            "\"service\":{\"name\"",
            "\"by\":{\"",
            "\"appointment\":",
        ],
    );
}

#[test]
fn a_segment_after_a_field_is_a_value_unless_it_is_a_route() {
    let target = |target: &str| {
        masked(exchange(target, (&[], ""), (&[], "")))
            .request
            .target
    };
    check(
        &target("/reset/token/abcdefghijklmnop"),
        &["abcdef"],
        &["/reset/token/"],
    );
    check(
        &target("/patients/name/lovelace/visits"),
        &["lovelace"],
        &["/patients/name/", "/visits"],
    );
    for route in [
        "/token/revoke",
        "/password/reset",
        "/email/verify",
        "/patient/visits",
        "/session/open",
    ] {
        assert_eq!(target(route), route);
    }
}

#[test]
fn gzip_that_no_header_names_is_looked_into_and_several_headers_are_one_list() {
    use std::io::Write as _;
    let gzip = |plain: &[u8]| {
        let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        coder.write_all(plain).expect("memory");
        coder.finish().expect("memory")
    };
    let plain = br#"{"patient_name":"Ada Lovelace"}"#;
    let masked = |headers: &[(&str, &str)], content: Vec<u8>| {
        let mut one = exchange("/", (headers, ""), (&[], ""));
        one.request.body = Body::Whole(content.into());
        masked(one).request
    };
    let hidden = masked(&[("content-type", "application/json")], gzip(plain));
    let named = vec![("content-encoding".to_owned(), "gzip".to_owned())];
    let inner = decoded(&named, hidden.body.whole().expect("whole")).expect("gzip");
    check(
        &String::from_utf8_lossy(&inner),
        &["Ada", "Lovelace"],
        &["{\"patient_name\":\""],
    );
    let coding = ("content-encoding", "gzip");
    let twice = masked(&[coding, coding], gzip(&gzip(plain)));
    let inner = decoded(&twice.headers, twice.body.whole().expect("whole")).expect("gzip");
    check(
        &String::from_utf8_lossy(&inner),
        &["Ada", "Lovelace"],
        &["{\"patient_name\":\""],
    );
    let broken = masked(&[], b"\x1f\x8b\x08 Ada Lovelace".to_vec());
    assert_eq!(broken.body, Body::Missing);
}
