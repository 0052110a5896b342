//! The JSON reader against `serde_json` as its model, and by example.

use proptest::prelude::*;

use super::*;

#[test]
fn numbers_are_equal_by_exact_value() {
    let check = |a: &str, b: &str, equal: bool| {
        let left = parse(a.as_bytes()).expect("a number");
        let right = parse(b.as_bytes()).expect("a number");
        assert_eq!(left == right, equal, "{a} and {b}");
    };
    check("1", "1.0", true);
    check("1", "10e-1", true);
    check("-0", "0.00", true);
    check("100", "1e2", true);
    check("0.1", "0.10000000000000000001", false);
    check("9007199254740993", "9007199254740992", false);
    check("1", "-1", false);
    check("1e400", "10e399", true);
    check("1e400", "1e401", false);
    // Exponents that no machine number holds.
    check("1e99999999999999999999", "1", false);
    check("1e99999999999999999999", "1e99999999999999999998", false);
    check("1e-99999999999999999999", "0", false);
    check("1e99999999999999999999", "1e99999999999999999999", true);
    check("0e99999999999999999999", "-0.0", true);
    check("1e4611686018427387904", "1e9223372036854775807", false);
}

#[test]
fn digests_of_numbers_tell_what_comparing_them_tells() {
    let numbers = [
        "0",
        "-0",
        "0e9",
        "1",
        "1.0",
        "10",
        "1e1",
        "-1",
        "100",
        "1e2",
        "12",
        "0.12",
        "12e-2",
        "1e400",
        "1e99999999999999999999",
        "1e99999999999999999998",
        "0e99999999999999999999",
        "-1e99999999999999999999",
    ];
    let number = |text: &'static str| Number::from_text(text);
    for a in numbers {
        for b in numbers {
            let digests = number(a).digested() == number(b).digested();
            assert_eq!(digests, number(a) == number(b), "{a} {b}");
        }
    }
}

#[test]
fn strings_end_where_a_reader_of_single_bytes_says() {
    let slow = |bytes: &[u8]| {
        bytes
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
    };
    for byte in 0..=255_u8 {
        for at in 0..20 {
            for around in [b'a', 0x80, 0xff, b' ', 0x21, 0x23, 0x5b, 0x5d] {
                let mut bytes = [around; 20];
                bytes[at] = byte;
                assert_eq!(special(&bytes), slow(&bytes), "{bytes:?}");
                bytes[19] = b'"';
                assert_eq!(special(&bytes), slow(&bytes), "{bytes:?}");
            }
        }
    }
}

#[test]
fn a_byte_order_mark_may_stand_first_and_nowhere_else() {
    let read = |text: &str| parse(text.as_bytes()).map(|json| json.to_string());
    assert_eq!(read("\u{feff}{\"a\":1}").as_deref(), Ok("{\"a\":1}"));
    assert_eq!(read("\u{feff}\u{feff}1").map_err(|no| no.offset), Err(3));
    assert!(read(" \u{feff}1").is_err() && read("1\u{feff}").is_err());
}

#[test]
fn a_repeated_key_is_refused() {
    assert!(parse(br#"{"a":1,"a":2}"#).is_err());
    let many: Vec<String> = (0..40).map(|at| format!("\"k{}\":1", at % 39)).collect();
    assert!(parse(format!("{{{}}}", many.join(",")).as_bytes()).is_err());
}

#[test]
fn pointers_reach_into_documents() {
    let json = parse(br#"{"a":[{"b/c":1}]}"#).expect("JSON");
    assert_eq!(json.pointer("/a/0/b~1c").map(Json::kind), Some("number"));
    assert_eq!(json.pointer("/a/1"), None);
}

fn same(model: &serde_json::Value, json: &Json<'_>) -> bool {
    use serde_json::Value;
    match (model, json) {
        (Value::Null, Json::Null) => true,
        (Value::Bool(a), Json::Bool(b)) => a == b,
        (Value::Number(a), Json::Number(b)) => a.as_f64() == Some(b.as_f64()),
        (Value::String(a), Json::String(b)) => a == b,
        (Value::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && b.iter()
                    .all(|(key, value)| a.get(key.as_ref()).is_some_and(|a| same(a, value)))
        }
        _ => false,
    }
}

proptest! {
    // serde_json is the model: what it refuses is refused, what it accepts means the same.
    #[test]
    fn agrees_with_serde_json(text in r#"([\[\]{},:"\\ntu0-9a-fe.+ -]|true|false|null|\\u[0-9a-f]{4}|"[a-c]":){0,24}"#) {
        let model = serde_json::from_str::<serde_json::Value>(&text);
        match (&model, parse(text.as_bytes())) {
            (Ok(model), Ok(json)) => prop_assert!(same(model, &json), "{text}"),
            (Err(_), Err(_)) => {}
            (Ok(_), Err(error)) => prop_assert_eq!(error.message, "an object repeats a key"),
            // serde_json refuses numbers beyond a double's range; their text is still a number.
            (Err(error), Ok(_)) => prop_assert!(error.to_string().contains("number out of range"), "{text}: {error}"),
        }
    }

    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn prints_what_it_read(text in r#"\[("[a-z\\"é]{0,5}"|[1-9][0-9]{0,3}|null)(,true)?\]"#) {
        if let Ok(json) = parse(text.as_bytes()) {
            let printed = json.to_string();
            prop_assert_eq!(parse(printed.as_bytes()).expect("printed JSON"), json);
        }
    }
}
