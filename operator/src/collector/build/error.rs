//! Why a collector cannot be built although each of its fields is valid.

use crds::validate::FieldPath;

/// A receiver could not run as it is asked to.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A stream wants the port on which the receiver answers about itself.
    #[error("{path}: TCP port {port} is the receiver's own, for its status and metrics; choose another")]
    StatusPortTaken {
        /// The stream's port.
        path: FieldPath,
        /// The port.
        port: u16,
    },
    /// The configuration cannot be written.
    #[error("the configuration of DPI {dpi} cannot be written: {source}")]
    Json {
        /// The DPI's id.
        dpi: u16,
        /// Why.
        source: serde_json::Error,
    },
}
