//! Against a web server as there are many, against ones that misbehave, and by TLS.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio::runtime::Runtime;

use super::*;

const CONTENT: &[u8] = b"1\tone\n2\ttwo\n";
const CHANGED: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

/// What a server was asked: the path and `Authorization`.
type Asked = Arc<Mutex<Vec<(String, Option<String>)>>>;

#[derive(Clone)]
struct Site {
    asked: Asked,
    /// Where `/elsewhere` leads.
    elsewhere: String,
}

/// A web server that ends when it is dropped.
struct Server {
    url: String,
    asked: Asked,
    _runtime: Runtime,
}

impl Server {
    fn start(elsewhere: &str) -> Server {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let asked = Asked::default();
        let site = Site { asked: asked.clone(), elsewhere: elsewhere.to_string() };
        let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(site);
        runtime.spawn(async move { axum::serve(listener, router).await });
        Server { url, asked, _runtime: runtime }
    }

    fn asked(&self) -> Vec<(String, Option<String>)> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(State(site): State<Site>, request: Request) -> Response {
    let header = |name: HeaderName| text_of(request.headers(), &name);
    let path = request.uri().path().to_string();
    let authorization = header(AUTHORIZATION);
    site.asked.lock().unwrap().push((path.clone(), authorization.clone()));
    let redirect = |to: String| (StatusCode::FOUND, [(LOCATION, to)]).into_response();
    match path.as_str() {
        "/file" => {
            if header(IF_NONE_MATCH).as_deref() == Some("\"v1\"") {
                return StatusCode::NOT_MODIFIED.into_response();
            }
            ([(ETAG, "\"v1\""), (LAST_MODIFIED, CHANGED)], CONTENT).into_response()
        }
        "/dated" if header(IF_MODIFIED_SINCE).as_deref() == Some(CHANGED) => {
            StatusCode::NOT_MODIFIED.into_response()
        }
        "/dated" => ([(LAST_MODIFIED, CHANGED)], CONTENT).into_response(),
        "/never-new" => StatusCode::NOT_MODIFIED.into_response(),
        "/plain" | "/hop0" => CONTENT.into_response(),
        "/basic" if authorization.as_deref() == Some("Basic dXNlcjpwYTpzcw==") => CONTENT.into_response(),
        "/bearer" if authorization.as_deref() == Some("Bearer t0ken") => CONTENT.into_response(),
        "/basic" | "/bearer" => StatusCode::UNAUTHORIZED.into_response(),
        "/moved" => redirect("/basic".to_string()),
        "/elsewhere" => redirect(site.elsewhere),
        "/lost" => StatusCode::FOUND.into_response(),
        "/odd" => {
            let mut answer = CONTENT.into_response();
            answer.headers_mut().insert(ETAG, HeaderValue::from_bytes(b"\"\xff\"").unwrap());
            answer
        }
        hop if hop.starts_with("/hop") => {
            let left: u32 = hop.trim_start_matches("/hop").parse().unwrap();
            redirect(format!("hop{}", left - 1))
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn at(url: String) -> Http {
    Http { url, credentials: None, ca: None }
}

fn basic(url: String) -> Http {
    let credentials = Credentials::Basic { username: "user".to_string(), password: "pa:ss".to_string() };
    Http { credentials: Some(credentials), ..at(url) }
}

fn new(fetched: Fetched) -> (Vec<u8>, Validators) {
    match fetched {
        Fetched::New { content, validators } => (content, validators),
        Fetched::Unchanged => panic!("unchanged"),
    }
}

#[test]
fn content_comes_once() {
    let server = Server::start("");
    for (path, etag) in [("/file", Some("\"v1\"".to_string())), ("/dated", None)] {
        let http = at(format!("{}{path}", server.url));
        let (content, validators) = new(fetch(&http, None).unwrap());
        assert_eq!(content, CONTENT);
        assert_eq!(validators, Validators { etag, last_modified: Some(CHANGED.to_string()) });
        assert_eq!(fetch(&http, Some(&validators)).unwrap(), Fetched::Unchanged);
        let older = Validators { etag: Some("\"v0\"".to_string()), last_modified: None };
        assert_eq!(new(fetch(&http, Some(&older)).unwrap()).0, CONTENT);
    }
    for path in ["/plain", "/odd"] {
        let (content, validators) = new(fetch(&at(format!("{}{path}", server.url)), None).unwrap());
        assert_eq!((content.as_slice(), validators), (CONTENT, Validators::default()));
    }
}

#[test]
fn a_status_is_told() {
    let server = Server::start("");
    for (path, expected) in [("/missing", 404), ("/basic", 401), ("/never-new", 304)] {
        let error = fetch(&at(format!("{}{path}", server.url)), None).unwrap_err();
        assert!(matches!(error, FetchError::Status { status, .. } if status == expected), "{error}");
    }
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let server = Server::start("");
    let user = basic(format!("{}/basic", server.url));
    assert_eq!(new(fetch(&user, None).unwrap()).0, CONTENT);
    let token = |token: &str| {
        let credentials = Credentials::Bearer { token: token.to_string() };
        Http { credentials: Some(credentials), ..at(format!("{}/bearer", server.url)) }
    };
    assert_eq!(new(fetch(&token("t0ken"), None).unwrap()).0, CONTENT);
    let error = fetch(&token("t0\nken"), None).unwrap_err();
    assert!(matches!(error, FetchError::Credentials { .. }), "{error:?}");
    for shown in [format!("{user:?}"), format!("{:?}", token("t0ken")), format!("{error} {error:?}")] {
        assert!(!shown.contains("pa:ss") && !shown.contains("ken\"") && !shown.contains("t0"), "{shown}");
    }
}

#[test]
fn five_redirects_are_followed() {
    let server = Server::start("");
    assert_eq!(new(fetch(&at(format!("{}/hop5", server.url)), None).unwrap()).0, CONTENT);
    let error = fetch(&at(format!("{}/hop6", server.url)), None).unwrap_err();
    assert!(matches!(error, FetchError::Redirects { most: 5, .. }), "{error}");
    let error = fetch(&at(format!("{}/lost", server.url)), None).unwrap_err();
    assert!(matches!(error, FetchError::Redirect { .. }), "{error}");
}

#[test]
fn credentials_stay_with_their_server() {
    let other = Server::start("");
    let server = Server::start(&format!("{}/plain", other.url));
    assert_eq!(new(fetch(&basic(format!("{}/moved", server.url)), None).unwrap()).0, CONTENT);
    assert!(server.asked().iter().all(|(_, authorization)| authorization.is_some()));

    assert_eq!(new(fetch(&basic(format!("{}/elsewhere", server.url)), None).unwrap()).0, CONTENT);
    assert_eq!(other.asked(), [("/plain".to_string(), None)]);

    // Nor do they come back by way of another server.
    let back = Server::start(&format!("{}/moved", server.url));
    let there = Server::start(&format!("{}/elsewhere", back.url));
    let error = fetch(&basic(format!("{}/elsewhere", there.url)), None).unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 401, .. }), "{error}");
}

/// A server that answers every connection's first request with the same bytes, then closes. By TLS with `tls`.
fn answering(bytes: Vec<u8>, tls: Option<Arc<ServerConfig>>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // A client that does not trust us goes away: no failure of the server's.
            let _ = match &tls {
                None => talk(&mut stream, &bytes),
                Some(config) => {
                    let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
                    let talked = talk(&mut tls, &bytes);
                    tls.conn.send_close_notify();
                    let _ = tls.flush();
                    talked
                }
            };
        }
    });
    format!("{address}/x")
}

fn talk(stream: &mut (impl Read + Write), bytes: &[u8]) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&piece[..count]),
        }
    }
    stream.write_all(bytes)?;
    stream.flush()
}

fn answered(bytes: &str, limits: &Limits) -> Result<Fetched, FetchError> {
    fetch_within(&at(format!("http://{}", answering(bytes.into(), None))), None, limits)
}

#[test]
fn a_part_of_an_answer_is_an_error() {
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n1\tone\n2\ttwo\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n1\tone\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n1\to",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n1\tone\n2\ttwo\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "",
    ] {
        let error = answered(bytes, &Limits::default()).unwrap_err();
        assert!(
            matches!(error, FetchError::Unreachable { .. } | FetchError::Protocol { .. }),
            "{bytes:?}: {error:?}"
        );
    }
    let whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n1\tone\n\r\n0\r\n\r\n";
    assert_eq!(new(answered(whole, &Limits::default()).unwrap()).0, b"1\tone\n");
}

#[test]
fn what_is_no_web_server_is_an_error() {
    let error = answered("SSH-2.0-OpenSSH_9.6\r\n\r\n", &Limits::default()).unwrap_err();
    assert!(matches!(error, FetchError::Protocol { .. }), "{error:?}");
}

#[test]
fn an_answer_has_a_limit() {
    let sized = |count: usize| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n{}", "a".repeat(count.min(100_000)))
    };
    let chunked = |count: usize| {
        let body = "a".repeat(count);
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{count:x}\r\n{body}\r\n0\r\n\r\n")
    };
    let limits = || Limits { bytes: 70_000, ..Limits::default() };
    for fits in [sized(70_000), chunked(70_000)] {
        assert_eq!(new(answered(&fits, &limits()).unwrap()).0.len(), 70_000);
    }
    for larger in [sized(70_001), chunked(70_001), sized(usize::MAX)] {
        let error = answered(&larger, &limits()).unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { limit: 70_000, .. }), "{error:?}");
    }
}

#[test]
fn silence_ends() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let http = at(format!("http://{}/x", listener.local_addr().unwrap()));
    let limits = Limits { begin: Duration::from_millis(200), ..Limits::default() };
    let error = fetch_within(&http, None, &limits).unwrap_err();
    assert!(matches!(error, FetchError::Timeout { .. }), "{error:?}");
}

#[test]
fn nobody_there_is_an_error() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    drop(listener);
    let error = fetch(&at(url.clone()), None).unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().starts_with(&format!("{url} cannot be reached: ")), "{error}");
}

/// A CA's certificate, and a server's configuration with a certificate for 127.0.0.1 that it has signed.
fn tls_server() -> (Vec<u8>, Arc<ServerConfig>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_string()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
        )
        .unwrap();
    (ca.into_bytes(), Arc::new(config))
}

#[test]
fn only_the_given_ca_is_trusted() {
    let (ca, server) = tls_server();
    let (other_ca, _) = tls_server();
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n1\tone\n".to_vec();
    let url = format!("https://{}", answering(bytes, Some(server)));
    let fetch_with = |ca: Option<&[u8]>| {
        let ca = ca.map(<[u8]>::to_vec);
        fetch(&Http { ca, ..at(url.clone()) }, None)
    };
    assert_eq!(new(fetch_with(Some(&ca)).unwrap()).0, b"1\tone\n");
    let both = [other_ca.clone(), ca].concat();
    assert_eq!(new(fetch_with(Some(&both)).unwrap()).0, b"1\tone\n");
    let error = fetch_with(Some(&other_ca)).unwrap_err();
    assert!(matches!(error, FetchError::NotTrusted { .. }), "{error:?}");
    let error = fetch_with(None).unwrap_err();
    assert!(
        matches!(error, FetchError::NotTrusted { .. } | FetchError::NoSystemCertificates { .. }),
        "{error:?}"
    );
    for wrong in [&b""[..], b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let error = fetch_with(Some(wrong)).unwrap_err();
        assert!(matches!(error, FetchError::Ca { .. }), "{error:?}");
    }
}

#[test]
fn https_never_becomes_http() {
    let plain = Server::start("");
    let (ca, server) = tls_server();
    let bytes = format!("HTTP/1.1 302 Found\r\nLocation: {}/plain\r\nContent-Length: 0\r\n\r\n", plain.url);
    let url = format!("https://{}", answering(bytes.into(), Some(server)));
    let error = fetch(&Http { ca: Some(ca), ..basic(url) }, None).unwrap_err();
    assert!(matches!(error, FetchError::Redirect { .. }), "{error:?}");
    assert_eq!(plain.asked(), []);
}
