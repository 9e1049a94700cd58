//! A relay between the receiver and ClickHouse that breaks chosen inserts at chosen places: the one
//! thing in these tests that is not real. Everything else passes unchanged. It must never alter a
//! byte of what it forwards.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::http::{Head, Piece, copy_body, read_body, read_head};

/// What happens to one insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It passes.
    Pass,
    /// The server gets all of it and answers; the answer is thrown away and the connection cut.
    CutAnswer,
    /// The connection is cut in the middle of the block with this number, from 0; before the end of
    /// the body if it has fewer blocks.
    CutRequest(u64),
    /// It is answered with 503 and never reaches the server.
    Unavailable,
    /// The connection is cut before anything reaches the server.
    Reset,
}

/// One sending of an insert, as the relay saw it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What the request asks for, decoded: path, query string.
    pub target: String,
    /// Its `insert_deduplication_token`.
    pub token: String,
    /// What happened to it.
    pub fate: Fate,
    /// Chunks of the body; the receiver sends each `Native` block as one.
    pub blocks: u64,
    /// Bytes of the body.
    pub bytes: u64,
    /// Hash of the body and of where its chunks end.
    pub hash: u64,
    /// Whether the body was read to its end.
    pub complete: bool,
    /// What the server answered, if it was asked and did.
    pub status: Option<u16>,
}

/// A running relay. It ends when it is dropped.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    table: String,
    decide: Box<dyn Fn(u64) -> Fate + Send + Sync>,
    inserts: AtomicU64,
    attempts: Mutex<Vec<Attempt>>,
    stopped: AtomicBool,
}

/// How long either side may take nothing.
const PATIENCE: Duration = Duration::from_secs(120);

impl Relay {
    /// Relays to `url` (`http://HOST:PORT`). `decide` gets the number of each insert into `table`
    /// (`DATABASE.TABLE`), from 1, and says what happens to it.
    pub fn start(url: &str, table: &str, decide: impl Fn(u64) -> Fate + Send + Sync + 'static) -> Relay {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream: url.trim_start_matches("http://").trim_end_matches('/').to_string(),
            table: table.to_string(),
            decide: Box::new(decide),
            inserts: AtomicU64::new(0),
            attempts: Mutex::new(Vec::new()),
            stopped: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = accepting.clone();
                std::thread::spawn(move || {
                    // Whatever broke, both connections are closed by now.
                    let _ = client.and_then(|client| serve(&shared, client));
                });
            }
        });
        Relay { address, shared }
    }

    /// Where it listens, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The inserts it has seen, in order of their ends.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.shared.attempts.lock().unwrap().clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(shared: &Shared, client: TcpStream) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut from_client = BufReader::new(client.try_clone()?);
    let mut to_client = client.try_clone()?;
    let mut server: Option<(BufReader<TcpStream>, TcpStream)> = None;
    while let Some(request) = read_head(&mut from_client)? {
        let (fate, mut attempt) = shared.judge(&request);
        if fate == Fate::Reset {
            shared.note(attempt);
            // Unread bytes make this a reset.
            return client.shutdown(Shutdown::Both);
        }
        if fate == Fate::Unavailable {
            let mut gathered = Gathered::default();
            read_body(&mut from_client, &request, |piece| gathered.take(piece))?;
            gathered.into_attempt(&mut attempt, true);
            shared.note(attempt);
            to_client.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nlater")?;
            continue;
        }
        if server.is_none() {
            let stream = TcpStream::connect(&shared.upstream)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            server = Some((BufReader::new(stream.try_clone()?), stream));
        }
        let (from_server, to_server) = server.as_mut().unwrap();
        to_server.write_all(&request.bytes)?;
        let mut gathered = Gathered::default();
        let forwarded = read_body(&mut from_client, &request, |piece| {
            let cut = match fate {
                Fate::CutRequest(block) => gathered.blocks == block || matches!(piece, Piece::End(_)),
                _ => false,
            };
            gathered.take(piece)?;
            forward(to_server, piece, cut)
        });
        gathered.into_attempt(&mut attempt, forwarded.is_ok());
        if matches!(fate, Fate::CutRequest(_)) {
            shared.note(attempt);
            let _ = to_server.shutdown(Shutdown::Both);
            return client.shutdown(Shutdown::Both);
        }
        // The server may answer before it has read everything, and then read no more.
        let answer = read_head(from_server)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if let Some(attempt) = &mut attempt {
            attempt.status = answer.status();
        }
        if fate == Fate::CutAnswer {
            read_body(from_server, &answer, |_| Ok(()))?;
            shared.note(attempt);
            return client.shutdown(Shutdown::Both);
        }
        shared.note(attempt);
        to_client.write_all(&answer.bytes)?;
        copy_body(from_server, &answer, &mut to_client)?;
        if forwarded.is_err() || answer.closes() {
            return client.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

impl Shared {
    fn judge(&self, request: &Head) -> (Fate, Option<Attempt>) {
        let target = decode_percent(request.target()).replace('`', "");
        if !target.contains(&format!("INSERT INTO {} ", self.table)) {
            return (Fate::Pass, None);
        }
        let number = self.inserts.fetch_add(1, Ordering::SeqCst) + 1;
        let fate = (self.decide)(number);
        let token = target.split("insert_deduplication_token=").nth(1).unwrap_or_default();
        let token = token.split('&').next().unwrap_or_default().to_string();
        let attempt =
            Attempt { target, token, fate, blocks: 0, bytes: 0, hash: 0, complete: false, status: None };
        (fate, Some(attempt))
    }

    fn note(&self, attempt: Option<Attempt>) {
        self.attempts.lock().unwrap().extend(attempt);
    }
}

fn forward(to: &mut TcpStream, piece: Piece<'_>, cut: bool) -> io::Result<()> {
    match piece {
        Piece::Chunk { head, payload } => {
            to.write_all(head)?;
            if cut {
                to.write_all(&payload[..payload.len() / 2])?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            to.write_all(payload)?;
            if !head.is_empty() { to.write_all(b"\r\n") } else { Ok(()) }
        }
        Piece::End(_) if cut => Err(io::ErrorKind::ConnectionAborted.into()),
        Piece::End(bytes) => to.write_all(bytes),
    }
}

#[derive(Default)]
struct Gathered {
    blocks: u64,
    bytes: u64,
    hasher: DefaultHasher,
}

impl Gathered {
    fn take(&mut self, piece: Piece<'_>) -> io::Result<()> {
        if let Piece::Chunk { payload, .. } = piece {
            self.blocks += 1;
            self.bytes += payload.len() as u64;
            self.hasher.write_usize(payload.len());
            self.hasher.write(payload);
        }
        Ok(())
    }

    fn into_attempt(self, attempt: &mut Option<Attempt>, complete: bool) {
        if let Some(attempt) = attempt {
            attempt.blocks = self.blocks;
            attempt.bytes = self.bytes;
            attempt.hash = self.hasher.finish();
            attempt.complete = complete;
        }
    }
}

/// Undoes the encoding of a query string.
fn decode_percent(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = text.get(index + 1..index + 3).filter(|_| bytes[index] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                index += 3;
            }
            None => {
                decoded.push(if bytes[index] == b'+' { b' ' } else { bytes[index] });
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
