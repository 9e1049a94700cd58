//! The configuration file of `qoe up`: read, checked, one collector.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use crds::key_values::KeyValues;
use crds::{QoeCollector, QoeDictionary};

/// What the file holds.
pub struct Configuration {
    /// The one collector.
    pub collector: QoeCollector,
    /// Its dictionaries.
    pub dictionaries: Vec<QoeDictionary>,
    /// ConfigMaps and Secrets that they refer to.
    pub values: Vec<KeyValues>,
}

/// Reads the file; an error lists everything that is wrong with it.
pub fn load(file: &Path) -> anyhow::Result<Configuration> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let documents = crds::load::documents(&text, &file.display().to_string())
        .map_err(|errors| anyhow::anyhow!("the configuration is wrong:\n{errors}"))?;
    let mut collectors = documents.collectors.into_iter();
    let Some(collector) = collectors.next() else {
        bail!("{}: there is no QoeCollector in it", file.display());
    };
    if let Some(second) = collectors.next() {
        bail!(
            "{}: expected one QoeCollector, got {} and {}: run one qoe up for each, with its own --data",
            file.display(),
            collector.metadata.name,
            second.metadata.name
        );
    }
    Ok(Configuration { collector, dictionaries: documents.dictionaries, values: documents.values })
}
