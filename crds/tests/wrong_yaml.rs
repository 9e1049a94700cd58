//! What a wrong file is answered: the exact line a user sees.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use crds::load;
use proptest::prelude::*;

/// A good collector; each case replaces one line of it. Lines are counted from 1.
const GOOD: &str = "\
apiVersion: qoeplane.io/v1alpha1
kind: QoeCollector
metadata:
  name: main
spec:
  dpis:
    - id: 0
      streams:
        - type: Fullflow
          port: 1500
          transport: TCP
        - {type: Clickstream, port: 1501}
    - id: 1
      streams:
        - {type: Fullflow, port: 1510, transport: UDP}
  tables:
    fullflow: {keepFor: 24h, moveToColdAfter: 6h}
  clickhouse:
    embedded: {}
---
apiVersion: qoeplane.io/v1alpha1
kind: QoeDictionary
metadata:
  name: crc
spec:
  type: Crc
  source: {inline: \"2\\tport_1\\t450\\n\"}
";

fn answer(text: &str) -> String {
    match load::documents(text, "c.yaml") {
        Ok(_) => "accepted".to_owned(),
        Err(errors) => errors.to_string(),
    }
}

fn replaced(line: usize, with: &str) -> String {
    let mut lines: Vec<&str> = GOOD.lines().collect();
    lines[line - 1] = with;
    lines.join("\n")
}

#[test]
fn the_good_one_is_good() {
    assert_eq!(answer(GOOD), "accepted");
}

#[test]
fn each_mistake_is_named() {
    let cases: &[(usize, &str, &str)] = &[
        (
            10,
            "          port: abc",
            "c.yaml:10:17: spec.dpis[0].streams[0].port: expected a port number 1-65535, got \"abc\"",
        ),
        (
            10,
            "          port: 0",
            "c.yaml:10:17: spec.dpis[0].streams[0].port: expected a port number 1-65535, got 0",
        ),
        (
            10,
            "          port: 70000",
            "c.yaml:10:17: spec.dpis[0].streams[0].port: expected a port number 1-65535, got 70000",
        ),
        (
            10,
            "          port: -1",
            "c.yaml:10:17: spec.dpis[0].streams[0].port: expected a port number 1-65535, got -1",
        ),
        (
            10,
            "          prot: 1500",
            "c.yaml:9:11: spec.dpis[0].streams[0].port: this field is required\nc.yaml:10:11: spec.dpis[0].streams[0].prot: unknown field, did you mean `port`? (known fields: name, type, port, transport, allowFrom, tls, domains, export)",
        ),
        (
            10,
            "          port:",
            "c.yaml:10:15: spec.dpis[0].streams[0].port: expected a port number 1-65535, got nothing",
        ),
        (
            11,
            "          transport: SCTP",
            "c.yaml:11:22: spec.dpis[0].streams[0].transport: expected one of TCP, UDP, got \"SCTP\"",
        ),
        (
            11,
            "          transport: udp",
            "c.yaml:11:22: spec.dpis[0].streams[0].transport: expected one of TCP, UDP, got \"udp\", did you mean `UDP`?",
        ),
        (
            9,
            "        - type: FullFlow",
            "c.yaml:9:17: spec.dpis[0].streams[0].type: expected one of Fullflow, Clickstream, GTPFlow, NATFlow, DNSFlow, got \"FullFlow\", did you mean `Fullflow`?",
        ),
        (
            12,
            "        - {type: Fullflow, port: 1501}",
            "c.yaml:12:11: spec.dpis[0].streams[1].name: a stream named \"fullflow\" was given before; give it a name of its own",
        ),
        (
            12,
            "        - {type: Clickstream, port: 1500}",
            "c.yaml:12:37: spec.dpis[0].streams[1].port: TCP port 1500 is taken by stream \"fullflow\" of DPI 0",
        ),
        (
            12,
            "        - {type: Clickstream}",
            "c.yaml:12:11: spec.dpis[0].streams[1].port: this field is required",
        ),
        (
            12,
            "        - {type: Clickstream, port: 1501, allowFrom: [192.0.2.0/24, 192.0.2.0/33]}",
            "c.yaml:12:69: spec.dpis[0].streams[1].allowFrom[1]: expected a network such as 192.0.2.0/24 or 2001:db8::/32, got \"192.0.2.0/33\"",
        ),
        (
            12,
            "        - {type: Clickstream, port: 1501, allowFrom: [192.0.2.1/24]}",
            "c.yaml:12:55: spec.dpis[0].streams[1].allowFrom[0]: \"192.0.2.1/24\" has bits set behind the prefix: write 192.0.2.0/24 for the range or 192.0.2.1/32 for one address",
        ),
        (
            15,
            "        - {type: Fullflow, port: 1510, transport: UDP, tls: {certificateSecretRef: {name: t}}}",
            "c.yaml:15:61: spec.dpis[1].streams[0].tls: TLS is possible with transport TCP only, got UDP",
        ),
        (
            12,
            "        - {type: Clickstream, port: 1501, name: ../../etc}",
            "c.yaml:12:49: spec.dpis[0].streams[1].name: expected a name of at most 63 of a-z, 0-9 and -, got \"../../etc\"",
        ),
        (13, "    - id: 0", "c.yaml:13:11: spec.dpis[1].id: DPI 0 was given before"),
        (
            13,
            "    - id: 65536",
            "c.yaml:13:11: spec.dpis[1].id: expected a whole number from 0 to 65535, got 65536",
        ),
        (
            7,
            "    - id: zero",
            "c.yaml:7:11: spec.dpis[0].id: expected a whole number from 0 to 65535, got \"zero\"",
        ),
        (
            14,
            "      streams: []",
            "c.yaml:15:9: not readable as YAML: while parsing a block mapping, did not find expected key",
        ),
        (
            14,
            "      stream:",
            "c.yaml:13:7: spec.dpis[1].streams: this field is required\nc.yaml:14:7: spec.dpis[1].stream: unknown field, did you mean `streams`? (known fields: id, name, streams, receiver)",
        ),
        (
            17,
            "    fullflow: {keepFor: 24h, moveToColdAfter: 24h}",
            "c.yaml:17:47: spec.tables.fullflow.moveToColdAfter: expected less than keepFor (24h), got 24h",
        ),
        (
            17,
            "    fullflow: {moveToColdAfter: 2d}",
            "c.yaml:17:33: spec.tables.fullflow.moveToColdAfter: expected less than keepFor (24h), got 2d",
        ),
        (
            17,
            "    fullflow: {keepFor: 1w}",
            "c.yaml:17:25: spec.tables.fullflow.keepFor: expected a duration such as 30s, 10m, 24h or 30d, got \"1w\"",
        ),
        (
            17,
            "    fullflow: {keepFor: 24}",
            "c.yaml:17:25: spec.tables.fullflow.keepFor: expected a duration such as 30s, 10m, 24h or 30d, got 24",
        ),
        (
            17,
            "    fulflow: {keepFor: 24h}",
            "c.yaml:17:5: spec.tables.fulflow: unknown field, did you mean `fullflow`? (known fields: fullflow, clickstream, gtpflow, natflow, dnsflow, fullflow_agg, clickstream_agg, gtpflow_agg, natflow_agg, dnsflow_agg)",
        ),
        (
            17,
            "    fullflow_agg: {interval: 15m, rollups: [{interval: 10m, after: 7d}]}",
            "c.yaml:17:56: spec.tables.fullflow_agg.rollups[0].interval: expected a multiple of the interval before (15m), got 10m",
        ),
        (
            19,
            "    embedded: {}, ",
            "c.yaml:19:17: not readable as YAML: while parsing a block mapping, did not find expected key",
        ),
        (
            19,
            "    embedded:",
            "c.yaml:19:5: spec.clickhouse: expected exactly one of managed, external, embedded, got none (all defaults are written {})",
        ),
        (
            19,
            "    {embedded: {}, managed: {}}",
            "c.yaml:19:5: spec.clickhouse: expected exactly one of managed, external, embedded, got managed and embedded",
        ),
        (
            19,
            "    embedded: {size: 1}",
            "c.yaml:19:16: spec.clickhouse.embedded.size: unknown field (there are none here)",
        ),
        (19, "    embedded: yes", "c.yaml:19:15: spec.clickhouse.embedded: expected {}, got \"yes\""),
        (
            2,
            "kind: QoeColector",
            "c.yaml:2:7: kind: unknown kind \"QoeColector\", expected QoeCollector or QoeDictionary, did you mean `QoeCollector`?",
        ),
        (
            1,
            "apiVersion: qoeplane.io/v1",
            "c.yaml:1:13: apiVersion: expected `qoeplane.io/v1alpha1`, got \"qoeplane.io/v1\"",
        ),
        (1, "kind: QoeCollector", "c.yaml:2:1: kind: this field was given before, in line 1"),
        (
            4,
            "  nmae: main",
            "c.yaml:4:3: metadata.nmae: unknown field, did you mean `name`? (known fields: name, namespace, labels, annotations)\nc.yaml:4:3: metadata.name: this field is required",
        ),
        (4, "  name: 1.5", "c.yaml:4:9: metadata.name: expected a text, got 1.5: put it in quotes"),
        (
            4,
            "  name: Main Office",
            "c.yaml:4:9: metadata.name: expected a name of at most 40 of a-z, 0-9 and -, beginning with a letter and not ending with -, got \"Main Office\"",
        ),
        (
            5,
            "sepc:",
            "c.yaml:1:1: spec: this field is required\nc.yaml:5:1: sepc: unknown field, did you mean `spec`? (known fields: apiVersion, kind, metadata, spec, status)\nc.yaml:5:1: sepc: unknown field, did you mean `spec`? (known fields: apiVersion, kind, metadata, spec)",
        ),
        (
            27,
            "  source: {inline: \"x\", file: ./y}",
            "c.yaml:27:11: spec.source: expected exactly one of inline, configMap, secret, http, table, file, got inline and file",
        ),
        (
            27,
            "  source: {}",
            "c.yaml:27:11: spec.source: expected exactly one of inline, configMap, secret, http, table, file, got none",
        ),
        (
            27,
            "  source: {http: {url: \"ftp://x\"}}",
            "c.yaml:27:24: spec.source.http.url: expected an address that begins with http:// or https://, got \"ftp://x\"",
        ),
        (
            26,
            "  type: Crcs",
            "c.yaml:26:9: spec.type: expected one of AsnumLocal, SubnetsLocal, AsnumExclude, SubnetsExclude, Subscribers, Switches, Crc, Urlcats, UrlcatsHost, VchannelName, Protocols, Asnum, got \"Crcs\", did you mean `Crc`?",
        ),
        (
            6,
            "  dpis: {}",
            "c.yaml:7:5: not readable as YAML: while parsing a block mapping, did not find expected key",
        ),
        (
            3,
            "metadata: [",
            "c.yaml:5:5: not readable as YAML: while parsing a flow mapping, did not find expected ',' or '}'",
        ),
        (16, "  tables: *none", "c.yaml:16:11: not readable as YAML: alias references unknown anchor"),
    ];
    let mut wrong = 0;
    for (line, with, expected) in cases {
        let got = answer(&replaced(*line, with));
        if got != *expected {
            wrong += 1;
            println!("line {line} {with:?}\n  expected {expected}\n       got {got}");
        }
    }
    assert_eq!(wrong, 0);
    assert!(cases.len() >= 20);
}

#[test]
fn all_mistakes_are_reported_together() {
    let text = GOOD
        .replace("id: 1", "id: 0")
        .replace(
            "port: 1510, transport: UDP",
            "port: 1500, tls: {certificateSecretRef: {name: t}}, transport: UDP",
        )
        .replace("6h", "25h")
        .replace("{inline:", "{file: ./x, inline:");
    assert_eq!(
        answer(&text),
        "c.yaml:13:11: spec.dpis[1].id: DPI 0 was given before\n\
         c.yaml:15:45: spec.dpis[1].streams[0].tls: TLS is possible with transport TCP only, got UDP\n\
         c.yaml:17:47: spec.tables.fullflow.moveToColdAfter: expected less than keepFor (24h), got 25h\n\
         c.yaml:27:11: spec.source: expected exactly one of inline, configMap, secret, http, table, file, \
         got inline and file"
    );
}

#[test]
fn mistakes_of_several_kinds_and_documents_are_reported_together() {
    let text = GOOD
        .replace("port: 1500", "port: many")
        .replace("keepFor", "keepfor")
        .replace("  type: Crc\n", "  type: Crc\n  typ: Crc\n");
    let answer = answer(&text);
    let places: Vec<&str> = answer.lines().map(|line| line.split(": ").nth(1).unwrap()).collect();
    assert_eq!(places, ["spec.dpis[0].streams[0].port", "spec.tables.fullflow.keepfor", "spec.typ"]);
}

#[test]
fn names_and_ports_are_unique_across_documents() {
    let (collector, dictionary) = GOOD.split_once("---\n").unwrap();
    let text = format!("{collector}---\n{collector}---\n{dictionary}---\n{dictionary}");
    assert_eq!(
        answer(&text),
        "c.yaml:24:9: metadata.name: a collector named \"main\" was given before\n\
         c.yaml:30:17: spec.dpis[0].streams[0].port: TCP port 1500 is taken by stream \"fullflow\" of DPI 0\n\
         c.yaml:32:37: spec.dpis[0].streams[1].port: TCP port 1501 is taken by stream \"clickstream\" of DPI 0\n\
         c.yaml:35:34: spec.dpis[1].streams[0].port: UDP port 1510 is taken by stream \"fullflow\" of DPI 1\n\
         c.yaml:52:9: metadata.name: a dictionary named \"crc\" was given before"
    );
}

#[test]
fn a_file_without_documents_is_refused() {
    for text in ["", "# nothing\n", "---\n---\n"] {
        assert_eq!(answer(text), "c.yaml: the file is empty, expected a QoeCollector document", "{text:?}");
    }
    assert_eq!(answer("- 1\n"), "c.yaml:1:1: expected a document, got a list");
}

#[test]
fn hostile_files_are_bounded() {
    let large = format!("{GOOD}#{}", "x".repeat(load::MAX_BYTES));
    assert_eq!(
        answer(&large),
        format!("c.yaml: the file has {} bytes, expected at most 1048576", large.len())
    );
    let deep = "[".repeat(100_000);
    assert_ne!(answer(&deep), "accepted");
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let previous = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![previous; 10].join(", ")));
    }
    assert!(answer(&bomb).contains("not readable as YAML"), "{}", answer(&bomb));
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,400}") {
        answer(&text);
    }

    #[test]
    fn no_yaml_like_text_panics(parts in proptest::collection::vec(
        prop_oneof![
            Just("apiVersion: qoeplane.io/v1alpha1\n"), Just("kind: QoeCollector\n"), Just("spec:\n"),
            Just("  dpis:\n"), Just("  - "), Just("{"), Just("}"), Just("["), Just("]"), Just(": "), Just(","),
            Just("&a "), Just("*a"), Just("? "), Just("|\n"), Just("\"\\u12"), Just("<<: *a\n"), Just("\n---\n"),
            Just("!!int "), Just("~"), Just("id: 1"), Just(".nan"), Just("\t"), Just("é"), Just("    "),
        ], 0..60)) {
        answer(&parts.concat());
    }

    #[test]
    fn no_damaged_file_panics(at in 0..GOOD.len(), length in 0usize..30, with in ".{0,8}") {
        let mut text = GOOD.to_owned();
        let end = (at + length).min(text.len());
        text.replace_range(at..end, &with);
        answer(&text);
    }
}
