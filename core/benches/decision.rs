//! How long core's decisions take. The target: a decision under one microsecond.
//!
//! The one invariant: what is measured is what the service calls, on values of ordinary size.
//! It deliberately asserts no time: machines differ, and a timed test would only fail on the slow ones.

use std::{hint::black_box, time::Duration};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rehearsal_core::{
    appointment::{Appointment, Details, apply, decide},
    breaker::{Admission, Breaker, BreakerPolicy, CallClass},
    command::{Command, NewAppointment},
    delivery::{Outcome, Policy, next},
    idempotency::fingerprint,
    identity::{AppointmentId, ProviderName, Reference, RequestId, Tenant, WorkerId},
    outbox::claim,
    time::Timestamp,
};

const NOW: Timestamp = Timestamp::from_secs(1_900_000_000);

fn submission() -> NewAppointment {
    NewAppointment {
        tenant: Tenant::default(),
        id: AppointmentId::parse("a-0001").unwrap(),
        request_id: RequestId::parse("r-0001").unwrap(),
        provider: ProviderName::parse("acme").unwrap(),
        details: Details {
            time: "2030-01-31T09:30:00Z".into(),
            patient_name: "Alice Example".into(),
            email: Some("alice@example.org".into()),
            note: None,
        },
    }
}

fn step(row: Option<Appointment>, command: &Command) -> Appointment {
    let decision = decide(row.as_ref(), command, NOW).unwrap();
    let row = decision
        .events
        .iter()
        .fold(row, |row, event| Some(apply(row, event)));
    row.unwrap()
}

fn appointments(c: &mut Criterion) {
    let accept = Command::Accept(submission());
    let pending = step(None, &accept);
    let booked = Command::Booked {
        reference: Reference::parse("acme-7781").unwrap(),
        attempts: 1,
    };
    c.bench_function("decide accept", |b| {
        b.iter(|| decide(None, black_box(&accept), NOW));
    });
    c.bench_function("decide booked", |b| {
        b.iter(|| decide(Some(black_box(&pending)), black_box(&booked), NOW));
    });
    c.bench_function("decide + apply booked", |b| {
        b.iter_batched(
            || Some(pending.clone()),
            |row| step(row, black_box(&booked)),
            BatchSize::SmallInput,
        );
    });
}

fn deliveries(c: &mut Criterion) {
    let decision = decide(None, &Command::Accept(submission()), NOW).unwrap();
    let entry = decision.enqueue[0].clone().open(1, NOW);
    let policy = Policy::default();
    let entry = claim(&entry, WorkerId(1), NOW, policy.lease);
    let unknown = Outcome::Unknown {
        cause: "503".into(),
        answered: true,
    };
    c.bench_function("delivery next", |b| {
        b.iter(|| next(black_box(&entry), black_box(&unknown), NOW, 0.5, &policy));
    });
}

fn breakers(c: &mut Criterion) {
    let mut breaker = Breaker::new(BreakerPolicy::default());
    let mut now = NOW;
    c.bench_function("breaker admit + record", |b| {
        b.iter(|| {
            now = now.plus(Duration::from_millis(3));
            let (Admission::Allowed(permit), _) = breaker.admit(now) else {
                panic!("only successes were recorded");
            };
            let took = Duration::from_millis(40);
            breaker.record(permit, CallClass::Success, took, now, 0.5)
        });
    });
}

fn fingerprints(c: &mut Criterion) {
    let new = submission();
    c.bench_function("fingerprint", |b| b.iter(|| fingerprint(black_box(&new))));
}

criterion_group!(decisions, appointments, deliveries, breakers, fingerprints);
criterion_main!(decisions);
