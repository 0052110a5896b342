//! Masking whole exchanges: 10,000 planted values in every place, none left, joins kept.
//!
//! **Invariant**: what counts as left is looked for in the bytes of the written capture, decoded as far as anything in it is encoded.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use proptest::prelude::*;
use rehearsal_replay::{
    capture::{Body, Exchange, Headers, Manifest, Request, Response, Writer, decoded, header},
    mask::{MaskKey, MaskRules, Masker},
};

const KEY: &[u8] = b"a key for tests, no secret";

fn masker() -> Masker {
    Masker::new(MaskKey::new(KEY).expect("a key"), MaskRules::shipped())
}

fn headers(headers: &[(&str, &str)]) -> Headers {
    headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub(crate) fn exchange(
    target: &str,
    request: (&[(&str, &str)], &str),
    response: (&[(&str, &str)], &str),
) -> Exchange {
    Exchange {
        seq: 0,
        ts_ns: 1,
        conn: None,
        session: Some("cookie:0123456789abcdef".to_owned()),
        request: Request {
            method: "POST".to_owned(),
            target: target.to_owned(),
            version: "1.1".to_owned(),
            headers: headers(request.0),
            body: Body::Whole(Bytes::copy_from_slice(request.1.as_bytes())),
        },
        response: Some(Response {
            ts_ns: 2,
            latency_ns: 1,
            status: 200,
            headers: headers(response.0),
            body: Body::Whole(Bytes::copy_from_slice(response.1.as_bytes())),
        }),
        flags: Vec::new(),
    }
}

pub(crate) fn masked(mut exchange: Exchange) -> Exchange {
    let mut masker = masker();
    masker.learn(&exchange);
    masker.mask(&mut exchange);
    exchange
}

pub(crate) fn body(body: &Body) -> String {
    String::from_utf8(body.whole().expect("whole").to_vec()).expect("text")
}

/// Words that are names, two of which make 40,000.
fn name(number: usize) -> String {
    const SYLLABLES: [&str; 20] = [
        "ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "qui", "ro", "su",
        "ta", "ve", "wi", "xo", "zu",
    ];
    let word = |number: usize, end: &str| {
        let text = format!(
            "{}{}{end}",
            SYLLABLES[number % 20],
            SYLLABLES[number / 20 % 20]
        );
        text[..1].to_uppercase() + &text[1..]
    };
    format!(
        "{} {}",
        word(number, "ra"),
        word(number / 400 * 7 + number, "sson")
    )
}

struct Person {
    name: String,
    email: String,
    phone: String,
    token: String,
}

fn person(number: usize) -> Person {
    let name = name(number);
    let email = format!(
        "{}.{number}@clinic.example",
        name.to_lowercase().replace(' ', ".")
    );
    Person {
        email,
        phone: format!("+1 202-{:03}-{:04}", 200 + number / 10_000, number % 10_000),
        token: format!("tk{:06x}Z{number}q", number * 7_919 % 0xff_ffff),
        name,
    }
}

/// One exchange in which a person stands in every place that a capture has.
fn planted(person: &Person) -> Vec<Exchange> {
    let Person {
        name,
        email,
        phone,
        token,
    } = person;
    let encoded = |text: &str| {
        text.replace(' ', "%20")
            .replace('@', "%40")
            .replace('+', "%2B")
    };
    let bearer = format!("Bearer {token}");
    let basic = format!("Basic {}", STANDARD.encode(format!("{email}:{token}")));
    let cookie = format!("theme=dark1; session={token}");
    let set = format!("session={token}; Path=/; HttpOnly");
    let location = format!("/patients/{}?phone={}", encoded(name), encoded(phone));
    let json = format!(
        r#"{{"id":"a-1","patient":{{"deep":[{{"patient_name":"{name}"}}]}},"contact":{{"email":"{email}","phone":"{phone}"}},"access_token":"{token}","note":"call {name} at {phone} or {email}","n":1.50}}"#
    );
    let form = format!(
        "patient_name={}&email={}&mobile={}&token={token}&state=open",
        name.replace(' ', "+"),
        encoded(email),
        encoded(phone)
    );
    let text = format!(
        "Dear {name},\nwe wrote to {email} and called {phone}. Use {token}.\nname: {name}\n"
    );
    let wrapped = STANDARD.encode(&json);
    vec![
        exchange(
            &format!(
                "/patients/{}/by-email/{}?q={}&token={token}",
                encoded(name),
                encoded(email),
                name.replace(' ', "+")
            ),
            (
                &[
                    ("Authorization", &bearer),
                    ("Cookie", &cookie),
                    ("Content-Type", "application/json"),
                ],
                &json,
            ),
            (
                &[
                    ("Content-Type", "application/json"),
                    ("Set-Cookie", &set),
                    ("Location", &location),
                ],
                &json,
            ),
        ),
        exchange(
            &format!("/search?phone={}", encoded(phone)),
            (
                &[
                    ("authorization", &basic),
                    ("content-type", "application/x-www-form-urlencoded"),
                ],
                &form,
            ),
            (&[("content-type", "text/plain"), ("x-note", name)], &text),
        ),
        exchange(
            "/wrapped",
            (
                &[("content-type", "application/json")],
                &format!(r#"{{"payload":"{wrapped}","log":"email={email}; user {name}"}}"#),
            ),
            (&[("content-type", "application/octet-stream")], &wrapped),
        ),
        exchange(
            "/upload",
            (
                &[("content-type", "multipart/form-data; boundary=Xy")],
                &format!(
                    "--Xy\r\nContent-Disposition: form-data; name=\"patient_name\"\r\n\r\n{name}\r\n--Xy\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nfor {email}\r\n--Xy--\r\n"
                ),
            ),
            (
                &[("content-type", "application/xml")],
                &format!("<p><name>{name}</name><x>{phone}</x></p>"),
            ),
        ),
    ]
}

/// Everything in the exchanges as text, with encodings undone.
fn readable(exchanges: &[Exchange]) -> String {
    let mut writer = Writer::plain(Vec::new(), &Manifest::new(None, None)).expect("memory");
    for exchange in exchanges {
        writer.write(exchange).expect("memory");
    }
    let written = String::from_utf8(writer.finish().expect("memory")).expect("JSON lines");
    let mut text = written
        .replace("%20", " ")
        .replace("%40", "@")
        .replace("%2B", "+");
    let base64 = written.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c)));
    for part in base64.filter(|part| part.len() >= 16) {
        if let Ok(plain) = STANDARD.decode(part) {
            text += &String::from_utf8_lossy(&plain);
        }
    }
    let plus = text.replace('+', " ");
    text + &plus
}

#[test]
fn of_ten_thousand_planted_values_of_each_kind_none_is_left() {
    // Every person stands in every place; debug builds plant few people, the release build all of them.
    let people = if cfg!(debug_assertions) { 150 } else { 10_000 };
    let people: Vec<Person> = (0..people).map(person).collect();
    let distinct: BTreeSet<&str> = people.iter().map(|person| person.name.as_str()).collect();
    assert_eq!(distinct.len(), people.len());
    let mut exchanges: Vec<Exchange> = people.iter().flat_map(planted).collect();
    let plain = readable(&exchanges);
    let mut masker = masker();
    for exchange in &exchanges {
        masker.learn(exchange);
    }
    for exchange in &mut exchanges {
        masker.mask(exchange);
    }
    let text = readable(&exchanges);
    assert_eq!(masker.counts().withheld, 0);
    // A set of all pieces of the text, of the lengths that are looked for, would be large; people are looked for in turn.
    let finder = |needle: &str, text: &str| {
        memchr::memmem::find(text.as_bytes(), needle.as_bytes()).is_some()
    };
    for person in people
        .iter()
        .step_by(if cfg!(debug_assertions) { 10 } else { 50 })
    {
        for value in [&person.name, &person.email, &person.phone, &person.token] {
            assert!(finder(value, &plain), "{value} was not planted");
            assert!(!finder(value, &text), "{value} is left");
        }
    }
    left_over(&people, &text);
}

/// Looks all values up at once, by the words they are made of.
fn left_over(people: &[Person], text: &str) {
    let shape = |c: char| c.is_alphanumeric() || "@.-+ ".contains(c);
    let tokens: BTreeSet<&str> = people
        .iter()
        .flat_map(|person| [person.token.as_str(), person.email.as_str()])
        .collect();
    for word in text.split(|c: char| !shape(c) || c == ' ') {
        assert!(!tokens.contains(word.trim_matches('.')), "{word} is left");
    }
    let names: BTreeSet<&str> = people.iter().map(|person| person.name.as_str()).collect();
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
    for pair in words.windows(2) {
        let joined = format!("{} {}", pair[0], pair[1]);
        assert!(!names.contains(joined.as_str()), "{joined} is left");
    }
}

#[test]
fn joins_hold_across_places_and_exchanges_and_the_rest_stays() {
    let one = planted(&person(7));
    let mut masker = masker();
    let mut all = one.clone();
    for exchange in &all {
        masker.learn(exchange);
    }
    for exchange in &mut all {
        masker.mask(exchange);
    }
    let request = &all[0].request;
    let sent: serde_json::Value = serde_json::from_str(&body(&request.body)).expect("JSON");
    let name = sent["patient"]["deep"][0]["patient_name"]
        .as_str()
        .expect("a name");
    let (email, phone, token) = (
        sent["contact"]["email"].as_str().expect("email"),
        sent["contact"]["phone"].as_str().expect("phone"),
        sent["access_token"].as_str().expect("token"),
    );
    let encoded = |text: &str| {
        text.replace(' ', "%20")
            .replace('@', "%40")
            .replace('+', "%2B")
    };
    assert_eq!(
        request.target,
        format!(
            "/patients/{}/by-email/{}?q={}&token={token}",
            encoded(name),
            encoded(email),
            name.replace(' ', "+")
        )
    );
    assert_eq!(
        header(&request.headers, "authorization"),
        Some(format!("Bearer {token}").as_str())
    );
    let response = all[0].response.as_ref().expect("a response");
    assert_eq!(response.body, request.body, "the same body on the way back");
    assert_eq!(
        header(&response.headers, "set-cookie"),
        Some(format!("session={token}; Path=/; HttpOnly").as_str())
    );
    assert_eq!(
        header(&response.headers, "location"),
        Some(format!("/patients/{}?phone={}", encoded(name), encoded(phone)).as_str())
    );
    let text = body(&all[1].response.as_ref().expect("a response").body);
    assert_eq!(
        text,
        format!(
            "Dear {name},\nwe wrote to {email} and called {phone}. Use {token}.\nname: {name}\n"
        )
    );
    assert_eq!(sent["note"], format!("call {name} at {phone} or {email}"));
    assert!(
        body(&request.body)
            .starts_with("{\"id\":\"a-1\",\"patient\":{\"deep\":[{\"patient_name\":")
            && body(&request.body).ends_with("\"n\":1.50}")
    );
    assert!(
        all[0]
            .session
            .as_ref()
            .is_some_and(|session| session != "cookie:0123456789abcdef")
    );
    assert_eq!(all[0].session, all[1].session);
    let mut forms = body(&all[1].request.body);
    forms.truncate(13);
    assert_eq!(forms, "patient_name=");
}

#[test]
fn distinct_people_stay_distinct() {
    let mut masks = BTreeMap::new();
    for number in 0..400 {
        let person = person(number);
        let one = masked(exchange(
            "/",
            (&[], ""),
            (
                &[("content-type", "application/json")],
                &format!(r#"{{"name":"{}","phone":"{}"}}"#, person.name, person.phone),
            ),
        ));
        let image = body(&one.response.expect("a response").body);
        assert!(masks.insert(image, number).is_none());
    }
}

#[test]
fn compressed_bodies_are_masked_and_compressed_again() {
    use std::io::Write as _;
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    coder
        .write_all(br#"{"patient_name":"Ada Lovelace"}"#)
        .expect("memory");
    let packed = coder.finish().expect("memory");
    let length = packed.len().to_string();
    let mut one = exchange(
        "/",
        (
            &[("content-encoding", "gzip"), ("content-length", &length)],
            "",
        ),
        (&[("content-encoding", "unheard-of")], "Ada Lovelace"),
    );
    one.request.body = Body::Whole(packed.into());
    let one = masked(one);
    let bytes = one.request.body.whole().expect("whole");
    assert_eq!(
        header(&one.request.headers, "content-length"),
        Some(bytes.len().to_string().as_str())
    );
    let plain = decoded(&one.request.headers, bytes).expect("gzip");
    assert!(
        !String::from_utf8_lossy(&plain).contains("Lovelace")
            && plain.starts_with(b"{\"patient_name\":\"")
    );
    assert_eq!(
        one.response.expect("a response").body,
        Body::Missing,
        "what cannot be read is withheld"
    );
}

#[test]
fn odd_bodies_hide_nothing() {
    let check = |media: &str, content: &[u8]| {
        let mut one = exchange("/", (&[("content-type", media)], ""), (&[], ""));
        one.request.body = Body::Whole(Bytes::copy_from_slice(content));
        let one = masked(one);
        let bytes = one.request.body.whole().expect("whole").to_vec();
        assert_eq!(bytes.len(), content.len());
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains("Lovelace") && !text.contains("ada@"),
            "{text}"
        );
    };
    check(
        "application/json",
        br#"{"patient_name":"Ada Lovelace","email":"ada@example.org""#,
    );
    check(
        "application/json",
        br#"{"a":[1,{"patient_name":"Ada Lovela"#,
    );
    check(
        "application/x-ndjson",
        b"{\"name\":\"Ada Lovelace\"}\n{\"name\":\"Ada Lovelace\"}\n",
    );
    check(
        "text/plain; charset=iso-8859-1",
        b"name: \xc9mile Lovelace\n",
    );
    check(
        "application/octet-stream",
        b"\x00\xff\x01 ada@example.org \xfe",
    );
    check("text/html", b"<td>ada@example.org</td>");
}

proptest! {
    /// Whatever a body is, masking it ends, keeps JSON JSON, and does the same twice.
    #[test]
    fn any_body_can_be_masked(content in prop::collection::vec(any::<u8>(), 0..200), json in "[\\{\\[]?(\"[a-z@. \\\\]{0,9}\"|[0-9.e-]{1,5}|[\\[\\]{}:,])*") {
        for content in [content, json.into_bytes()] {
            let media = [("content-type", "application/json")];
            let mut one = exchange("/%41%zz?a=%", (&media, ""), (&[], ""));
            one.request.body = Body::Whole(content.clone().into());
            let (once, twice) = (masked(one.clone()), masked(one));
            prop_assert_eq!(&once, &twice);
            let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).is_ok();
            // Other bytes may happen to look like UTF-16, which is withheld.
            if json(&content) {
                prop_assert!(once.request.body.whole().is_some_and(|bytes| json(bytes)));
            }
        }
    }
}
