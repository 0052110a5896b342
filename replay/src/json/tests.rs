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
