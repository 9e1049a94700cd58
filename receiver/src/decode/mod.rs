//! Frames to rows: a pure function of the journal's bytes, the stream's declaration and the state
//! before. Its only clock is the frames' arrival time. Must never depend on anything else, because a
//! range that is sent again has to become the same rows in the same blocks.

mod sequence;
mod state;
mod waiting;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crds::Transport;
use ipfix::message::{Set, SetKind, Sets};
use ipfix::plan::{DataSet, MessageContext, Plan, Scratch};
use ipfix::sequence::Arrival;
use ipfix::template::Template;
use ipfix::{Column, Wanted};
use schema::Stream;

use crate::journal::frame::{HEADER_LEN, crc32c};
use crate::journal::{Journal, JournalReader, Kind, Next, Position};
use crate::sessions::{Message, Messages, SessionTable};

pub use sequence::{Gap, SequenceFigures};
pub use state::{Counters, DecoderState};
use waiting::WaitingSet;

/// What the columns of every row of one journal hold besides the record.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Column `dpi_id`.
    pub dpi: u16,
    /// Observation domains that are another DPI's, behind a balancer: its `dpi_id`.
    pub domains: Arc<BTreeMap<u32, u16>>,
    /// Column `journal_id`.
    pub journal: u32,
}

/// Decodes the frames of one journal in order.
#[derive(Clone)]
pub struct Decoder {
    /// Counters, sequence numbers, sets that wait for their template.
    pub state: DecoderState,
    /// Sessions and templates after the last frame.
    sessions: SessionTable,
    stream: &'static Stream,
    wanted: Arc<Vec<Wanted>>,
    origin: Origin,
    plans: HashMap<(u64, u32, u16), Compiled>,
    scratch: Scratch,
}

/// What a template means for this stream.
#[derive(Clone)]
struct Compiled {
    template: Arc<Template>,
    role: Role,
    plan: Arc<Plan>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Records become rows.
    Rows,
    /// Records about the exporter; counted.
    Options,
    /// Records of another stream; counted as undecodable.
    Foreign,
}

/// Plans kept at most; beyond, all are compiled again when needed.
const MAX_PLANS: usize = 8192;

impl Decoder {
    /// A decoder at the beginning of a journal, or in `state` with the `sessions` that belong to it.
    pub fn new(
        stream: &'static Stream,
        origin: Origin,
        state: DecoderState,
        sessions: SessionTable,
    ) -> Decoder {
        let wanted = Arc::new(stream.wanted());
        Decoder {
            state,
            sessions,
            stream,
            wanted,
            origin,
            plans: HashMap::new(),
            scratch: Scratch::default(),
        }
    }

    /// The decoder as it was after the frame before `position`: its sessions are rebuilt from the
    /// head of the segment and the frames between.
    pub fn restore(
        journal: &Arc<Journal>,
        stream: &'static Stream,
        origin: Origin,
        state: DecoderState,
        position: Position,
    ) -> std::io::Result<Decoder> {
        let mut sessions = SessionTable::new(journal.options().segment_bytes);
        journal.follow_up_to(position, |header, payload| sessions.follow(header, payload))?;
        Ok(Decoder::new(stream, origin, state, sessions))
    }

    /// Decodes the frame that `reader` has just read and appends its rows.
    pub fn frame(&mut self, next: &Next, reader: &JournalReader, journal: &Journal, rows: &mut [Column]) {
        let header = &next.header;
        let payload = reader.payload();
        match header.kind {
            Kind::SessionClosed => self.close_session(header.session, header.arrival_us),
            Kind::SessionOpened => self.sessions.follow(header, payload),
            Kind::Stream | Kind::Datagrams => {
                self.sessions.touch(header.session, header.arrival_us);
                for message in Messages::of(header.kind, payload) {
                    self.message(next, &message, journal, rows);
                }
            }
            Kind::Head
            | Kind::Intent
            | Kind::Done
            | Kind::Checkpoint
            | Kind::LedgerRow
            | Kind::SetAside
            | Kind::Piece => {}
        }
        self.state.expire_waiting(header.arrival_us);
    }

    fn message(&mut self, next: &Next, message: &Message<'_>, journal: &Journal, rows: &mut [Column]) {
        let session = next.header.session;
        self.state.counters.messages += 1;
        let Some(transport) = self.sessions.get(session).map(|known| known.peer.transport) else {
            // Its opening frame was damaged: nothing is known of its templates.
            self.state.counters.undecodable_set("session_unknown");
            return;
        };
        let reliable = transport == Transport::Tcp;
        let crc = if reliable { 0 } else { crc32c(message.bytes) };
        if self.observe(next, message, reliable, crc) == Arrival::Duplicate {
            return;
        }
        let learned = self.sessions.learn(session, message, next.header.arrival_us).learned;
        for (domain, template) in learned {
            self.decode_waiting(next, domain, template, journal, rows);
        }
        let records = self.sets(next, message, rows);
        self.state.advance(session, message.header.domain, records);
    }

    /// Decodes the data sets of a message; returns how many records they held, options included.
    fn sets(&mut self, next: &Next, message: &Message<'_>, rows: &mut [Column]) -> u32 {
        let mut records = 0;
        for set in Sets::new(&message.header, message.bytes) {
            let set = match set {
                Ok(set) => set,
                Err(_) => {
                    self.state.counters.undecodable_set("bad_set_length");
                    break;
                }
            };
            match set.kind(message.header.protocol) {
                SetKind::Data => records += self.data_set(next, message, &set, rows),
                SetKind::Template | SetKind::OptionsTemplate => {}
                SetKind::Reserved => self.state.counters.undecodable_set("reserved_set_id"),
            }
        }
        records
    }

    fn data_set(&mut self, next: &Next, message: &Message<'_>, set: &Set<'_>, rows: &mut [Column]) -> u32 {
        let (session, domain) = (next.header.session, message.header.domain);
        let Some(compiled) = self.compiled(session, domain, set.id, next.header.arrival_us) else {
            let body = next.position.offset + (HEADER_LEN + message.offset + set.offset) as u64;
            self.state.wait(WaitingSet {
                segment: next.position.segment,
                offset: body,
                length: set.body.len() as u32,
                session,
                domain,
                template: set.id,
                arrival_us: next.header.arrival_us,
                export_time: message.header.export_time,
                uptime_ms: message.header.uptime_ms,
            });
            return 0;
        };
        let constants = self.constants(domain, next.header.arrival_us);
        let context = MessageContext {
            export_time: message.header.export_time,
            uptime_ms: message.header.uptime_ms,
            constants: &constants,
        };
        self.decode_set(&compiled, set.body, &context, rows)
    }

    fn decode_set(
        &mut self,
        compiled: &Compiled,
        body: &[u8],
        context: &MessageContext<'_>,
        rows: &mut [Column],
    ) -> u32 {
        match compiled.role {
            Role::Rows => {
                let set = [DataSet { body: 0..body.len(), context: *context }];
                let decoded = compiled.plan.decode_many(body, &set, rows, &mut self.scratch);
                let decoded = decoded.first().copied().unwrap_or_default();
                if decoded.malformed_tail {
                    self.state.counters.undecodable_set("malformed_record");
                }
                self.state.counters.decoded += u64::from(decoded.records);
                decoded.records
            }
            Role::Options => {
                let records = compiled.plan.count_records(body);
                self.state.counters.options += u64::from(records);
                records
            }
            Role::Foreign => {
                let records = compiled.plan.count_records(body);
                self.state.counters.undecodable_records("foreign_template", u64::from(records));
                records
            }
        }
    }

    /// Decodes the sets that have waited for this template. Their rows belong to the frame that
    /// brought it.
    fn decode_waiting(
        &mut self,
        next: &Next,
        domain: u32,
        template: u16,
        journal: &Journal,
        rows: &mut [Column],
    ) {
        let session = next.header.session;
        let waiting = self.state.take_waiting(session, domain, template);
        if waiting.is_empty() {
            return;
        }
        let Some(compiled) = self.compiled(session, domain, template, next.header.arrival_us) else { return };
        let constants = self.constants(domain, next.header.arrival_us);
        let mut body = Vec::new();
        for set in waiting {
            let found = journal.read_bytes(set.segment, set.offset, set.length as usize, &mut body);
            if !matches!(found, Ok(true)) {
                self.state.counters.undecodable_set("waiting_set_gone");
                continue;
            }
            let context = MessageContext {
                export_time: set.export_time,
                uptime_ms: set.uptime_ms,
                constants: &constants,
            };
            let records = self.decode_set(&compiled, &body, &context, rows);
            self.state.take_back(session, domain, records);
        }
    }

    fn constants(&self, domain: u32, arrival_us: u64) -> [u64; 3] {
        let dpi = self.origin.domains.get(&domain).copied().unwrap_or(self.origin.dpi);
        let mut constants = [0; 3];
        let values = [
            (schema::DPI_ID, u64::from(dpi)),
            (schema::RECEIVED_AT, arrival_us),
            (schema::JOURNAL_ID, u64::from(self.origin.journal)),
        ];
        for (index, value) in values {
            if let Some(slot) = constants.get_mut(index) {
                *slot = value;
            }
        }
        constants
    }

    fn compiled(&mut self, session: u64, domain: u32, id: u16, now_us: u64) -> Option<Compiled> {
        let template = self.sessions.get(session)?.templates.get(domain, id, now_us)?;
        let key = (session, domain, id);
        if let Some(compiled) = self.plans.get(&key)
            && Arc::ptr_eq(&compiled.template, template)
        {
            return Some(compiled.clone());
        }
        let role = if template.is_options() {
            Role::Options
        } else if self.stream.is_this_stream(template) {
            Role::Rows
        } else {
            Role::Foreign
        };
        if role == Role::Foreign && crate::log_limit::allow("foreign_template") {
            tracing::warn!(
                stream = self.stream.name,
                dpi = self.origin.dpi,
                domain,
                template = id,
                "a template has none of the stream's fields: is the exporter's stream sent to the right port?"
            );
        }
        let plan = Arc::new(Plan::compile(template, &self.wanted));
        let compiled = Compiled { template: template.clone(), role, plan };
        if self.plans.len() >= MAX_PLANS {
            self.plans.clear();
        }
        self.plans.insert(key, compiled.clone());
        Some(compiled)
    }

    fn close_session(&mut self, session: u64, now_us: u64) {
        if let Some(closed) = self.sessions.close(session) {
            self.state.close_session(session, closed.peer.address.ip(), now_us);
        }
        self.plans.retain(|(of, _, _), _| *of != session);
    }
}
