//! A ClickHouse of one table, as far as inserts go: an insert is stored as a whole or not at all, one whose
//! token and number of blocks are remembered is skipped, and everything that can happen to a request does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::dice::Dice;
use crate::native::{self, Row};

/// What becomes of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stored,
    /// Stored, but the answer is lost.
    AnswerLost,
    /// The request breaks off in the middle.
    CutOff,
    /// No answer; it is stored after some more inserts.
    Late(u64),
    /// An error that is none of the rows.
    Unavailable,
    /// The receiver dies before the insert is stored, or after.
    KillsBefore,
    KillsAfter,
}

struct Insert {
    token: String,
    blocks: usize,
    rows: Vec<Row>,
}

#[derive(Default)]
struct Table {
    rows: Vec<Row>,
    /// Tokens with their numbers of blocks, the newest last.
    tokens: VecDeque<(String, usize)>,
}

pub struct State {
    table: Table,
    late: Vec<(u64, Insert)>,
    dice: Dice,
    version: u64,
    /// Inserts that hold one of these are refused for their content.
    pub poison: BTreeSet<u64>,
    /// One insert in so many goes wrong; 0: none does.
    pub trouble: u64,
    /// Whether a request may kill the receiver.
    pub kills: bool,
    /// Tokens that are remembered.
    pub window: usize,
    pub fates: BTreeMap<String, u64>,
}

#[derive(Clone)]
pub struct Server {
    state: Arc<Mutex<State>>,
    kill: Arc<watch::Sender<bool>>,
    pub url: String,
}

impl Server {
    pub async fn start(seed: u64) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = State {
            table: Table::default(),
            late: Vec::new(),
            dice: Dice::new(seed),
            version: 1,
            poison: BTreeSet::new(),
            trouble: 0,
            kills: false,
            window: 20,
            fates: BTreeMap::new(),
        };
        let server =
            Server { state: Arc::new(Mutex::new(state)), kill: Arc::new(watch::channel(false).0), url };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.serve(stream).await });
            }
        });
        server
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Turns true when the receiver is to die.
    pub fn kill(&self) -> &watch::Sender<bool> {
        &self.kill
    }

    pub fn rows(&self) -> Vec<Row> {
        self.state().table.rows.clone()
    }

    /// Another version of the server: it remembers no token, and what it was doing is over.
    pub fn upgrade(&self) {
        let mut state = self.state();
        state.version += 1;
        state.table.tokens.clear();
        state.late.clear();
    }

    /// Attempts that still run end without a trace.
    pub fn end_late_attempts(&self) {
        self.state().late.clear();
    }

    async fn serve(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while let Some(request) = Head::read(&mut stream).await {
            let Some(token) = request.parameter("insert_deduplication_token") else {
                let Some(sql) = request.body(&mut stream, usize::MAX).await else { return };
                let answer = self.state().answer(&String::from_utf8(sql).unwrap());
                if respond(&mut stream, 200, &answer).await.is_none() {
                    return;
                }
                continue;
            };
            let fate = self.state().fate();
            if fate == Fate::CutOff {
                request.body(&mut stream, 100).await;
                return;
            }
            // A client that goes away before it has sent everything leaves nothing.
            let Some(body) = request.body(&mut stream, usize::MAX).await else { return };
            let (blocks, rows) = native::blocks(&body);
            let (status, answer) = self.state().insert(fate, Insert { token, blocks, rows });
            match fate {
                Fate::KillsBefore | Fate::KillsAfter => {
                    self.kill.send_replace(true);
                    return;
                }
                Fate::AnswerLost | Fate::Late(_) => return,
                _ => {}
            }
            if respond(&mut stream, status, answer.as_bytes()).await.is_none() {
                return;
            }
        }
    }
}

impl State {
    fn fate(&mut self) -> Fate {
        let fate = if self.trouble == 0 || !self.dice.once_in(self.trouble) {
            Fate::Stored
        } else {
            match self.dice.below(if self.kills { 8 } else { 6 }) {
                0 | 1 => Fate::AnswerLost,
                2 => Fate::CutOff,
                3 | 4 => Fate::Late(self.dice.below(5)),
                5 => Fate::Unavailable,
                6 => Fate::KillsBefore,
                _ => Fate::KillsAfter,
            }
        };
        let name = format!("{fate:?}").chars().take_while(|letter| letter.is_alphabetic()).collect();
        *self.fates.entry(name).or_default() += 1;
        fate
    }

    fn insert(&mut self, fate: Fate, insert: Insert) -> (u16, String) {
        // Attempts that were given up complete while others pass them.
        let mut late = std::mem::take(&mut self.late);
        late.retain_mut(|(left, _)| {
            *left = left.wrapping_sub(1);
            true
        });
        for (left, insert) in late {
            if left == u64::MAX {
                self.table.store(insert, self.window);
            } else {
                self.late.push((left, insert));
            }
        }
        if insert.rows.iter().any(|row| self.poison.contains(&row.octets)) {
            return (500, "Code: 469. DB::Exception: Constraint `c` is violated".to_string());
        }
        match fate {
            Fate::Unavailable => return (503, "Code: 202. DB::Exception: Too many queries".to_string()),
            Fate::KillsBefore | Fate::CutOff => {}
            Fate::Late(inserts) => self.late.push((inserts, insert)),
            Fate::Stored | Fate::AnswerLost | Fate::KillsAfter => self.table.store(insert, self.window),
        }
        (200, String::new())
    }

    /// Answers in `RowBinary`.
    fn answer(&self, sql: &str) -> Vec<u8> {
        if sql.contains("version()") {
            let version = format!("26.{}", self.version);
            return [&[version.len() as u8], version.as_bytes()].concat();
        }
        assert!(sql.contains("GROUP BY arrival"), "{sql}");
        let after = |mark: &str| -> Vec<u64> {
            let number = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
            sql.split(mark).skip(1).map(|rest| number(rest).parse().unwrap()).collect()
        };
        let journal = after("journal_id = ")[0];
        let span = after("fromUnixTimestamp64Micro(");
        let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
        for row in &self.table.rows {
            if u64::from(row.journal) == journal && (span[0]..=span[1]).contains(&row.arrival_us) {
                *counts.entry(row.arrival_us as i64).or_default() += 1;
            }
        }
        counts.iter().flat_map(|(at, rows)| [at.to_le_bytes(), rows.to_le_bytes()].concat()).collect()
    }
}

impl Table {
    fn store(&mut self, insert: Insert, window: usize) {
        let key = (insert.token, insert.blocks);
        if self.tokens.contains(&key) {
            return;
        }
        self.tokens.push_back(key);
        while self.tokens.len() > window {
            self.tokens.pop_front();
        }
        self.rows.extend(insert.rows);
    }
}

/// The head of a request.
struct Head {
    target: String,
    length: Option<usize>,
}

impl Head {
    async fn read(stream: &mut BufReader<TcpStream>) -> Option<Head> {
        let request = line(stream).await?;
        let target = request.split(' ').nth(1)?.to_string();
        let mut length = None;
        loop {
            let header = line(stream).await?.to_ascii_lowercase();
            if header.is_empty() {
                return Some(Head { target, length });
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = Some(value.trim().parse().ok()?);
            }
        }
    }

    /// A parameter of the query string, decoded.
    fn parameter(&self, name: &str) -> Option<String> {
        let query = self.target.split_once('?')?.1;
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        let mut decoded = Vec::new();
        let mut bytes = value.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'+' => decoded.push(b' '),
                b'%' => {
                    let digits = [bytes.next()?, bytes.next()?];
                    decoded.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                }
                other => decoded.push(other),
            }
        }
        String::from_utf8(decoded).ok()
    }

    /// The body, or its first bytes; `None` if the client goes away before.
    async fn body(&self, stream: &mut BufReader<TcpStream>, at_most: usize) -> Option<Vec<u8>> {
        if let Some(length) = self.length {
            let mut body = vec![0; length.min(at_most)];
            stream.read_exact(&mut body).await.ok()?;
            return Some(body);
        }
        let mut body = Vec::new();
        while body.len() < at_most {
            let length = usize::from_str_radix(line(stream).await?.trim(), 16).ok()?;
            let begin = body.len();
            body.resize(begin + length, 0);
            stream.read_exact(&mut body[begin..]).await.ok()?;
            line(stream).await?;
            if length == 0 {
                break;
            }
        }
        Some(body)
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.ok()?);
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).ok()
}

async fn respond(stream: &mut BufReader<TcpStream>, status: u16, body: &[u8]) -> Option<()> {
    let head = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await.ok()?;
    stream.flush().await.ok()
}
