//! A client: sends each operation at its time, whatever became of the others, and takes a last look at the end.
//!
//! **Invariant**: every step ends in exactly one `Answered` or `Unanswered` event. It never retries an operation: what a lost answer means is
//! the oracles' question. Its last look, which changes nothing, may try again.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request};
use rehearsal_core::appointment::State;
use rehearsal_host::{
    Host,
    client::{Client, ClientLimits, Failure},
};
use serde::Deserialize;
use tokio::sync::watch;

use super::{
    event::{Answer, Event, details},
    operation::Operation,
};
use crate::{
    system::{Progress, Step},
    trace::{HostRecorder, Phase, fnv},
};

/// What a client is told to do.
pub(super) struct Script {
    /// Its operations, by time.
    pub(super) steps: Vec<Step<Operation>>,
    /// The API hosts' addresses; steps take turns.
    pub(super) apis: Vec<String>,
    /// How long it waits for an answer.
    pub(super) timeout: Duration,
    /// The appointments that it looks at in the end.
    pub(super) appointments: Vec<String>,
    /// The service hosts whose metrics it reads in the end, with their addresses.
    pub(super) service: Vec<(String, String)>,
    /// Where it reports.
    pub(super) recorder: HostRecorder<Event>,
    /// Where the run is.
    pub(super) phase: watch::Receiver<Phase>,
    /// Where it counts what ended.
    pub(super) progress: Progress,
}

/// Looks at this many appointments at once: a last look is no load test.
const LOOKS: usize = 8;
/// Tries of one look; a pooled connection may have died with a host.
const TRIES: u32 = 4;
/// How long one look may take.
const LOOK: Duration = Duration::from_secs(5);

/// Walks the script; never ends.
pub(super) async fn run(script: Arc<Script>, host: Host) {
    let started = host.elapsed();
    let caller = Arc::new(Caller {
        http: Client::new(&host, ClientLimits::default()),
        host: host.clone(),
        script: script.clone(),
    });
    for (number, step) in script.steps.iter().enumerate() {
        let due = Duration::from_millis(step.at_ms);
        let wait = due.saturating_sub(host.elapsed().saturating_sub(started));
        if !wait.is_zero() {
            host.sleep(wait).await;
        }
        let caller = caller.clone();
        host.spawn(async move { caller.perform(number).await });
    }
    // A sender that is gone means that the run is over.
    let _ = script
        .phase
        .clone()
        .wait_for(|phase| *phase >= Phase::Observe)
        .await;
    caller.observe().await;
    script.progress.observed();
    std::future::pending::<()>().await;
}

struct Caller {
    http: Client,
    host: Host,
    script: Arc<Script>,
}

impl Caller {
    /// The step at this place of the script, from its start to its end.
    async fn perform(&self, number: usize) {
        let Script {
            steps,
            apis,
            recorder,
            ..
        } = &*self.script;
        let Step {
            id: step,
            operation,
            ..
        } = &steps[number];
        let api = &apis[usize::try_from(*step).unwrap_or(0) % apis.len()];
        recorder.record(Event::Invoked {
            step: *step,
            operation: operation.clone(),
        });
        let started = self.host.elapsed();
        let ended = self
            .http
            .send(request(api, operation), self.script.timeout)
            .await;
        let took = self.host.elapsed().saturating_sub(started);
        recorder.record(match ended {
            Ok(response) => Event::Answered {
                step: *step,
                answer: answer(&response, took),
            },
            Err(failure) => Event::Unanswered {
                step: *step,
                sent: failure.sent,
                cause: cause(&failure),
                took_us: micros(took),
            },
        });
        self.script.progress.operation_ended();
    }

    /// The last look: every appointment by the API, every service host's metrics.
    async fn observe(&self) {
        let Script {
            apis,
            recorder,
            appointments,
            service,
            ..
        } = &*self.script;
        let looks = appointments
            .iter()
            .enumerate()
            .map(|(number, id)| async move {
                let uri = format!("http://{}/v1/appointments/{id}", apis[number % apis.len()]);
                let answer = self
                    .look(&uri)
                    .await
                    .map(|(response, took)| answer(&response, took));
                recorder.record(Event::Observed {
                    id: id.clone(),
                    answer,
                });
            });
        stream::iter(looks)
            .for_each_concurrent(LOOKS, |look| look)
            .await;
        for (host, address) in service {
            let text = self.look(&format!("http://{address}/metrics")).await;
            let text =
                text.map(|(response, _)| String::from_utf8_lossy(response.body()).into_owned());
            recorder.record(Event::Scraped {
                host: host.clone(),
                text,
            });
        }
    }

    async fn look(&self, uri: &str) -> Option<(http::Response<Bytes>, Duration)> {
        for _ in 0..TRIES {
            let started = self.host.elapsed();
            let request = Request::get(uri)
                .body(Bytes::new())
                .expect("a plan's ids are path segments");
            // A host's first call over a connection that a power loss took says 503: that is no look either.
            if let Ok(response) = self.http.send(request, LOOK).await
                && !response.status().is_server_error()
            {
                return Some((response, self.host.elapsed().saturating_sub(started)));
            }
            self.host.sleep(Duration::from_millis(100)).await;
        }
        None
    }
}

fn request(api: &str, operation: &Operation) -> Request<Bytes> {
    let (method, path, body) = match operation {
        Operation::Submit(submission) => {
            let body = serde_json::to_vec(submission).expect("a submission is plain data");
            (Method::POST, "/v1/appointments".to_owned(), body)
        }
        Operation::Cancel { id } => (
            Method::POST,
            format!("/v1/appointments/{id}/cancel"),
            Vec::new(),
        ),
        Operation::Read { id } => (Method::GET, format!("/v1/appointments/{id}"), Vec::new()),
        Operation::Probe { endpoint, n } => {
            let (method, path, body) = endpoint.request(*n);
            (method, path, body.as_bytes().to_vec())
        }
    };
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{api}{path}"));
    if !body.is_empty() {
        request = request.header(http::header::CONTENT_TYPE, "application/json");
    }
    request
        .body(body.into())
        .expect("a plan's ids are path segments")
}

/// What the oracles need of a body.
#[derive(Default, Deserialize)]
struct Body {
    id: Option<String>,
    state: Option<State>,
    time: Option<String>,
    patient_name: Option<String>,
    attempts: Option<u32>,
    /// What a search found.
    appointments: Option<Vec<Body>>,
}

fn answer(response: &http::Response<Bytes>, took: Duration) -> Answer {
    let status = response.status().as_u16();
    let refused = status >= 400;
    let body: Body = if refused {
        Body::default()
    } else {
        serde_json::from_slice(response.body()).unwrap_or_default()
    };
    let found = body.appointments.as_deref().unwrap_or_default();
    let body = found.first().unwrap_or(&body);
    let told = body.time.as_deref().zip(body.patient_name.as_deref());
    Answer {
        status,
        id: body.id.clone(),
        state: body.state,
        details: told.map(|(time, name)| details(time, name)),
        attempts: body.attempts,
        replayed: response.headers().contains_key("idempotency-replayed"),
        body: fnv(response.body()),
        problem: refused.then(|| String::from_utf8_lossy(response.body()).into_owned()),
        took_us: micros(took),
    }
}

fn cause(failure: &Failure) -> String {
    format!("{:?}: {}", failure.kind, failure.message)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appointments::operation::Submission;

    #[test]
    fn requests_follow_the_contract() {
        let submit = request("api-1:80", &Operation::Submit(Submission::new(1, "acme")));
        assert_eq!(
            (submit.method().as_str(), submit.uri().to_string().as_str()),
            ("POST", "http://api-1:80/v1/appointments")
        );
        let body: serde_json::Value = serde_json::from_slice(submit.body()).unwrap();
        assert_eq!(
            (body["id"].as_str(), body["request_id"].as_str()),
            (Some("a-1"), Some("r-1"))
        );
        let cancel = request("api-1:80", &Operation::Cancel { id: "a-1".into() });
        assert_eq!(
            (cancel.method().as_str(), cancel.uri().path()),
            ("POST", "/v1/appointments/a-1/cancel")
        );
    }

    #[test]
    fn a_search_is_answered_by_what_it_found() {
        let found = |body: &'static str| {
            let response = http::Response::new(Bytes::from(body));
            answer(&response, Duration::ZERO).id
        };
        let one = r#"{"appointments":[{"id":"a-1","state":"pending"}]}"#;
        assert_eq!(found(one).as_deref(), Some("a-1"));
        assert_eq!(found(r#"{"appointments":[]}"#), None);
    }

    #[test]
    fn an_answer_keeps_what_oracles_need() {
        let took = Duration::from_millis(3);
        let body = r#"{"id":"a-1","state":"pending","time":"t","patient_name":"x","attempts":2}"#;
        let fine = http::Response::builder()
            .status(202)
            .header("Idempotency-Replayed", "true")
            .body(Bytes::from(body))
            .unwrap();
        let fine = answer(&fine, took);
        assert_eq!(
            (fine.id.as_deref(), fine.state, fine.replayed, fine.problem),
            (Some("a-1"), Some(State::Pending), true, None)
        );
        assert_eq!(
            (fine.details, fine.attempts),
            (Some(details("t", "x")), Some(2))
        );
        let refused = http::Response::builder()
            .status(422)
            .body(Bytes::from(r#"{"code":"x","id":"a-1"}"#))
            .unwrap();
        let refused = answer(&refused, took);
        assert_eq!(
            (refused.id, refused.problem.as_deref(), refused.took_us),
            (None, Some(r#"{"code":"x","id":"a-1"}"#), 3000)
        );
    }
}
