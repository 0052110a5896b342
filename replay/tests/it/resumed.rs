//! A run that ended early goes on from its journal and comes to the same end.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use rehearsal_host::Host;
use rehearsal_replay::{
    plan::{Pace, Plan, plan},
    rules::{Rules, Side},
    run::{
        Archive, Entry, FailureReason, Journal, Known, Observations, Outcome, Place, Recorder, Run,
        Target, encode, resume,
    },
};

use crate::{
    raw::{Asked, Reaction, answer, raw},
    server::{captured, on_this_machine, options, planned, reads, rules},
};

/// A journal in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn of(bytes: &[u8]) -> Self {
        Self(Arc::new(Mutex::new(bytes.to_vec())))
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().expect("no panic")
    }
}

impl Recorder for Kept {
    fn record(&mut self, entry: &Entry) -> Option<Place> {
        let mut bytes = self.bytes();
        let offset = bytes.len();
        encode(1, entry, &mut bytes);
        Some(Place {
            offset: offset as u64,
            length: u32::try_from(bytes.len() - offset).expect("it is small"),
        })
    }

    fn archive(&self) -> Option<Arc<dyn Archive>> {
        Some(Arc::new(self.clone()))
    }
}

impl Archive for Kept {
    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).expect("it is small");
        bytes.copy_from_slice(&self.bytes()[from..from + bytes.len()]);
        Ok(())
    }

    fn lost(&self, told: &str) {
        panic!("{told}");
    }
}

async fn observed(
    host: &Host,
    url: &str,
    plan: &Plan,
    rules: &Rules,
    known: Vec<Known>,
    mut kept: Kept,
) -> Observations {
    let (target, options) = (Target::new(Side::Candidate, url), options());
    let run = Run {
        host,
        target: &target,
        plan,
        rules,
        options: &options,
        horizon: None,
    };
    let journal = Journal {
        known,
        recorder: &mut kept,
    };
    let never = std::future::pending();
    run.observe(journal, never, |_| ()).await
}

/// An answer that depends on the request alone, and a failure now and then.
fn react(asked: &Asked) -> Reaction {
    if asked.target().ends_with('7') {
        return Reaction::WriteAndClose("HTTP/1.1 ".to_owned());
    }
    let body = format!(
        "{{\"id\":\"{}\",\"body\":{:?}}}",
        asked.target(),
        asked.body
    );
    answer(200, "content-type: application/json\r\n", &body)
}

fn outcomes(run: &Observations) -> Vec<String> {
    let whole = run.outcomes.iter().chain(run.state.iter());
    whole
        .map(|outcome| match &*outcome {
            // The message names the port, which is another one in another run.
            Outcome::Failed { reason, .. } => reason.name().to_owned(),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_run_cut_anywhere_comes_to_the_same_end_and_asks_only_what_is_left() {
    on_this_machine(|host| async move {
        let rules = rules(
            "[state]\ncreate = \"POST /things\"\nid = \"/id\"\nlegacy = \"/things/{id}\"\ncandidate = \"/v1/things/{id}\"",
        );
        let requests = (0..60).map(|at| match at % 3 {
            0 => (
                "POST",
                "/things".to_owned(),
                format!("{{\"id\":\"t-{at}\"}}"),
            ),
            _ => ("GET", format!("/things/t-{at}"), String::new()),
        });
        let plan = planned(captured(requests), &rules);
        let (url, log) = raw(&host, react).await;
        let journal = Kept::of(b"id\n");
        let whole = observed(&host, &url, &plan, &rules, Vec::new(), journal.clone()).await;
        let expected = outcomes(&whole);
        let asked = log.lock().expect("no panic").len();
        assert_eq!(asked, 60 + plan.entities.len());
        let journal = journal.bytes().clone();
        for cut in (3..=journal.len()).step_by(journal.len() / 40) {
            let resumed = resume(&journal[..cut], "id").expect("it is of this run");
            let known: Vec<Known> = resumed.known.into_iter().map(|(_, one)| one).collect();
            let count = known.len();
            let before = log.lock().expect("no panic").len();
            let whole_bytes = usize::try_from(resumed.whole).expect("it is small");
            let kept = Kept::of(&journal[..whole_bytes]);
            let again = observed(&host, &url, &plan, &rules, known, kept.clone()).await;
            assert_eq!(outcomes(&again), expected, "cut at byte {cut}");
            assert_eq!(log.lock().expect("no panic").len() - before, asked - count);
            assert_eq!(
                again.latency.response().count,
                whole.latency.response().count
            );
            let all = resume(&kept.bytes()[..], "id").expect("a journal");
            assert_eq!(all.known.len(), asked, "only what is new is told");
        }
    });
}

#[test]
fn a_resumed_run_goes_on_at_its_place_in_the_schedule() {
    on_this_machine(|host| async move {
        let rules = Rules::default();
        let hours = |at: u64| 1_700_000_000_000_000_000 + at * 3_600_000_000_000;
        let mut capture = reads(3);
        for exchange in &mut capture.exchanges {
            exchange.ts_ns = hours(exchange.seq.min(1));
        }
        let plan = plan(capture, &rules, Pace::Recorded);
        let (url, _) = raw(&host, react).await;
        let first = Entry {
            state: false,
            at: 0,
            late_ns: 30_000_000,
            waited: false,
            held: true,
            resent: true,
            took_ns: 1_000_000,
            outcome: Outcome::Failed {
                reason: FailureReason::Timeout,
                message: String::new(),
            },
        };
        let mut kept = Kept::default();
        let place = kept.record(&first).expect("it is kept");
        let known = Known {
            state: false,
            at: 0,
            place,
        };
        let run = observed(&host, &url, &plan, &rules, vec![known], kept);
        let seen = tokio::time::timeout(Duration::from_mins(1), run)
            .await
            .expect("the hour before the first open request is over");
        assert_eq!(seen.accounting().answered, 2);
        let punctuality = seen.punctuality.expect("it was paced");
        assert_eq!(
            (punctuality.sent, punctuality.held_back),
            (3, 1),
            "what the journal tells counts too"
        );
        assert!(
            seen.latency.late().max < 3_000.0,
            "no request left an hour late: {:?}",
            seen.latency.late()
        );
        assert_eq!(seen.resent, 1, "and so does what was sent twice");
    });
}
