//! How to reach the server, and a small blocking client for readiness and for questions by hand.
//! Not for inserts: the receiver has its own client.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Most bytes of an answer that are read.
const MOST_ANSWER: u64 = 64 << 20;

/// How to reach a running server; written to `DATA/clickhouse/connection.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// HTTP port on 127.0.0.1.
    pub http_port: u16,
    /// Port of the native protocol on 127.0.0.1.
    pub tcp_port: u16,
    /// Who to log in as.
    pub user: String,
    /// The file (mode 600) that holds the password, without a line end.
    pub password_file: PathBuf,
    /// The database of Qoeplane's tables; it may not exist yet.
    pub database: String,
}

/// A question that was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The password file cannot be read.
    #[error("cannot read the password file {}: {source}", .path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Nobody answers, or not to the end.
    #[error("no answer from {url}: {source}")]
    Unreachable {
        /// The server.
        url: String,
        /// Why not.
        source: std::io::Error,
    },
    /// ClickHouse's own words.
    #[error("{text}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The answer's text.
        text: String,
    },
    /// The answer is not HTTP: something else listens there.
    #[error("{url} does not speak HTTP")]
    NotHttp {
        /// The server.
        url: String,
    },
}

impl Connection {
    /// The password.
    ///
    /// # Errors
    /// [`QueryError::Password`].
    pub fn password(&self) -> Result<String, QueryError> {
        let password = std::fs::read_to_string(&self.password_file)
            .map_err(|source| QueryError::Password { path: self.password_file.clone(), source })?;
        Ok(password.trim_end().to_owned())
    }

    /// Sends one statement and returns the whole answer (TabSeparated unless it says FORMAT). Tables
    /// must be named with their database.
    ///
    /// # Errors
    /// [`QueryError`]; an error of ClickHouse is [`QueryError::Refused`] with its text.
    pub fn query(&self, sql: &str) -> Result<String, QueryError> {
        self.query_as(&self.user, &self.password()?, sql)
    }

    /// Like [`Connection::query`], as another user.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub fn query_as(&self, user: &str, password: &str, sql: &str) -> Result<String, QueryError> {
        let head = format!(
            "POST /?wait_end_of_query=1 HTTP/1.0\r\nX-ClickHouse-User: {user}\r\n\
             X-ClickHouse-Key: {password}\r\nContent-Length: {}\r\n\r\n",
            sql.len()
        );
        self.exchange(&head, sql, Duration::from_secs(300))
    }

    /// Whether an HTTP server that calls itself well listens; says nothing about the password.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub fn ping(&self) -> Result<(), QueryError> {
        self.exchange("GET /ping HTTP/1.0\r\n\r\n", "", Duration::from_secs(5)).map(drop)
    }

    /// HTTP/1.0: the answer is not chunked and ends with the connection.
    fn exchange(&self, head: &str, body: &str, timeout: Duration) -> Result<String, QueryError> {
        let answer = self
            .transfer(head, body, timeout)
            .map_err(|source| QueryError::Unreachable { url: self.url.clone(), source })?;
        let not_http = || QueryError::NotHttp { url: self.url.clone() };
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(not_http)?;
        let status: u16 = head
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.split_ascii_whitespace().nth(1))
            .and_then(|status| status.parse().ok())
            .ok_or_else(not_http)?;
        if status != 200 {
            return Err(QueryError::Refused { status, text: body.trim_end().to_owned() });
        }
        Ok(body.to_owned())
    }

    fn transfer(&self, head: &str, body: &str, timeout: Duration) -> std::io::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.http_port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(MOST_ANSWER).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}
