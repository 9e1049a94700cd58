//! A dictionary on a web server: fetched only if it has changed since. Must never show credentials to another
//! server than the one they are for, nor leave TLS once it has begun, nor take a part of an answer for all of it.

mod error;
mod redirect;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    LOCATION, TRANSFER_ENCODING,
};
use http::{HeaderMap, StatusCode, Uri};

pub use self::error::FetchError;
use super::MAX_CONTENT;

/// How many redirects are followed.
const MAX_REDIRECTS: u32 = 5;

/// A dictionary on a web server.
#[derive(Clone, Debug)]
pub struct Http {
    /// Where it is, `http://` or `https://`.
    pub url: String,
    /// Who asks; none: anybody.
    pub credentials: Option<Credentials>,
    /// Certificates in PEM that alone are trusted for `https`; none: the system's.
    pub ca: Option<Vec<u8>>,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user.
    Basic {
        /// Its name.
        username: String,
        /// Its password.
        password: String,
    },
    /// Whoever has the token.
    Bearer {
        /// The token.
        token: String,
    },
}

/// Shows no secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Basic { username, .. } => write!(f, "Basic({username})"),
            Credentials::Bearer { .. } => f.write_str("Bearer"),
        }
    }
}

/// What the server calls the content that it sent; it answers shortly when it still has the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// The version's name.
    pub etag: Option<String>,
    /// When it was changed, in the server's words.
    pub last_modified: Option<String>,
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It still has what the validators name.
    Unchanged,
    /// The content, whole.
    New {
        /// What it sent.
        content: Vec<u8>,
        /// To be given with the next request.
        validators: Validators,
    },
}

/// Asks the server and waits for the answer.
///
/// # Errors
/// What is wrong with the address, the way to the server, its certificate or its answer.
pub fn fetch(http: &Http, validators: Option<&Validators>) -> Result<Fetched, FetchError> {
    fetch_within(http, validators, &Limits::default())
}

/// How long the parts of an answer may take, and how much may come.
struct Limits {
    connect: Duration,
    /// Until the answer begins.
    begin: Duration,
    /// Between two of its pieces.
    silence: Duration,
    all: Duration,
    bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connect: Duration::from_secs(10),
            // A server may make the text only now.
            begin: Duration::from_secs(120),
            silence: Duration::from_secs(60),
            all: Duration::from_secs(900),
            bytes: MAX_CONTENT,
        }
    }
}

fn fetch_within(
    http: &Http,
    validators: Option<&Validators>,
    limits: &Limits,
) -> Result<Fetched, FetchError> {
    let mut url = redirect::address(&http.url)?;
    let mut credentials = http.credentials.as_ref();
    for _ in 0..=MAX_REDIRECTS {
        let mut answer = ask(http, &url, credentials, validators, limits)?;
        match answer.status() {
            StatusCode::OK => return content(&url, &mut answer, limits.bytes),
            StatusCode::NOT_MODIFIED if validators.is_some() => return Ok(Fetched::Unchanged),
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => {
                let next = redirect::next(&url, text_of(answer.headers(), &LOCATION).as_deref())?;
                if !redirect::is_same_server(&url, &next) {
                    credentials = None;
                }
                url = next;
            }
            status => return Err(FetchError::Status { url: url.to_string(), status: status.as_u16() }),
        }
    }
    Err(FetchError::Redirects { url: http.url.clone(), most: MAX_REDIRECTS })
}

fn ask(
    http: &Http,
    url: &Uri,
    credentials: Option<&Credentials>,
    validators: Option<&Validators>,
    limits: &Limits,
) -> Result<http::Response<ureq::Body>, FetchError> {
    let mut config = ureq::Agent::config_builder()
        .timeout_connect(Some(limits.connect))
        .timeout_recv_response(Some(limits.begin))
        .timeout_per_read(Some(limits.silence))
        .timeout_global(Some(limits.all))
        // What the environment says of proxies is meant for people's programs.
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("qoeplane/", env!("CARGO_PKG_VERSION")));
    // Without a look at certificates where there is no TLS: a container may have none.
    if redirect::is_https(url) {
        config = config.https_only(true).tls_config(tls::config(url, http.ca.as_deref())?);
    }
    let mut request = ureq::Agent::from(config.build()).get(url);
    if let Some(credentials) = credentials {
        request = request.header(AUTHORIZATION, authorization(credentials));
    }
    let Validators { etag, last_modified } = validators.cloned().unwrap_or_default();
    for (name, value) in [(IF_NONE_MATCH, etag), (IF_MODIFIED_SINCE, last_modified)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    request.call().map_err(|error| FetchError::of(url, error, limits.bytes))
}

fn authorization(credentials: &Credentials) -> String {
    match credentials {
        Credentials::Basic { username, password } => {
            format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{password}")))
        }
        Credentials::Bearer { token } => format!("Bearer {token}"),
    }
}

fn content(url: &Uri, answer: &mut http::Response<ureq::Body>, most: u64) -> Result<Fetched, FetchError> {
    let validators = Validators {
        etag: text_of(answer.headers(), &ETAG),
        last_modified: text_of(answer.headers(), &LAST_MODIFIED),
    };
    let announced = text_of(answer.headers(), &CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(FetchError::TooLarge { url: url.to_string(), limit: most });
    }
    // An answer that ends with its connection could be cut off anywhere.
    if announced.is_none() && !answer.headers().contains_key(TRANSFER_ENCODING) {
        let reason = "it does not say how long the content is".to_string();
        return Err(FetchError::Protocol { url: url.to_string(), reason });
    }
    // The reader fails at its limit, not beyond it.
    let read = answer.body_mut().with_config().limit(most + 1).read_to_vec();
    let content = read.map_err(|error| FetchError::of(url, error, most))?;
    Ok(Fetched::New { content, validators })
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_string)
}
