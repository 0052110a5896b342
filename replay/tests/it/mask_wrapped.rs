//! What is wrapped in something else: cookies in a header, escapes, base64, JSON in text. Masked inside, and wrapped as before.
//!
//! **Invariant**: a value has the same mask inside as it has in the open, so each case compares with that.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE},
};
use bytes::Bytes;
use rehearsal_replay::capture::{Body, header};

use crate::mask::{body, exchange, masked};

/// The masked body of a request of this media type.
fn sent(media: &str, content: &str) -> String {
    let one = exchange("/", (&[("content-type", media)], content), (&[], ""));
    body(&masked(one).request.body)
}

/// A header, masked.
fn headed(name: &str, value: &str) -> String {
    let one = masked(exchange("/", (&[(name, value)], ""), (&[], "")));
    let value = header(&one.request.headers, name).expect("it was there");
    value.to_owned()
}

fn target(target: &str) -> String {
    masked(exchange(target, (&[], ""), (&[], "")))
        .request
        .target
}

/// The mask of the value of a field of this name.
fn mask(name: &str, value: &str) -> String {
    let content = serde_json::json!({ name: value }).to_string();
    let masked: serde_json::Value =
        serde_json::from_str(&sent("application/json", &content)).expect("JSON");
    masked[name].as_str().expect("a string").to_owned()
}

fn email() -> String {
    mask("email", "ada@example.org")
}

fn escaped_email() -> String {
    email().replace('@', "%40")
}

#[test]
fn each_of_several_cookies_in_one_header_is_masked_and_keeps_its_attributes() {
    let sid = mask("token", "k8f2e9a77b1");
    for joint in ["\n", ", "] {
        let value = format!(
            "a=1; Path=/; Expires=Wed, 09 Jun 2027 10:18:14 GMT; HttpOnly{joint}sid=k8f2e9a77b1; Path=/; Secure"
        );
        let masked = headed("set-cookie", &value);
        let second = format!("Jun 2027 10:18:14 GMT; HttpOnly{joint}sid={sid}; Path=/; Secure");
        assert!(masked.ends_with(&second), "{masked}");
        assert!(masked.starts_with("a="), "{masked}");
    }
    let path = headed("set-cookie", "a=1; Path=/u/ada%40example.org; Max-Age=9");
    assert!(
        path.ends_with(&format!("; Path=/u/{}; Max-Age=9", escaped_email())),
        "{path}"
    );
}

#[test]
fn latin_1_is_masked_like_utf_8() {
    let name = mask("patient_name", "Ren\u{e9}e Dupont");
    let latin = |text: &str| -> Vec<u8> { text.chars().map(|c| c as u8).collect() };
    let percent = |text: &str| {
        let bytes = latin(text).into_iter().map(|byte| match byte {
            b' ' => "+".to_owned(),
            0..128 => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        });
        bytes.collect::<String>()
    };
    assert_eq!(
        target("/x?patient_name=Ren%E9e+Dupont"),
        format!("/x?patient_name={}", percent(&name))
    );
    let mut one = exchange(
        "/",
        (&[("content-type", "application/json")], ""),
        (&[], ""),
    );
    let json = "{\"patient_name\":\"Ren\u{e9}e Dupont\",\"n\":1}";
    one.request.body = Body::Whole(Bytes::from(latin(json)));
    let bytes = masked(one).request.body.whole().expect("whole").to_vec();
    assert_eq!(
        bytes,
        latin(&format!("{{\"patient_name\":\"{name}\",\"n\":1}}"))
    );
}

#[test]
fn what_is_percent_encoded_is_masked_as_what_it_says() {
    let (sid, user) = (mask("token", "s:abc123.DEF456"), escaped_email());
    assert_eq!(
        headed("cookie", "user=ada%40example.org; sid=s%3Aabc123.DEF456"),
        format!("user={user}; sid={}", sid.replace(':', "%3A"))
    );
    assert_eq!(headed("x-user", "ada%40example.org"), user);
    for name in ["x-original-url", "destination"] {
        assert_eq!(
            headed(name, "/u/ada%40example.org?q=1"),
            format!("/u/{user}?q=1")
        );
    }
    let text = |text: &str| sent("text/plain", text);
    assert_eq!(
        text("is ada%40example.org there"),
        format!("is {user} there")
    );
    assert_eq!(
        text("see https://h/?u=ada%40example.org now"),
        format!("see https://h/?u={user} now")
    );
    assert_eq!(
        text("100% of 20%25 (see=https://h:80/x?a=%2F)"),
        "100% of 20%25 (see=https://h:80/x?a=%2F)"
    );
    assert_eq!(
        sent(
            "text/html",
            "<a href=\"/u/ada%40example.org?x=1&amp;y=2\">x</a>"
        ),
        format!("<a href=\"/u/{user}?x=1&amp;y=2\">x</a>")
    );
    assert_eq!(
        sent(
            "application/json",
            r#"{"v":"see https://h/?u=ada%40example.org now"}"#
        ),
        format!(r#"{{"v":"see https://h/?u={user} now"}}"#)
    );
}

#[test]
fn an_address_is_the_same_in_every_header_of_a_proxy() {
    let address = headed("x-forwarded-for", "203.0.113.9");
    assert_eq!(
        headed(
            "forwarded",
            "for=203.0.113.9;proto=https;by=\"203.0.113.9:80\", for=unknown"
        ),
        format!("for={address};proto=https;by=\"{address}:80\", for=unknown")
    );
    assert_eq!(
        mask("name", "Ada Lovelace <ada@example.org>"),
        format!("{} <{}>", mask("name", "Ada Lovelace"), email())
    );
    assert_eq!(
        mask("email", "mailto:ada@example.org"),
        format!("mailto:{}", email())
    );
}

#[test]
fn base64_is_masked_inside_in_all_of_its_spellings() {
    let json = |value: &str| {
        let content = serde_json::json!({ "d": value }).to_string();
        let masked: serde_json::Value =
            serde_json::from_str(&sent("application/json", &content)).expect("JSON");
        masked["d"].as_str().expect("a string").to_owned()
    };
    for blanks in 0..3 {
        let plain =
            |email: &str| format!("{{\"n\":\"?>?>\",\"e\":\"{email}\"{}}}", " ".repeat(blanks));
        let (before, after) = (plain("ada@example.org"), plain(&email()));
        assert_eq!(json(&STANDARD.encode(&before)), STANDARD.encode(&after));
        assert_eq!(
            json(&STANDARD_NO_PAD.encode(&before)),
            STANDARD_NO_PAD.encode(&after)
        );
        assert_eq!(json(&URL_SAFE.encode(&before)), URL_SAFE.encode(&after));
        assert_eq!(
            json(&format!(
                "data:application/json;base64,{}",
                STANDARD.encode(&before)
            )),
            format!("data:application/json;base64,{}", STANDARD.encode(&after))
        );
        assert_eq!(
            sent("text/plain", &format!("x={}", STANDARD.encode(&before))),
            format!("x={}", STANDARD.encode(&after))
        );
    }
    let wrapped = |text: &str| {
        let coded = STANDARD.encode(text.repeat(5));
        let lines = coded.as_bytes().chunks(76).map(String::from_utf8_lossy);
        lines.collect::<Vec<_>>().join("\r\n") + "\r\n"
    };
    assert_eq!(
        sent("text/plain", &wrapped("mail ada@example.org now ")),
        wrapped(&format!("mail {} now ", email()))
    );
}

#[test]
fn json_within_other_text_is_json() {
    let name = "Ren\u{e9}e, Lady O'Hara";
    let masked = mask("name", name);
    let check = |media: &str, content: &str| {
        let expect = content.replace("NAME", &masked);
        assert_eq!(sent(media, &content.replace("NAME", name)), expect);
    };
    check("application/json", ")]}',\n{\"name\":\"NAME\",\"n\":1}");
    check(
        "text/event-stream",
        "event: x\ndata: {\"name\":\"NAME\"}\n\n",
    );
    check("application/javascript", "cb({\"name\":\"NAME\"});");
    check(
        "application/json",
        "{\"name\":\"NAME\"} %%% {\"name\":\"NAME\"}",
    );
    check(
        "application/json",
        "{\"query\":\"mutation { create(name: \\\"NAME\\\") { id } }\"}",
    );
    check("text/plain", "x {\"name\":\"NAME\", [");
    let escaped = sent(
        "application/json",
        ")]}',\n{\"name\":\"Ren\\u00e9e, Lady O'Hara\"}",
    );
    assert_eq!(escaped, format!(")]}}',\n{{\"name\":\"{masked}\"}}"));
    let percent = |name: &str| {
        let bytes = name.bytes().map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        });
        format!("%7B%22name%22%3A%22{}%22%7D", bytes.collect::<String>())
    };
    assert_eq!(
        target(&format!("/x?filter={}", percent(name))),
        format!("/x?filter={}", percent(&masked))
    );
    assert_eq!(
        sent(
            "application/x-www-form-urlencoded",
            &format!("payload={}", percent(name))
        ),
        format!("payload={}", percent(&masked))
    );
}

#[test]
fn names_below_a_field_are_masked_in_forms_and_elements() {
    let name = mask("name", "Mary O'Hara");
    let [first, last] = ["Mary", "O'Hara"].map(|part| mask("name", part));
    assert_eq!(
        sent(
            "application/x-www-form-urlencoded",
            "patient[name][first]=Mary&patient[name][last]=O'Hara&n=1"
        ),
        format!("patient[name][first]={first}&patient[name][last]={last}&n=1")
    );
    let check = |content: &str| {
        let expect = content
            .replace("WHOLE", &name)
            .replace("FIRST", &first)
            .replace("LAST", &last);
        let content = content
            .replace("WHOLE", "Mary O'Hara")
            .replace("FIRST", "Mary")
            .replace("LAST", "O'Hara");
        assert_eq!(sent("application/xml", &content), expect);
    };
    check("<p><name><first>FIRST</first><last x=\"1\">LAST</last></name><n>1</n></p>");
    check("<p><name><![CDATA[WHOLE]]></name></p>");
    check("<p><n:name>\n  WHOLE\n</n:name></p>");
    check("<p id=\"7\" name=\"WHOLE\" state='open'/>");
}

#[test]
fn parts_are_read_however_their_heads_are_written() {
    let name = mask("name", "Ada Lovelace");
    for (media, head) in [
        (
            "multipart/form-data; Boundary=B",
            "form-data; name=\"patient_name\"",
        ),
        (
            "multipart/form-data; boundary=B",
            "form-data; name=patient_name",
        ),
        (
            "Multipart/Form-Data; boundary=\"B\"",
            "form-data; name=\"patient[name]\"",
        ),
        ("multipart/form-data", "form-data; Name=\"patient_name\""),
    ] {
        let part =
            |value: &str| format!("--B\r\nContent-Disposition: {head}\r\n\r\n{value}\r\n--B--\r\n");
        assert_eq!(
            sent(media, &part("Ada Lovelace")),
            part(&name),
            "{media}, {head}"
        );
    }
    let part = |name: &str| {
        format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n1\r\n--B--\r\n")
    };
    assert_eq!(
        sent("multipart/form-data; boundary=B", &part("ada@example.org")),
        part(&email())
    );
    assert_eq!(
        target("/x?ada%40example.org=1"),
        format!("/x?{}=1", escaped_email())
    );
}
