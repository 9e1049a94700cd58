//! One HTTP/1 request over a stream that is there already. Redirects are not followed, nothing is repeated.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::access::Access;
use super::forward::{self, Forwarded};

/// How long after a broken connection the node may take to say why.
const REFUSAL_WITHIN: Duration = Duration::from_secs(2);

/// Sends a request to a port of a pod; returns the answer's head with the body still to come.
pub async fn ask_pod(
    access: &Access,
    pod: &str,
    port: u16,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Response<Incoming>> {
    let Forwarded { stream, mut refusal } = forward::connect(access, pod, port).await?;
    let mut sending = Box::pin(send(stream, request));
    // A refusal does not end the stream: without listening to both, one would wait for ever.
    let (failed, refusal) = tokio::select! {
        answer = &mut sending => match answer {
            Ok(answer) => return Ok(answer),
            Err(failed) => (failed, tokio::time::timeout(REFUSAL_WITHIN, refusal).await.ok().flatten()),
        },
        refusal = &mut refusal => match refusal {
            Some(refusal) => (anyhow!("refused"), Some(refusal)),
            None => match sending.await {
                Ok(answer) => return Ok(answer),
                Err(failed) => (failed, None),
            },
        },
    };
    match refusal {
        Some(refusal) => bail!(
            "port {port} of pod {pod} does not answer: kubectl logs {pod} -n {} may say why ({})",
            access.namespace,
            refusal.trim_end()
        ),
        None => Err(failed.context(format!("port {port} of pod {pod} does not answer"))),
    }
}

/// Sends a request and waits for the answer's head.
pub async fn send<S>(stream: S, mut request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the connection; what breaks it is seen by who waits for the answer.
    tokio::spawn(connection);
    // HTTP/1.1 wants one, and who answers at the other end of a forwarded port does not look at it.
    request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("localhost"));
    Ok(sender.send_request(request).await?)
}

/// The whole body as text, at most `limit` bytes of it.
pub async fn text(body: Incoming, limit: usize) -> anyhow::Result<String> {
    let body = http_body_util::Limited::new(body, limit).collect().await;
    let body = body.map_err(|error| anyhow!(error)).context("the answer was cut off")?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// Reads one request up to the end of its body `SELECT 1`, and answers.
    async fn answer(mut stream: DuplexStream, answer: &'static [u8]) -> String {
        let mut seen = Vec::new();
        while !seen.ends_with(b"SELECT 1") {
            let byte = stream.read_u8().await.unwrap();
            seen.push(byte);
        }
        stream.write_all(answer).await.unwrap();
        String::from_utf8(seen).unwrap()
    }

    fn request() -> Request<Full<Bytes>> {
        Request::post("/?x=1").header("X-ClickHouse-User", "qoe").body(Full::from("SELECT 1")).unwrap()
    }

    #[tokio::test]
    async fn a_request_goes_out_and_an_answer_in_pieces_comes_back() {
        // Smaller than either message: both have to be read and written in parts.
        let (ours, theirs) = duplex(16);
        let server = tokio::spawn(answer(
            theirs,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n1\n2\r\n2\r\n\n3\r\n0\r\n\r\n",
        ));
        let response = send(ours, request()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(text(response.into_body(), 100).await.unwrap(), "1\n2\n3");
        let seen = server.await.unwrap().to_lowercase();
        assert!(seen.starts_with("post /?x=1 http/1.1\r\n"), "{seen}");
        for header in ["host: localhost\r\n", "x-clickhouse-user: qoe\r\n", "content-length: 8\r\n"] {
            assert!(seen.contains(header), "{header} in {seen}");
        }
    }

    #[tokio::test]
    async fn a_cut_off_answer_is_an_error() {
        let (ours, theirs) = duplex(1024);
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this";
        let server = tokio::spawn(answer(theirs, head));
        let response = send(ours, request()).await.unwrap();
        server.await.unwrap();
        let error = text(response.into_body(), 1_000).await.unwrap_err();
        assert!(format!("{error:#}").starts_with("the answer was cut off"), "{error:#}");
    }

    #[tokio::test]
    async fn an_answer_beyond_its_bound_is_an_error() {
        let (ours, theirs) = duplex(1024);
        let server = tokio::spawn(answer(theirs, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789"));
        let response = send(ours, request()).await.unwrap();
        server.await.unwrap();
        assert!(text(response.into_body(), 8).await.is_err());
    }

    #[tokio::test]
    async fn a_closed_port_is_an_error() {
        let (ours, theirs) = duplex(1024);
        drop(theirs);
        assert!(send(ours, request()).await.is_err());
    }
}
