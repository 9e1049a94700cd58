//! IPFIX (RFC 7011) and NetFlow v9 (RFC 3954): decode and encode, without I/O.
//!
//! | module | what it is for |
//! |---|---|
//! | [`message`] | message headers, sets within a message |
//! | [`template`] | what a template says and how it is read |
//! | [`cache`] | the templates of one transport session: scope, expiry, withdrawal, bounds |
//! | [`sequence`] | sequence numbers: what is missing, late, double, or counted anew |
//! | [`plan`] | records of one template into columns, the hot path |
//! | [`mod@column`] | the columns |
//! | [`element`], [`registry`] | names and types of fields, for people and declarations |
//! | [`encode`] | the way back: messages for tests and for the DPI simulator |
//!
//! A message takes this way:
//!
//! ```text
//! bytes -> parse_header -> Sets -+-> template sets -> TemplateCache::apply
//!             |                  '-> data sets ----> TemplateCache::get -> Plan::decode -> columns
//!             '-> SequenceTracker::observe, then advance by the records
//! ```
//!
//! What holds everywhere: no input makes anything here panic, loop without end, or allocate more
//! than a stated bound; nothing outside a set is read on behalf of that set; and nothing looks at a
//! clock, because whoever decodes the same bytes again has to get the same rows.
//!
//! ```
//! use ipfix::{
//!     Column, ColumnKind, Convert, Element, MessageContext, Plan, SetKind, Sets, Source,
//!     TemplateCache, Wanted, parse_header,
//! };
//!
//! # fn main() -> Result<(), ipfix::HeaderError> {
//! // One template (256: source port in 2 bytes) and two records of it.
//! let message = [
//!     0, 10, 0, 36, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, // header
//!     0, 2, 0, 12, 1, 0, 0, 1, 0, 7, 0, 2, // template set
//!     1, 0, 0, 8, 0, 80, 1, 187, // data set
//! ];
//! let port = Source { element: Element::iana(7), min_len: 1, max_len: 2, convert: Convert::Plain };
//! let wanted = [Wanted { kind: ColumnKind::U16, sources: vec![port], constant: None }];
//! let mut columns = [Column::new(ColumnKind::U16)];
//! let mut cache = TemplateCache::new(ipfix::Limits::default());
//! let now_us = 0;
//!
//! let header = parse_header(&message)?;
//! let context =
//!     MessageContext { export_time: header.export_time, uptime_ms: header.uptime_ms, constants: &[] };
//! for set in Sets::new(&header, &message).flatten() {
//!     match set.kind(header.protocol) {
//!         SetKind::Data => {
//!             if let Some(template) = cache.get(header.domain, set.id, now_us) {
//!                 Plan::compile(template, &wanted).decode(set.body, &context, &mut columns);
//!             }
//!         }
//!         kind => {
//!             cache.apply(header.protocol, header.domain, kind, set.body, now_us);
//!         }
//!     }
//! }
//! assert_eq!(columns, [Column::U16(vec![80, 443])]);
//! # Ok(())
//! # }
//! ```

pub mod cache;
pub mod column;
pub mod element;
pub mod encode;
pub mod message;
pub mod plan;
pub mod registry;
pub mod sequence;
pub mod template;

pub use cache::{ApplyOutcome, ImportError, Limits, Refused, TemplateCache};
pub use column::{BytesColumn, Column, ColumnKind};
pub use element::{Element, ElementInfo, ElementType};
pub use encode::{EncodeError, MessageBuilder};
pub use message::{Header, HeaderError, Protocol, Set, SetError, SetKind, Sets, parse_header};
pub use plan::{Convert, DataSet, Decoded, MessageContext, Plan, Scratch, Source, Wanted};
pub use registry::{Registry, RegistryError};
pub use sequence::{Arrival, SequenceTotals, SequenceTracker};
pub use template::{FieldSpec, Template, VARIABLE};
