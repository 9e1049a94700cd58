//! The templates of one transport session.
//!
//! Template ids mean something only within a session and an observation domain (RFC 7011 section
//! 8), so there is one cache per session, keyed by domain and id. Its only clock is the arrival time
//! that the caller passes; its memory is bounded by [`Limits`] whatever the peer sends.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::message::{Protocol, SetKind};
use crate::template::{Template, TemplateRecord, template_record};

mod snapshot;

pub use snapshot::ImportError;

/// Default of [`Limits::lifetime_us`] for UDP: 30 minutes, three times the refresh interval that
/// exporters commonly use.
pub const UDP_LIFETIME_US: u64 = 30 * 60 * 1_000_000;

/// How much a session may make us remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Templates, over all observation domains.
    pub templates: usize,
    /// Bytes of all templates as they are on the wire ([`Template::wire_len`]). They take about four
    /// times as much memory, small ones up to twenty times.
    pub bytes: usize,
    /// Fields of one template.
    pub fields_per_template: usize,
    /// Over UDP: microseconds after which a template that was not repeated is forgotten (RFC 7011
    /// section 8.4). None over TCP, where a template holds until it is withdrawn.
    pub lifetime_us: Option<u64>,
}

impl Default for Limits {
    /// 4,096 templates, 1 MiB, 1,024 fields in each, no lifetime.
    fn default() -> Self {
        Self { templates: 4096, bytes: 1 << 20, fields_per_template: 1024, lifetime_us: None }
    }
}

impl Limits {
    /// The defaults for a session over UDP.
    pub fn udp() -> Self {
        Self { lifetime_us: Some(UDP_LIFETIME_US), ..Self::default() }
    }
}

/// What a template set has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyOutcome {
    /// Ids of templates that are new or mean something else than before: sets that wait for them can
    /// be decoded now.
    pub learned: Vec<u16>,
    /// Templates that were repeated unchanged; their lifetime begins anew.
    pub refreshed: u32,
    /// Ids of templates that were withdrawn.
    pub withdrawn: Vec<u16>,
    /// Withdrawals over UDP, which must be ignored (RFC 7011 section 8.4).
    pub ignored_withdrawals: u32,
    /// Templates that were not accepted.
    pub refused: Refused,
}

/// Templates that were not accepted, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// The session has as many templates, or bytes of them, as it may have.
    pub too_many: u32,
    /// More fields than a template may have, or more bytes than all may have together.
    pub too_large: u32,
    /// Cut off, or against the rules. What follows a cut-off one in its set is lost with it.
    pub malformed: u32,
}

impl Refused {
    /// All of them.
    pub fn total(&self) -> u32 {
        self.too_many + self.too_large + self.malformed
    }
}

/// The templates of one transport session. Cloning shares the templates themselves.
#[derive(Clone, Debug)]
pub struct TemplateCache {
    limits: Limits,
    entries: BTreeMap<Key, Entry>,
    bytes: usize,
    /// Nothing expires before this time, so that a flood of templates does not make us look for
    /// expired ones again and again.
    next_expiry_us: u64,
}

/// Templates and options templates share their ids, but are withdrawn apart: so that "all of a kind"
/// is a range, however often a peer repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    domain: u32,
    options: bool,
    id: u16,
}

#[derive(Clone, Debug)]
struct Entry {
    template: Arc<Template>,
    /// When it was received last.
    received_at_us: u64,
}

impl Entry {
    fn expires_at(&self, lifetime_us: u64) -> u64 {
        self.received_at_us.saturating_add(lifetime_us)
    }

    fn is_expired(&self, limits: &Limits, now_us: u64) -> bool {
        limits.lifetime_us.is_some_and(|lifetime| now_us > self.expires_at(lifetime))
    }
}

impl TemplateCache {
    /// A cache without templates.
    pub fn new(limits: Limits) -> Self {
        Self { limits, entries: BTreeMap::new(), bytes: 0, next_expiry_us: 0 }
    }

    /// Takes over what a set of templates or options templates says. Sets of other kinds change
    /// nothing. `now_us` is the arrival time in microseconds.
    pub fn apply(
        &mut self,
        protocol: Protocol,
        domain: u32,
        kind: SetKind,
        set_body: &[u8],
        now_us: u64,
    ) -> ApplyOutcome {
        let mut outcome = ApplyOutcome::default();
        let options = match kind {
            SetKind::Template => false,
            SetKind::OptionsTemplate => true,
            SetKind::Data | SetKind::Reserved => return outcome,
        };
        let mut rest = set_body;
        // Zeros up to the end are padding, no record begins with them.
        let padding = set_body.iter().rev().take_while(|&&byte| byte == 0).count();
        while rest.len() > padding {
            let parsed = template_record(protocol, options, self.limits.fields_per_template, rest);
            let Ok((after, record)) = parsed else {
                outcome.refused.malformed += 1;
                break;
            };
            rest = after;
            match record {
                TemplateRecord::Definition(template) => self.define(domain, template, now_us, &mut outcome),
                TemplateRecord::Withdrawal(_) if self.limits.lifetime_us.is_some() => {
                    outcome.ignored_withdrawals += 1;
                }
                TemplateRecord::Withdrawal(id) if id == set_id(protocol, options) => {
                    self.withdraw_all(domain, options, &mut outcome);
                }
                TemplateRecord::Withdrawal(id) => self.withdraw(domain, id, &mut outcome),
                TemplateRecord::TooManyFields => outcome.refused.too_large += 1,
                TemplateRecord::Invalid => outcome.refused.malformed += 1,
            }
        }
        outcome
    }

    /// The template of that id in that domain, if there is one that has not expired.
    ///
    /// A template that is repeated unchanged stays the same `Arc`; so what was derived from it holds
    /// as long as `Arc::ptr_eq` says so.
    pub fn get(&self, domain: u32, id: u16, now_us: u64) -> Option<&Arc<Template>> {
        let entry = self.entry(domain, id)?;
        (!entry.is_expired(&self.limits, now_us)).then_some(&entry.template)
    }

    /// All templates by domain and id, expired ones included, with the time of their last arrival.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Arc<Template>, u64)> {
        self.entries.iter().map(|(key, entry)| (key.domain, &entry.template, entry.received_at_us))
    }

    /// The bytes that the templates take on the wire.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of templates, expired ones included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no template.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets templates whose lifetime is over. `get` does not return them anyway.
    pub fn remove_expired(&mut self, now_us: u64) {
        let Some(lifetime_us) = self.limits.lifetime_us else { return };
        if now_us <= self.next_expiry_us {
            return;
        }
        let limits = self.limits;
        let bytes = &mut self.bytes;
        self.entries.retain(|_, entry| {
            let keep = !entry.is_expired(&limits, now_us);
            if !keep {
                *bytes -= entry.template.wire_len();
            }
            keep
        });
        let expiries = self.entries.values().map(|entry| entry.expires_at(lifetime_us));
        self.next_expiry_us = expiries.min().unwrap_or(now_us).max(now_us);
    }

    fn define(&mut self, domain: u32, template: Template, now_us: u64, outcome: &mut ApplyOutcome) {
        let id = template.id;
        let limits = self.limits;
        let same_kind = Key { domain, options: template.is_options(), id };
        if let Some(entry) = self.entries.get_mut(&same_kind).filter(|entry| *entry.template == template) {
            if entry.is_expired(&limits, now_us) {
                outcome.learned.push(id);
            } else {
                outcome.refreshed += 1;
            }
            entry.received_at_us = now_us;
            return;
        }

        let wire_len = template.wire_len();
        if wire_len > limits.bytes {
            outcome.refused.too_large += 1;
            return;
        }
        if !self.has_room(domain, id, wire_len) {
            self.remove_expired(now_us);
        }
        if !self.has_room(domain, id, wire_len) {
            outcome.refused.too_many += 1;
            return;
        }
        self.insert(domain, template, now_us);
        outcome.learned.push(id);
    }

    /// Whether a template of that length fits in, in place of the one with the same id.
    fn has_room(&self, domain: u32, id: u16, wire_len: usize) -> bool {
        let (replaced, freed) = match self.entry(domain, id) {
            Some(entry) => (1, entry.template.wire_len()),
            None => (0, 0),
        };
        self.entries.len() - replaced < self.limits.templates
            && self.bytes - freed + wire_len <= self.limits.bytes
    }

    fn entry(&self, domain: u32, id: u16) -> Option<&Entry> {
        let plain = self.entries.get(&Key { domain, options: false, id });
        plain.or_else(|| self.entries.get(&Key { domain, options: true, id }))
    }

    fn insert(&mut self, domain: u32, template: Template, received_at_us: u64) {
        self.remove(domain, template.id);
        self.bytes += template.wire_len();
        let key = Key { domain, options: template.is_options(), id: template.id };
        self.entries.insert(key, Entry { template: Arc::new(template), received_at_us });
    }

    /// Removes the template of that id, whatever its kind; tells whether there was one.
    fn remove(&mut self, domain: u32, id: u16) -> bool {
        for options in [false, true] {
            if let Some(entry) = self.entries.remove(&Key { domain, options, id }) {
                self.bytes -= entry.template.wire_len();
                return true;
            }
        }
        false
    }

    fn withdraw(&mut self, domain: u32, id: u16, outcome: &mut ApplyOutcome) {
        if self.remove(domain, id) {
            outcome.withdrawn.push(id);
        }
    }

    fn withdraw_all(&mut self, domain: u32, options: bool, outcome: &mut ApplyOutcome) {
        let first = Key { domain, options, id: 0 };
        let last = Key { domain, options, id: u16::MAX };
        let ids: Vec<u16> = self.entries.range(first..=last).map(|(key, _)| key.id).collect();
        for id in ids {
            self.withdraw(domain, id, outcome);
        }
    }
}

fn set_id(protocol: Protocol, options: bool) -> u16 {
    if options { protocol.options_template_set_id() } else { protocol.template_set_id() }
}

#[cfg(test)]
mod tests;
