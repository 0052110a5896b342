//! An hour of the legacy service's traffic, drawn from a seed: bursty, with duplicates, cancels, reads and mistakes.
//!
//! **Invariant**: a function of the seed. Operations on one appointment keep seconds between them, as people do; duplicates do not, as
//! impatient clients do.

use std::fmt::Write;

use rand::{Rng, RngExt, seq::IndexedRandom};

use crate::chance::Chance;

/// Length of the capture.
pub(super) const SPAN_S: u32 = 3_600;
/// Exchanges in it: above the 10,511 that a plan with five allowed mismatches needs to prove a rate below 0.1 %.
const EXCHANGES: usize = 10_800;
/// Client sessions in it.
const SESSIONS: usize = 400;

/// A request to send.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) at_ns: u64,
    pub(super) session: usize,
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) body: Option<String>,
}

const FIRST: [&str; 16] = [
    "Ada",
    "Bartholomew",
    "Chidi",
    "Dolores",
    "Émile",
    "Fatima",
    "Guillermo",
    "Hiroko",
    "Ingrid",
    "Jean-Baptiste",
    "Kwame",
    "Li",
    "Maximiliana",
    "Noor",
    "Oluwaseun",
    "Philippa",
];
const LAST: [&str; 16] = [
    "Abernathy",
    "Baptiste",
    "Castellanos",
    "Dąbrowski",
    "Eriksson",
    "Featherstonehaugh",
    "Goldschmidt",
    "Hernández",
    "Ivanova",
    "Jones",
    "Kowalczyk-Lindqvist",
    "Le",
    "Montgomery",
    "Nakamura",
    "Okonkwo",
    "Papadopoulos",
];
const ZONES: [&str; 4] = ["Z", "+01:00", "-05:00", "+09:30"];

/// Draws the hour.
pub(super) fn draw(chance: &Chance) -> Vec<Sent> {
    let mut rng = chance.named("operations").rng();
    let mut traffic = Vec::with_capacity(EXCHANGES + 8);
    // Appointments so far: (id, when it was made, its body).
    let mut made: Vec<(String, u64, String)> = Vec::new();
    for at_ns in arrivals(chance) {
        let old: Vec<usize> = made
            .iter()
            .enumerate()
            .rev()
            .skip_while(|(_, one)| one.1 + 5_000_000_000 > at_ns)
            .take(300)
            .map(|(at, _)| at)
            .collect();
        let session = rng.random_range(0..SESSIONS);
        let send = |method, target: String, body| Sent {
            at_ns,
            session,
            method,
            target,
            body,
        };
        let kind = rng.random_range(0..1000);
        let known = old.choose(&mut rng).map(|at| &made[*at]);
        let sent = match (kind, known) {
            (0..400, Some((id, ..))) => send("GET", format!("/appointments/{id}"), None),
            (400..465, Some((id, ..))) => send("POST", format!("/appointments/{id}/cancel"), None),
            (465..495, Some((_, _, body))) => {
                send("POST", "/appointments".to_owned(), Some(body.clone()))
            }
            (495..510, _) => send(
                "GET",
                format!("/appointments/unknown-{}", rng.random_range(0..9_999)),
                None,
            ),
            (510..514, _) => send("GET", "/favicon.ico".to_owned(), None),
            (514..522, _) => send(
                "POST",
                "/appointments".to_owned(),
                Some(mistaken(&mut rng, made.len())),
            ),
            _ => {
                let number = made.len();
                let body = submission(&mut rng, number);
                made.push((format!("a-{number:06}"), at_ns, body.clone()));
                send("POST", "/appointments".to_owned(), Some(body))
            }
        };
        // An impatient client repeats a submission at once.
        let repeat = sent.method == "POST" && sent.body.is_some() && rng.random_bool(0.02);
        let again = repeat.then(|| Sent {
            at_ns: at_ns + rng.random_range(1_000_000..40_000_000),
            ..sent.clone()
        });
        traffic.push(sent);
        traffic.extend(again);
    }
    traffic.sort_by_key(|sent| sent.at_ns);
    traffic
}

/// Arrival times in nanoseconds: a rate that wanders by the minute, with bursts of up to a minute at five times the rate.
fn arrivals(chance: &Chance) -> Vec<u64> {
    let mut rng = chance.named("arrivals").rng();
    let mut weights = Vec::with_capacity(SPAN_S as usize);
    let (mut burst_left, mut level) = (0_u32, 1.0);
    for second in 0..SPAN_S {
        if second % 60 == 0 {
            level = rng.random_range(0.5..1.5);
        }
        if burst_left == 0 && rng.random_bool(1.0 / 180.0) {
            burst_left = rng.random_range(10..60);
        }
        weights.push(if burst_left > 0 { level * 5.0 } else { level });
        burst_left = burst_left.saturating_sub(1);
    }
    let total: f64 = weights.iter().sum();
    let mut times: Vec<u64> = (0..EXCHANGES)
        .map(|_| {
            let mut point = rng.random_range(0.0..total);
            let second = weights.iter().position(|weight| {
                point -= weight;
                point < 0.0
            });
            second.unwrap_or(0) as u64 * 1_000_000_000 + rng.random_range(0..1_000_000_000)
        })
        .collect();
    times.sort_unstable();
    times
}

fn submission(rng: &mut impl Rng, number: usize) -> String {
    let (first, last) = (
        FIRST.choose(rng).expect("not empty"),
        LAST.choose(rng).expect("not empty"),
    );
    let provider = super::PROVIDERS.choose(rng).expect("not empty");
    let (month, day) = (rng.random_range(1..=12), rng.random_range(1..=28));
    let (hour, minute) = (rng.random_range(8..18), rng.random_range(0..4) * 15);
    let zone = ZONES.choose(rng).expect("not empty");
    let mut body = format!(
        "{{\"id\":\"a-{number:06}\",\"request_id\":\"r-{number:06}\",\"provider\":\"{provider}\",\
         \"time\":\"2026-{month:02}-{day:02}T{hour:02}:{minute:02}:00{zone}\",\"patient_name\":\"{first} {last}\""
    );
    if rng.random_bool(0.6) {
        write!(body, ",\"email\":\"patient{number}@example.org\"")
            .expect("a string takes everything");
    }
    body.push('}');
    body
}

/// A submission that both services have to refuse.
fn mistaken(rng: &mut impl Rng, number: usize) -> String {
    match rng.random_range(0..4) {
        0 => format!(
            "{{\"id\":\"bad-{number}\",\"request_id\":\"bad-{number}\",\"provider\":\"acme\",\"patient_name\":\"No Time\"}}"
        ),
        1 => format!(
            "{{\"id\":\"bad-{number}\",\"request_id\":\"bad-{number}\",\"provider\":\"nobody\",\"time\":\"2026-03-01T09:00:00Z\",\"patient_name\":\"No Provider\"}}"
        ),
        2 => format!(
            "{{\"id\":\"bad-{number}\",\"request_id\":\"bad-{number}\",\"provider\":\"acme\",\"time\":\"tomorrow\",\"patient_name\":\"Not A Time\"}}"
        ),
        _ => "{\"id\":".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_bursty_and_has_every_kind() {
        let traffic = draw(&Chance::new(1));
        assert!(traffic.len() > 10_511, "{}", traffic.len());
        let mut minutes = [0_f64; 60];
        for sent in &traffic {
            minutes[usize::try_from(sent.at_ns / 60_000_000_000)
                .unwrap()
                .min(59)] += 1.0;
        }
        let mean = minutes.iter().sum::<f64>() / 60.0;
        let variance = minutes
            .iter()
            .map(|count| (count - mean).powi(2))
            .sum::<f64>()
            / 59.0;
        assert!(
            variance / mean > 5.0,
            "the index of dispersion is 1 for a Poisson process; here {}",
            variance / mean
        );
        let bodies: Vec<_> = traffic
            .iter()
            .filter_map(|sent| sent.body.as_ref())
            .collect();
        let distinct: std::collections::BTreeSet<_> = bodies.iter().collect();
        assert!(bodies.len() - distinct.len() > 100, "duplicates");
        assert!(
            traffic
                .iter()
                .filter(|sent| sent.target.ends_with("/cancel"))
                .count()
                > 300,
            "cancels"
        );
    }
}
