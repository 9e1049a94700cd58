//! Plain TCP in, TLS out, for programs that speak no TLS. Ends of either side are passed on as such, so that a
//! half-closed connection stays half-closed. Real TLS, nothing is mocked.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, SupportedProtocolVersion,
};

/// How long a relay waits while nothing moves.
const NAP: Duration = Duration::from_millis(1);
/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Identity {
    fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes()).map(Result::unwrap).collect();
        (chain, PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }

    /// What a server with this identity offers.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let (chain, key) = self.der();
        Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
    }
}

fn client_config(
    ca: &str,
    identity: Option<&Identity>,
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = identity.der();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

/// Connects to `to` and closes again. An error if either side refuses the other: with TLS 1.3 a server's refusal
/// comes after the client's handshake.
pub fn handshake(
    to: &str,
    ca: &str,
    identity: Option<&Identity>,
    version: &'static SupportedProtocolVersion,
) -> io::Result<()> {
    let config = Arc::new(client_config(ca, identity, version));
    let session = ClientConnection::new(config, ServerName::try_from("127.0.0.1").unwrap()).unwrap();
    let socket = TcpStream::connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut stream = rustls::StreamOwned::new(session, socket);
    stream.flush()?;
    stream.conn.send_close_notify();
    stream.flush()?;
    // The server closes as well: in order, or with what it had against us.
    stream.read(&mut [0; 16]).map(drop)
}

/// A connection whose handshake is done; tried until there is a server.
fn reach(to: &str, config: &Arc<ClientConfig>) -> Option<(TcpStream, ClientConnection)> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut session = ClientConnection::new(config.clone(), name).unwrap();
        if let Ok(mut server) = TcpStream::connect(to) {
            server.set_read_timeout(Some(PATIENCE)).unwrap();
            if session.complete_io(&mut server).is_ok() {
                return Some((server, session));
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

/// A running relay. It ends when it is dropped; connections end with their two ends.
pub struct TlsRelay {
    address: String,
    stopped: Arc<AtomicBool>,
}

impl TlsRelay {
    /// Relays to `to`, whose certificate `ca` must have signed.
    pub fn start(
        to: &str,
        ca: &str,
        identity: Option<Identity>,
        version: &'static SupportedProtocolVersion,
    ) -> TlsRelay {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stopped = Arc::new(AtomicBool::new(false));
        let config = Arc::new(client_config(ca, identity.as_ref(), version));
        let (to, ending) = (to.to_string(), stopped.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if ending.load(Ordering::SeqCst) {
                    return;
                }
                let (client, to, config) = (client.unwrap(), to.clone(), config.clone());
                std::thread::spawn(move || {
                    // Until then nothing is read from the client, so nothing can be lost here.
                    let Some((server, session)) = reach(&to, &config) else { return };
                    let _ = relay(client, server, session.into());
                });
            }
        });
        TlsRelay { address, stopped }
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.address.clone()
    }
}

impl Drop for TlsRelay {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
    }
}

/// Moves bytes both ways until both ends have closed. What was read from `plain` is sent even if the other side has
/// said that it sends nothing more.
pub fn relay(mut plain: TcpStream, mut cipher: TcpStream, mut tls: Connection) -> io::Result<()> {
    plain.set_nonblocking(true)?;
    cipher.set_nonblocking(true)?;
    let mut buffer = vec![0; 64 << 10];
    let (mut plain_open, mut cipher_open) = (true, true);
    let begun = Instant::now();
    while plain_open || cipher_open {
        let mut moved = false;
        if plain_open && !tls.is_handshaking() {
            match plain.read(&mut buffer) {
                Ok(0) => {
                    plain_open = false;
                    tls.send_close_notify();
                    flush(&mut tls, &mut cipher)?;
                    let _ = cipher.shutdown(Shutdown::Write);
                }
                Ok(read) => {
                    moved = true;
                    tls.writer().write_all(&buffer[..read])?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        if plain_open {
            flush(&mut tls, &mut cipher)?;
        }
        if cipher_open {
            match tls.read_tls(&mut cipher) {
                Ok(read) => {
                    moved |= read > 0;
                    let state = tls.process_new_packets().map_err(io::Error::other)?;
                    let mut left = state.plaintext_bytes_to_read();
                    while left > 0 {
                        let read = tls.reader().read(&mut buffer)?;
                        write_all(&mut plain, &buffer[..read])?;
                        left -= read;
                    }
                    if read == 0 || state.peer_has_closed() {
                        cipher_open = false;
                        let _ = plain.shutdown(Shutdown::Write);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        if tls.is_handshaking() && begun.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if !moved {
            std::thread::sleep(NAP);
        }
    }
    Ok(())
}

fn flush(tls: &mut Connection, cipher: &mut TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(cipher) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(NAP),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn write_all(plain: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match plain.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(NAP),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
