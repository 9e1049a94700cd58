//! Rules for one collector, and for all collectors that share one host.

use std::collections::{HashMap, HashSet};

use super::{FieldPath, Problem, Problems, names, tables, words};
use crate::clickhouse::{self, ClickHouse};
use crate::collector::{QoeCollector, QoeCollectorSpec};
use crate::dpi::{Dpi, ReceiverSpec};
use crate::managed;
use crate::network::Network;
use crate::stream::{Export, Stream, Transport};

/// The smallest journal, in bytes: several segments must fit into it.
pub const MIN_JOURNAL_BYTES: u64 = 16 << 20;

/// Most inserts in flight.
const MAX_INSERTERS: u32 = 64;

/// Most servers that share the data.
const MAX_SHARDS: u32 = 64;

/// All that is wrong with one collector.
pub fn collector(collector: &QoeCollector) -> Vec<Problem> {
    let mut problems = Problems::default();
    let root = FieldPath::root();
    let name = root.field("metadata").field("name");
    names::collector_name(name.clone(), &collector.metadata.name, &mut problems);
    if collector.spec.clickhouse.managed.is_some()
        && collector.metadata.name.len() > managed::LONGEST_COLLECTOR
    {
        problems.add(name, words::NAME_WITH_SERVERS);
    }
    spec(&root.field("spec"), &collector.spec, &mut problems);
    problems.0
}

fn spec(path: &FieldPath, spec: &QoeCollectorSpec, problems: &mut Problems) {
    let dpis = path.field("dpis");
    if spec.dpis.is_empty() {
        problems.add(dpis.clone(), "expected at least one DPI, got none");
    }
    let mut ids = HashSet::new();
    for (index, dpi) in spec.dpis.iter().enumerate() {
        let path = dpis.index(index);
        if !ids.insert(dpi.id) {
            problems.add(path.field("id"), format!("DPI {} was given before", dpi.id));
        }
        check_dpi(&path, dpi, problems);
    }
    clickhouse(&path.field("clickhouse"), &spec.clickhouse, problems);
    tables::check(&path.field("tables"), &spec.tables, problems);
    elements(path, spec, problems);

    if let Some(version) = &spec.version {
        names::version(path.field("version"), version, problems);
    }
    let features = spec.nodes.iter().flat_map(|nodes| &nodes.cpu_features);
    for (index, feature) in features.enumerate() {
        names::cpu_feature(path.field("nodes").field("cpuFeatures").index(index), feature, problems);
    }
    if let Some(zone) = &spec.time_zone {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
        if zone.is_empty() || zone.len() > 64 || !zone.bytes().all(allowed) {
            let message = format!("expected a time zone such as Europe/Berlin, got {}", names::short(zone));
            problems.add(path.field("timeZone"), message);
        }
    }
    for (index, approval) in spec.approvals.iter().enumerate() {
        let hash = approval.strip_prefix("sha256:").unwrap_or_default();
        if hash.is_empty() || hash.len() > 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let message = format!("expected sha256: and hexadecimal digits, got {}", names::short(approval));
            problems.add(path.field("approvals").index(index), message);
        }
    }
}

fn check_dpi(path: &FieldPath, dpi: &Dpi, problems: &mut Problems) {
    let streams = path.field("streams");
    if dpi.streams.is_empty() {
        problems.add(streams.clone(), "expected at least one stream, got none");
    }
    let mut seen = HashSet::new();
    let mut ports = HashMap::new();
    for (index, stream) in dpi.streams.iter().enumerate() {
        let path = streams.index(index);
        if let Some(other) = ports.insert((stream.port, stream.transport), stream.name()) {
            problems.add(path.field("port"), port_taken(stream, other, dpi.id));
        }
        if !seen.insert(stream.name()) {
            let hint = if stream.name.is_none() { "; give it a name of its own" } else { "" };
            let message = format!("a stream named {} was given before{hint}", names::short(stream.name()));
            problems.add(path.field("name"), message);
        }
        check_stream(&path, stream, problems);
    }
    if let Some(receiver) = &dpi.receiver {
        check_receiver(&path.field("receiver"), receiver, problems);
    }
}

fn check_stream(path: &FieldPath, stream: &Stream, problems: &mut Problems) {
    if let Some(name) = &stream.name {
        names::label(path.field("name"), name, problems);
    }
    for (index, network) in stream.allow_from.iter().enumerate() {
        if let Err(error) = network.parse::<Network>() {
            problems.add(path.field("allowFrom").index(index), error.to_string());
        }
    }
    if stream.tls.is_some() && stream.transport == Transport::Udp {
        problems.add(path.field("tls"), format!("{}, got UDP", words::TLS_NEEDS_TCP));
    }
    let mut domains = HashSet::new();
    for (index, domain) in stream.domains.iter().enumerate() {
        if !domains.insert(domain.id) {
            let message = format!("observation domain {} was given before", domain.id);
            problems.add(path.field("domains").index(index).field("id"), message);
        }
    }
    if let Some(export) = &stream.export {
        check_export(&path.field("export"), export, problems);
    }
}

fn check_export(path: &FieldPath, export: &Export, problems: &mut Problems) {
    let targets = path.field("targets");
    if export.targets.is_empty() {
        problems.add(targets.clone(), "expected at least one target, got none");
    }
    let mut seen = HashSet::new();
    for (index, target) in export.targets.iter().enumerate() {
        let path = targets.index(index);
        names::label(path.field("name"), &target.name, problems);
        if !seen.insert(target.name.as_str()) {
            let message = format!("a target named {} was given before", names::short(&target.name));
            problems.add(path.field("name"), message);
        }
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '/';
        if target.host.is_empty() || target.host.len() > 253 || target.host.contains(bad) {
            let message = format!("expected a host name or an address, got {}", names::short(&target.host));
            problems.add(path.field("host"), message);
        }
    }
}

fn check_receiver(path: &FieldPath, receiver: &ReceiverSpec, problems: &mut Problems) {
    if let Some(journal) = &receiver.journal
        && let Some(size) = &journal.size
        && size.bytes().is_none_or(|bytes| bytes < MIN_JOURNAL_BYTES)
    {
        problems.add(path.field("journal").field("size"), format!("{}, got {size}", words::JOURNAL_SIZE));
    }
    let Some(tuning) = &receiver.tuning else {
        return;
    };
    let path = path.field("tuning");
    if let Some(inserters) = tuning.inserters
        && !(1..=MAX_INSERTERS).contains(&inserters)
    {
        problems.add(path.field("inserters"), format!("expected 1-{MAX_INSERTERS}, got {inserters}"));
    }
    if tuning.queue_messages == Some(0) {
        problems.add(path.field("queueMessages"), "expected at least 1, got 0");
    }
}

fn clickhouse(path: &FieldPath, clickhouse: &ClickHouse, problems: &mut Problems) {
    names::identifier(path.field("database"), &clickhouse.database, problems);
    let mut given = Vec::new();
    for (name, present) in [
        ("managed", clickhouse.managed.is_some()),
        ("external", clickhouse.external.is_some()),
        ("embedded", clickhouse.embedded.is_some()),
    ] {
        if present {
            given.push(name);
        }
    }
    let rule = words::ONE_CLICKHOUSE;
    match given.as_slice() {
        [_] => {}
        [] => problems.add(path.clone(), format!("{rule}, got none (all defaults are written {{}})")),
        several => problems.add(path.clone(), format!("{rule}, got {}", several.join(" and "))),
    }
    if let Some(managed) = &clickhouse.managed {
        let path = path.field("managed");
        if !(1..=MAX_SHARDS).contains(&managed.shards) {
            let message = format!("expected 1-{MAX_SHARDS}, got {}", managed.shards);
            problems.add(path.field("shards"), message);
        }
        if let Some(version) = managed.image.as_deref().and_then(clickhouse::image_version)
            && version < clickhouse::OLDEST_SERVER
        {
            problems.add(path.field("image"), words::OLD_SERVER);
        }
        let mut users = HashSet::new();
        for (index, user) in managed.users.iter().enumerate() {
            let path = path.field("users").index(index).field("name");
            names::identifier(path.clone(), &user.name, problems);
            if managed::RESERVED_USERS.contains(&user.name.as_str()) {
                problems.add(path.clone(), words::RESERVED_USER);
            }
            if !users.insert(user.name.as_str()) {
                problems.add(path, format!("a user named {} was given before", names::short(&user.name)));
            }
        }
    }
    if let Some(external) = &clickhouse.external {
        let external_path = path.field("external");
        let path = external_path.field("endpoints");
        if external.endpoints.is_empty() {
            problems.add(path.clone(), "expected at least one address, got none");
        }
        for (index, endpoint) in external.endpoints.iter().enumerate() {
            names::http_url(path.index(index), endpoint, problems);
            if external.endpoints.iter().take(index).any(|before| before == endpoint) {
                problems.add(path.index(index), words::ENDPOINT_TWICE);
            }
        }
        if external.endpoints.len() > 1 && external.cluster.is_none() {
            problems.add(external_path.field("cluster"), words::CLUSTER_NEEDED);
        }
    }
}

fn elements(path: &FieldPath, spec: &QoeCollectorSpec, problems: &mut Problems) {
    let mut ids = HashSet::new();
    let mut columns = HashSet::new();
    for (index, element) in spec.elements.iter().enumerate() {
        let path = path.field("elements").index(index);
        if !(1..=0x7fff).contains(&element.id) {
            problems.add(path.field("id"), format!("expected an element id 1-32767, got {}", element.id));
        }
        if !ids.insert((element.stream, element.pen, element.id)) {
            problems
                .add(path.field("id"), format!("element {} was given before for this stream", element.id));
        }
        names::identifier(path.field("column"), &element.column, problems);
        if !columns.insert((element.stream, element.column.as_str())) {
            let message =
                format!("column {} was given before for this stream", names::short(&element.column));
            problems.add(path.field("column"), message);
        }
        if let Err(error) = crate::declare::stream(element.stream, std::slice::from_ref(element)) {
            problems.add(path.field("column"), error.to_string());
        }
    }
}

fn port_taken(stream: &Stream, by: &str, dpi: u16) -> String {
    let transport = stream.transport.as_str();
    format!("{transport} port {} is taken by stream {} of DPI {dpi}", stream.port, names::short(by))
}

/// What is wrong between the collectors of one file when they run on one host; with the index
/// of the one to blame. There, a port can be listened on once only.
pub fn collectors_of_one_host(collectors: &[QoeCollector]) -> Vec<(usize, Problem)> {
    let mut problems = Vec::new();
    let mut collector_names = HashSet::new();
    let mut ports = HashMap::new();
    for (number, collector) in collectors.iter().enumerate() {
        let metadata = &collector.metadata;
        let root = FieldPath::root();
        if !collector_names.insert((metadata.namespace.as_deref(), metadata.name.as_str())) {
            let path = root.field("metadata").field("name");
            let message = format!("a collector named {} was given before", names::short(&metadata.name));
            problems.push((number, Problem { path, message }));
        }
        for (dpi_index, dpi) in collector.spec.dpis.iter().enumerate() {
            for (stream_index, stream) in dpi.streams.iter().enumerate() {
                let taken = ports.insert((stream.port, stream.transport), (dpi.id, stream.name()));
                if let Some((dpi, name)) = taken {
                    let path = root.field("spec").field("dpis").index(dpi_index);
                    let path = path.field("streams").index(stream_index).field("port");
                    let message = port_taken(stream, name, dpi);
                    problems.push((number, Problem { path, message }));
                }
            }
        }
    }
    problems
}
