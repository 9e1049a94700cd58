//! The streams besides fullflow.

use std::collections::HashSet;

use clap::ValueEnum;
use ipfix::Element;

use super::{tcp, udp};
use crate::layout::Layouts;
use crate::options::StreamKind;

#[test]
fn every_record_of_every_stream_has_a_number_of_its_own() {
    for stream in ["clickstream", "gtpflow", "natflow", "dnsflow"] {
        for (collect, transport) in
            [(tcp::collect as fn(&[&str], usize) -> _, "tcp"), (|more: &[&str], _| udp::collect(more), "udp")]
        {
            let (collected, summary) = collect(&["--records", "2000", "--stream", stream], 1);
            let context = format!("{stream} by {transport}");
            assert_eq!((summary.error.as_deref(), summary.stream.as_str()), (None, stream), "{context}");
            assert_eq!((summary.records, summary.octets, summary.packets), (2_000, 0, 0), "{context}");
            assert_eq!((collected.flows.len(), collected.missing()), (2_000, 0), "{context}");
            assert_eq!(collected.messages, summary.messages, "{context}");
            assert!(collected.longest <= 1_400, "{context}");
            let ids: HashSet<u64> = collected.flows.iter().map(|flow| flow.session_id).collect();
            let first = summary.first_session_id;
            assert_eq!(ids, (first..first + 2_000).collect(), "{context}");
            assert_eq!(summary.session_sum, ids.iter().sum::<u64>(), "{context}");
        }
    }
}

#[test]
fn clickstream_has_requests_of_both_families_and_responses() {
    let (collected, _) = tcp::collect(&["--records", "1000", "--stream", "clickstream"], 1);
    let has = |id: u16, wanted: u16| collected.templates[&id].contains(&Element::vas_experts(wanted));
    assert_eq!(collected.templates.keys().copied().collect::<Vec<_>>(), [1024, 1026, 1028]);
    for request in [1024, 1026] {
        assert!(has(request, 1005) && has(request, 2000));
    }
    assert!(!has(1028, 1005) && has(1028, 2000) && has(1028, 2801));
}

#[test]
fn what_is_simulated_is_of_the_stream_that_it_says() {
    for kind in StreamKind::value_variants() {
        let layouts = Layouts::new(*kind, None);
        for stream in schema::streams() {
            for layout in layouts.iter() {
                let own = stream.name == kind.name();
                // What dnsflow has besides other streams' fields is not published, and responses have
                // nothing but a session: elsewhere they cannot be told.
                let known = *kind != StreamKind::Dnsflow && layout.template.fields.len() > 5;
                if own || known {
                    assert_eq!(
                        stream.is_this_stream(&layout.template),
                        own,
                        "{} on the port of {}",
                        kind.name(),
                        stream.name
                    );
                }
            }
        }
    }
}
