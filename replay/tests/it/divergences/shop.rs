//! A small shop: orders are made, read, changed, listed and deleted, with one divergence planted in it or none.
//!
//! **Invariant**: it is a function of its requests in their order; its clock is the request's number.

use std::collections::BTreeMap;

use bytes::Bytes;
use rehearsal_replay::{
    capture::Request,
    rules::Side,
    run::{Answer, Outcome},
};
use serde_json::{Map, Value, json};

/// So many orders are on a page.
const PAGE: usize = 4;

/// One side's shop.
pub(super) struct Shop {
    divergence: String,
    prefix: &'static str,
    orders: BTreeMap<usize, Map<String, Value>>,
    before: BTreeMap<usize, Map<String, Value>>,
    answered: BTreeMap<String, Value>,
    made: usize,
}

impl Shop {
    pub(super) fn new(role: Side, divergence: &str) -> Self {
        Self {
            divergence: divergence.to_owned(),
            prefix: if role == Side::Legacy { "old" } else { "new" },
            orders: BTreeMap::new(),
            before: BTreeMap::new(),
            answered: BTreeMap::new(),
            made: 0,
        }
    }

    fn is(&self, name: &str) -> bool {
        self.divergence == name
    }

    pub(super) fn answer(&mut self, clock: u64, request: &Request) -> Outcome {
        let body = request
            .body
            .whole()
            .map(|body| String::from_utf8_lossy(body).into_owned());
        let body = body.unwrap_or_default();
        let path = request.path();
        let id = path
            .strip_prefix("/orders/")
            .map(|rest| rest.trim_end_matches("/receipt"));
        let order = id
            .and_then(|id| id.strip_prefix("o-"))
            .and_then(|at| at.parse().ok());
        match (request.method.as_str(), id) {
            ("POST", None) => self.create(clock, &body),
            ("GET", None) => self.list(&request.target),
            ("GET", Some(_)) if path.ends_with("/receipt") => self.receipt(order),
            ("GET", Some(_)) => {
                let read = self.read(order);
                self.written(read)
            }
            ("PATCH", Some(_)) => self.change(order, &body),
            ("DELETE", Some(_)) => {
                order.and_then(|order| self.orders.remove(&order));
                answered(
                    if self.is("deleted-is-ok") { 200 } else { 204 },
                    "",
                    Bytes::new(),
                )
            }
            other => panic!("the shop does not know {other:?}"),
        }
    }

    /// The answer in another character encoding.
    fn written(&self, mut outcome: Outcome) -> Outcome {
        let Outcome::Answered(answer) = &mut outcome else {
            return outcome;
        };
        let text = String::from_utf8(answer.body.to_vec()).expect("the shop writes UTF-8");
        if self.is("read-begins-with-a-mark") {
            answer.body = Bytes::from(format!("\u{feff}{text}"));
        } else if self.is("read-in-utf16") {
            let marked = format!("\u{feff}{text}");
            let units = marked.encode_utf16().flat_map(u16::to_le_bytes);
            answer.body = units.collect::<Vec<u8>>().into();
        }
        outcome
    }

    fn create(&mut self, clock: u64, body: &str) -> Outcome {
        let given: Value = serde_json::from_str(body).expect("JSON");
        let mut faults: Vec<&str> = Vec::new();
        if given.get("name").is_none() {
            faults.push("name_missing");
        }
        if given["amount"].as_f64().is_none_or(|amount| amount < 0.0) {
            faults.push("amount_negative");
        }
        if self.is("amount-is-checked-first") {
            faults.reverse();
        }
        if let Some(fault) = faults.first() {
            let status = if self.is("refused-is-unprocessable") {
                422
            } else {
                400
            };
            return refused(status, fault);
        }
        let first = self.answered.get(body).cloned();
        if let Some(mut first) = first {
            if self.is("repeat-conflicts") {
                return refused(409, "exists");
            }
            if self.is("repeat-counts") {
                first["version"] = 2.into();
            }
            if !self.is("repeat-creates") {
                return shown(200, &first);
            }
        }
        let mut order = given.as_object().expect("an object").clone();
        let text = |order: &Map<String, Value>, key: &str| {
            order[key].as_str().unwrap_or_default().to_owned()
        };
        self.made += 1;
        let at: usize = text(&order, "id")[2..].parse().expect("a number");
        let clock_s = match self.divergence.as_str() {
            "clock-90s-fast" => 90,
            "clock-drifts" => 37 + clock / 100,
            _ => 0,
        };
        let s = 1_767_225_600 + clock + clock_s;
        let created = format!(
            "2026-01-01T{:02}:{:02}:{:02}Z",
            s / 3600 % 24,
            s / 60 % 60,
            s % 60
        );
        order.insert("created_at".into(), created.into());
        order.insert(
            "reference".into(),
            format!("{}-{:05}", self.prefix, self.made * 37).into(),
        );
        order.insert("status".into(), "new".into());
        order.insert("version".into(), 1.into());
        let priority = if self.is("priority-default") {
            "low"
        } else {
            "normal"
        };
        order.entry("priority").or_insert(priority.into());
        let amount: f64 = order["amount"].as_f64().expect("a number");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "amounts are small, and checked to be positive"
        )]
        let mills = (amount * 1000.0).round() as u64;
        let half_up = (mills + 5) / 10;
        let even = match (mills % 10, mills / 10 % 2) {
            (5, 0) => mills / 10,
            _ => half_up,
        };
        let cents = if self.is("total-half-to-even") {
            even
        } else {
            half_up
        };
        order.insert(
            "total".into(),
            number(&format!("{}.{:02}", cents / 100, cents % 100)),
        );
        self.spoil(at, &mut order, mills);
        self.orders.insert(at, order.clone());
        self.answered
            .insert(body.to_owned(), Value::Object(order.clone()));
        shown(
            if self.is("created-is-ok") { 200 } else { 201 },
            &Value::Object(order),
        )
    }

    /// What goes wrong when an order is stored.
    #[expect(clippy::too_many_lines, reason = "one arm a divergence")]
    fn spoil(&self, at: usize, order: &mut Map<String, Value>, mills: u64) {
        let text = |key: &str| {
            order
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (name, due, note, sku) = (text("name"), text("due"), text("note"), text("sku"));
        let clock = |due: &str| due[..19].to_owned();
        let hour = |due: &str| {
            let hour: u32 = due[11..13].parse().expect("an hour");
            format!("{}{:02}{}", &due[..11], (hour + 1) % 24, &due[13..])
        };
        let set = match self.divergence.as_str() {
            "due-drops-offset" => ("due", json!(format!("{}Z", clock(&due)))),
            "due-an-hour-late" if !due.contains("T23") => ("due", json!(hour(&due))),
            "due-off-in-summer" if due.ends_with("+02:00") && !due.contains("T23") => {
                ("due", json!(hour(&due)))
            }
            "due-in-utc" => {
                let instant: jiff::Timestamp = due.parse().expect("a time");
                ("due", json!(instant.to_string()))
            }
            "amount-to-cents" => (
                "amount",
                number(&format!(
                    "{}.{:02}",
                    (mills + 5) / 1000,
                    (mills + 5) / 10 % 100
                )),
            ),
            "amount-cut" => (
                "amount",
                number(&format!("{}.{:02}", mills / 1000, mills / 10 % 100)),
            ),
            "amount-whole" => ("amount", number(&((mills + 500) / 1000).to_string())),
            "coupon-null" if !order.contains_key("coupon") => ("coupon", Value::Null),
            "coupon-default" if !order.contains_key("coupon") => ("coupon", "NONE".into()),
            "empty-note-null" if order["note"] == "" => ("note", Value::Null),
            "tags-sorted" | "tags-reversed" => {
                let mut tags = order["tags"].as_array().expect("tags").clone();
                if self.is("tags-sorted") {
                    tags.sort_by_key(ToString::to_string);
                } else {
                    tags.reverse();
                }
                ("tags", tags.into())
            }
            "name-in-upper-case" => ("name", name.to_uppercase().into()),
            "email-in-lower-case" => ("email", text("email").to_lowercase().into()),
            "sku-case-lost" => (
                "sku",
                if at.is_multiple_of(2) {
                    sku.to_uppercase()
                } else {
                    sku.to_lowercase()
                }
                .into(),
            ),
            "sku-always-the-same" => ("sku", "Ab-0".into()),
            "sku-scrambled" => ("sku", format!("{:x}", at * 48_271 + 17).into()),
            "name-cut-at-12" => (
                "name",
                name.chars().take(12).collect::<String>().trim_end().into(),
            ),
            "name-cut-at-10-bytes" => ("name", name[..name.floor_char_boundary(10)].into()),
            "note-ends-in-dots" if note.chars().count() > 20 => (
                "note",
                format!("{}...", note.chars().take(20).collect::<String>()).into(),
            ),
            "gift-inverted" => ("gift", (order["gift"] == false).into()),
            "priorities-renamed" => {
                let renamed = match text("priority").as_str() {
                    "normal" => "medium",
                    "high" => "urgent",
                    _ => "lazy",
                };
                ("priority", renamed.into())
            }
            "name-read-as-latin1" => (
                "name",
                name.bytes().map(char::from).collect::<String>().into(),
            ),
            "name-asks" => {
                let asked: String = name
                    .chars()
                    .map(|c| if c.is_ascii() { c } else { '?' })
                    .collect();
                ("name", asked.into())
            }
            "note-escaped" if order["note"].is_string() => {
                let escaped = note
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('>', "&gt;")
                    .replace('"', "&quot;");
                ("note", escaped.into())
            }
            "amount-as-text" => ("amount", order["amount"].to_string().into()),
            "null-note-left-out" => {
                if order["note"].is_null() {
                    order.remove("note");
                }
                return;
            }
            "empty-tags-left-out" => {
                if order["tags"] == json!([]) {
                    order.remove("tags");
                }
                return;
            }
            _ => return,
        };
        order.insert(set.0.into(), set.1);
    }

    fn read(&mut self, order: Option<usize>) -> Outcome {
        let unknown = if self.is("unknown-is-gone") { 410 } else { 404 };
        let Some((at, mut found)) = order.and_then(|at| Some((at, self.orders.get(&at)?.clone())))
        else {
            return refused(unknown, "unknown");
        };
        let before = self.before.remove(&at);
        match (self.divergence.as_str(), before) {
            ("read-after-change-is-old", Some(before)) => found = before,
            ("version-is-old", Some(before)) => {
                found.insert("version".into(), before["version"].clone());
            }
            _ => {}
        }
        if self.is("paid-is-settled") && found["status"] == "paid" {
            found.insert("status".into(), "settled".into());
        }
        shown(200, &Value::Object(found))
    }

    fn change(&mut self, order: Option<usize>, body: &str) -> Outcome {
        let change: Value = serde_json::from_str(body).expect("JSON");
        let known = order.filter(|at| self.orders.contains_key(at));
        let unknown = refused(404, "unknown");
        if self.is("body-is-checked-last") && known.is_none() {
            return unknown;
        }
        if change.get("status").is_none() {
            return refused(400, "status_missing");
        }
        let Some(at) = known else {
            return unknown;
        };
        let mut found = self.orders[&at].clone();
        self.before.insert(at, found.clone());
        found.insert("status".into(), change["status"].clone());
        found.insert("note".into(), change["note"].clone());
        found.insert("version".into(), 2.into());
        let mut kept = found.clone();
        if self.is("change-is-forgotten") {
            kept.clone_from(&self.orders[&at]);
            kept.insert("note".into(), change["note"].clone());
        }
        if self.is("note-of-change-is-forgotten") {
            kept.insert("note".into(), self.orders[&at]["note"].clone());
        }
        self.orders.insert(at, kept);
        if self.is("paid-is-settled") && found["status"] == "paid" {
            found.insert("status".into(), "settled".into());
        }
        shown(200, &Value::Object(found))
    }

    fn list(&mut self, target: &str) -> Outcome {
        let after: usize = target
            .rsplit('=')
            .next()
            .and_then(|after| after.parse().ok())
            .expect("a number");
        let mut from = after + 1;
        let mut size = PAGE;
        match self.divergence.as_str() {
            "page-ends-early" => size -= 1,
            "page-ends-late" => size += 1,
            "page-begins-late" => from += 1,
            "page-begins-early" => from -= 1,
            _ => {}
        }
        let row = |order: &Map<String, Value>| json!({"id": order["id"], "reference": order["reference"], "name": order["name"]});
        let mut rows: Vec<Value> = self
            .orders
            .range(from..)
            .take(size)
            .map(|(_, order)| row(order))
            .collect();
        if self.is("list-descending") {
            rows.reverse();
        }
        shown(200, &json!({"orders": rows}))
    }

    fn receipt(&mut self, order: Option<usize>) -> Outcome {
        let Some(order) = order.and_then(|at| self.orders.get(&at)) else {
            return refused(404, "unknown");
        };
        let name = order["name"].as_str().unwrap_or_default();
        let mut text = format!(
            "Receipt for {name}: {} in total. Thank you.\n",
            order["total"]
        );
        if self.is("receipt-lacks-its-end") {
            text.truncate(text.len() - 12);
        }
        let bytes = if self.is("receipt-in-latin1") {
            // What is declared as UTF-8 was UTF-8, coded once more.
            text.bytes()
                .map(char::from)
                .collect::<String>()
                .into_bytes()
        } else {
            text.into_bytes()
        };
        answered(200, "text/plain; charset=utf-8", Bytes::from(bytes))
    }
}

fn number(text: &str) -> Value {
    serde_json::from_str(text).expect("a number")
}

fn refused(status: u16, code: &str) -> Outcome {
    shown(status, &json!({"error": {"code": code}}))
}

fn shown(status: u16, value: &Value) -> Outcome {
    answered(status, "application/json", Bytes::from(value.to_string()))
}

fn answered(status: u16, media: &str, body: Bytes) -> Outcome {
    let media = (!media.is_empty()).then(|| ("content-type".to_owned(), media.to_owned()));
    Outcome::Answered(Answer {
        status,
        headers: media.into_iter().collect(),
        body,
    })
}
