//! As much of HTTP/1.1 as the relay needs: heads, and where bodies end.

use std::io::{self, BufRead, Write};

/// The largest chunk that is believed, in bytes.
const MAX_CHUNK: usize = 256 << 20;

/// A request's or an answer's head.
pub(crate) struct Head {
    /// All of it, with the empty line.
    pub(crate) bytes: Vec<u8>,
    lines: Vec<String>,
}

/// A part of a body.
#[derive(Clone, Copy)]
pub(crate) enum Piece<'a> {
    /// A chunk, or all of a body that is not chunked; `head` is the chunk's own line, if it has one.
    Chunk {
        /// The line before it.
        head: &'a [u8],
        /// What it carries.
        payload: &'a [u8],
    },
    /// What follows the last chunk.
    End(&'a [u8]),
}

impl Head {
    /// What a request asks for.
    pub(crate) fn target(&self) -> &str {
        self.lines[0].split(' ').nth(1).unwrap_or_default()
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        self.lines[0].split(' ').nth(1)?.parse().ok()
    }

    /// Whether whoever sent this closes the connection behind it.
    pub(crate) fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.lines[1..].iter().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn is_chunked(&self) -> bool {
        self.field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    fn length(&self) -> usize {
        self.field("content-length").map_or(0, |value| value.parse().unwrap())
    }
}

/// The next head; none at the end of the connection.
pub(crate) fn read_head(from: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut head = Head { bytes: Vec::new(), lines: Vec::new() };
    loop {
        let begun = head.bytes.len();
        if from.read_until(b'\n', &mut head.bytes)? == 0 {
            return if begun == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let line = String::from_utf8_lossy(&head.bytes[begun..]).trim_end().to_string();
        if line.is_empty() {
            return Ok(Some(head));
        }
        head.lines.push(line);
    }
}

/// Reads the body that belongs to a head and shows its pieces.
pub(crate) fn read_body(
    from: &mut impl BufRead,
    head: &Head,
    mut show: impl FnMut(Piece<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut payload = Vec::new();
    if !head.is_chunked() {
        payload.resize(head.length(), 0);
        from.read_exact(&mut payload)?;
        if !payload.is_empty() {
            show(Piece::Chunk { head: &[], payload: &payload })?;
        }
        return show(Piece::End(&[]));
    }
    loop {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line)?;
        let text = String::from_utf8_lossy(&line);
        let length = usize::from_str_radix(text.trim_end(), 16).map_err(io::Error::other)?;
        if length > MAX_CHUNK {
            return Err(io::ErrorKind::InvalidData.into());
        }
        payload.resize(length, 0);
        from.read_exact(&mut payload)?;
        let mut end = [0; 2];
        from.read_exact(&mut end)?;
        if length == 0 {
            line.extend_from_slice(&end);
            return show(Piece::End(&line));
        }
        show(Piece::Chunk { head: &line, payload: &payload })?;
    }
}

/// Copies the body that belongs to a head.
pub(crate) fn copy_body(from: &mut impl BufRead, head: &Head, to: &mut impl Write) -> io::Result<()> {
    read_body(from, head, |piece| match piece {
        Piece::Chunk { head: [], payload } => to.write_all(payload),
        Piece::Chunk { head, payload } => {
            to.write_all(head)?;
            to.write_all(payload)?;
            to.write_all(b"\r\n")
        }
        Piece::End(bytes) => to.write_all(bytes),
    })
}
