//! HTTP/2 and TLS: what is spoken, who is trusted, and connections that close.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use rehearsal_host::{
    Host, Stream,
    hyper_glue::HostExecutor,
    tls::{Tls, Trust},
};
use rehearsal_replay::{
    rules::Side,
    run::{Observations, Outcome, Protocol, Target, Transport},
};
use tokio::sync::Notify;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::{
    connections::{in_sessions, run},
    server::{on_this_machine, options, reads},
};

const AUTHORITY: &[u8] = include_bytes!("tls/authority.pem");
const CERTIFICATE: &[u8] = include_bytes!("tls/server.pem");
const KEY: &[u8] = include_bytes!("tls/server.key");
/// As `openssl req -x509` makes them: its own authority.
const OWN_CERTIFICATE: &[u8] = include_bytes!("tls/own.pem");
const OWN_KEY: &[u8] = include_bytes!("tls/own.key");

/// Serves "ok", and its protocol's version, over HTTP/2 or HTTP/1.1, secured or not.
async fn modern(host: &Host, protocols: Option<&[&str]>) -> String {
    showing((CERTIFICATE, KEY), host, protocols).await
}

/// The same with another certificate.
async fn showing(
    (certificate, key): (&[u8], &[u8]),
    host: &Host,
    protocols: Option<&[&str]>,
) -> String {
    let mut listener = host.bind("127.0.0.1:0").await.expect("a port");
    let port = listener
        .address()
        .rsplit(':')
        .next()
        .expect("a port")
        .to_owned();
    let acceptor = protocols.map(|protocols| {
        let certificate = CertificateDer::from_pem_slice(certificate).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(key).expect("a key");
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("they fit");
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        TlsAcceptor::from(Arc::new(config))
    });
    let machine = host.clone();
    host.spawn(async move {
        while let Ok(stream) = listener.accept().await {
            let (host, acceptor) = (machine.clone(), acceptor.clone());
            machine.spawn(async move {
                let Some(acceptor) = acceptor else {
                    return serve(&host, stream, true).await;
                };
                if let Ok(secured) = acceptor.accept(stream).await {
                    let http2 = secured.get_ref().1.alpn_protocol() == Some(b"h2");
                    serve(&host, Stream::new(secured, "peer"), http2).await;
                }
            });
        }
    });
    match protocols {
        Some(_) => format!("https://localhost:{port}"),
        None => format!("http://127.0.0.1:{port}"),
    }
}

async fn serve(host: &Host, stream: Stream, http2: bool) {
    let service =
        hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
            let said = format!("{:?} {:?}", request.version(), request.uri().authority());
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(said))))
        });
    let io = TokioIo::new(stream);
    // What ends a connection is the client's to report.
    if http2 {
        let executor = HostExecutor(host.clone());
        let _ = hyper::server::conn::http2::Builder::new(executor)
            .serve_connection(io, service)
            .await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(io, service)
            .await;
    }
}

fn said(run: &Observations) -> String {
    match &*run.outcomes.read(0) {
        Outcome::Answered(answer) => String::from_utf8_lossy(&answer.body).into_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn http2_is_spoken_by_prior_knowledge() {
    on_this_machine(|host| async move {
        let url = modern(&host, None).await;
        let target = Target {
            transport: Transport {
                protocol: Protocol::Http2,
                tls: None,
            },
            ..Target::new(Side::Legacy, url.clone())
        };
        let done = run(&host, &target, in_sessions(100, 4), &options()).await;
        assert_eq!(done.accounting().answered, 100, "{:?}", done.accounting());
        let authority = url.trim_start_matches("http://");
        assert_eq!(said(&done), format!("HTTP/2.0 Some({authority})"));
        let gone = Target {
            url: "http://127.0.0.1:1".to_owned(),
            ..target
        };
        let done = run(&host, &gone, reads(3), &options()).await;
        assert_eq!(done.accounting().failed_by_reason, [("connect", 3)].into());
    });
}

/// Answers one request on each connection of HTTP/2, and closes it when the second comes.
async fn closing(host: &Host) -> String {
    let mut listener = host.bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.address());
    let machine = host.clone();
    host.spawn(async move {
        while let Ok(stream) = listener.accept().await {
            let executor = HostExecutor(machine.clone());
            machine.spawn(async move {
                let asked = Arc::new((AtomicUsize::new(0), Notify::new()));
                let known = asked.clone();
                let service = hyper::service::service_fn(move |_| {
                    let asked = known.clone();
                    async move {
                        if asked.0.fetch_add(1, Ordering::SeqCst) > 0 {
                            asked.1.notify_one();
                            std::future::pending::<()>().await;
                        }
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("ok"))))
                    }
                });
                let serving = hyper::server::conn::http2::Builder::new(executor)
                    .serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    _ = serving => {}
                    () = asked.1.notified() => {}
                }
            });
        }
    });
    url
}

#[test]
fn a_read_on_a_kept_connection_of_http2_that_closes_is_sent_once_more_and_a_write_is_not() {
    on_this_machine(|host| async move {
        let url = closing(&host).await;
        let target = Target {
            transport: Transport {
                protocol: Protocol::Http2,
                tls: None,
            },
            ..Target::new(Side::Legacy, url)
        };
        let done = run(&host, &target, in_sessions(3, 1), &options()).await;
        assert_eq!((done.accounting().answered, done.resent), (3, 2));
        let mut writes = in_sessions(3, 1);
        for exchange in &mut writes.exchanges {
            exchange.request.method = "POST".to_owned();
        }
        let done = run(&host, &target, writes, &options()).await;
        assert_eq!((done.accounting().answered, done.resent), (2, 0));
        assert_eq!(done.accounting().failed_by_reason, [("broken", 1)].into());
    });
}

/// Whom the client trusts, what it offers, what the server offers, and the version they speak or why they do not.
type Handshake = (
    Trust,
    &'static [&'static str],
    &'static [&'static str],
    Result<&'static str, &'static str>,
);

#[test]
fn tls_is_checked_and_agrees_on_the_protocol() {
    on_this_machine(|host| async move {
        let authority = || Trust::from_pem(AUTHORITY).expect("a certificate");
        let stranger = || Trust::from_pem(CERTIFICATE).expect("a certificate");
        let cases: [Handshake; 5] = [
            (
                authority(),
                &["http/1.1"],
                &["h2", "http/1.1"],
                Ok("HTTP/1.1"),
            ),
            (
                authority(),
                &["h2", "http/1.1"],
                &["h2", "http/1.1"],
                Ok("HTTP/2.0"),
            ),
            (
                authority(),
                &["h2", "http/1.1"],
                &["http/1.1"],
                Ok("HTTP/1.1"),
            ),
            (stranger(), &["http/1.1"], &["http/1.1"], Err("connect")),
            (Trust::Anyone, &["http/1.1"], &["http/1.1"], Ok("HTTP/1.1")),
        ];
        for (trust, offered, served, expect) in cases {
            let url = modern(&host, Some(served)).await;
            let target = Target {
                transport: Transport {
                    protocol: Protocol::Http1,
                    tls: Some(Tls::new(trust, offered).expect("a client")),
                },
                ..Target::new(Side::Legacy, url)
            };
            let done = run(&host, &target, reads(20), &options()).await;
            match expect {
                Ok(version) => assert!(said(&done).starts_with(version), "{}", said(&done)),
                Err(reason) => {
                    assert_eq!(done.accounting().failed_by_reason, [(reason, 20)].into());
                    assert!(said(&done).contains("TLS: "), "{}", said(&done));
                }
            }
        }
    });
}

#[test]
fn a_certificate_that_a_server_made_for_itself_is_trusted_by_name() {
    on_this_machine(|host| async move {
        let url = showing((OWN_CERTIFICATE, OWN_KEY), &host, Some(&["http/1.1"])).await;
        let own = Trust::from_pem(OWN_CERTIFICATE).expect("a certificate");
        let other = Trust::from_pem(AUTHORITY).expect("a certificate");
        let elsewhere = url.replace("localhost", "[::ffff:127.0.0.1]");
        for (trust, url, answered) in [
            (own.clone(), &url, 3),
            (own, &elsewhere, 0),
            (other, &url, 0),
        ] {
            let target = Target {
                transport: Transport {
                    protocol: Protocol::Http1,
                    tls: Some(Tls::new(trust, &["http/1.1"]).expect("a client")),
                },
                ..Target::new(Side::Legacy, url.clone())
            };
            let done = run(&host, &target, reads(3), &options()).await;
            assert_eq!(done.accounting().answered, answered, "{}", said(&done));
        }
    });
}
