//! The transport sessions of one journal and the templates each has announced. The listener and the
//! decoder each keep such a table and feed it the same frames in the same order, so both always know
//! the same templates. Must stay a pure function of the frames: the only clock is their arrival time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crds::Transport;
use ipfix::cache::{ApplyOutcome, Limits, TemplateCache};
use ipfix::message::{Header, SetKind, Sets};
use serde::{Deserialize, Serialize};

use crate::journal::frame::{Header as FrameHeader, Kind};

/// Templates of one session, RFC 7011 section 8 leaves the bound to the collector.
const TEMPLATES_PER_SESSION: usize = 4096;
const TEMPLATE_BYTES_PER_SESSION: usize = 1 << 20;
const FIELDS_PER_TEMPLATE: usize = 4096;
/// Templates of all sessions of a journal, in wire bytes.
const TEMPLATE_BYTES_PER_JOURNAL: usize = 8 << 20;
/// RFC 7011 section 8.4: over UDP a template that is not repeated expires.
const UDP_TEMPLATE_LIFETIME_US: u64 = 30 * 60 * 1_000_000;

/// The other end of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The exporter's address and port.
    pub address: SocketAddr,
    /// How it sends.
    pub transport: Transport,
}

/// One transport session.
#[derive(Clone)]
pub struct Session {
    /// The other end.
    pub peer: Peer,
    /// What it has announced.
    pub templates: TemplateCache,
    /// Arrival of the newest frame, microseconds.
    pub last_seen_us: u64,
}

/// What became of the template sets of one message.
#[derive(Debug, Default)]
pub struct TemplateOutcome {
    /// (domain, template id) that are known now.
    pub learned: Vec<(u32, u16)>,
    /// Templates refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

/// All sessions of a journal, by the number of the frame that opened them.
#[derive(Clone)]
pub struct SessionTable {
    sessions: BTreeMap<u64, Arc<Session>>,
    template_bytes: usize,
    max_template_bytes: usize,
}

/// The head of a segment: one session in force.
#[derive(Serialize, Deserialize)]
struct Head {
    peer: Peer,
    last_seen_us: u64,
}

impl SessionTable {
    /// An empty table for a journal whose segments have `segment_bytes`: the templates are repeated
    /// at the head of each segment, so they must be small beside it.
    pub fn new(segment_bytes: u64) -> SessionTable {
        let share = usize::try_from(segment_bytes / 8).unwrap_or(usize::MAX);
        SessionTable {
            sessions: BTreeMap::new(),
            template_bytes: 0,
            max_template_bytes: share.min(TEMPLATE_BYTES_PER_JOURNAL),
        }
    }

    /// Adds a session; one of the same number is replaced.
    pub fn open(&mut self, id: u64, peer: Peer, now_us: u64) {
        let templates = TemplateCache::new(limits(peer.transport));
        self.close(id);
        self.sessions.insert(id, Arc::new(Session { peer, templates, last_seen_us: now_us }));
    }

    /// Forgets a session and its templates.
    pub fn close(&mut self, id: u64) -> Option<Arc<Session>> {
        let closed = self.sessions.remove(&id)?;
        self.template_bytes = self.template_bytes.saturating_sub(closed.templates.bytes());
        Some(closed)
    }

    /// A session by its number.
    pub fn get(&self, id: u64) -> Option<&Session> {
        self.sessions.get(&id).map(Arc::as_ref)
    }

    /// Sessions in order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Session)> {
        self.sessions.iter().map(|(id, session)| (*id, session.as_ref()))
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Notes that a frame of the session arrived.
    pub fn touch(&mut self, id: u64, now_us: u64) {
        if let Some(session) = self.sessions.get_mut(&id)
            && now_us.saturating_sub(session.last_seen_us) > 1_000_000
        {
            Arc::make_mut(session).last_seen_us = now_us;
        }
    }

    /// Learns the templates of one message; sets that carry data are passed over.
    pub fn learn(&mut self, id: u64, message: &Message<'_>, now_us: u64) -> TemplateOutcome {
        let mut outcome = TemplateOutcome::default();
        let header = &message.header;
        for set in Sets::new(header, message.bytes).map_while(Result::ok) {
            match set.kind(header.protocol) {
                SetKind::Template | SetKind::OptionsTemplate => {}
                SetKind::Data | SetKind::Reserved => continue,
            }
            let Some(session) = self.sessions.get_mut(&id) else { break };
            if self.template_bytes + set.body.len() > self.max_template_bytes {
                *outcome.refused.entry("template_memory").or_default() += 1;
                continue;
            }
            let templates = &mut Arc::make_mut(session).templates;
            let before = templates.bytes();
            let kind = set.kind(header.protocol);
            let applied = templates.apply(header.protocol, header.domain, kind, set.body, now_us);
            self.template_bytes = (self.template_bytes + templates.bytes()).saturating_sub(before);
            note(&mut outcome, header.domain, &applied);
        }
        outcome
    }

    /// The payload of a session's `Head` frame: length of the JSON, JSON, exported templates.
    pub fn head(session: &Session) -> Vec<u8> {
        let head = Head { peer: session.peer.clone(), last_seen_us: session.last_seen_us };
        let json = serde_json::to_vec(&head).unwrap_or_default();
        let mut payload = Vec::with_capacity(4 + json.len() + session.templates.bytes());
        payload.extend_from_slice(&(json.len() as u32).to_le_bytes());
        payload.extend_from_slice(&json);
        session.templates.export(&mut payload);
        payload
    }

    /// Takes over a session from a `Head` frame; false if the payload is not one.
    pub fn restore(&mut self, id: u64, payload: &[u8]) -> bool {
        let Some((length, rest)) = payload.split_first_chunk::<4>() else { return false };
        let length = u32::from_le_bytes(*length) as usize;
        let Some((json, templates)) = rest.split_at_checked(length) else { return false };
        let Ok(head) = serde_json::from_slice::<Head>(json) else { return false };
        let Ok(templates) = TemplateCache::import(limits(head.peer.transport), templates) else {
            return false;
        };
        self.close(id);
        self.template_bytes += templates.bytes();
        let session = Session { peer: head.peer, templates, last_seen_us: head.last_seen_us };
        self.sessions.insert(id, Arc::new(session));
        true
    }

    /// Follows one frame: sessions opened and closed, templates learned. What the decoder does
    /// besides with data does not change the table, so this alone rebuilds it from the frames.
    pub fn follow(&mut self, header: &FrameHeader, payload: &[u8]) {
        match header.kind {
            Kind::SessionOpened => {
                if let Ok(peer) = serde_json::from_slice(payload) {
                    self.open(header.number, peer, header.arrival_us);
                }
            }
            Kind::SessionClosed => {
                self.close(header.session);
            }
            Kind::Head => {
                self.restore(header.session, payload);
            }
            Kind::Stream | Kind::Datagrams => {
                self.touch(header.session, header.arrival_us);
                for message in Messages::of(header.kind, payload) {
                    self.learn(header.session, &message, header.arrival_us);
                }
            }
            Kind::Intent | Kind::Done | Kind::Checkpoint | Kind::LedgerRow | Kind::SetAside | Kind::Piece => {
            }
        }
    }
}

fn note(outcome: &mut TemplateOutcome, domain: u32, applied: &ApplyOutcome) {
    outcome.learned.extend(applied.learned.iter().map(|id| (domain, *id)));
    let refused = [
        ("too_many_templates", applied.refused.too_many),
        ("template_too_large", applied.refused.too_large),
        ("template_malformed", applied.refused.malformed),
    ];
    for (reason, count) in refused {
        if count > 0 {
            *outcome.refused.entry(reason).or_default() += u64::from(count);
        }
    }
}

fn limits(transport: Transport) -> Limits {
    Limits {
        templates: TEMPLATES_PER_SESSION,
        bytes: TEMPLATE_BYTES_PER_SESSION,
        fields_per_template: FIELDS_PER_TEMPLATE,
        lifetime_us: match transport {
            Transport::Tcp => None,
            Transport::Udp => Some(UDP_TEMPLATE_LIFETIME_US),
        },
    }
}

/// One message of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Where it begins within the payload.
    pub offset: usize,
    /// Its header.
    pub header: Header,
    /// The whole of it.
    pub bytes: &'a [u8],
}

/// The messages of a frame's payload, in order. The listener put only whole messages there, so what
/// is not one ends the walk.
pub struct Messages<'a> {
    payload: &'a [u8],
    offset: usize,
    datagrams: bool,
}

impl<'a> Messages<'a> {
    /// Walks the payload of a `Stream` or `Datagrams` frame; other kinds hold no messages.
    pub fn of(kind: Kind, payload: &'a [u8]) -> Self {
        let payload = if matches!(kind, Kind::Stream | Kind::Datagrams) { payload } else { &[] };
        Messages { payload, offset: 0, datagrams: kind == Kind::Datagrams }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let rest = self.payload.get(self.offset..)?;
        let (skipped, candidate) = if self.datagrams {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (2, rest.get(..u16::from_le_bytes(*length) as usize)?)
        } else {
            (0, rest)
        };
        let header = ipfix::message::parse_header(candidate).ok()?;
        let bytes = candidate.get(..header.length as usize)?;
        let offset = self.offset + skipped;
        self.offset = offset + if self.datagrams { candidate.len() } else { bytes.len() };
        Some(Message { offset, header, bytes })
    }
}
