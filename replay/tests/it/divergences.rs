//! A library of divergences: what replacements get wrong, each planted in a small service and found, named and explained.
//!
//! **Invariant**: each is found at the endpoint and place where it is planted and nowhere else, and the hypothesis names its class.

mod orders;
mod shop;

use std::collections::BTreeMap;

use rehearsal_replay::{
    comparing::{Compared, compare},
    diff::{Category, DifferenceKind},
    hypothesis::{Class, Fingerprint, Hypothesis, explain},
    plan::Plan,
    rules::{Rules, Side},
    run::Observations,
};

use self::{orders::requests, shop::Shop};
use crate::{
    reports::observations,
    server::{captured, planned, rules},
};

/// A divergence: its name in [`shop`], its class, where the hypothesis is asked, and all places where it may show.
struct Divergence {
    name: &'static str,
    class: Class,
    at: (&'static str, &'static str),
    places: &'static [&'static str],
}

const fn row(
    name: &'static str,
    class: Class,
    at: (&'static str, &'static str),
    places: &'static [&'static str],
) -> Divergence {
    Divergence {
        name,
        class,
        at,
        places,
    }
}

const CREATE: &str = "POST /orders";
const READ: &str = "GET /orders/{id}";
const CHANGE: &str = "PATCH /orders/{id}";
const LIST: &str = "GET /orders";
const DELETE: &str = "DELETE /orders/{id}";
const RECEIPT: &str = "GET /orders/{id}/receipt";

use Class::{
    Case, Clock, Default as Unset, Encoding, Enum, Idempotency, LostUpdate, NullOrMissing, Order,
    PageBound, Rounding, StaleRead, StatusMapping, TimeZone, Truncation, ValidationOrder,
};

const DIVERGENCES: [Divergence; 54] = [
    row("due-drops-offset", TimeZone, (READ, "/due"), &["/due"]),
    row("due-an-hour-late", TimeZone, (READ, "/due"), &["/due"]),
    row("due-off-in-summer", TimeZone, (READ, "/due"), &["/due"]),
    row("due-in-utc", TimeZone, (READ, "/due"), &["/due"]),
    row("amount-to-cents", Rounding, (READ, "/amount"), &["/amount"]),
    row("amount-cut", Rounding, (READ, "/amount"), &["/amount"]),
    row(
        "total-half-to-even",
        Rounding,
        (READ, "/total"),
        &["/total", "text"],
    ),
    row("amount-whole", Rounding, (READ, "/amount"), &["/amount"]),
    row(
        "null-note-left-out",
        NullOrMissing,
        (READ, "/note"),
        &["/note"],
    ),
    row(
        "coupon-null",
        NullOrMissing,
        (READ, "/coupon"),
        &["/coupon"],
    ),
    row(
        "empty-note-null",
        NullOrMissing,
        (READ, "/note"),
        &["/note"],
    ),
    row(
        "empty-tags-left-out",
        NullOrMissing,
        (READ, "/tags"),
        &["/tags"],
    ),
    row("tags-sorted", Order, (READ, "/tags/*"), &["/tags/*"]),
    row("tags-reversed", Order, (READ, "/tags/*"), &["/tags/*"]),
    row(
        "list-descending",
        Order,
        (LIST, "/orders/*/id"),
        &["/orders/*"],
    ),
    row(
        "page-ends-early",
        PageBound,
        (LIST, "/orders/*"),
        &["/orders/*"],
    ),
    row(
        "page-ends-late",
        PageBound,
        (LIST, "/orders/*"),
        &["/orders/*"],
    ),
    row(
        "page-begins-late",
        PageBound,
        (LIST, "/orders/*/id"),
        &["/orders/*"],
    ),
    row(
        "page-begins-early",
        PageBound,
        (LIST, "/orders/*/id"),
        &["/orders/*"],
    ),
    row(
        "repeat-creates",
        Idempotency,
        (CREATE, "status"),
        &["", "/version", "/reference"],
    ),
    row(
        "repeat-conflicts",
        Idempotency,
        (CREATE, "status"),
        &["", "/*"],
    ),
    row(
        "repeat-counts",
        Idempotency,
        (CREATE, "/version"),
        &["/version"],
    ),
    row("created-is-ok", StatusMapping, (CREATE, "status"), &[""]),
    row("deleted-is-ok", StatusMapping, (DELETE, "status"), &[""]),
    row("unknown-is-gone", StatusMapping, (READ, "status"), &[""]),
    row(
        "refused-is-unprocessable",
        StatusMapping,
        (CREATE, "status"),
        &[""],
    ),
    row(
        "amount-is-checked-first",
        ValidationOrder,
        (CREATE, "/error/code"),
        &["/error/code"],
    ),
    row(
        "body-is-checked-last",
        ValidationOrder,
        (CHANGE, "status"),
        &["", "/error/code"],
    ),
    row(
        "name-in-upper-case",
        Case,
        (READ, "/name"),
        &["/name", "text"],
    ),
    row("email-in-lower-case", Case, (READ, "/email"), &["/email"]),
    row("sku-case-lost", Case, (READ, "/sku"), &["/sku"]),
    row(
        "name-cut-at-12",
        Truncation,
        (READ, "/name"),
        &["/name", "text"],
    ),
    row(
        "name-cut-at-10-bytes",
        Truncation,
        (READ, "/name"),
        &["/name", "text"],
    ),
    row("note-ends-in-dots", Truncation, (READ, "/note"), &["/note"]),
    row(
        "receipt-lacks-its-end",
        Truncation,
        (RECEIPT, "text"),
        &["text"],
    ),
    row(
        "change-is-forgotten",
        LostUpdate,
        (READ, "/status"),
        &["/status", "/version"],
    ),
    row(
        "note-of-change-is-forgotten",
        LostUpdate,
        (READ, "/note"),
        &["/note"],
    ),
    row(
        "read-after-change-is-old",
        StaleRead,
        (READ, "/status"),
        &["/status", "/version", "/note"],
    ),
    row(
        "version-is-old",
        StaleRead,
        (READ, "/version"),
        &["/version"],
    ),
    row(
        "clock-90s-fast",
        Clock,
        (CREATE, "/created_at"),
        &["/created_at"],
    ),
    row(
        "clock-drifts",
        Clock,
        (CREATE, "/created_at"),
        &["/created_at"],
    ),
    row("paid-is-settled", Enum, (READ, "/status"), &["/status"]),
    row("gift-inverted", Enum, (READ, "/gift"), &["/gift"]),
    row(
        "priorities-renamed",
        Enum,
        (READ, "/priority"),
        &["/priority"],
    ),
    row(
        "priority-default",
        Unset,
        (CREATE, "/priority"),
        &["/priority"],
    ),
    row("coupon-default", Unset, (READ, "/coupon"), &["/coupon"]),
    row("sku-always-the-same", Unset, (READ, "/sku"), &["/sku"]),
    row(
        "name-read-as-latin1",
        Encoding,
        (READ, "/name"),
        &["/name", "text"],
    ),
    row("name-asks", Encoding, (READ, "/name"), &["/name", "text"]),
    row("note-escaped", Encoding, (READ, "/note"), &["/note"]),
    row("amount-as-text", Encoding, (READ, "/amount"), &["/amount"]),
    row(
        "read-begins-with-a-mark",
        Encoding,
        (READ, "encoding"),
        &["encoding"],
    ),
    row("read-in-utf16", Encoding, (READ, "encoding"), &["encoding"]),
    row(
        "receipt-in-latin1",
        Encoding,
        (RECEIPT, "text"),
        &["text", "binary"],
    ),
];

/// The two shops invent the references of their orders.
fn shop_rules() -> Rules {
    rules(
        r#"
[[rule]]
id = "reference"
kind = "binding"
reason = "each shop invents its own"
endpoint = "*"
path = "/reference"
[[rule]]
id = "references-in-lists"
kind = "binding"
reason = "the same references"
endpoint = "*"
path = "/orders/*/reference"
pairing = "reference"
[[rule]]
id = "created"
kind = "time"
reason = "the shops are asked one after the other"
endpoint = "*"
path = "/created_at"
within_s = 5
"#,
    )
}

fn side(role: Side, plan: &Plan, divergence: &str) -> Observations {
    let mut shop = Shop::new(role, divergence);
    let outcomes: Vec<_> = plan
        .requests
        .iter()
        .enumerate()
        .map(|(at, planned)| {
            let request = plan.contents.get(at).expect("it is in memory");
            shop.answer(planned.seq, &request)
        })
        .collect();
    observations(
        role,
        plan,
        |at| outcomes[at].clone(),
        |_| unreachable!("no state is read"),
    )
}

/// What each cluster is: endpoint, place, kind and count.
type Clusters = BTreeMap<(String, String, DifferenceKind), u64>;

fn clusters(compared: &Compared<'_, '_>) -> Clusters {
    let mut clusters = Clusters::new();
    for (one, which) in compared.requests.iter().zip(compared.pairs.requests()) {
        for difference in &one.comparison.differences {
            let path = match difference.kind {
                DifferenceKind::Text => "text".to_owned(),
                DifferenceKind::Binary => "binary".to_owned(),
                DifferenceKind::Encoding => "encoding".to_owned(),
                _ => difference.path.clone(),
            };
            let key = (
                compared.pairs.endpoint(which).to_owned(),
                path,
                difference.kind,
            );
            *clusters.entry(key).or_default() += 1;
        }
    }
    clusters
}

/// The hypothesis about the largest cluster at a place.
fn explained(
    plan: &Plan,
    compared: &Compared<'_, '_>,
    clusters: &Clusters,
    (endpoint, path): (&str, &str),
) -> Option<Hypothesis> {
    let fits = |known: &&(String, String, DifferenceKind)| {
        let place = if known.2 == DifferenceKind::Status {
            "status"
        } else {
            &known.1
        };
        known.0 == endpoint && place == path
    };
    let key = clusters
        .keys()
        .filter(fits)
        .max_by_key(|key| clusters[*key])?;
    let fingerprint = Fingerprint {
        endpoint,
        kind: key.2,
        path: match key.1.as_str() {
            "text" | "encoding" => "",
            path => path,
        },
    };
    explain(plan, compared, fingerprint)
}

#[test]
fn two_equal_shops_agree() {
    let rules = shop_rules();
    let plan = planned(captured(requests()), &rules);
    let (legacy, candidate) = (
        side(Side::Legacy, &plan, ""),
        side(Side::Candidate, &plan, ""),
    );
    let compared = compare(&plan, &legacy, &candidate, None, &rules);
    assert_eq!(clusters(&compared), Clusters::new());
    assert_eq!(compared.conflicts, []);
    assert!(
        compared
            .requests
            .iter()
            .all(|one| one.category == Category::Matched)
    );
    assert!(plan.requests.len() > 300, "{}", plan.requests.len());
}

#[test]
fn every_divergence_is_found_where_it_is_and_explained() {
    let rules = shop_rules();
    let plan = planned(captured(requests()), &rules);
    let legacy = side(Side::Legacy, &plan, "");
    let mut wrong = Vec::new();
    for divergence in &DIVERGENCES {
        let candidate = side(Side::Candidate, &plan, divergence.name);
        let compared = compare(&plan, &legacy, &candidate, None, &rules);
        let found = clusters(&compared);
        let strays: Vec<_> = found
            .keys()
            .filter(|(_, path, _)| {
                let covers = |place: &&str| {
                    *place == path
                        || place
                            .strip_suffix('*')
                            .is_some_and(|place| path.starts_with(place))
                };
                !divergence.places.iter().any(|place| {
                    covers(place)
                        || path.ends_with(place)
                            && path.starts_with("/orders/*")
                            && !place.is_empty()
                })
            })
            .collect();
        let hypothesis = explained(&plan, &compared, &found, divergence.at);
        let named = hypothesis
            .as_ref()
            .is_some_and(|one| one.class == divergence.class && one.explains == one.of);
        if found.is_empty() || !strays.is_empty() || !named {
            wrong.push(format!(
                "{}: strays {strays:?}, hypothesis {:?}, clusters {found:?}",
                divergence.name,
                hypothesis.map(|one| one.to_string())
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        DIVERGENCES.len(),
        wrong.join("\n")
    );
}

#[test]
fn all_classes_have_their_divergences() {
    for class in Class::ALL {
        let count = DIVERGENCES.iter().filter(|one| one.class == class).count();
        assert!(count >= 2, "{class}: {count}");
    }
    let mut names: Vec<&str> = DIVERGENCES.iter().map(|one| one.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), DIVERGENCES.len());
}

#[test]
fn a_cause_is_weighed_by_what_it_explains_and_what_speaks_against_it() {
    let rules = shop_rules();
    let plan = planned(captured(requests()), &rules);
    let legacy = side(Side::Legacy, &plan, "");
    let told = |name: &str, at: (&str, &str)| {
        let candidate = side(Side::Candidate, &plan, name);
        let compared = compare(&plan, &legacy, &candidate, None, &rules);
        explained(&plan, &compared, &clusters(&compared), at).map(|one| one.to_string())
    };
    insta::assert_snapshot!(told("name-cut-at-12", (READ, "/name")).expect("a hypothesis"));
    // A service that is wrong in no usual way gets no hypothesis.
    assert_eq!(told("sku-scrambled", (READ, "/sku")), None);
}
