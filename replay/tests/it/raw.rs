//! A server that speaks HTTP/1.1 by hand, so that it can also do it wrong.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rehearsal_host::{Host, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A request, as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The number of its connection, from 0.
    pub(crate) connection: usize,
    /// `GET /path HTTP/1.1`, and the headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Asked {
    /// The target of the request line.
    pub(crate) fn target(&self) -> &str {
        self.head.split(' ').nth(1).expect("a request line")
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// What the server does with a request.
pub(crate) enum Reaction {
    /// Writes these bytes and reads on.
    Write(String),
    /// Writes these bytes and closes.
    WriteAndClose(String),
    /// Writes these bytes, and some more so much later.
    WriteTwice(String, Duration, String),
    /// Never answers.
    Hang,
    /// Writes these bytes one at a time, so far apart.
    Trickle(String, Duration),
}

/// An answer with this status, these headers (each line ended) and this body.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> Reaction {
    let length = body.len();
    Reaction::Write(format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    ))
}

/// What a server was asked, in order.
pub(crate) type Log = Arc<Mutex<Vec<Asked>>>;

/// Serves `react`; returns the URL and the log.
pub(crate) async fn raw(
    host: &Host,
    react: impl Fn(&Asked) -> Reaction + Send + Sync + 'static,
) -> (String, Log) {
    let mut listener = host.bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.address());
    let log: Log = Arc::default();
    let (react, seen, machine) = (Arc::new(react), log.clone(), host.clone());
    let connections = AtomicUsize::new(0);
    host.spawn(async move {
        while let Ok(stream) = listener.accept().await {
            let number = connections.fetch_add(1, Ordering::SeqCst);
            let (react, seen, host) = (react.clone(), seen.clone(), machine.clone());
            machine.spawn(async move {
                connection(&host, stream, number, &*react, &seen).await;
            });
        }
    });
    (url, log)
}

async fn connection(
    host: &Host,
    mut stream: Stream,
    number: usize,
    react: &(dyn Fn(&Asked) -> Reaction + Send + Sync),
    log: &Log,
) {
    while let Some(asked) = request(&mut stream, number).await {
        log.lock().expect("no panic").push(asked.clone());
        match react(&asked) {
            Reaction::Write(bytes) => {
                if stream.write_all(bytes.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reaction::WriteAndClose(bytes) => {
                let _ = stream.write_all(bytes.as_bytes()).await;
                return;
            }
            Reaction::WriteTwice(bytes, later, more) => {
                let _ = stream.write_all(bytes.as_bytes()).await;
                host.sleep(later).await;
                if stream.write_all(more.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reaction::Hang => std::future::pending::<()>().await,
            Reaction::Trickle(bytes, apart) => {
                for byte in bytes.bytes() {
                    if stream.write_all(&[byte]).await.is_err() {
                        return;
                    }
                    host.sleep(apart).await;
                }
            }
        }
    }
}

async fn request(stream: &mut Stream, connection: usize) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let asked = Asked {
                connection,
                head,
                body: String::new(),
            };
            let length = asked.header("content-length").map_or(0, |length| {
                length.parse().expect("the client writes a number")
            });
            while bytes.len() < end + 4 + length {
                (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
            }
            let body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
            return Some(Asked { body, ..asked });
        }
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    }
}
