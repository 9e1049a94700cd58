//! `/metrics` is OpenMetrics text and says the same as `/status`; `/livez` and `/readyz` answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use crds::receiver::{Status, StreamStatus};
use e2e::{Simulator, System, SystemOptions, wait_for};

const LONG: Duration = Duration::from_secs(120);
const PREFIX: &str = "qoe_receiver_";

type Labels = BTreeMap<String, String>;

/// An OpenMetrics text, by the rules of the format that scrapers rely on.
#[derive(Default)]
struct Metrics {
    /// Families with their types.
    types: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Metrics {
    fn parse(text: &str) -> Metrics {
        let mut metrics = Metrics::default();
        let body = text.strip_suffix("# EOF\n").expect("the text ends with # EOF");
        let mut described = BTreeSet::new();
        let mut current = String::new();
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let [keyword, family, text]: [&str; 3] =
                    rest.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
                assert_name(family);
                match keyword {
                    "HELP" => assert!(described.insert(family.to_string()) && !text.is_empty(), "{line}"),
                    "TYPE" => {
                        assert!(matches!(text, "counter" | "gauge"), "{line}");
                        let earlier = metrics.types.insert(family.to_string(), text.to_string());
                        assert_eq!(earlier, None, "a family is in one place: {line}");
                        current = family.to_string();
                    }
                    _ => panic!("neither HELP nor TYPE: {line}"),
                }
                continue;
            }
            let (name, labels, value) = sample(line);
            let family = match metrics.types[&current].as_str() {
                "counter" => name.strip_suffix("_total").expect("counters end in _total"),
                _ => &name,
            };
            assert_eq!(family, current, "samples follow their family: {line}");
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert_eq!(metrics.samples.insert((name, labels), value), None, "twice: {line}");
        }
        assert_eq!(described, metrics.types.keys().cloned().collect(), "each has HELP and TYPE");
        metrics
    }

    /// Takes a sample out.
    fn take(&mut self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        self.samples.remove(&(format!("{PREFIX}{name}"), labels))
    }
}

fn assert_name(name: &str) {
    assert!(name.starts_with(PREFIX), "{name}");
    assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
}

/// `name{label="value",...} number`, or `name number`. No value of ours needs escapes.
fn sample(line: &str) -> (String, Labels, f64) {
    if !line.contains('{') {
        let (name, value) = line.split_once(' ').expect(line);
        assert_name(name);
        return (name.to_string(), Labels::new(), value.parse().expect(line));
    }
    let (name, rest) = line.split_once('{').expect(line);
    let (labels, value) = rest.split_once("} ").expect(line);
    assert_name(name);
    let mut read = Labels::new();
    for label in labels.split(',') {
        let (label, quoted) = label.split_once('=').expect(line);
        let text = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).expect(line);
        assert!(!text.contains(['"', '\\']), "{line}");
        assert_eq!(read.insert(label.to_string(), text.to_string()), None, "{line}");
    }
    (name.to_string(), read, value.parse().expect(line))
}

/// What the status says, by the names of the metrics.
fn figures(status: &StreamStatus) -> Vec<(&'static str, u64)> {
    let StreamStatus { wire, sequence, destination, journal, .. } = status;
    vec![
        ("messages_arrived_total", wire.arrived),
        ("messages_journaled_total", wire.journaled),
        ("kernel_drops_total", wire.kernel_drops),
        ("connections", wire.connections),
        ("records_announced_total", sequence.announced),
        ("records_decoded_total", sequence.decoded),
        ("records_options_total", sequence.options),
        ("records_missing", sequence.missing),
        ("packets_missing", sequence.missing_packets),
        ("sets_waiting", sequence.waiting_sets),
        ("duplicates_total", sequence.duplicates),
        ("exporter_restarts_total", sequence.restarts),
        ("rows_stored_total", destination.stored),
        ("rows_waiting", destination.waiting),
        ("rows_set_aside_total", destination.set_aside),
        ("insert_retries_total", destination.retries),
        ("journal_bytes", journal.bytes),
        ("journal_frames_total", journal.newest_frame),
        ("journal_frames_lost_total", journal.lost_frames),
        ("ready", u64::from(status.ready)),
    ]
}

/// Rows that all streams have stored since the receiver began, which is when their journals began.
fn stored_rows(status: &Status) -> f64 {
    status.dpis.iter().flat_map(|dpi| &dpi.streams).map(|stream| stream.destination.stored as f64).sum()
}

#[test]
fn metrics_say_what_the_status_says() {
    let system = System::start(&SystemOptions::default());
    assert_eq!(system.get("/livez"), "ok\n");
    assert_eq!(system.get("/readyz"), "ok\n");
    Metrics::parse(&system.get("/metrics"));

    let tcp = Simulator::start(&["--to", &system.address(0), "--records", "50000"]);
    let to_udp = ["--to", &system.address(1), "--transport", "udp", "--records", "50000"];
    let faults = ["--drop-every", "7", "--duplicate-every", "5", "--reorder-every", "11", "--seed", "2"];
    let udp = Simulator::start(&[&to_udp[..], &faults].concat());
    let (tcp, udp) = (tcp.finish(LONG), udp.finish(LONG));
    assert!(udp.lost_records > 0);
    TcpStream::connect(system.address(0)).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    for (dpi, sent) in [(0, tcp), (1, udp)] {
        wait_for("all records", LONG, || {
            (system.stream(dpi).destination.stored >= sent.records).then_some(())
        });
        system.wait_until_stored(dpi);
    }
    wait_for("the refusal", LONG, || (system.stream(0).wire.refused.len() == 1).then_some(()));
    wait_for("the connections' end", LONG, || (system.stream(0).wire.connections == 0).then_some(()));

    // Nothing arrives any more, so the two can be compared; segments may still be given back.
    let (mut metrics, status) = wait_for("a quiet moment", LONG, || {
        let before = system.status();
        let metrics = Metrics::parse(&system.get("/metrics"));
        let status = system.status();
        let all = |status: &Status| -> Vec<_> {
            status.dpis.iter().flat_map(|dpi| &dpi.streams).flat_map(figures).collect()
        };
        (all(&before) == all(&status)).then_some((metrics, status))
    });
    for dpi in &status.dpis {
        for stream in &dpi.streams {
            let id = dpi.id.to_string();
            let labels = [("dpi", id.as_str()), ("stream", stream.name.as_str())];
            for (name, figure) in figures(stream) {
                assert_eq!(metrics.take(name, &labels), Some(figure as f64), "{name} of DPI {id}");
            }
            let by_reason = [
                ("messages_refused_total", &stream.wire.refused),
                ("templates_refused_total", &stream.wire.templates_refused),
                ("records_undecodable_total", &stream.sequence.undecodable),
                ("sets_undecodable_total", &stream.sequence.undecodable_sets),
            ];
            for (name, reasons) in by_reason {
                for (reason, count) in reasons {
                    let labels = [&labels[..], &[("reason", reason)]].concat();
                    assert_eq!(metrics.take(name, &labels), Some(*count as f64), "{name} {reason}");
                }
            }
        }
    }
    // Nothing was changed while it ran.
    for result in ["applied", "invalid", "restart"] {
        assert_eq!(metrics.take("config_reloads_total", &[("result", result)]), Some(0.0), "{result}");
    }
    assert_eq!(metrics.take("config_in_force", &[]), Some(1.0));
    for shard in &status.shards {
        let number = shard.shard.to_string();
        let labels = [("shard", number.as_str())];
        assert_eq!(metrics.take("insert_unsettled", &labels), Some(shard.unsettled as f64));
        assert_eq!(metrics.take("insert_rows_total", &labels), Some(stored_rows(&status)), "one server");
    }
    let dictionaries = &status.dictionaries;
    assert_eq!(metrics.take("dictionaries_in_force", &[]), Some(f64::from(dictionaries.error.is_none())));
    assert_eq!(metrics.take("dictionary_version", &[]), Some(f64::from(dictionaries.version)));
    assert!(metrics.take("dictionary_swaps_total", &[]).is_some_and(|swaps| swaps >= 1.0));
    for (name, rows) in &dictionaries.rows {
        assert_eq!(metrics.take("dictionary_rows", &[("dictionary", name)]), Some(*rows as f64), "{name}");
    }
    // What is left are reasons that have not occurred.
    for ((name, labels), value) in &metrics.samples {
        assert!(labels.contains_key("reason") && *value == 0.0, "{name} {labels:?} {value}");
    }
    let [tcp, udp] = [0, 1].map(|dpi| system.stream(dpi));
    assert_eq!(tcp.wire.refused, BTreeMap::from([("bad_version".to_string(), 1)]));
    assert!(udp.sequence.missing > 0 && udp.sequence.duplicates > 0, "{udp:?}");
}
