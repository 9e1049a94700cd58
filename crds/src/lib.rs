//! The configuration model: what a user writes (`QoeCollector`, `QoeDictionary`), what a
//! receiver process is handed (`receiver::ReceiverConfig`) and what it answers
//! (`receiver::Status`).
//!
//! The same types serve one machine (`qoe up`) and Kubernetes, so nothing here may depend on
//! where it runs, open a socket or read a file: text goes in, checked values come out.

pub mod clickhouse;
pub mod collector;
pub mod declare;
pub mod desired;
pub mod dictionary;
pub mod dpi;
pub mod duration;
pub mod enrichment;
pub mod key_values;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod load;
pub mod managed;
pub mod network;
pub mod pod;
pub mod port;
pub mod quantity;
pub mod receiver;
pub mod receiver_of_dpi;
pub mod references;
pub mod standalone;
#[cfg(feature = "kubernetes")]
pub mod status;
pub mod stream;
pub mod tables;
pub mod validate;

pub use clickhouse::{ClickHouse, ClickHouseKind};
pub use collector::{Metadata, QoeCollector, QoeCollectorSpec};
pub use dictionary::{DictionarySource, DictionaryType, QoeDictionary, QoeDictionarySpec};
pub use dpi::Dpi;
pub use duration::{Delay, Duration};
pub use enrichment::{CustomElement, ElementType};
pub use load::{Documents, LoadErrors};
pub use network::Network;
pub use port::Port;
pub use quantity::Quantity;
pub use stream::{Domain, Stream, StreamType, Transport};

/// The API group and version of both kinds.
pub const API_VERSION: &str = "qoeplane.io/v1alpha1";
