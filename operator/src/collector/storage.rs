//! Asks a ClickHouse server what it holds: version, volumes, tables by volume. Only reads; a server that does not let
//! us see something is an observation, not an error.

use std::collections::BTreeMap;
use std::time::Duration;

use clickhouse::{Client, Row};
use crds::clickhouse::{ClickHouse, ClickHouseKind};
use crds::managed;
use serde::Deserialize;

/// How long a server may take to answer.
const WITHIN: Duration = Duration::from_secs(10);

/// What our tables are stored by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Name of the storage policy.
    pub name: String,
    /// Its volume where rows arrive.
    pub hot: String,
    /// Its volume where rows move to.
    pub cold: Option<String>,
}

impl Policy {
    /// That of a collector's tables.
    pub fn of(clickhouse: &ClickHouse) -> Policy {
        match clickhouse.kind() {
            Some(ClickHouseKind::External(external)) => match &external.storage_policy {
                Some(policy) => Policy {
                    name: policy.name.clone(),
                    hot: policy.hot_volume.clone(),
                    cold: Some(policy.cold_volume.clone()),
                },
                // The one that ClickHouse has by itself, and its volume, have this name.
                None => Policy { name: "default".to_owned(), hot: "default".to_owned(), cold: None },
            },
            Some(ClickHouseKind::Managed(managed)) => Policy {
                name: managed::POLICY.to_owned(),
                hot: managed::HOT.to_owned(),
                // Without cold storage there is the volume all the same: a directory of the hot one, see
                // `servers/server_xml.rs`.
                cold: managed.cold().map(|_| managed::COLD.to_owned()),
            },
            Some(ClickHouseKind::Embedded(_)) | None => Policy::default(),
        }
    }
}

/// What a server holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Storage {
    /// The server's version.
    pub version: String,
    /// What its tables are stored by.
    pub policy: Policy,
    /// Volumes of the storage policy, in its order.
    pub volumes: Vec<Volume>,
    /// Tables of our database that hold something, by name; `None`: our user may not see that.
    pub tables: Option<BTreeMap<String, Table>>,
    /// How many servers form its cluster, as it knows; `None`: our user may not see that.
    pub cluster_size: Option<u64>,
}

/// One volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Bytes of its disks.
    pub total: u64,
    /// Of these, what is free.
    pub free: u64,
}

/// One table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Rows.
    pub rows: u64,
    /// Bytes by volume.
    pub bytes: BTreeMap<String, u64>,
    /// Between the oldest and the newest row, in seconds, by what its parts say.
    pub seconds: u64,
}

impl Table {
    /// Bytes on all volumes.
    pub fn total(&self) -> u64 {
        self.bytes.values().sum()
    }
}

#[derive(Row, Deserialize)]
struct VolumeRow {
    volume: String,
    disk: String,
    total: u64,
    free: u64,
}

#[derive(Row, Deserialize)]
struct PartsRow {
    table: String,
    disk: String,
    rows: u64,
    bytes: u64,
    oldest: u32,
    newest: u32,
}

/// Asks the server; `cluster` is the name of the servers' cluster.
///
/// # Errors
/// Why it does not answer.
pub async fn measure(
    client: &Client,
    database: &str,
    policy: &Policy,
    cluster: &str,
) -> Result<Storage, String> {
    let asked = async {
        let version = client.query("SELECT version()").fetch_one::<String>().await?;
        let volumes = client
            .query(
                "SELECT volume_name AS volume, disk, any(d.total_space) AS total, any(d.unreserved_space) AS free \
                 FROM system.storage_policies AS p ARRAY JOIN disks AS disk \
                 INNER JOIN system.disks AS d ON d.name = disk \
                 WHERE policy_name = ? GROUP BY volume_priority, volume, disk ORDER BY volume_priority, disk",
            )
            .bind(&policy.name)
            .fetch_all::<VolumeRow>()
            .await
            .unwrap_or_default();
        let parts = client
            .query(
                "SELECT table, disk_name AS disk, sum(rows) AS rows, sum(bytes_on_disk) AS bytes, \
                 toUInt32(minIf(min_time, min_time > toDateTime(0))) AS oldest, toUInt32(max(max_time)) AS newest \
                 FROM system.parts WHERE database = ? AND active GROUP BY table, disk",
            )
            .bind(database)
            .fetch_all::<PartsRow>()
            .await;
        let cluster_size = client
            .query("SELECT count() FROM system.clusters WHERE cluster = ?")
            .bind(cluster)
            .fetch_one::<u64>()
            .await
            .ok();
        // What cannot be asked is not known, which is not the same as nothing.
        let mut storage = storage(version, volumes, parts.ok());
        storage.volumes.retain(|volume| {
            // The one that stands for a volume that is not there is none.
            volume.name != managed::COLD || policy.name != managed::POLICY || policy.cold.is_some()
        });
        Ok::<_, clickhouse::error::Error>(Storage { policy: policy.clone(), cluster_size, ..storage })
    };
    match tokio::time::timeout(WITHIN, asked).await {
        Ok(Ok(storage)) => Ok(storage),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", WITHIN.as_secs())),
    }
}

fn storage(version: String, volumes: Vec<VolumeRow>, parts: Option<Vec<PartsRow>>) -> Storage {
    let mut storage = Storage { version, ..Storage::default() };
    let mut volume_of = BTreeMap::new();
    for VolumeRow { volume, disk, total, free } in volumes {
        volume_of.insert(disk, volume.clone());
        match storage.volumes.iter_mut().find(|known| known.name == volume) {
            Some(known) => {
                known.total = known.total.saturating_add(total);
                known.free = known.free.saturating_add(free);
            }
            None => storage.volumes.push(Volume { name: volume, total, free }),
        }
    }
    let Some(parts) = parts else { return storage };
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    let mut times: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for PartsRow { table, disk, rows, bytes, oldest, newest } in parts {
        let (first, last) = times.entry(table.clone()).or_insert((u32::MAX, 0));
        if oldest > 0 {
            *first = oldest.min(*first);
        }
        *last = newest.max(*last);
        let seconds = u64::from(last.saturating_sub(*first));
        let entry = tables.entry(table).or_default();
        entry.rows = entry.rows.saturating_add(rows);
        entry.seconds = seconds;
        // A disk of another policy keeps its own name.
        let volume = volume_of.get(&disk).cloned().unwrap_or(disk);
        let sum = entry.bytes.entry(volume).or_default();
        *sum = sum.saturating_add(bytes);
    }
    Storage { tables: Some(tables), ..storage }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_added_up_by_volume() {
        let volumes = ["default", "cold"].map(|disk| VolumeRow {
            volume: if disk == "default" { "hot".to_owned() } else { disk.to_owned() },
            disk: disk.to_owned(),
            total: 100,
            free: 40,
        });
        let part = |disk: &str, bytes: u64, oldest: u32, newest: u32| PartsRow {
            table: "fullflow".to_owned(),
            disk: disk.to_owned(),
            rows: 5,
            bytes,
            oldest,
            newest,
        };
        let parts =
            vec![part("default", 7, 2_000, 3_000), part("cold", 9, 1_000, 2_500), part("other", 1, 0, 0)];
        let found = storage("26.7".to_owned(), volumes.into(), Some(parts));
        assert_eq!(found.volumes.len(), 2);
        let table = &found.tables.unwrap()["fullflow"];
        assert_eq!((table.rows, table.total(), table.seconds), (15, 17, 2_000));
        assert_eq!((table.bytes["hot"], table.bytes["cold"], table.bytes["other"]), (7, 9, 1));
    }
}
