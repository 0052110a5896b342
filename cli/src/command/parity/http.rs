//! Rows over HTTP: a listing, page by page, or one row a request for given ids.
//!
//! **Invariant**: only GET is sent, every answer that is not 200 (or, for an id, 404) ends the reading, and no page is asked for twice.
//! What a service does not list cannot be compared this way: then its database can, or an export of it.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{Request, Response, StatusCode, Uri, header::LINK};
use rehearsal_host::{
    client::{Client, ClientLimits},
    real::RealMachine,
};
use rehearsal_replay::{
    json::{Json, parse},
    parity::Key,
};

use super::{
    lines::give,
    source::{Each, Source, Want},
};
use crate::{command::real::runtime, problem::Problem};

/// A page or a row takes at most this long.
const DEADLINE: Duration = Duration::from_mins(1);
/// A page has at most this many bytes.
const PAGE: usize = 256 << 20;
/// A listing has at most this many pages.
const PAGES: usize = 1_000_000;
/// Requests under way at once, for single rows.
const AT_ONCE: usize = 16;
/// Where answers say that there is more: a URL, or the start of one.
const MORE: [&str; 4] = ["/next", "/links/next", "/next_url", "/paging/next"];

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
                runtime()?.block_on(each_of(&client, url, &ids))?
            }
            (true, None) => {
                return Err(Problem::usage(format!(
                    "{url}: found {{id}}, expected --ids FILE to say which ids"
                ))
                .hint("an export of the other side will do: its ids are read from it"));
            }
            (false, _) => runtime()?.block_on(pages(&client, url))?,
        };
        Ok(Self {
            name: url.to_owned(),
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
    let text = fs::read_to_string(file).map_err(|error| Problem::unreadable(file, &error))?;
    let mut ids = Vec::new();
    for (at, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if !line.starts_with('{') {
            ids.push(line.to_owned());
            continue;
        }
        let row = parse(line.as_bytes()).map_err(|error| {
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
                "{}: line {at}: found no field id, expected one",
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

async fn each_of(client: &Client, url: &str, ids: &[String]) -> Result<Vec<Vec<u8>>, Problem> {
    let fetched = stream::iter(ids)
        .map(async |id| {
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

async fn pages(client: &Client, url: &str) -> Result<Vec<Vec<u8>>, Problem> {
    let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
    let mut next = Some(url.to_owned());
    while let Some(url) = next.take() {
        if !seen.insert(url.clone()) || seen.len() > PAGES {
            let message =
                format!("{url}: found a listing whose pages come round again, expected an end");
            return Err(Problem::infrastructure(message));
        }
        let answer = get(client, &url).await?;
        if answer.status() != StatusCode::OK {
            return Err(refused(&url, answer.status(), "a listing (200)"));
        }
        let body = answer.body();
        let json = parse(body).map_err(|error| {
            Problem::usage(format!(
                "{url}: {error}: expected a JSON array of rows, or an object with one"
            ))
        })?;
        let items = items(&url, &json)?;
        rows.extend(items.iter().map(|item| item.to_string().into_bytes()));
        next = following(&answer, &json).map(|more| absolute(&url, &more));
    }
    Ok(rows)
}

/// The rows of a page.
fn items<'j, 'p>(url: &str, json: &'j Json<'p>) -> Result<&'j [Json<'p>], Problem> {
    if let Json::Array(items) = json {
        return Ok(items);
    }
    let Json::Object(members) = json else {
        let message = format!(
            "{url}: found a JSON {}, expected an array of rows, or an object with one",
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
                "{url}: found {found} among the object's members, expected one array of rows"
            )))
        }
    }
}

/// Where the next page is: a `Link` header (RFC 8288), a member that holds a URL, or a cursor.
fn following(answer: &Response<Bytes>, json: &Json<'_>) -> Option<String> {
    let links = answer.headers().get_all(LINK).into_iter();
    for link in links
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let (target, parameters) = link.split_once('>')?;
        if parameters.contains("rel=\"next\"") || parameters.contains("rel=next") {
            return Some(target.trim().trim_start_matches('<').to_owned());
        }
    }
    let text = |path: &str| match json.pointer(path) {
        Some(Json::String(text)) if !text.is_empty() => Some(text.to_string()),
        _ => None,
    };
    MORE.into_iter()
        .find_map(text)
        .or_else(|| text("/next_cursor").map(|cursor| format!("?cursor={}", encoded(&cursor))))
        .or_else(|| {
            text("/next_page_token").map(|token| format!("?page_token={}", encoded(&token)))
        })
}

/// The URL that `more` means on the page `url`.
fn absolute(url: &str, more: &str) -> String {
    if more.contains("://") {
        return more.to_owned();
    }
    let path = url.find("://").map_or(0, |at| at + 3);
    let origin = path + url[path..].find('/').unwrap_or(url.len() - path);
    if more.starts_with('/') {
        return format!("{}{more}", &url[..origin]);
    }
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let Some(added) = more.strip_prefix('?') else {
        let folder = base.rfind('/').map_or(base, |at| &base[..=at]);
        return format!("{folder}{more}");
    };
    let name = added.split('=').next().unwrap_or(added);
    let kept = query
        .split('&')
        .filter(|part| !part.is_empty() && part.split('=').next() != Some(name));
    let parts: Vec<&str> = kept.chain([added]).collect();
    format!("{base}?{}", parts.join("&"))
}

async fn get(client: &Client, url: &str) -> Result<Response<Bytes>, Problem> {
    let uri: Uri = url.parse().map_err(|error| {
        Problem::usage(format!("{url}: {error}: expected http://host:port/path"))
    })?;
    let request = Request::get(uri)
        .header("accept", "application/json")
        .body(Bytes::new())
        .map_err(|error| Problem::usage(format!("{url}: {error}")))?;
    client
        .send(request, DEADLINE)
        .await
        .map_err(|failure| Problem::infrastructure(format!("{url}: {failure}")))
}

fn refused(url: &str, status: StatusCode, expected: &str) -> Problem {
    let problem = Problem::infrastructure(format!(
        "{url}: found the answer {status}, expected {expected}"
    ));
    if status.is_client_error() {
        return problem.hint("a service that lists nothing can be compared by its database or an export, or by id: http://HOST:PORT/PATH/{id} with --ids");
    }
    problem
}

/// Text as a part of a URL.
fn encoded(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_from_any_spelling() {
        let check = |more: &str, expect: &str| {
            assert_eq!(absolute("http://h:1/a/list?size=2&cursor=x", more), expect);
        };
        check("http://other/x", "http://other/x");
        check("/b?p=2", "http://h:1/b?p=2");
        check("?cursor=y", "http://h:1/a/list?size=2&cursor=y");
        check("list?p=2", "http://h:1/a/list?p=2");
        assert_eq!(absolute("http://h:1", "/b"), "http://h:1/b");
    }
}
