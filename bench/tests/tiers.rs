//! Pool, sender and collectors agree on the sums of a few thousand records, tier by tier, over loopback.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::sync::mpsc;

use bench::collect::{self, Collected, Keys, Tier, collect};
use bench::pool::{Pool, fixed};
use bench::send::{Sent, Way, send};
use crds::Transport;
use ipfix::{Element, FieldSpec, MessageBuilder, Protocol, Template};

/// As the DPI sends: two templates that take turns, texts of any length, addresses of 16 bytes.
fn mixed() -> Vec<u8> {
    let common = [(1, 8), (2, 8), (10, 2), (14, 2), (152, 8)]
        .map(|(id, length)| FieldSpec::new(Element::iana(id), length));
    let text = FieldSpec::variable(Element::vas_experts(2001));
    let of = |addresses: &[FieldSpec], id| {
        Template::new(id, 0, common.iter().chain(addresses).copied().chain([text]).collect())
    };
    let v4 = of(&[8, 12].map(|id| FieldSpec::new(Element::iana(id), 4)), 256);
    let v6 = of(&[27, 28].map(|id| FieldSpec::new(Element::iana(id), 16)), 257);
    let mut builder = MessageBuilder::new(Protocol::Ipfix, 7);
    builder.begin(1_800_000_000, 0);
    builder.template(&v4);
    builder.template(&v6);
    let mut bytes = builder.finish().unwrap().to_vec();
    for message in 0..300_u64 {
        let template = if message % 3 == 0 { &v6 } else { &v4 };
        builder.begin(1_800_000_000, 0);
        builder.begin_data(template.id);
        for record in 0..1 + message % 11 {
            let number = message * 100 + record;
            for field in &template.fields {
                if field.is_variable() {
                    builder.put_variable(&b"text-of-a-host"[..(number % 14) as usize]);
                } else {
                    builder.put_uint(number, usize::from(field.length));
                }
            }
            builder.end_record();
        }
        bytes.extend_from_slice(builder.finish().unwrap());
    }
    bytes
}

fn exchange(pool: &[u8], tier: Tier, transport: Transport, keys: Keys, records: u64) -> (Sent, Collected) {
    let listen: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let options = collect::Options { tier, transport, listen, records, keys, dir: None };
    let (tell, listening) = mpsc::channel();
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| collect(&options, move |address| tell.send(address).unwrap()));
        let to = listening.recv().unwrap();
        let rate = if transport == Transport::Udp { 20_000 } else { 0 };
        let sent = send(Pool::new(pool.to_vec()).unwrap(), Way { to, transport, rate }, records).unwrap();
        (sent, collector.join().unwrap().unwrap())
    })
}

fn check(name: &str, pool: &[u8], tier: Tier, transport: Transport, keys: Keys, records: u64) {
    let (sent, collected) = exchange(pool, tier, transport, keys, records);
    let what = format!("{name}, {tier:?}, {transport:?}, {keys:?}");
    assert!(sent.sums.records >= records, "{what}");
    assert_eq!(collected.sums.differs_from(&sent.sums), None, "{what}");
    let fields = if matches!(tier, Tier::T0 | Tier::T3) { 2 } else { sent.sums.fields.len() };
    assert_eq!(collected.sums.fields.len(), fields, "{what}");
}

#[test]
fn every_tier_has_what_was_sent() {
    // By TCP more than once around each pool, and not a whole number of times; by UDP no more than a receive buffer
    // holds, so that nothing is lost however late the collector looks.
    for (name, pool, records) in
        [("fixed", fixed::pool(2_000, 1, 1).unwrap(), 5_000), ("mixed", mixed(), 4_000)]
    {
        for (transport, records) in [(Transport::Tcp, records), (Transport::Udp, 1_500)] {
            for tier in [Tier::T0, Tier::T1, Tier::T2, Tier::T3] {
                check(name, &pool, tier, transport, Keys::All, records);
            }
            check(name, &pool, Tier::T3, transport, Keys::None, records);
        }
    }
}

#[test]
fn decoding_in_memory_has_what_a_sender_would_send() {
    let pool = Pool::new(mixed()).unwrap();
    let sums = pool.sums(pool.portion(5_000)).unwrap();
    let decoded = collect::decode(&pool, 5_000).unwrap();
    assert_eq!(decoded.sums, sums);
    assert!(sums.records >= 5_000 && sums.fields.len() == 10);
}
