//! The provider's HTTP service: each call is numbered, given its course, and taken through it.
//!
//! **Invariant**: once a call is under way it takes effect even if its caller hangs up, but for a crash of the host. That is what makes an
//! abandoned attempt's outcome unknown. It deliberately enforces no lease epoch: it records it.

use std::{future::Future, io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, Query, State},
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use rehearsal_host::{
    Host, Listener,
    serve::{ServerLimits, serve as serve_http},
};

use super::{
    Behaviour, Course, Fault, Hidden, Ledger, Operation, ProviderEvent, ProviderJournal, Silence,
    ledger::{BookOutcome, Page},
    request::{self, Booking, Malformed, PageQuery, Response},
};
use crate::detached::detached;

/// A call that is never answered is hung up on after this long; any caller has given up by then.
const HANG: Duration = Duration::from_hours(1);
/// Bodies above this are refused with 413.
const BODY_BYTES: usize = 64 << 10;
/// The list's page size when the caller names none, and the largest.
const PAGE: (usize, usize) = (100, 1_000);
/// On shutdown, calls in flight get this long; those that hang never finish.
const DRAIN: Duration = Duration::from_secs(1);

/// Runs the provider on `listen` (`host:port`) until `shutdown`.
///
/// # Errors
/// `InvalidInput` for a behaviour that [`Behaviour::check`] refuses, and what listening says.
pub async fn run(
    host: Host,
    listen: &str,
    behaviour: Behaviour,
    ledger: Ledger,
    journal: Arc<dyn ProviderJournal>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let listener = host.bind(listen).await?;
    serve(host, listener, behaviour, ledger, journal, shutdown).await
}

/// [`run`] on a listener that the caller has bound, and so knows the port of.
///
/// # Errors
/// `InvalidInput` for a behaviour that [`Behaviour::check`] refuses.
pub async fn serve(
    host: Host,
    listener: Listener,
    behaviour: Behaviour,
    ledger: Ledger,
    journal: Arc<dyn ProviderJournal>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    behaviour
        .check()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let provider = Provider {
        host: host.clone(),
        behaviour,
        ledger,
        journal,
    };
    let router = Router::new()
        .route("/bookings", post(book).get(list))
        .route("/bookings/{key}", get(lookup))
        .route("/bookings/{key}/cancel", post(cancel))
        .fallback(async || request::refusal((StatusCode::NOT_FOUND, "unknown_path")))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(Arc::new(provider));
    let limits = ServerLimits {
        drain: DRAIN,
        ..ServerLimits::default()
    };
    serve_http(host, listener, router, limits, shutdown).await;
    Ok(())
}

struct Provider {
    host: Host,
    behaviour: Behaviour,
    ledger: Ledger,
    journal: Arc<dyn ProviderJournal>,
}

/// What a well-formed call asks for.
enum Call {
    Book(Booking),
    Lookup { key: String },
    Cancel { key: String },
    List { after: String, limit: usize },
}

impl Call {
    fn operation(&self) -> Operation {
        match self {
            Self::Book(_) => Operation::Book,
            Self::Lookup { .. } => Operation::Lookup,
            Self::Cancel { .. } => Operation::Cancel,
            Self::List { .. } => Operation::List,
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Book(booking) => &booking.key,
            Self::Lookup { key } | Self::Cancel { key } => key,
            Self::List { after, .. } => after,
        }
    }

    fn person(&self) -> Option<&str> {
        match self {
            Self::Book(booking) => Some(&booking.person),
            _ => None,
        }
    }
}

async fn book(State(provider): State<Arc<Provider>>, headers: HeaderMap, body: Bytes) -> Response {
    match Booking::read(&headers, &body) {
        Ok(booking) => provider.answer(Call::Book(booking), &headers).await,
        Err(malformed) => provider.refuse(Operation::Book, malformed),
    }
}

async fn lookup(
    State(provider): State<Arc<Provider>>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Response {
    match request::check_key(&key) {
        Ok(()) => provider.answer(Call::Lookup { key }, &headers).await,
        Err(malformed) => provider.refuse(Operation::Lookup, malformed),
    }
}

async fn cancel(
    State(provider): State<Arc<Provider>>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Response {
    match request::check_key(&key) {
        Ok(()) => provider.answer(Call::Cancel { key }, &headers).await,
        Err(malformed) => provider.refuse(Operation::Cancel, malformed),
    }
}

async fn list(
    State(provider): State<Arc<Provider>>,
    Query(query): Query<PageQuery>,
    headers: HeaderMap,
) -> Response {
    if !query.after.is_empty()
        && let Err(malformed) = request::check_key(&query.after)
    {
        return provider.refuse(Operation::List, malformed);
    }
    let (usual, most) = PAGE;
    let limit = query.limit.unwrap_or(usual).clamp(1, most);
    let call = Call::List {
        after: query.after,
        limit,
    };
    provider.answer(call, &headers).await
}

impl Provider {
    fn refuse(&self, op: Operation, malformed: Malformed) -> Response {
        let (status, code) = malformed;
        self.journal.record(ProviderEvent::Malformed {
            op,
            status: status.as_u16(),
            code: code.to_owned(),
        });
        request::refusal(malformed)
    }

    /// Takes a call through its course.
    async fn answer(self: Arc<Self>, call: Call, headers: &HeaderMap) -> Response {
        let (op, key) = (call.operation(), call.key().to_owned());
        let n = self.ledger.number(op, &key);
        self.journal.record(ProviderEvent::Called {
            op,
            key: key.clone(),
            n,
            epoch: request::epoch(headers),
        });
        let course = self.behaviour.course(op, &key, n, self.host.now());
        let (fault, latency) = (course.fault.clone(), course.latency);
        if fault == Fault::Hang {
            self.journal.record(ProviderEvent::Hung { op, key });
            return self.keep_silent().await;
        }
        let work = self.clone().process(call, course);
        let response = if latency.is_zero() {
            Some(work.await)
        } else {
            self.journal
                .record(ProviderEvent::Delayed { op, key, latency });
            detached(&self.host, work).await
        };
        match (fault, response) {
            (Fault::Unanswered(Silence::Kept), _) => self.keep_silent().await,
            (Fault::Unanswered(Silence::Closed), _) | (_, None) => request::hang_up(),
            (_, Some(response)) => response,
        }
    }

    /// Lets a call take effect, and prepares its answer, at the times its course says.
    async fn process(self: Arc<Self>, call: Call, course: Course) -> Response {
        self.pause(course.effect_after).await;
        let response = match &course.fault {
            Fault::Error(rule) if !rule.processed => None,
            _ => Some(self.take_effect(&call, course.hidden_for)),
        };
        self.pause(course.latency.saturating_sub(course.effect_after))
            .await;
        let (op, key) = (call.operation(), call.key().to_owned());
        match (course.fault, response) {
            (Fault::Error(rule), _) => {
                let retry_after = request::retry_after(&rule, self.host.now());
                let response = request::failure(&rule, call.person(), &retry_after);
                self.journal.record(ProviderEvent::Failed {
                    op,
                    key,
                    status: rule.status,
                    processed: rule.processed,
                    retry_after,
                });
                response
            }
            (Fault::Unanswered(how), _) => {
                self.journal
                    .record(ProviderEvent::Unanswered { op, key, how });
                request::hang_up()
            }
            (Fault::Garbled(how), response) => {
                self.journal.record(ProviderEvent::Garbled { op, key, how });
                let right = response.expect("a call without an error has taken effect");
                request::garbled(&self.host, how, &right)
            }
            (_, response) => response.expect("a call without an error has taken effect"),
        }
    }

    fn take_effect(&self, call: &Call, hidden: Option<Hidden>) -> Response {
        match call {
            Call::Book(booking) => self.take_booking(booking, hidden),
            Call::Lookup { key } => {
                let (view, missed) = self.ledger.look_up(key, self.host.now());
                if missed {
                    self.missed(Operation::Lookup, key);
                }
                self.journal.record(ProviderEvent::LookedUp {
                    key: key.clone(),
                    bookings: view.as_ref().map(|view| view.bookings),
                });
                request::view(view.as_ref())
            }
            Call::Cancel { key } => {
                let had_booking = self.ledger.cancel(key, self.behaviour.tombstones);
                self.journal.record(ProviderEvent::Cancelled {
                    key: key.clone(),
                    had_booking,
                });
                request::cancelled(key)
            }
            Call::List { after, limit } => {
                let Page {
                    views,
                    more,
                    missed,
                } = self.ledger.page(after, *limit, self.host.now());
                for key in &missed {
                    self.missed(Operation::List, key);
                }
                self.journal.record(ProviderEvent::Listed {
                    after: after.clone(),
                    count: u32::try_from(views.len()).unwrap_or(u32::MAX),
                });
                request::page(&views, more)
            }
        }
    }

    fn missed(&self, op: Operation, key: &str) {
        let key = key.to_owned();
        self.journal.record(ProviderEvent::Missed { op, key });
    }

    fn take_booking(&self, booking: &Booking, hidden: Option<Hidden>) -> Response {
        let key = booking.key.clone();
        let outcome = self.ledger.book(&key, booking.payload, &self.behaviour);
        let (event, response) = match outcome {
            BookOutcome::Booked { reference, n_live } => {
                let response = request::booked(StatusCode::CREATED, &key, &reference);
                if let Some(Hidden { lag, look_ups }) = hidden {
                    let until = self.host.now().plus(lag);
                    self.ledger.hide(&key, reference.clone(), until, look_ups);
                }
                let event = ProviderEvent::Booked {
                    key,
                    reference,
                    n_live,
                    payload: booking.payload.short(),
                };
                (event, response)
            }
            BookOutcome::Replayed { reference } => {
                let response = request::booked(StatusCode::OK, &key, &reference);
                (ProviderEvent::Replayed { key, reference }, response)
            }
            BookOutcome::Duplicate { reference } => {
                let response = request::duplicate(&key, &reference);
                (ProviderEvent::RefusedDuplicate { key }, response)
            }
            BookOutcome::Tombstoned => {
                let response = request::refusal((StatusCode::GONE, "tombstoned"));
                (ProviderEvent::RefusedTombstone { key }, response)
            }
        };
        self.journal.record(event);
        response
    }

    async fn pause(&self, duration: Duration) {
        if !duration.is_zero() {
            self.host.sleep(duration).await;
        }
    }

    async fn keep_silent(&self) -> Response {
        self.host.sleep(HANG).await;
        request::hang_up()
    }
}
