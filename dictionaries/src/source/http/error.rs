//! Why a dictionary cannot be fetched, in words for the person who configured it. No error may show credentials.

use std::io;

use http::Uri;

/// Why a dictionary cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address.
    #[error(
        "{url:?} is not the address of a dictionary: write http://HOST/PATH or https://HOST/PATH, user and \
         password belong into credentialsSecretRef"
    )]
    Url {
        /// What was given, without user and password.
        url: String,
    },
    /// User, password or token.
    #[error("the credentials for {url} cannot be sent: a token must be of printable ASCII characters")]
    Credentials {
        /// The server.
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
    /// No connection, or none that lasts.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// The server.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The server's certificate.
    #[error("the certificate of {url} is not trusted ({reason}): give the CA that has signed it")]
    NotTrusted {
        /// The server.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// It takes too long.
    #[error("{url} does not answer in time ({reason})")]
    Timeout {
        /// The server.
        url: String,
        /// What took too long.
        reason: String,
    },
    /// The server refuses.
    #[error("{url} answers with status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
    },
    /// A redirect that is not followed.
    #[error("{url} redirects to {to:?}: {reason}")]
    Redirect {
        /// What was asked for.
        url: String,
        /// Where the server points to.
        to: String,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// Too many of them.
    #[error("{url} redirects more than {most} times")]
    Redirects {
        /// What was asked for.
        url: String,
        /// The most that are followed.
        most: u32,
    },
    /// See [`crate::source::MAX_CONTENT`].
    #[error("the content of {url} is larger than {limit} bytes: leave out what is not needed")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The most that is taken.
        limit: u64,
    },
    /// What the server says is no answer.
    #[error("{url} does not answer as a web server does: {reason}")]
    Protocol {
        /// The server.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

impl FetchError {
    /// What went wrong on the way to `url`.
    pub(super) fn of(url: &Uri, error: ureq::Error, limit: u64) -> FetchError {
        let url = url.to_string();
        let reason = error.to_string();
        match error {
            ureq::Error::Io(error) => FetchError::of_io(url, &error),
            ureq::Error::Rustls(error) => FetchError::of_tls(url, &error),
            ureq::Error::HostNotFound => FetchError::Unreachable { url, reason: "no such host".to_string() },
            ureq::Error::ConnectionFailed => FetchError::Unreachable { url, reason },
            ureq::Error::Timeout(_) => FetchError::Timeout { url, reason },
            ureq::Error::BodyExceedsLimit(_) => FetchError::TooLarge { url, limit },
            ureq::Error::BadUri(_) => FetchError::Url { url },
            // Only what we put into the head ourselves can be wrong there.
            ureq::Error::Http(_) => FetchError::Credentials { url },
            _ => FetchError::Protocol { url, reason },
        }
    }

    fn of_io(url: String, error: &io::Error) -> FetchError {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => FetchError::of_tls(url, error),
            None => FetchError::Unreachable { url, reason: error.to_string() },
        }
    }

    fn of_tls(url: String, error: &rustls::Error) -> FetchError {
        let reason = error.to_string();
        match error {
            rustls::Error::InvalidCertificate(_) => FetchError::NotTrusted { url, reason },
            _ => FetchError::Unreachable { url, reason },
        }
    }
}
