//! Rows over HTTP: a listing, page by page, or one row a request for given ids.
//!
//! **Invariant**: only GET is sent, every answer that is not 200 (or, for an id, 404) ends the reading, and no page is asked for twice.
//! A query may hold a secret, so no message shows one. What a service does not list cannot be compared this way: then its database can, or an export of it.

use std::{collections::BTreeSet, fmt::Write as _, fs::File, path::Path, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{Request, Response, StatusCode, Uri};
use rehearsal_host::{
    client::{Client, ClientLimits},
    real::RealMachine,
};
use rehearsal_replay::{
    capture::{Limits, TextLines},
    json::{Json, parse},
    parity::Key,
};

use super::{
    lines::give,
    paging::{absolute, complete, following},
    source::{Each, Source, Want, shown},
    stopped,
};
use crate::{command::real::runtime, interrupt::Interrupt, problem::Problem};

/// A page or a row takes at most this long.
const DEADLINE: Duration = Duration::from_mins(1);
/// A page has at most this many bytes.
const PAGE: usize = 256 << 20;
/// A listing has at most this many pages.
const PAGES: usize = 1_000_000;
/// Requests under way at once, for single rows.
const AT_ONCE: usize = 16;

/// Rows that were fetched; they are kept, since a service may answer otherwise the next time.
#[derive(Debug)]
pub(super) struct Fetched {
    name: String,
    rows: Vec<Vec<u8>>,
}

impl Fetched {
    pub(super) fn open(want: Want<'_>) -> Result<Self, Problem> {
        let url = want.place;
        let client = Client::new(
            &RealMachine::host(),
            ClientLimits {
                body_bytes: PAGE,
                connect: Duration::from_secs(5),
                ..ClientLimits::default()
            },
        );
        let rows = match (url.contains("{id}"), want.ids) {
            (true, Some(ids)) => {
                let ids = ids_of(ids)?;
                runtime()?.block_on(each_of(&client, url, &ids, want.interrupt))?
            }
            (true, None) => {
                return Err(Problem::usage(format!(
                    "{}: found {{id}}, expected --ids FILE to say which ids",
                    shown(url)
                ))
                .hint("an export of the other side will do: its ids are read from it"));
            }
            (false, _) => runtime()?.block_on(pages(&client, url, want.interrupt))?,
        };
        Ok(Self {
            name: shown(url),
            rows,
        })
    }
}

impl Source for Fetched {
    fn name(&self) -> &str {
        &self.name
    }

    fn scan(&mut self, each: &mut Each<'_>) -> Result<(), Problem> {
        give(self.rows.iter(), each)
    }
}

/// The ids in a file: one a line, or JSON lines with a usual key.
fn ids_of(file: &Path) -> Result<Vec<String>, Problem> {
    let unreadable = |error| Problem::unreadable(file, &error);
    let opened = File::open(file).map_err(unreadable)?;
    let mut lines = TextLines::new(opened, Limits::default()).map_err(unreadable)?;
    let mut ids = Vec::new();
    while let Some((at, line)) = lines.next_line().map_err(unreadable)? {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if !line.starts_with(b"{") {
            let id = std::str::from_utf8(line).map_err(|_| {
                let file = file.display();
                Problem::usage(format!("{file}: line {at}: found bytes that are not UTF-8, expected an id or a JSON object"))
            })?;
            ids.push(id.to_owned());
            continue;
        }
        let row = parse(line).map_err(|error| {
            Problem::usage(format!(
                "{}: line {at}: {error}: expected an id or a JSON object",
                file.display()
            ))
        })?;
        let mut usual = Key::USUAL.iter().rev();
        let id = usual.find_map(|name| match row.get(name)? {
            Json::String(text) => Some(text.to_string()),
            Json::Number(number) => Some(number.text().to_owned()),
            _ => None,
        });
        ids.push(id.ok_or_else(|| {
            Problem::usage(format!(
                "{}: line {at}: found neither `id` nor `request_id`, expected a text or a number in one of them",
                file.display()
            ))
        })?);
    }
    if ids.is_empty() {
        return Err(Problem::usage(format!(
            "{}: found no id, expected one a line",
            file.display()
        )));
    }
    Ok(ids)
}

async fn each_of(
    client: &Client,
    url: &str,
    ids: &[String],
    interrupt: &Interrupt,
) -> Result<Vec<Vec<u8>>, Problem> {
    let fetched = stream::iter(ids)
        .map(async |id| {
            stopped(interrupt)?;
            let url = url.replace("{id}", &encoded(id));
            let (status, body) = get(client, &url)
                .await
                .map(|answer| (answer.status(), answer.into_body()))?;
            match status {
                StatusCode::OK => Ok(Some(body.to_vec())),
                StatusCode::NOT_FOUND => Ok(None),
                other => Err(refused(&url, other, "200 or 404")),
            }
        })
        .buffered(AT_ONCE)
        .try_collect::<Vec<_>>()
        .await?;
    Ok(fetched.into_iter().flatten().collect())
}

async fn pages(client: &Client, url: &str, interrupt: &Interrupt) -> Result<Vec<Vec<u8>>, Problem> {
    let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
    let mut next = Some(url.to_owned());
    while let Some(url) = next.take() {
        stopped(interrupt)?;
        let name = shown(&url);
        if !seen.insert(url.clone()) || seen.len() > PAGES {
            let message =
                format!("{name}: found a listing whose pages come round again, expected an end");
            return Err(Problem::infrastructure(message));
        }
        let answer = get(client, &url).await?;
        if answer.status() != StatusCode::OK {
            return Err(refused(&url, answer.status(), "a listing (200)"));
        }
        let body = answer.body();
        let json = parse(body).map_err(|error| {
            Problem::usage(format!(
                "{name}: {error}: expected a JSON array of rows, or an object with one"
            ))
        })?;
        let items = items(&name, &json)?;
        rows.extend(items.iter().map(|item| item.to_string().into_bytes()));
        let more = following(answer.headers(), &json)
            .map_err(|told| Problem::usage(format!("{name}: {told}")))?;
        if more.is_none() {
            complete(
                answer.headers(),
                &json,
                rows.len() as u64,
                seen.len() as u64,
            )
            .map_err(|told| Problem::usage(format!("{name}: {told}")))?;
        }
        next = more.map(|more| absolute(&url, &more));
    }
    Ok(rows)
}

/// The rows of a page.
fn items<'j, 'p>(name: &str, json: &'j Json<'p>) -> Result<&'j [Json<'p>], Problem> {
    if let Json::Array(items) = json {
        return Ok(items);
    }
    let Json::Object(members) = json else {
        let message = format!(
            "{name}: found a JSON {}, expected an array of rows, or an object with one",
            json.kind()
        );
        return Err(Problem::usage(message));
    };
    let mut arrays = members.iter().filter_map(|(_, value)| match value {
        Json::Array(items) => Some(items.as_slice()),
        _ => None,
    });
    match (arrays.next(), arrays.next()) {
        (Some(items), None) => Ok(items),
        (found, _) => {
            let found = if found.is_some() {
                "more than one"
            } else {
                "none"
            };
            Err(Problem::usage(format!(
                "{name}: found {found} among the object's members, expected one array of rows"
            )))
        }
    }
}

async fn get(client: &Client, url: &str) -> Result<Response<Bytes>, Problem> {
    let name = shown(url);
    let expected = "expected http://host:port/path";
    let uri: Uri = url
        .parse()
        .map_err(|error| Problem::usage(format!("{name}: {error}: {expected}")))?;
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        let message =
            format!("{name}: found a user name in the URL, {expected}: it would not be sent");
        return Err(Problem::usage(message));
    }
    let request = Request::get(uri)
        .header("accept", "application/json")
        .body(Bytes::new())
        .map_err(|error| Problem::usage(format!("{name}: {error}")))?;
    client
        .send(request, DEADLINE)
        .await
        .map_err(|failure| Problem::infrastructure(format!("{name}: {failure}")))
}

fn refused(url: &str, status: StatusCode, expected: &str) -> Problem {
    let problem = Problem::infrastructure(format!(
        "{}: found the answer {status}, expected {expected}",
        shown(url)
    ));
    if status.is_client_error() {
        return problem.hint("a service that lists nothing can be compared by its database or an export, or by id: http://HOST:PORT/PATH/{id} with --ids");
    }
    problem
}

/// Text as a part of a URL.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
