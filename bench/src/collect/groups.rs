//! T3: records into groups, by the code that the receiver gathers aggregates with. No journal, no insert.

use ipfix::Column;
use receiver::aggregate::{Gatherer, MAX_GROUPS, MAX_MEMORY, only_what_is_needed};
use receiver::enrich::{Enricher, Knowledge};
use receiver::insert::{BLOCK_BYTES, MAX_BLOCK_ROWS, now_us};
use schema::aggregates;

use super::receive::Work;
use super::{Keys, OCTETS, PACKETS, Stopwatch};
use crate::decoding::{Decoding, What};
use crate::sums::{Sums, name};

/// Interval of the wide table.
const MINUTES: u32 = 15;

/// Groups, forgotten when a flush would be due.
pub struct Grouping {
    decoding: Decoding,
    columns: Vec<Column>,
    /// Bytes of messages before those in the columns.
    gathered_bytes: usize,
    enricher: Enricher,
    knowledge: Knowledge,
    gatherer: Gatherer,
    sums: Sums,
}

impl Grouping {
    /// The groups of fullflow.
    pub fn new(keys: Keys) -> Grouping {
        let stream = only_what_is_needed(schema::fullflow(), aggregates::fullflow());
        let switches: Option<&[String]> = match keys {
            Keys::None => Some(&[]),
            Keys::All => None,
        };
        Grouping {
            decoding: Decoding::new(What::Table(stream.wanted())),
            columns: stream.new_columns(),
            gathered_bytes: 0,
            enricher: Enricher::new(&stream),
            knowledge: Knowledge::default(),
            gatherer: Gatherer::new(aggregates::fullflow(), &stream, switches, MINUTES),
            sums: Sums::default(),
        }
    }

    fn gather(&mut self) {
        self.enricher.enrich(&mut self.columns, &self.knowledge);
        self.gatherer.add(&self.columns, &self.knowledge.settings);
        self.columns.iter_mut().for_each(Column::clear);
        self.gathered_bytes = self.decoding.bytes;
    }

    fn count(&mut self) {
        let family = aggregates::fullflow();
        let mut sum = |element, from, to| {
            let sum = self.gatherer.sum_of(family, from).wrapping_add(self.gatherer.sum_of(family, to));
            self.sums.add(&name(element), sum);
        };
        sum(OCTETS, "octets_from", "octets_to");
        sum(PACKETS, "packets_from", "packets_to");
        self.sums.records += self.gatherer.sum_of(family, "records");
    }
}

impl Work for Grouping {
    fn decoding(&mut self) -> &mut Decoding {
        &mut self.decoding
    }

    fn decode(&mut self, buffer: &[u8], watch: &mut Stopwatch) -> anyhow::Result<()> {
        let mut constants = [0; 3];
        if let Some(arrival) = constants.get_mut(schema::RECEIVED_AT) {
            *arrival = now_us();
        }
        self.decoding.decode(buffer, &constants, Some(&mut self.columns))?;
        let bytes = self.decoding.bytes - self.gathered_bytes;
        if bytes >= BLOCK_BYTES || self.columns.first().map_or(0, Column::len) >= MAX_BLOCK_ROWS {
            self.gather();
            if self.gatherer.groups() >= MAX_GROUPS || self.gatherer.memory() >= MAX_MEMORY {
                watch.without(|| self.count());
                self.gatherer.clear();
            }
        }
        Ok(())
    }

    fn finish(&mut self, watch: &mut Stopwatch) -> anyhow::Result<Sums> {
        self.gather();
        watch.without(|| self.count());
        Ok(std::mem::take(&mut self.sums))
    }
}
