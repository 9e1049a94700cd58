//! Everything that is not taken is counted under a name, in the status and in the metrics alike.

use std::collections::BTreeMap;

use crds::receiver::StreamStatus;
use e2e::{System, wait_for};

use crate::beside::LONG;

/// Which counters.
#[derive(Clone, Copy, Debug)]
pub enum What {
    Refused,
    TemplatesRefused,
    Undecodable,
    UndecodableSets,
}

impl What {
    fn of(self, status: &StreamStatus) -> &BTreeMap<String, u64> {
        match self {
            What::Refused => &status.wire.refused,
            What::TemplatesRefused => &status.wire.templates_refused,
            What::Undecodable => &status.sequence.undecodable,
            What::UndecodableSets => &status.sequence.undecodable_sets,
        }
    }

    fn metric(self) -> &'static str {
        match self {
            What::Refused => "messages_refused",
            What::TemplatesRefused => "templates_refused",
            What::Undecodable => "records_undecodable",
            What::UndecodableSets => "sets_undecodable",
        }
    }
}

/// Waits until exactly these are counted, no other and not more.
#[track_caller]
pub fn assert_counted(system: &System, dpi: u16, what: What, expected: &[(&str, u64)]) {
    let expected: BTreeMap<String, u64> =
        expected.iter().map(|(reason, count)| (reason.to_string(), *count)).collect();
    let sum: u64 = expected.values().sum();
    wait_for(&format!("{expected:?} of {what:?}"), LONG, || {
        let status = system.stream(dpi);
        let counted: u64 = what.of(&status).values().sum();
        assert!(counted <= sum, "{what:?} of DPI {dpi}: {:?}", what.of(&status));
        (counted == sum).then_some(())
    });
    assert_eq!(what.of(&system.stream(dpi)), &expected, "{what:?} of DPI {dpi}");
    let metrics = system.get("/metrics");
    for (reason, count) in &expected {
        let name = what.metric();
        let line = format!(
            "qoe_receiver_{name}_total{{dpi=\"{dpi}\",stream=\"fullflow\",reason=\"{reason}\"}} {count}"
        );
        assert!(metrics.lines().any(|other| other == line), "no {line} in\n{metrics}");
    }
}
