//! The one way to a ClickHouse server's HTTP interface, plain or by TLS. Opens no connection by itself, and
//! must never trust the system's certificates where others were given.

use std::sync::Arc;
use std::time::Duration;

use clickhouse::Client;
use http::Uri;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent connection is asked whether it still is one.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// Less than the 3 s after which some servers hang up: a request must not meet a closing connection.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no way to a server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address.
    #[error("{url:?} is not the address of a ClickHouse server: write http://HOST:8123 or https://HOST:8443")]
    Url {
        /// What was given.
        url: String,
    },
    /// The certificates that were given.
    #[error("the CA for {url} cannot be used ({reason}): it must hold certificates in PEM")]
    Ca {
        /// The server.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The system's certificates.
    #[error(
        "this system has no certificates to check {url} with ({reason}): give the CA that has signed its certificate"
    )]
    NoSystemCertificates {
        /// The server.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

/// A client for the server at `url` (`http://HOST:PORT` or `https://HOST:PORT`). With `ca_pem`, exactly those
/// certificates are trusted for `https`; without, the system's. Nothing is sent yet.
///
/// # Errors
/// What is wrong with the address or the certificates.
pub fn connect(url: &str, user: &str, password: &str, ca_pem: Option<&[u8]>) -> Result<Client, ConnectError> {
    let wrong = || ConnectError::Url { url: url.to_string() };
    let address: Uri = url.parse().map_err(|_| wrong())?;
    address.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
    let mut tcp = HttpConnector::new();
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_keepalive(Some(TCP_KEEPALIVE));
    tcp.set_nodelay(true);
    let mut pool = HttpClient::builder(TokioExecutor::new());
    pool.pool_idle_timeout(POOL_IDLE_TIMEOUT);
    let client = match address.scheme_str() {
        // Without a look at certificates: a container may have none.
        Some("http") => Client::with_http_client(pool.build(tcp)),
        Some("https") => {
            tcp.enforce_http(false);
            let roots = match ca_pem {
                Some(pem) => given(url, pem)?,
                None => of_the_system(url)?,
            };
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(tls(roots).map_err(|_| wrong())?)
                .https_only()
                .enable_http1()
                .wrap_connector(tcp);
            Client::with_http_client(pool.build(connector))
        }
        _ => return Err(wrong()),
    };
    Ok(client
        .with_url(url)
        .with_user(user)
        .with_password(password)
        .with_product_info("qoeplane", env!("CARGO_PKG_VERSION")))
}

fn tls(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    // Named, not the process's: whoever calls need not have installed one.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn given(url: &str, pem: &[u8]) -> Result<RootCertStore, ConnectError> {
    let wrong = |reason: String| ConnectError::Ca { url: url.to_string(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("no certificate in it".to_string()));
    }
    Ok(roots)
}

fn of_the_system(url: &str) -> Result<RootCertStore, ConnectError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A system's store may hold some that are unusable; the others serve.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let reason = if reasons.is_empty() { "none were found".to_string() } else { reasons.join(", ") };
        return Err(ConnectError::NoSystemCertificates { url: url.to_string(), reason });
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        for url in ["http://127.0.0.1:8123", "http://[::1]:8123/", "http://clickhouse.example"] {
            connect(url, "qoe", "secret", None).unwrap();
        }
        for url in ["", "clickhouse:8123", "ftp://clickhouse", "http://", "http:// x", "https:///"] {
            let error = connect(url, "qoe", "secret", None).map(drop).unwrap_err();
            assert!(matches!(error, ConnectError::Url { .. }), "{url}: {error}");
        }
    }

    #[test]
    fn a_ca_must_hold_certificates() {
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for pem in [&b""[..], b"no PEM", broken] {
            let error = connect("https://clickhouse:8443", "qoe", "secret", Some(pem)).map(drop).unwrap_err();
            assert!(matches!(error, ConnectError::Ca { .. }), "{error}");
        }
    }
}
