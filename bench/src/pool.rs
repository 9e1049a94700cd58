//! A pool: a file of whole messages, those with templates first, that a sender replays from memory until enough
//! records are sent.

pub mod fixed;
pub mod vendor;

use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, ensure};
use ipfix::{SetKind, Sets, parse_header};

use crate::decoding::{Decoding, What};
use crate::sums::Sums;

/// Bytes of messages that are decoded together.
const AT_ONCE: usize = 256 << 10;

/// Messages as they go over the wire.
pub struct Pool {
    /// All of them.
    pub bytes: Vec<u8>,
    /// Those with templates.
    pub templates: Range<usize>,
    /// Those with records, in order.
    pub messages: Vec<Message>,
    /// Records in all of them.
    pub records: u64,
}

/// A message with records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it lies in the pool.
    pub place: Range<usize>,
    /// Its records.
    pub records: u32,
}

/// How much of a pool is sent for a number of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// So often all of it.
    pub whole: u64,
    /// And then so many messages.
    pub messages: usize,
}

impl Pool {
    /// Reads a pool from a file.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn load(path: &Path) -> anyhow::Result<Pool> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Pool::new(bytes).with_context(|| format!("{} is no pool", path.display()))
    }

    /// Finds the messages.
    ///
    /// # Errors
    /// Something is no message, or templates come after records.
    pub fn new(bytes: Vec<u8>) -> anyhow::Result<Pool> {
        let mut templates_end = 0;
        let mut messages = Vec::new();
        let mut counting = Decoding::new(What::Only(Vec::new()));
        let (mut offset, mut records) = (0, 0);
        while offset < bytes.len() {
            let length = counting.walk(&bytes, offset)?.context("the last message is cut off")?;
            counting.decode(&bytes, &[], None)?;
            let place = offset..offset + length;
            offset += length;
            if has_templates(bytes.get(place.clone()).unwrap_or_default())? {
                ensure!(messages.is_empty() && counting.records == 0, "templates come after records");
                templates_end = offset;
            } else if counting.records > records {
                let in_message = u32::try_from(counting.records - records)?;
                messages.push(Message { place, records: in_message });
                records = counting.records;
            } else {
                ensure!(offset == bytes.len(), "a message without records");
            }
        }
        ensure!(!messages.is_empty(), "there are no records");
        Ok(Pool { bytes, templates: 0..templates_end, messages, records })
    }

    /// How much of it has at least so many records. It ends with a whole message.
    pub fn portion(&self, records: u64) -> Portion {
        let whole = records / self.records;
        let mut left = records % self.records;
        let mut messages = 0;
        for message in &self.messages {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(u64::from(message.records));
            messages += 1;
        }
        Portion { whole, messages }
    }

    /// Sums over all fields of all records of a portion.
    ///
    /// # Errors
    /// Something cannot be decoded.
    pub fn sums(&self, portion: Portion) -> anyhow::Result<Sums> {
        let mut sums = Sums::default();
        if portion.whole > 0 {
            sums.add_all(&self.sums_of(self.messages.len())?, portion.whole);
        }
        if portion.messages > 0 {
            sums.add_all(&self.sums_of(portion.messages)?, 1);
        }
        Ok(sums)
    }

    fn sums_of(&self, messages: usize) -> anyhow::Result<Sums> {
        let mut decoding = Decoding::new(What::AllFields);
        let mut sums = Sums::default();
        self.decode(&mut decoding, messages, |decoding| decoding.sum_up(&mut sums))?;
        Ok(sums)
    }

    /// Decodes its first messages, many at a time.
    ///
    /// # Errors
    /// Something cannot be decoded.
    pub fn decode(
        &self,
        decoding: &mut Decoding,
        messages: usize,
        mut after: impl FnMut(&mut Decoding),
    ) -> anyhow::Result<()> {
        let mut offset = 0;
        while offset < self.templates.end {
            offset += decoding.walk(&self.bytes, offset)?.context("a template is cut off")?;
        }
        let mut walked = 0;
        for message in self.messages.iter().take(messages) {
            walked += decoding.walk(&self.bytes, message.place.start)?.context("a message is cut off")?;
            if walked >= AT_ONCE {
                decoding.decode(&self.bytes, &[], None)?;
                after(decoding);
                walked = 0;
            }
        }
        decoding.decode(&self.bytes, &[], None)?;
        after(decoding);
        Ok(())
    }
}

fn has_templates(message: &[u8]) -> anyhow::Result<bool> {
    let header = parse_header(message)?;
    for set in Sets::new(&header, message) {
        if matches!(set?.kind(header.protocol), SetKind::Template | SetKind::OptionsTemplate) {
            return Ok(true);
        }
    }
    Ok(false)
}
