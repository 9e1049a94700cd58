//! What is counted of each collector, as its last reconcile found it. What is gone, a DPI, a server, a collector, is
//! told no more: a number that stands still looks like one that is true.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Labels of one DPI of one collector.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DpiLabels {
    /// Namespace of the collector.
    pub namespace: String,
    /// Its name.
    pub collector: String,
    /// Id of the DPI.
    pub dpi: u32,
}

/// Labels of one ClickHouse server of one collector.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ShardLabels {
    /// Namespace of the collector.
    pub namespace: String,
    /// Its name.
    pub collector: String,
    /// Number of the shard.
    pub shard: u32,
}

/// Labels of one volume of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VolumeLabels {
    namespace: String,
    collector: String,
    shard: u32,
    volume: String,
}

/// What was told and not taken back.
#[derive(Debug, Default)]
struct Told {
    dpis: HashSet<DpiLabels>,
    shards: HashSet<ShardLabels>,
    volumes: HashSet<VolumeLabels>,
}

/// The numbers of all collectors.
#[derive(Debug, Default)]
pub struct Collectors {
    decoded: Family<DpiLabels, Gauge>,
    stored: Family<DpiLabels, Gauge>,
    waiting: Family<DpiLabels, Gauge>,
    missing: Family<DpiLabels, Gauge>,
    shard_ready: Family<ShardLabels, Gauge>,
    volume_size: Family<VolumeLabels, Gauge>,
    volume_free: Family<VolumeLabels, Gauge>,
    told: Mutex<Told>,
}

impl Collectors {
    /// Of no collector yet.
    pub fn new(registry: &mut Registry) -> Collectors {
        let numbers = Collectors::default();
        for (name, help, family) in [
            ("dpi_decoded_records", "Records received and decoded", &numbers.decoded),
            ("dpi_stored_records", "Records acknowledged by ClickHouse", &numbers.stored),
            ("dpi_waiting_records", "Records on their way to ClickHouse", &numbers.waiting),
            ("dpi_missing_records", "Records that exporters sent and that never came", &numbers.missing),
        ] {
            registry.register(name, help, family.clone());
        }
        let ready = numbers.shard_ready.clone();
        registry.register(
            "shard_ready",
            "Whether a ClickHouse server answers and runs what is wanted",
            ready,
        );
        let size = numbers.volume_size.clone();
        registry.register("volume_bytes", "Size of a volume of a ClickHouse server", size);
        registry.register("volume_free_bytes", "What is free of it", numbers.volume_free.clone());
        numbers
    }

    /// Records of a DPI: decoded, stored, waiting, missing.
    pub fn tell_records(&self, labels: DpiLabels, sums: [u64; 4]) {
        let families = [&self.decoded, &self.stored, &self.waiting, &self.missing];
        for (family, sum) in families.into_iter().zip(sums) {
            family.get_or_create(&labels).set(number(sum));
        }
        self.told().dpis.insert(labels);
    }

    /// Whether a server is ready.
    pub fn tell_server(&self, labels: ShardLabels, ready: bool) {
        self.shard_ready.get_or_create(&labels).set(ready.into());
        self.told().shards.insert(labels);
    }

    /// Bytes of a server's volume: in all, and free.
    pub fn tell_volume(&self, server: &ShardLabels, volume: &str, total: u64, free: u64) {
        let ShardLabels { namespace, collector, shard } = server.clone();
        let labels = VolumeLabels { namespace, collector, shard, volume: volume.to_owned() };
        self.volume_size.get_or_create(&labels).set(number(total));
        self.volume_free.get_or_create(&labels).set(number(free));
        self.told().volumes.insert(labels);
    }

    /// Takes back what was told of other DPIs.
    pub fn retain_dpis(&self, is_there: impl Fn(&DpiLabels) -> bool) {
        for labels in self.told().dpis.extract_if(|labels| !is_there(labels)) {
            for family in [&self.decoded, &self.stored, &self.waiting, &self.missing] {
                family.remove(&labels);
            }
        }
    }

    /// Takes back what was told of other servers, and of their volumes.
    pub fn retain_servers(&self, is_there: impl Fn(&ShardLabels) -> bool) {
        let mut told = self.told();
        for labels in told.shards.extract_if(|labels| !is_there(labels)) {
            self.shard_ready.remove(&labels);
        }
        let Told { shards, volumes, .. } = &mut *told;
        let is_gone = |volume: &VolumeLabels| {
            let VolumeLabels { namespace, collector, shard, .. } = volume.clone();
            !shards.contains(&ShardLabels { namespace, collector, shard })
        };
        for labels in volumes.extract_if(is_gone) {
            self.volume_size.remove(&labels);
            self.volume_free.remove(&labels);
        }
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn what_is_gone_is_told_no_more() {
        let mut registry = Registry::default();
        let numbers = Collectors::new(&mut registry);
        let text = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
        };
        let (namespace, collector) = ("qoe".to_owned(), "main".to_owned());
        for dpi in [0, 1] {
            let labels = DpiLabels { namespace: namespace.clone(), collector: collector.clone(), dpi };
            numbers.tell_records(labels, [4, 3, 1, 0]);
        }
        for shard in [0, 1] {
            let labels = ShardLabels { namespace: namespace.clone(), collector: collector.clone(), shard };
            numbers.tell_volume(&labels, "hot", 100, 40);
            numbers.tell_server(labels, true);
        }
        assert_eq!(text().lines().count(), 2 * 4 + 2 * 3);
        numbers.retain_dpis(|labels| labels.dpi == 0);
        numbers.retain_servers(|labels| labels.shard == 0);
        assert_eq!(text().lines().count(), 4 + 3);
        assert!(!text().contains("dpi=\"1\"") && !text().contains("shard=\"1\""), "{}", text());
        numbers.retain_dpis(|_| false);
        numbers.retain_servers(|_| false);
        assert_eq!(text(), "");
    }
}
