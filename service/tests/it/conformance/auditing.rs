//! What the auditor asks: pages, findings, repairs.

use super::*;

pub(super) fn findings_are_counted_resolved_and_reopened(bench: &Bench) {
    let finding = Finding {
        kind: FindingKind::OrphanAtProvider,
        appointment_id: None,
        request_id: None,
        key: "k".into(),
        detail: "no row".into(),
    };
    let record = |seen: Vec<Finding>, since: Option<i64>, now: i64| {
        let reply = bench.call(Request::RecordFindings {
            provider: provider("acme"),
            seen,
            whole_sweep_since: since.map(at),
            horizon: LEASE,
            now: at(now),
        });
        match reply {
            Reply::FindingsRecorded(sighted, resolved) => {
                (sighted.first().map(|it| it.sightings), resolved)
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(record(vec![finding.clone()], None, 1), (Some(1), 0));
    assert_eq!(record(vec![finding.clone()], Some(2), 2), (Some(2), 0));
    // An incomplete sweep proves nothing; a whole one that no longer sees it resolves it.
    assert_eq!(record(vec![], None, 3), (None, 0));
    assert_eq!(record(vec![], Some(4), 4), (None, 1));
    assert_eq!(record(vec![finding], Some(5), 5), (Some(1), 0));
    let findings = bench.dump().findings;
    assert_eq!(findings.len(), 2);
    assert_eq!(findings[0].resolved_at, Some(at(4)));
    assert_eq!(findings[0].resolved_by.as_deref(), Some("gone"));
    assert_eq!(findings[1].resolved_at, None);
}

pub(super) fn a_finding_is_not_gone_because_its_row_looks_young(bench: &Bench) {
    let resolved_by_a_sweep = |seen: Vec<Finding>, now: i64| {
        let reply = bench.call(Request::RecordFindings {
            provider: provider("acme"),
            seen,
            whole_sweep_since: Some(at(now)),
            horizon: LEASE,
            now: at(now),
        });
        match reply {
            Reply::FindingsRecorded(_, resolved) => resolved,
            other => panic!("{other:?}"),
        }
    };
    let finding = Finding {
        kind: FindingKind::MissingAtProvider,
        appointment_id: None,
        request_id: None,
        key: "a-1".into(),
        detail: "not there".into(),
    };
    bench.accept(&new("a-1", "r-1"), 100);
    assert_eq!(resolved_by_a_sweep(vec![finding], 200), 0);
    // The clock jumps back, and the row looks young until it has come that far again.
    for young in [90, 100, 109] {
        assert_eq!(resolved_by_a_sweep(vec![], young), 0, "{young}");
    }
    assert_eq!(resolved_by_a_sweep(vec![], 110), 1);
}

pub(super) fn repairs_need_the_version_they_were_made_for(bench: &Bench) {
    bench.accept(&new("a-1", "r-1"), 0);
    let book = bench.claim(1, 0, 1).remove(0);
    let refused = Next::Settle(Command::Refused {
        code: "no_slot".into(),
        attempts: 1,
    });
    bench.settle(&book, refused, 1);
    let repair = |version, repair| {
        let request = Request::Repair {
            tenant: Tenant::default(),
            id: AppointmentId::parse("a-1").unwrap(),
            version,
            repair,
            now: at(9),
        };
        match bench.call(request) {
            Reply::Repaired(events) => events.map(|events| events.len()),
            other => panic!("{other:?}"),
        }
    };
    let proof = Repair::ProveBooked {
        reference: Reference::parse("ref-9").unwrap(),
    };
    assert_eq!(repair(1, proof.clone()), None);
    assert_eq!(repair(2, proof.clone()), Some(1));
    assert_eq!(bench.dump().appointments[0].state, State::Confirmed);
    assert_eq!(repair(2, proof), None);
    assert_eq!(repair(3, Repair::None), None);
}

pub(super) fn cancels_are_queued_once_by_repair(bench: &Bench) {
    bench.accept(&new("a-1", "r-1"), 0);
    let book = bench.claim(1, 0, 1).remove(0);
    let refused = Next::Settle(Command::Refused {
        code: "no_slot".into(),
        attempts: 1,
    });
    bench.settle(&book, refused, 1);
    let repair = |version| {
        bench.call(Request::Repair {
            tenant: Tenant::default(),
            id: AppointmentId::parse("a-1").unwrap(),
            version,
            repair: Repair::EnqueueCancel,
            now: at(9),
        })
    };
    assert!(matches!(repair(2), Reply::Repaired(Some(_))));
    assert_eq!(repair(3), Reply::Repaired(None));
    assert_eq!(bench.claim(1, 9, 9).len(), 1);
}

pub(super) fn audit_pages_walk_the_keys_in_order(bench: &Bench) {
    for name in ["b", "a", "c", "d"] {
        bench.accept(&new(name, &format!("r-{name}")), 0);
    }
    let page = |after: Option<&str>, through: Option<&str>, limit| {
        let reply = bench.call(Request::AuditPage {
            provider: provider("acme"),
            after: after.map(Into::into),
            through: through.map(Into::into),
            limit,
            now: at(9),
        });
        let Reply::AuditRows(rows) = reply else {
            panic!("{reply:?}");
        };
        rows.into_iter()
            .inspect(|row| assert_eq!(row.appointment.details.patient_name, "", "not for pages"))
            .map(|row| format!("{}{}", row.appointment.id, row.open.len()))
            .collect::<Vec<_>>()
    };
    assert_eq!(page(None, None, 9), ["a1", "b1", "c1", "d1"]);
    assert_eq!(page(Some("a"), Some("c"), 9), ["b1", "c1"]);
    assert_eq!(page(Some("a"), None, 1), ["b1"]);
    assert_eq!(page(Some("d"), None, 1), [""; 0]);
}
