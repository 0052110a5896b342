//! What the shop is asked: each order's life, with repetitions, faults and pages in between.
//!
//! **Invariant**: values that divergences act on vary: names with and without accents, amounts with and without thirds of a cent, days in summer
//! and in winter.

use serde_json::json;

/// So many orders are made.
const ORDERS: usize = 42;

const NAMES: [&str; 6] = [
    "Zoë Müller-Lüdenscheidt",
    "Ada Example",
    "Renée O'Connor",
    "Maximiliana Featherstonehaugh",
    "José Núñez",
    "Bo",
];
const NOTES: [Option<&str>; 5] = [
    Some("leave at the door & ring twice, please, the bell is old"),
    None,
    Some(""),
    Some("<b>fragile</b>: handle with care, this side up, do not bend"),
    Some("call before \"noon\""),
];
const DUES: [&str; 4] = [
    "2026-07-01T09:30:00+02:00",
    "2026-01-15T09:30:00+01:00",
    "2026-08-20T23:45:00+02:00",
    "2026-12-01T08:00:00+01:00",
];
const AMOUNTS: [&str; 6] = ["12.345", "7.5", "99.995", "3.004", "20", "0.125"];

/// The requests of the capture: each order's life, with repetitions, faults and pages in between.
pub(super) fn requests() -> Vec<(&'static str, String, String)> {
    let mut requests = Vec::new();
    for at in 0..ORDERS {
        let path = format!("/orders/o-{at}");
        let body = body(at);
        requests.push(("POST", "/orders".to_owned(), body.clone()));
        if at % 4 == 0 {
            requests.push(("POST", "/orders".to_owned(), body));
        }
        requests.push(("GET", path.clone(), String::new()));
        if at % 3 == 0 {
            let change = json!({"status": if at % 6 == 0 { "paid" } else { "shipped" }, "note": format!("changed {at}")});
            requests.push(("PATCH", path.clone(), change.to_string()));
        }
        requests.push(("GET", path.clone(), String::new()));
        requests.push(("GET", path.clone(), String::new()));
        requests.push(("GET", format!("{path}/receipt"), String::new()));
        let faults = match at % 5 {
            0 => Some(r#"{"amount":-1}"#),
            1 => Some(r#"{"id":"x","name":"n","amount":-1}"#),
            2 => Some(r#"{"id":"x","amount":1}"#),
            _ => None,
        };
        requests.extend(faults.map(|faults| ("POST", "/orders".to_owned(), faults.to_owned())));
        if at % 6 == 1 {
            requests.push(("PATCH", format!("/orders/none-{at}"), "{}".to_owned()));
            requests.push((
                "PATCH",
                format!("/orders/none-{at}"),
                r#"{"status":"paid"}"#.to_owned(),
            ));
            requests.push(("PATCH", path.clone(), "{}".to_owned()));
        }
        if at % 5 == 4 {
            let after = at / 2;
            requests.push(("GET", format!("/orders?after={after}"), String::new()));
        }
        requests.push(("GET", format!("/orders/none-{at}"), String::new()));
        if at % 7 == 6 {
            requests.push(("DELETE", path, String::new()));
        }
    }
    requests
}

fn body(at: usize) -> String {
    let mut order = json!({
        "id": format!("o-{at}"),
        "name": NAMES[at % NAMES.len()],
        "email": format!("User{at}@Example.org"),
        "sku": format!("Ab-{}", at * 7919 % 1000),
        "due": DUES[at % DUES.len()],
        "note": NOTES[at % NOTES.len()],
        "tags": match at % 3 { 0 => json!(["red", "blue", "green"]), 1 => json!([]), _ => json!(["one"]) },
        "gift": at.is_multiple_of(2),
    });
    let members = order.as_object_mut().expect("an object");
    if !at.is_multiple_of(3) {
        let priority = ["normal", "high", "low"][at / 3 % 3];
        members.insert("priority".into(), priority.into());
    }
    if at % 4 == 3 {
        members.insert("coupon".into(), format!("C{at}").into());
    }
    let text = order.to_string();
    format!(
        "{},\"amount\":{}}}",
        &text[..text.len() - 1],
        AMOUNTS[at % AMOUNTS.len()]
    )
}
