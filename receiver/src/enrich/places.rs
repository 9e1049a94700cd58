//! Where a stream has what enrichment reads and writes. A stream that lacks a column gets less, never an error.

use schema::{Enriched, Filled, Stream};

/// Positions among the inserted columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) source_ipv4: Option<usize>,
    pub(super) source_ipv6: Option<usize>,
    pub(super) destination_ipv4: Option<usize>,
    pub(super) destination_ipv6: Option<usize>,
    pub(super) source_as: Option<usize>,
    pub(super) destination_as: Option<usize>,
    pub(super) input: Option<usize>,
    pub(super) output: Option<usize>,
    pub(super) login: Option<usize>,
    pub(super) channel: Option<usize>,
    pub(super) host: Option<usize>,
    pub(super) direction: Option<usize>,
    pub(super) subscriber_flags: Option<usize>,
    pub(super) login_from: Option<usize>,
    pub(super) host_category: Option<usize>,
    pub(super) dictionary_version: Option<usize>,
    pub(super) rtt_unit: Option<usize>,
    pub(super) nat_event: Option<usize>,
}

impl Places {
    pub(super) fn of(stream: &Stream) -> Places {
        let named = |name: &str| stream.inserted_columns().position(|column| column.name == name);
        let enriched = |wanted: Enriched| {
            stream
                .inserted_columns()
                .position(|column| matches!(column.filled, Filled::Enriched(made) if made == wanted))
        };
        Places {
            source_ipv4: named("source_ipv4"),
            source_ipv6: named("source_ipv6"),
            destination_ipv4: named("destination_ipv4"),
            destination_ipv6: named("destination_ipv6"),
            source_as: named("bgp_source_as_number"),
            destination_as: named("bgp_destination_as_number"),
            input: named("input_snmp"),
            output: named("output_snmp"),
            login: named("login"),
            channel: named("bridge_vchannel_num"),
            host: named("host"),
            direction: enriched(Enriched::Direction),
            subscriber_flags: enriched(Enriched::SubscriberFlags),
            login_from: enriched(Enriched::LoginFrom),
            host_category: enriched(Enriched::HostCategory),
            dictionary_version: enriched(Enriched::DictionaryVersion),
            rtt_unit: enriched(Enriched::RttUnit),
            nat_event: enriched(Enriched::NatEvent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A column that is renamed in the declaration would silently no longer be enriched.
    #[test]
    fn the_streams_have_what_their_rows_are_made_of() {
        let fullflow = Places::of(schema::fullflow());
        let Places {
            source_ipv4,
            source_ipv6,
            destination_ipv4,
            destination_ipv6,
            source_as,
            destination_as,
            input,
            output,
            login,
            channel,
            host,
            direction,
            subscriber_flags,
            login_from,
            host_category,
            dictionary_version,
            rtt_unit,
            nat_event,
        } = fullflow;
        let addresses = [source_ipv4, source_ipv6, destination_ipv4, destination_ipv6];
        let read = [source_as, destination_as, input, output, login, channel, host];
        let written = [direction, subscriber_flags, login_from, host_category, dictionary_version, rtt_unit];
        for place in addresses.iter().chain(&read).chain(&written) {
            assert!(place.is_some(), "{fullflow:?}");
        }
        assert_eq!(nat_event, None);

        let clickstream = Places::of(schema::clickstream());
        let lacks = Places {
            source_as: None,
            destination_as: None,
            input: None,
            output: None,
            rtt_unit: None,
            ..clickstream
        };
        assert_eq!(clickstream, lacks);
        assert!(
            clickstream.direction.is_some() && clickstream.host.is_some() && clickstream.channel.is_some()
        );

        let dnsflow = Places::of(schema::dnsflow());
        assert!(dnsflow.source_ipv6.is_some() && dnsflow.channel.is_some() && dnsflow.login_from.is_some());
        for stream in [schema::natflow(), schema::nat_from_fullflow()] {
            let natflow = Places::of(stream);
            assert!(natflow.source_ipv4.is_some() && natflow.login.is_some() && natflow.login_from.is_some());
        }
        assert!(Places::of(schema::nat_from_fullflow()).nat_event.is_some());
        assert_eq!(Places::of(schema::natflow()).nat_event, None);
        assert_eq!(Places::of(schema::gtpflow()), Places::default());
    }
}
