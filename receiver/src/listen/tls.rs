//! TLS of a TCP listener (RFC 7011 section 11): our certificate, and that of the exporter if a CA says whose
//! it may be. Must never hold more of a connection than one record, and never block.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crds::receiver::TlsConfig;
use mio::net::TcpStream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{Error, InvalidMessage, RootCertStore, ServerConfig, ServerConnection};

use super::Refusal;
use super::connection::Received;
use crate::journal::lock;

/// How long an exporter may take from connecting to the end of the handshake.
pub const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// What a connection may hold of a record that has not come completely, with room to spare: a record has
/// at most 16 KiB and 2 KiB of its own.
const BEGUN_RECORD: usize = 20 << 10;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error("tls: {path} cannot be read: {source}")]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// What a file holds.
    #[error("tls: the {what} cannot be used: {reason}")]
    Content {
        /// Which.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// What the files hold. Compared to see whether they have changed, never shown.
#[derive(PartialEq, Eq)]
pub struct TlsPem {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl TlsPem {
    /// Reads the files.
    pub fn read(config: &TlsConfig) -> Result<TlsPem, TlsError> {
        let read = |path: &Path| {
            fs::read(path).map_err(|source| TlsError::Read { path: path.to_path_buf(), source })
        };
        Ok(TlsPem {
            certificate: read(&config.certificate)?,
            key: read(&config.key)?,
            client_ca: config.client_ca.as_deref().map(read).transpose()?,
        })
    }

    fn server_config(&self) -> Result<ServerConfig, TlsError> {
        let wrong =
            |what| move |error: &dyn std::fmt::Display| TlsError::Content { what, reason: error.to_string() };
        let chain = certificates("certificate", &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| wrong("key")(&error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong("protocol versions")(&error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("client CA", pem)? {
                    roots.add(certificate).map_err(|error| wrong("client CA")(&error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| wrong("client CA")(&error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| wrong("certificate with this key")(&error))?;
        // Exporters connect once and stay; nothing is kept for those that come again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(TlsError::Content { what, reason: "no certificate in the file".to_string() }),
        Err(error) => Err(TlsError::Content { what, reason: error.to_string() }),
    }
}

/// What a listener offers; can be replaced, which counts for new connections.
pub struct Tls {
    config: Mutex<Arc<ServerConfig>>,
}

impl Tls {
    /// Offers what these files hold.
    pub fn new(pem: &TlsPem) -> Result<Arc<Tls>, TlsError> {
        Ok(Arc::new(Tls { config: Mutex::new(Arc::new(pem.server_config()?)) }))
    }

    /// Offers something else from now on, if it can be used.
    pub fn replace(&self, pem: &TlsPem) -> Result<(), TlsError> {
        let config = Arc::new(pem.server_config()?);
        *lock(&self.config) = config;
        Ok(())
    }

    /// A connection that was just accepted.
    pub fn accept(&self) -> Result<TlsSession, Error> {
        let config = lock(&self.config).clone();
        let connection = ServerConnection::new(config)?;
        Ok(TlsSession { connection, begun: Instant::now(), heard: false, closed: false, failed: None })
    }
}

/// One connection's TLS.
pub struct TlsSession {
    connection: ServerConnection,
    begun: Instant,
    /// Whether anything has come.
    heard: bool,
    /// Whether the other end has said that nothing more comes.
    closed: bool,
    /// What went wrong, to be told when the bytes before it have been taken.
    failed: Option<Error>,
}

impl TlsSession {
    /// Whether the handshake takes longer than it may.
    pub fn is_late(&self) -> bool {
        self.connection.is_handshaking() && self.begun.elapsed() > HANDSHAKE_WITHIN
    }

    /// Whether the handshake goes on.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Reads once from the socket through `cipher` and decrypts into `free`, which must have room for
    /// more than a record.
    pub fn read(&mut self, stream: &mut TcpStream, cipher: &mut [u8], free: &mut [u8]) -> Received {
        if let Some(error) = self.failed.take() {
            return self.refuse(&error);
        }
        if self.closed {
            return Received::End;
        }
        let length = free.len().saturating_sub(BEGUN_RECORD).min(cipher.len());
        let cipher = cipher.get_mut(..length).unwrap_or_default();
        let read = match stream.read(cipher) {
            Ok(0) if self.heard && self.is_handshaking() => {
                let detail = "the connection ended within the TLS handshake";
                return Received::Refused(Refusal::TlsHandshake, detail.to_string());
            }
            Ok(0) => return Received::End,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.flush(stream);
                return Received::Drained;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Received::Nothing,
            Err(_) => return Received::End,
        };
        self.heard = true;
        let filled = self.decrypt(cipher.get(..read).unwrap_or_default(), free);
        self.flush(stream);
        if filled > 0 {
            return Received::Bytes(filled);
        }
        match self.failed.take() {
            Some(error) => self.refuse(&error),
            None => Received::Nothing,
        }
    }

    fn decrypt(&mut self, mut cipher: &[u8], free: &mut [u8]) -> usize {
        let mut filled = 0;
        while !cipher.is_empty() && !self.closed && self.failed.is_none() {
            match self.connection.read_tls(&mut cipher) {
                Ok(0) => self.closed = true,
                Ok(_) => {}
                Err(error) => self.failed = Some(Error::General(error.to_string())),
            }
            if let Err(error) = self.connection.process_new_packets() {
                self.failed = Some(error);
            }
            // Also after an error: what came before it is whole.
            loop {
                let rest = free.get_mut(filled..).unwrap_or_default();
                if rest.is_empty() {
                    break;
                }
                match self.connection.reader().read(rest) {
                    Ok(0) => {
                        self.closed = true;
                        break;
                    }
                    Ok(read) => filled += read,
                    Err(_) => break,
                }
            }
        }
        filled
    }

    fn refuse(&self, error: &Error) -> Received {
        let refusal = match error {
            Error::NoCertificatesPresented | Error::InvalidCertificate(_) => Refusal::TlsClientCertificate,
            _ if self.connection.is_handshaking() => Refusal::TlsHandshake,
            _ => Refusal::TlsBroken,
        };
        let detail = match error {
            Error::InvalidMessage(InvalidMessage::InvalidContentType) if self.is_handshaking() => {
                "this is not TLS: does the exporter send in the clear?".to_string()
            }
            Error::AlertReceived(alert) => format!("the exporter has refused: {alert:?}"),
            other => other.to_string(),
        };
        Received::Refused(refusal, detail)
    }

    /// Sends what the protocol has to say. What the socket does not take is tried again when it does.
    fn flush(&mut self, stream: &mut TcpStream) {
        while self.connection.wants_write() {
            match self.connection.write_tls(stream) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Says that we send nothing more.
    pub fn say_goodbye(&mut self, stream: &mut TcpStream) {
        self.connection.send_close_notify();
        self.flush(stream);
    }
}
