//! The custom resources of Kubernetes. Their `spec` is the type that files are read into, so one machine
//! and a cluster cannot understand the same text differently.
//!
//! Nothing here talks to a cluster.

mod bounds;
mod definition;
mod reference;
mod rules;
mod schema;
mod types;

use kube::ResourceExt;

pub use crate::collector::Collector;
pub use crate::dictionary::Dictionary;
pub use definition::{collector_definition, dictionary_definition};
pub use reference::{collector_reference, dictionary_reference};

use crate::{API_VERSION, Metadata, QoeCollector, QoeDictionary, collector, dictionary};

impl From<&Collector> for QoeCollector {
    /// The object as a file would hold it, for [`crate::validate::collector`].
    fn from(object: &Collector) -> QoeCollector {
        QoeCollector {
            api_version: API_VERSION.to_owned(),
            kind: collector::KIND.to_owned(),
            metadata: metadata(object),
            spec: object.spec.clone(),
        }
    }
}

impl From<&Dictionary> for QoeDictionary {
    /// The object as a file would hold it, for [`crate::validate::dictionary`].
    fn from(object: &Dictionary) -> QoeDictionary {
        QoeDictionary {
            api_version: API_VERSION.to_owned(),
            kind: dictionary::KIND.to_owned(),
            metadata: metadata(object),
            spec: object.spec.clone(),
        }
    }
}

fn metadata(object: &impl ResourceExt) -> Metadata {
    Metadata {
        name: object.name_any(),
        namespace: object.namespace(),
        labels: object.labels().clone(),
        annotations: object.annotations().clone(),
    }
}
