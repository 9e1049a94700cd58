//! Frames to rows: a pure function of the journal's bytes, the stream's declaration and the state
//! before. Its only clock is the frames' arrival time. Must never depend on anything else, because a
//! range that is sent again has to become the same rows in the same blocks.

mod sequence;
mod sets;
mod state;
mod waiting;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use crds::Transport;
use ipfix::message::{Set, SetKind, Sets};
use ipfix::plan::{DataSet, Decoded, MessageContext, Plan};
use ipfix::sequence::Arrival;
use ipfix::template::Template;
use ipfix::{Column, Wanted};
use schema::Stream;

use crate::journal::frame::{HEADER_LEN, Header, crc32c};
use crate::journal::{Journal, JournalReader, Kind, Next, Position};
use crate::sessions::{Message, Messages, SessionTable, TemplateOutcome};

pub use sequence::{Gap, SequenceFigures};
use sets::FrameSets;
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
}

/// The frame that is being decoded.
struct Frame<'a, 'f> {
    next: &'a Next,
    journal: &'a Journal,
    constants: &'f Constants,
    sets: FrameSets<'f>,
    rows: &'a mut [Column],
}

/// The constants of a frame's rows.
struct Constants {
    own: [u64; 3],
    /// Of the observation domains that are another DPI's.
    others: Vec<(u32, [u64; 3])>,
}

impl Constants {
    fn new(origin: &Origin, arrival_us: u64) -> Constants {
        let constants = |dpi: u16| {
            let mut constants = [0; 3];
            let values = [
                (schema::DPI_ID, u64::from(dpi)),
                (schema::RECEIVED_AT, arrival_us),
                (schema::JOURNAL_ID, u64::from(origin.journal)),
            ];
            for (index, value) in values {
                if let Some(slot) = constants.get_mut(index) {
                    *slot = value;
                }
            }
            constants
        };
        let others = origin.domains.iter().map(|(domain, dpi)| (*domain, constants(*dpi))).collect();
        Constants { own: constants(origin.dpi), others }
    }

    fn of(&self, domain: u32) -> &[u64] {
        match self.others.binary_search_by_key(&domain, |(other, _)| *other) {
            Ok(index) => self.others.get(index).map_or(&self.own, |(_, constants)| constants),
            Err(_) => &self.own,
        }
    }
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
        Decoder { state, sessions, stream, wanted, origin, plans: HashMap::new() }
    }

    /// The decoder as it was after the frame before `position`: its sessions are rebuilt from the
    /// head of the segment and the frames between.
    pub fn restore(
        journal: &Arc<Journal>,
        stream: &'static Stream,
        origin: Origin,
        state: DecoderState,
        position: Position,
    ) -> io::Result<Decoder> {
        let (sessions, _) = journal.sessions_before(position.number)?;
        Ok(Decoder::new(stream, origin, state, sessions))
    }

    /// Decodes the frame that `reader` has just read and appends its rows. An error is one of reading
    /// the journal; then neither state nor rows are good for anything.
    pub fn frame(
        &mut self,
        next: &Next,
        reader: &JournalReader,
        journal: &Journal,
        rows: &mut [Column],
    ) -> io::Result<()> {
        let header = &next.header;
        let payload = reader.payload();
        match header.kind {
            Kind::SessionClosed => self.close_session(header.session),
            Kind::SessionOpened => self.sessions.follow(header, payload),
            Kind::Stream | Kind::Datagrams => {
                self.sessions.touch(header.session, header.arrival_us);
                let constants = Constants::new(&self.origin, header.arrival_us);
                let mut frame =
                    Frame { next, journal, constants: &constants, sets: FrameSets::new(payload), rows };
                for message in Messages::of(header.kind, payload) {
                    self.message(&mut frame, &message)?;
                }
                frame.sets.fill(frame.rows);
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
        Ok(())
    }

    /// Frames before the one at `position` are gone, and with them sessions that were opened or closed
    /// there: the head of the segment tells which are in force.
    pub fn cross_hole(&mut self, journal: &Journal, position: Position) -> io::Result<()> {
        let (sessions, _) = journal.sessions_before(position.number)?;
        let ended: Vec<u64> =
            self.sessions.iter().map(|(id, _)| id).filter(|id| sessions.get(*id).is_none()).collect();
        for id in ended {
            self.close_session(id);
        }
        self.sessions = sessions;
        Ok(())
    }

    fn message(&mut self, frame: &mut Frame<'_, '_>, message: &Message<'_>) -> io::Result<()> {
        let session = frame.next.header.session;
        self.state.counters.messages += 1;
        let Some(transport) = self.sessions.get(session).map(|known| known.peer.transport) else {
            // Its opening frame was damaged: nothing is known of its templates.
            self.state.counters.undecodable_set("session_unknown");
            return Ok(());
        };
        let reliable = transport == Transport::Tcp;
        let crc = if reliable { 0 } else { crc32c(message.bytes) };
        let is_duplicate = self.observe(frame.next, message, reliable, crc) == Arrival::Duplicate;
        let mut records = 0;
        for set in Sets::new(&message.header, message.bytes) {
            let set = match set {
                Ok(set) => set,
                Err(_) if is_duplicate => break,
                Err(_) => {
                    self.state.counters.undecodable_set("bad_set_length");
                    break;
                }
            };
            match set.kind(message.header.protocol) {
                // Those of a duplicate too: the listener, who cannot tell, does the same, and both
                // must always know the same templates.
                SetKind::Template | SetKind::OptionsTemplate => self.template_set(frame, message, &set)?,
                _ if is_duplicate => {}
                SetKind::Data => records += self.data_set(frame, message, &set),
                SetKind::Reserved => self.state.counters.undecodable_set("reserved_set_id"),
            }
        }
        if !is_duplicate {
            self.state.advance(session, message.header.domain, records);
        }
        Ok(())
    }

    fn template_set(
        &mut self,
        frame: &mut Frame<'_, '_>,
        message: &Message<'_>,
        set: &Set<'_>,
    ) -> io::Result<()> {
        let Header { session, arrival_us, .. } = frame.next.header;
        let mut outcome = TemplateOutcome::default();
        self.sessions.learn_set(session, &message.header, set, arrival_us, &mut outcome);
        frame.sets.templates_changed();
        for (domain, template) in outcome.learned {
            self.decode_waiting(frame, domain, template)?;
        }
        Ok(())
    }

    /// Gathers the records of a data set; returns how many it holds, options included.
    fn data_set(&mut self, frame: &mut Frame<'_, '_>, message: &Message<'_>, set: &Set<'_>) -> u32 {
        let Header { session, arrival_us, .. } = frame.next.header;
        let domain = message.header.domain;
        let place = match frame.sets.find(domain, set.id) {
            Some(place) => place,
            None => match self.compiled(session, domain, set.id, arrival_us) {
                Some(compiled) => frame.sets.add(domain, set.id, compiled, frame.rows),
                None => {
                    self.wait(frame.next, message, set);
                    return 0;
                }
            },
        };
        let Some(compiled) = frame.sets.compiled(place) else { return 0 };
        if compiled.role != Role::Rows {
            let records = compiled.plan.count_records(set.body);
            let role = compiled.role;
            self.count(role, Decoded { records, malformed_tail: false });
            return records;
        }
        let begin = message.offset + set.offset;
        let context = MessageContext {
            export_time: message.header.export_time,
            uptime_ms: message.header.uptime_ms,
            constants: frame.constants.of(domain),
        };
        let data = DataSet { body: begin..begin + set.body.len(), context };
        let decoded = frame.sets.gather(place, data, frame.rows);
        self.count(Role::Rows, decoded);
        decoded.records
    }

    fn count(&mut self, role: Role, decoded: Decoded) {
        let records = u64::from(decoded.records);
        match role {
            Role::Rows => self.state.counters.decoded += records,
            Role::Options => self.state.counters.options += records,
            Role::Foreign => self.state.counters.undecodable_records("foreign_template", records),
        }
        if decoded.malformed_tail {
            self.state.counters.undecodable_set("malformed_record");
        }
    }

    fn wait(&mut self, next: &Next, message: &Message<'_>, set: &Set<'_>) {
        self.state.wait(WaitingSet {
            segment: next.position.segment,
            offset: next.position.offset + (HEADER_LEN + message.offset + set.offset) as u64,
            length: set.body.len() as u32,
            session: next.header.session,
            domain: message.header.domain,
            template: set.id,
            arrival_us: next.header.arrival_us,
            export_time: message.header.export_time,
            uptime_ms: message.header.uptime_ms,
        });
    }

    /// Decodes the sets that have waited for this template. Their rows belong to the frame that
    /// brought it.
    fn decode_waiting(&mut self, frame: &mut Frame<'_, '_>, domain: u32, template: u16) -> io::Result<()> {
        let Header { session, arrival_us, .. } = frame.next.header;
        // It may have been withdrawn within the set that announced it.
        if self.state.waiting_sets() == 0
            || self
                .sessions
                .get(session)
                .is_none_or(|s| s.templates.get(domain, template, arrival_us).is_none())
        {
            return Ok(());
        }
        let waiting = self.state.take_waiting(session, domain, template);
        if waiting.is_empty() {
            return Ok(());
        }
        let Some(compiled) = self.compiled(session, domain, template, arrival_us) else { return Ok(()) };
        let mut body = Vec::new();
        for set in waiting {
            if !frame.journal.read_bytes(set.segment, set.offset, set.length as usize, &mut body)? {
                self.state.counters.undecodable_set("waiting_set_gone");
                continue;
            }
            let context = MessageContext {
                export_time: set.export_time,
                uptime_ms: set.uptime_ms,
                constants: frame.constants.of(domain),
            };
            let decoded = match compiled.role {
                Role::Rows => compiled.plan.decode(&body, &context, frame.rows),
                Role::Options | Role::Foreign => {
                    Decoded { records: compiled.plan.count_records(&body), malformed_tail: false }
                }
            };
            self.count(compiled.role, decoded);
            self.state.take_back(session, domain, decoded.records);
        }
        Ok(())
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

    fn close_session(&mut self, session: u64) {
        if let Some(closed) = self.sessions.close(session) {
            self.state.close_session(session, closed.peer.address.ip());
        }
        self.plans.retain(|(of, _, _), _| *of != session);
    }
}
