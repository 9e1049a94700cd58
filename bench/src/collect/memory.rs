//! T0 and T1: records into columns and nothing further.

use super::Stopwatch;
use super::receive::Work;
use crate::decoding::{Decoding, What};
use crate::sums::Sums;

/// Rows after which columns are added up and emptied: they are in the second-level cache then.
const BLOCK: usize = 4_096;

/// Columns that are added up.
pub struct Memory {
    decoding: Decoding,
    sums: Sums,
}

impl Memory {
    /// For some fields or all.
    pub fn new(what: What) -> Memory {
        Memory { decoding: Decoding::new(what), sums: Sums::default() }
    }
}

impl Work for Memory {
    fn decoding(&mut self) -> &mut Decoding {
        &mut self.decoding
    }

    fn decode(&mut self, buffer: &[u8], _watch: &mut Stopwatch) -> anyhow::Result<()> {
        self.decoding.decode(buffer, &[], None)?;
        if self.decoding.rows() >= BLOCK {
            self.decoding.sum_up(&mut self.sums);
        }
        Ok(())
    }

    fn finish(&mut self, _watch: &mut Stopwatch) -> anyhow::Result<Sums> {
        self.decoding.sum_up(&mut self.sums);
        Ok(std::mem::take(&mut self.sums))
    }
}
