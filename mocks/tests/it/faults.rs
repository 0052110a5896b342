//! The provider's fault modes, over sockets: rates, windows, silence, and that outcomes depend on keys, not on order.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use http::Method;
use rehearsal_core::time::Timestamp;
use rehearsal_host::client::FailureKind;
use rehearsal_mocks::provider::{
    Behaviour, BookingStatus, ErrorRule, Fault, GarbleRule, Garbling, Latency, Ledger, ListingLag,
    Operation, ProviderEvent, Silence, Window,
};

use crate::{
    bench::{Bench, IMPATIENCE, PATIENCE},
    memory,
};

fn flaky(seed: u64) -> Behaviour {
    Behaviour {
        errors: vec![
            ErrorRule::new(503, 0.2),
            ErrorRule {
                retry_after: Some(Duration::from_millis(1_500)),
                ..ErrorRule::new(429, 0.1)
            },
            ErrorRule {
                processed: true,
                ..ErrorRule::new(500, 0.1)
            },
        ],
        ..Behaviour::healthy(seed)
    }
}

#[tokio::test]
async fn errors_come_at_their_rates_and_take_effect_as_told() {
    let bench = Bench::start(flaky(11)).await;
    let mut statuses = BTreeMap::<u16, u32>::new();
    for i in 0..1_000 {
        let key = format!("k-{i}");
        let answer = bench.book(&key).await;
        *statuses.entry(answer.status).or_default() += 1;
        let expected = u32::from(matches!(answer.status, 201 | 500));
        assert_eq!(bench.ledger.live_bookings(&key), expected, "{key}");
        let retry_after = answer.headers.get("retry-after");
        assert_eq!(
            retry_after.map(http::HeaderValue::as_bytes),
            (answer.status == 429).then_some(b"2".as_slice()),
            "{key}: rounded up to whole seconds"
        );
    }
    let check = |status: u16, expected: i64| {
        let found = i64::from(statuses.get(&status).copied().unwrap_or_default());
        assert!((found - expected).abs() < 40, "{status}: {found} of 1,000");
    };
    check(201, 600);
    check(503, 200);
    check(429, 100);
    check(500, 100);
    assert_eq!(statuses.len(), 4, "{statuses:?}");
    let injected = |event: &&ProviderEvent| event.fault() == Some("error");
    let failed = bench.events().iter().filter(injected).count();
    assert_eq!(
        failed,
        1_000 - usize::try_from(statuses[&201]).expect("small")
    );
}

#[tokio::test]
async fn outcomes_do_not_depend_on_the_order_of_calls_or_on_a_restart() {
    let keys: Vec<String> = (0..60).map(|i| format!("k-{i}")).collect();
    let one = Bench::start(flaky(5)).await;
    let mut there = BTreeMap::new();
    for key in &keys {
        for n in 0..2 {
            there.insert((key, n), one.book(key).await.status);
        }
    }
    let ledger = Ledger::new();
    let mut back = BTreeMap::new();
    for n in 0..2 {
        // A new process on the old ledger: the counts go on.
        let other = Bench::start_on(ledger.clone(), flaky(5)).await;
        for key in keys.iter().rev() {
            back.insert((key, n), other.book(key).await.status);
        }
    }
    assert_eq!(there, back);
    assert_eq!(one.ledger.views(), ledger.views());
    let different = Bench::start(flaky(6)).await;
    let mut elsewhere = BTreeMap::new();
    for key in &keys {
        for n in 0..2 {
            elsewhere.insert((key, n), different.book(key).await.status);
        }
    }
    assert_ne!(there, elsewhere, "the seed decides");
}

#[tokio::test(start_paused = true)]
async fn a_window_is_an_outage_while_it_lasts() {
    let host = memory::host();
    let behaviour = Behaviour {
        started_at: host.now().plus(Duration::from_secs(100)),
        windows: vec![
            Window::outage(Duration::from_secs(50), Duration::from_secs(80), 503),
            Window::stall(Duration::from_secs(80), Duration::from_secs(90)),
        ],
        ..Behaviour::healthy(1)
    };
    let bench = Bench::start_paused(behaviour).await;
    let check = async |at_s: u64, status: Option<u16>| {
        let until = Duration::from_secs(100 + at_s).saturating_sub(bench.host.elapsed());
        bench.host.sleep(until).await;
        let found = bench.try_book("a", IMPATIENCE).await.ok();
        assert_eq!(found.map(|answer| answer.status), status, "{at_s} s in");
    };
    check(0, Some(201)).await;
    check(49, Some(200)).await;
    check(51, Some(503)).await;
    check(79, Some(503)).await;
    check(81, None).await;
    check(91, Some(200)).await;
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_is_neither_processed_nor_answered() {
    let bench = Bench::start_paused(Behaviour {
        hang_rate: 1.0,
        ..Behaviour::healthy(1)
    })
    .await;
    let failure = bench.try_book("a", IMPATIENCE).await.expect_err("silence");
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(bench.ledger.views().is_empty());
    let hung = ProviderEvent::Hung {
        op: Operation::Book,
        key: "a".to_owned(),
    };
    assert!(bench.events().contains(&hung));
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_call_took_effect_whether_closed_or_kept() {
    let bench = Bench::start_paused(Behaviour {
        processed_but_unanswered: 1.0,
        ..Behaviour::healthy(1)
    })
    .await;
    let mut manners = BTreeSet::new();
    for i in 0..8 {
        let key = format!("k-{i}");
        let failure = bench.try_book(&key, IMPATIENCE).await.expect_err("silence");
        assert!(failure.sent);
        assert_eq!(bench.ledger.live_bookings(&key), 1);
        let how = bench.events().into_iter().find_map(|event| match event {
            ProviderEvent::Unanswered { key: of, how, .. } if of == key => Some(how),
            _ => None,
        });
        let how = how.expect("a journal entry");
        let expected = match how {
            Silence::Closed => FailureKind::Broken,
            Silence::Kept => FailureKind::Timeout,
        };
        assert_eq!(failure.kind, expected, "{key}");
        manners.insert(how);
    }
    assert_eq!(manners.len(), 2, "eight draws meet both manners");
    let lookup = bench.ask(Method::GET, "/bookings/k-0", "").await;
    assert_eq!(lookup.status, 200, "a look-up is answered");
}

#[tokio::test]
async fn a_real_connection_is_closed_without_a_byte() {
    let bench = Bench::start(Behaviour {
        processed_but_unanswered: 1.0,
        ..Behaviour::healthy(1)
    })
    .await;
    let closes = |key: &String| {
        let book = Operation::Book;
        let course = Behaviour {
            processed_but_unanswered: 1.0,
            ..Behaviour::healthy(1)
        }
        .course(book, key, 0, Timestamp::default());
        course.fault == Fault::Unanswered(Silence::Closed)
    };
    let key = (0..64).map(|i| format!("k-{i}")).find(closes);
    let failure = bench
        .try_book(&key.expect("one of 64"), PATIENCE)
        .await
        .expect_err("closed");
    assert_eq!(failure.kind, FailureKind::Broken);
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_takes_effect_though_its_caller_has_gone() {
    let bench = Bench::start_paused(Behaviour {
        latency: Latency::Fixed(IMPATIENCE * 3),
        ..Behaviour::healthy(1)
    })
    .await;
    let mut late = 0;
    for i in 0..16 {
        let key = format!("k-{i}");
        let failure = bench.try_book(&key, IMPATIENCE).await.expect_err("slow");
        assert_eq!(failure.kind, FailureKind::Timeout);
        late += u32::from(bench.ledger.view(&key).is_none());
        bench.host.sleep(IMPATIENCE * 2).await;
        let view = bench.ledger.view(&key).expect("booked all the same");
        assert_eq!((view.status, view.bookings), (BookingStatus::Booked, 1));
    }
    assert!((1..16).contains(&late), "{late} of 16 took effect late");
    let delayed = |event: &&ProviderEvent| event.fault() == Some("latency");
    assert_eq!(bench.events().iter().filter(delayed).count(), 16);
}

#[tokio::test(start_paused = true)]
async fn an_answer_takes_its_latency() {
    let latency = Duration::from_millis(250);
    let bench = Bench::start_paused(Behaviour {
        latency: Latency::Fixed(latency),
        ..Behaviour::healthy(1)
    })
    .await;
    let before = bench.host.elapsed();
    assert_eq!(bench.book("a").await.status, 201);
    let took = bench.host.elapsed().saturating_sub(before);
    let slack = Duration::from_millis(3);
    assert!((latency..latency + slack).contains(&took), "{took:?}");
}

#[tokio::test]
async fn the_journal_names_no_person() {
    let bench = Bench::start(Behaviour {
        idempotent: false,
        ..flaky(3)
    })
    .await;
    let mut echoed = false;
    for i in 0..40 {
        let key = format!("k-{i}");
        echoed |= bench.book(&key).await.body.to_string().contains("Alice");
        bench
            .ask(Method::GET, &format!("/bookings/{key}"), "")
            .await;
        bench
            .ask(Method::POST, &format!("/bookings/{key}/cancel"), "")
            .await;
    }
    assert!(
        echoed,
        "an injected error repeats the person: callers mask it"
    );
    let journal = serde_json::to_string(&bench.events()).expect("events are JSON");
    assert!(journal.contains("booked") && journal.contains("failed"));
    for secret in ["Alice", "Canary", "alice", "canary", "@"] {
        assert!(!journal.contains(secret), "{secret} is in the journal");
    }
    let ledger = format!("{:?}", bench.ledger);
    assert!(!ledger.contains("Alice") && !ledger.contains("canary"));
}

#[tokio::test]
async fn an_impossible_behaviour_is_refused_by_name() {
    let bench = Bench::start(Behaviour::healthy(1)).await;
    let behaviour = Behaviour {
        hang_rate: 2.0,
        ..Behaviour::healthy(1)
    };
    let journal = std::sync::Arc::new(|_: ProviderEvent| {});
    let error = rehearsal_mocks::provider::run(
        bench.host.clone(),
        "127.0.0.1:0",
        behaviour,
        Ledger::new(),
        journal,
        std::future::pending(),
    )
    .await
    .expect_err("a rate above one");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("hang_rate"), "{error}");
}

/// What a caller got of one booking: its status and body, or how its answer broke.
async fn garbled_answer(how: Garbling) -> (Bench, Result<(u16, bool), FailureKind>) {
    let bench = Bench::start(Behaviour {
        garbled: vec![GarbleRule {
            how,
            rate: 1.0,
            operations: vec![Operation::Book],
        }],
        ..Behaviour::healthy(1)
    })
    .await;
    let sent = bench.try_book("k", PATIENCE).await;
    let got = match sent {
        Ok(answer) => Ok((answer.status, answer.body["reference"].is_string())),
        Err(failure) => Err(failure.kind),
    };
    (bench, got)
}

#[tokio::test]
async fn a_garbled_answer_takes_effect_and_cannot_be_read() {
    for (how, expected) in [
        (Garbling::NotJson, Ok((201, false))),
        (Garbling::WrongShape, Ok((201, false))),
        (Garbling::Truncated, Err(FailureKind::Broken)),
    ] {
        let (bench, got) = garbled_answer(how).await;
        assert_eq!(got, expected, "{how:?}");
        assert_eq!(bench.ledger.live_bookings("k"), 1, "{how:?}");
        let injected = |event: &&ProviderEvent| event.fault() == Some("garbled");
        assert_eq!(bench.events().iter().filter(injected).count(), 1);
        let view = bench.ask(Method::GET, "/bookings/k", "").await;
        assert_eq!(view.status, 200, "another operation's answer is whole");
    }
}

#[tokio::test]
async fn every_form_of_retry_after_is_sent_and_several_are_several_headers() {
    let bench = Bench::start(Behaviour {
        errors: vec![ErrorRule {
            retry_after: Some(Duration::from_secs(2)),
            retry_after_date: Some(Duration::from_mins(1)),
            retry_after_text: Some("-1".to_owned()),
            ..ErrorRule::new(429, 1.0)
        }],
        ..Behaviour::healthy(1)
    })
    .await;
    let before = bench.host.now();
    let answer = bench.book("k").await;
    let sent: Vec<String> = answer
        .headers
        .get_all("retry-after")
        .iter()
        .map(|value| value.to_str().expect("text").to_owned())
        .collect();
    assert_eq!((sent[0].as_str(), sent[2].as_str()), ("2", "-1"));
    let asked = rehearsal_core::delivery::parse_retry_after(&sent[1], before);
    let asked = asked.expect("an HTTP date").as_secs();
    assert!((60..=62).contains(&asked), "{sent:?}");
    let told = bench.events().into_iter().find_map(|event| match event {
        ProviderEvent::Failed { retry_after, .. } => Some(retry_after),
        _ => None,
    });
    assert_eq!(told, Some(sent));
}

#[tokio::test]
async fn a_late_booking_is_missed_by_the_list_and_by_look_ups_that_lag() {
    for look_ups in [false, true] {
        let bench = Bench::start(Behaviour {
            listing_lag: Some(ListingLag {
                rate: 1.0,
                lag: Latency::Fixed(Duration::from_hours(1)),
                look_ups,
            }),
            ..Behaviour::healthy(1)
        })
        .await;
        assert_eq!(bench.book("k").await.status, 201);
        let list = bench.ask(Method::GET, "/bookings", "").await;
        assert_eq!(list.body["bookings"].as_array().map(Vec::len), Some(0));
        let found = bench.ask(Method::GET, "/bookings/k", "").await.status;
        assert_eq!(found, if look_ups { 404 } else { 200 });
        let missed = |event: &&ProviderEvent| event.fault() == Some("lag");
        let count = bench.events().iter().filter(missed).count();
        assert_eq!(count, 1 + usize::from(look_ups));
    }
}
