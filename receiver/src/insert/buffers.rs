//! Buffers of encoded blocks, which come back when they are sent: fresh memory of a block's size costs more than filling
//! it. Must never hold more than blocks can be on their way.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::journal::lock;

/// Buffers that are kept. More blocks are not on their way at a time.
const KEPT: usize = 4;

/// Buffers that nobody uses.
#[derive(Clone, Default)]
pub(super) struct Buffers {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    /// An empty buffer.
    pub(super) fn take(&self) -> Vec<u8> {
        lock(&self.free).pop().unwrap_or_default()
    }

    /// The bytes of a buffer, which comes back when nobody has them any more.
    pub(super) fn lend(&self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { bytes, home: self.clone() })
    }

    /// Keeps a buffer for later.
    pub(super) fn give_back(&self, mut buffer: Vec<u8>) {
        let mut free = lock(&self.free);
        if free.len() < KEPT {
            buffer.clear();
            free.push(buffer);
        }
    }
}

/// A buffer that is being sent.
struct Lent {
    bytes: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_when_its_bytes_are_gone() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        buffer.extend_from_slice(&[7; 100]);
        let place = buffer.as_ptr();
        let sent = buffers.lend(buffer);
        let rest = sent.slice(50..);
        drop(sent);
        assert_eq!(rest, [7; 50][..]);
        assert_eq!(buffers.take().capacity(), 0, "it is still on its way");
        drop(rest);
        let again = buffers.take();
        assert!(again.is_empty() && again.as_ptr() == place);
    }
}
