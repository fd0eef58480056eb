//! The real client against a real socket on this machine. Each server gives one scripted answer.

use std::cell::RefCell;
use std::sync::Arc;

use async_net::{TcpListener, TcpStream};
use data_encoding::BASE64;
use futures_rustls::TlsAcceptor;
use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer};
use futures_rustls::rustls::{RootCertStore, ServerConfig};
use smol::LocalExecutor;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::sys::clock::RealClock;
use crate::sys::reach::Reach;

const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    first_byte: Duration::from_secs(5),
    idle: Duration::from_secs(5),
    body_bytes: 100_000,
};

/// A self-signed certificate for localhost and 127.0.0.1, valid from 2020 to 2120, and its key.
/// It protects nothing.
const CERTIFICATE: &str = "MIIBbDCCARKgAwIBAgIBATAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1iYXJuYWNsZSB0ZXN0MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYwFAYDVQQDDA1iYXJuYWNsZSB0ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE0+rVAo0rDtKmzdRQyO7u7Gy6ei2D4YMEDvMLWrSqemob81hIySNFAHjArNcuGQxzLzOzztCEsrVzLw1VdOOT2aNLMEkwDAYDVR0TAQH/BAIwADAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwHQYDVR0OBBYEFJBd6fmhxBpDNR4wBcsclLLFeY9hMAoGCCqGSM49BAMCA0gAMEUCIQDgThTaojrNoilMwOtuPDncFEGTX8N/A/cr9hgAMtjYHwIgFQsIzc05RhScnqQUGizks4qig7cFS82EvGM53NtgTUY=";
const KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPA33Pr1GoQ/ldAMOmZ7ZfHSdqsl4mDVZ3irwxR98e6+hRANCAATT6tUCjSsO0qbN1FDI7u7sbLp6LYPhgwQO8wtatKp6ahvzWEjJI0UAeMCs1y4ZDHMvM7PO0ISytXMvDVV045PZ";

/// What a server does after it has read the request.
#[derive(Clone)]
enum Then {
    Close,
    /// Keeps the connection open and says nothing more.
    Hold,
}

/// Runs `client` beside a server that answers one request with `answer`; gives the request's bytes too.
fn with_server<T>(answer: Vec<u8>, then: Then, client: impl AsyncFnOnce(RealHttp, String) -> T) -> (T, String) {
    let executor = Rc::new(LocalExecutor::new());
    let tasks = Tasks::on(&executor);
    let seen = Rc::new(RefCell::new(String::new()));
    let result = smol::block_on(executor.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/x?y=1", listener.local_addr().unwrap());
        let heard = Rc::clone(&seen);
        let server = tasks.spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let request = read_request(&mut socket).await;
            heard.borrow_mut().push_str(&request);
            socket.write_all(&answer).await.unwrap();
            if matches!(then, Then::Hold) {
                // Ends when the client hangs up.
                let _ = socket.read(&mut [0]).await;
                heard.borrow_mut().push_str("<hung up>");
            }
        });
        let http = RealHttp::new(Rc::new(RealClock::start()), tasks.clone());
        let result = client(http, url).await;
        server.await;
        result
    }));
    let seen = seen.borrow().clone();
    (result, seen)
}

/// Reads a head and as many bytes as it announces.
async fn read_request(socket: &mut (impl smol::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() >= length.parse().unwrap() {
                return text;
            }
        }
        let mut piece = [0; 1024];
        let count = socket.read(&mut piece).await.unwrap();
        bytes.extend_from_slice(&piece[..count]);
    }
}

fn post(url: &str) -> Request {
    Request {
        method: Method::Post,
        url: url.to_owned(),
        socket: None,
        reach: Reach::Any,
        headers: vec![("x-api-key".to_owned(), "k".to_owned())],
        body: b"hello".to_vec(),
        limits: LIMITS,
    }
}

/// Sends, and reads the whole body.
async fn fetch(http: &RealHttp, request: Request) -> (u16, Vec<u8>, Result<(), HttpError>) {
    let mut response = match http.send(request).await {
        Ok(response) => response,
        Err(error) => return (0, Vec::new(), Err(error)),
    };
    let mut body = Vec::new();
    loop {
        match response.body.next().await {
            Ok(Some(piece)) => body.extend(piece),
            Ok(None) => return (response.status, body, Ok(())),
            Err(error) => return (response.status, body, Err(error)),
        }
    }
}

fn answer_of(answer: impl Into<Vec<u8>>, then: Then) -> (u16, Vec<u8>, Result<(), HttpError>) {
    with_server(answer.into(), then, async |http, url| fetch(&http, post(&url)).await).0
}

#[test]
fn a_request_is_sent_whole_with_host_and_length() {
    let (result, seen) =
        with_server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(), Then::Close, async |http, url| {
            fetch(&http, post(&url)).await
        });
    assert_eq!(result, (200, b"ok".to_vec(), Ok(())));
    assert!(seen.starts_with("POST /v1/x?y=1 HTTP/1.1\r\n"), "{seen}");
    for line in
        ["host: 127.0.0.1:", "content-length: 5\r\n", "x-api-key: k\r\n", "connection: close\r\n", "\r\n\r\nhello"]
    {
        assert!(seen.contains(line), "{line} in {seen}");
    }
}

#[test]
fn bodies_end_by_length_chunk_or_close() {
    let chunked =
        "HTTP/1.1 429 No\r\ntransfer-encoding: chunked\r\nRetry-After: 3\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(answer_of(chunked, Then::Hold), (429, b"abcde".to_vec(), Ok(())));
    assert_eq!(answer_of("HTTP/1.1 200 OK\r\n\r\nto the end", Then::Close), (200, b"to the end".to_vec(), Ok(())));
    assert_eq!(answer_of("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Then::Hold), (200, Vec::new(), Ok(())));
}

#[test]
fn an_early_end_is_an_error_and_not_an_end() {
    for cut in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc",
    ] {
        assert_eq!(answer_of(cut, Then::Close), (200, b"abc".to_vec(), Err(HttpError::CutOff)), "{cut:?}");
    }
    assert_eq!(answer_of("HTTP/1.1 200", Then::Close).2, Err(HttpError::CutOff));
    assert_eq!(answer_of("", Then::Close).2, Err(HttpError::CutOff));
}

#[test]
fn a_body_over_its_bound_is_refused_announced_or_not() {
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\nx";
    assert_eq!(answer_of(announced, Then::Hold).2, Err(HttpError::TooLarge(100_000)));
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.resize(120_000, b'x');
    let (_, body, end) = answer_of(endless, Then::Close);
    assert_eq!(end, Err(HttpError::TooLarge(100_000)));
    assert!(body.len() <= 100_000);
}

#[test]
fn a_head_over_its_bound_and_what_is_not_http_are_protocol_errors() {
    let mut head = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    head.resize(limits::RESPONSE_HEAD_BYTES + 1, b'x');
    for (answer, word) in [
        (head, "more than 32768 bytes"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec(), "HTTP"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(), "chunk"),
    ] {
        match answer_of(answer, Then::Hold).2 {
            Err(HttpError::Protocol(why)) => assert!(why.contains(word), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn slow_servers_meet_the_deadline_that_fits() {
    let quick = Limits { first_byte: Duration::from_millis(40), idle: Duration::from_millis(40), ..LIMITS };
    for (answer, what) in
        [("", HttpError::FIRST_BYTE), ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", HttpError::IDLE)]
    {
        let (result, _) = with_server(answer.into(), Then::Hold, async |http, url| {
            fetch(&http, Request { limits: quick, ..post(&url) }).await
        });
        assert_eq!(result.2, Err(HttpError::Timeout(what)));
    }
}

#[test]
fn dropping_the_body_hangs_up() {
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n".to_vec();
    let (_, seen) = with_server(head, Then::Hold, async |http, url| {
        let mut response = http.send(post(&url)).await.unwrap();
        assert_eq!(response.header("transfer-encoding"), Some("chunked"));
        assert_eq!(response.body.next().await, Ok(Some(b"a".to_vec())));
    });
    assert!(seen.ends_with("<hung up>"), "{seen}");
}

#[test]
fn refusals_before_a_connection_name_their_reason() {
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(async {
        let http = RealHttp::new(Rc::new(RealClock::start()), Tasks::on(&executor));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let refused = http.send(post(&format!("http://{address}/"))).await.unwrap_err();
        assert_eq!(refused, HttpError::Connect(format!("{address}: connection refused")));

        let mut broken = post("http://127.0.0.1:1/");
        broken.headers.push(("x-note".to_owned(), "a\r\nevil: 1".to_owned()));
        assert_eq!(http.send(broken).await.unwrap_err(), HttpError::BadHeader("x-note".to_owned()));
        assert!(matches!(http.send(post("nonsense")).await.unwrap_err(), HttpError::BadUrl(_)));
    }));
}

#[test]
fn tls_works_with_a_trusted_certificate_and_only_then() {
    let executor = Rc::new(LocalExecutor::new());
    let tasks = Tasks::on(&executor);
    let certificate = CertificateDer::from(BASE64.decode(CERTIFICATE.as_bytes()).unwrap());
    smol::block_on(executor.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = acceptor(certificate.clone());
        let _server = tasks.spawn(async move {
            loop {
                let (socket, _): (TcpStream, _) = listener.accept().await.unwrap();
                if let Ok(mut socket) = acceptor.accept(socket).await {
                    read_request(&mut socket).await;
                    let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                    let _ = socket.close().await;
                }
            }
        });
        let client = |roots| RealHttp {
            clock: Rc::new(RealClock::start()),
            tasks: tasks.clone(),
            tls: Rc::new(tls::Tls::trusting(roots)),
        };
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let trusting = client(roots);
        let good = fetch(&trusting, post(&format!("https://127.0.0.1:{port}/"))).await;
        assert_eq!(good, (200, b"ok".to_vec(), Ok(())));

        let stranger = client(RootCertStore::empty());
        let bad = stranger.send(post(&format!("https://127.0.0.1:{port}/"))).await.unwrap_err();
        assert_eq!(bad, HttpError::Tls("127.0.0.1: its certificate comes from an unknown issuer".to_owned()));
    }));
}

#[test]
fn a_server_without_tls_is_named_as_such() {
    let executor = Rc::new(LocalExecutor::new());
    let tasks = Tasks::on(&executor);
    smol::block_on(executor.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let _server = tasks.spawn(async move {
            let (mut socket, _): (TcpStream, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 64]).await;
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        });
        let http = RealHttp {
            clock: Rc::new(RealClock::start()),
            tasks: tasks.clone(),
            tls: Rc::new(tls::Tls::trusting(RootCertStore::empty())),
        };
        let error = http.send(post(&format!("https://localhost:{port}/"))).await.unwrap_err();
        assert_eq!(error, HttpError::Tls("localhost: it does not speak TLS on this port".to_owned()));
    }));
}

fn acceptor(certificate: CertificateDer<'static>) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(BASE64.decode(KEY.as_bytes()).unwrap()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
