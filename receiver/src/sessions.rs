//! The transport sessions of one journal and the templates each has announced. The listener and the
//! decoder each keep such a table and feed it the same frames in the same order, so both always know
//! the same templates. Must stay a pure function of the frames: the only clock is their arrival time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crds::Transport;
use ipfix::cache::{ApplyOutcome, Limits, TemplateCache};
use ipfix::message::{Header, Set, SetKind, Sets};
use serde::{Deserialize, Serialize};

use crate::journal::frame::{Header as FrameHeader, Kind};

/// Templates of one session, RFC 7011 section 8 leaves the bound to the collector.
const TEMPLATES_PER_SESSION: usize = 4096;
const TEMPLATE_BYTES_PER_SESSION: usize = 1 << 20;
const FIELDS_PER_TEMPLATE: usize = 4096;
/// Templates of all sessions of a journal, in wire bytes.
const TEMPLATE_BYTES_PER_JOURNAL: usize = 8 << 20;
/// A session may have this part of them even if others have used up the rest: a flood of templates
/// must not make those of a quiet session unknown.
const SESSIONS_WITH_A_SHARE: usize = 4096;
/// Sessions are gathered into head frames of about this many bytes.
const HEAD_BYTES: usize = 256 << 10;
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

/// One session in the head of a segment.
#[derive(Serialize, Deserialize)]
struct Head {
    session: u64,
    peer: Peer,
    last_seen_us: u64,
}

/// What a head frame says besides its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadNote {
    /// Messages in all frames before the segment, since the journal began.
    pub messages_before: u64,
    /// Head frames of the segment that follow this one.
    pub following: u32,
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
        for set in Sets::new(&message.header, message.bytes).map_while(Result::ok) {
            self.learn_set(id, &message.header, &set, now_us, &mut outcome);
        }
        outcome
    }

    /// Learns the templates of one set; a set that carries data is passed over.
    pub fn learn_set(
        &mut self,
        id: u64,
        header: &Header,
        set: &Set<'_>,
        now_us: u64,
        outcome: &mut TemplateOutcome,
    ) {
        let kind = set.kind(header.protocol);
        if matches!(kind, SetKind::Data | SetKind::Reserved) {
            return;
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let (own, new) = (session.templates.bytes(), set.body.len());
        let share = self.max_template_bytes / SESSIONS_WITH_A_SHARE;
        if self.template_bytes + new > self.max_template_bytes && own + new > share {
            *outcome.refused.entry("template_memory").or_default() += 1;
            return;
        }
        let templates = &mut Arc::make_mut(session).templates;
        let applied = templates.apply(header.protocol, header.domain, kind, set.body, now_us);
        self.template_bytes = (self.template_bytes + templates.bytes()).saturating_sub(own);
        note(outcome, header.domain, &applied);
    }

    /// The payloads of the head frames of a segment: all sessions in force. There is always one, and
    /// each says how many follow, so that a segment whose head was cut off is known.
    pub fn heads(&self, messages_before: u64) -> Vec<Vec<u8>> {
        let mut bodies = vec![Vec::new()];
        for (id, session) in self.iter() {
            if bodies.last().is_some_and(|body| body.len() >= HEAD_BYTES) {
                bodies.push(Vec::new());
            }
            if let Some(body) = bodies.last_mut() {
                write_head(id, session, body);
            }
        }
        let count = bodies.len();
        let complete = |(index, body): (usize, Vec<u8>)| {
            let mut payload = Vec::with_capacity(12 + body.len());
            payload.extend_from_slice(&messages_before.to_le_bytes());
            payload.extend_from_slice(&((count - 1 - index) as u32).to_le_bytes());
            payload.extend_from_slice(&body);
            payload
        };
        bodies.into_iter().enumerate().map(complete).collect()
    }

    /// Takes over the sessions of a head frame; `None` if the payload is not one.
    pub fn restore(&mut self, payload: &[u8]) -> Option<HeadNote> {
        let (messages_before, rest) = payload.split_first_chunk::<8>()?;
        let (following, mut rest) = rest.split_first_chunk::<4>()?;
        while !rest.is_empty() {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            let (json, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            let (length, behind) = behind.split_first_chunk::<4>()?;
            let (templates, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = behind;
            let head = serde_json::from_slice::<Head>(json).ok()?;
            let templates = TemplateCache::import(limits(head.peer.transport), templates).ok()?;
            self.close(head.session);
            self.template_bytes += templates.bytes();
            let session = Session { peer: head.peer, templates, last_seen_us: head.last_seen_us };
            self.sessions.insert(head.session, Arc::new(session));
        }
        let messages_before = u64::from_le_bytes(*messages_before);
        Some(HeadNote { messages_before, following: u32::from_le_bytes(*following) })
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
                self.restore(payload);
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

/// Length of the JSON, JSON, length of the exported templates, templates.
fn write_head(id: u64, session: &Session, body: &mut Vec<u8>) {
    let head = Head { session: id, peer: session.peer.clone(), last_seen_us: session.last_seen_us };
    let json = serde_json::to_vec(&head).unwrap_or_default();
    let mut templates = Vec::with_capacity(session.templates.bytes());
    session.templates.export(&mut templates);
    for part in [json, templates] {
        body.extend_from_slice(&(part.len() as u32).to_le_bytes());
        body.extend_from_slice(&part);
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
