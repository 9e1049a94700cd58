//! IPFIX (RFC 7011) and NetFlow v9 (RFC 3954): decode and encode, without I/O.

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
