//! A pool of records as a plain exporter has them: 19 fields of fixed length, 70 bytes, 19 records to a message.

use ipfix::{Element, FieldSpec, MessageBuilder, Protocol, Template};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};
use receiver::insert::now_us;

const TEMPLATE: u16 = 256;
const RECORDS_IN_A_MESSAGE: u64 = 19;
const SUBSCRIBERS: u32 = 100_000;
const HOSTS: u32 = 1_000_000;
const ZIPF_EXPONENT: f64 = 1.1;

/// Elements and their lengths: 70 bytes.
pub const FIELDS: [(u16, u16); 19] = [
    (1, 8),   // octets
    (2, 8),   // packets
    (4, 1),   // protocol
    (5, 1),   // class of service
    (6, 1),   // TCP flags
    (7, 2),   // source port
    (8, 4),   // source
    (10, 4),  // input interface
    (11, 2),  // destination port
    (12, 4),  // destination
    (14, 2),  // output interface
    (16, 4),  // AS of the source
    (17, 4),  // AS of the destination
    (58, 2),  // VLAN
    (60, 1),  // IP version
    (152, 8), // start, milliseconds
    (153, 8), // end, milliseconds
    (225, 4), // source after translation
    (227, 2), // source port after translation
];

/// Messages with so many records at least; the fields' order is made from a seed.
///
/// # Errors
/// A message is too long, which it is not.
pub fn pool(records: u64, seed: u64, order_seed: u64) -> anyhow::Result<Vec<u8>> {
    let mut fields = FIELDS;
    let mut order = Xoshiro256PlusPlus::seed_from_u64(order_seed);
    for last in (1..fields.len()).rev() {
        fields.swap(last, order.random_range(0..=last));
    }
    let specs = fields.iter().map(|&(id, length)| FieldSpec::new(Element::iana(id), length)).collect();
    let now_ms = now_us() / 1000;
    let export_time = u32::try_from(now_ms / 1000)?;

    let mut builder = MessageBuilder::new(Protocol::Ipfix, 0);
    builder.begin(export_time, 0);
    builder.template(&Template::new(TEMPLATE, 0, specs));
    let mut bytes = builder.finish()?.to_vec();
    let mut random = Random {
        rng: Xoshiro256PlusPlus::seed_from_u64(seed),
        hosts: Zipf::new(f64::from(HOSTS), ZIPF_EXPONENT)?,
    };
    let mut made = 0;
    while made < records {
        builder.begin(export_time, u32::try_from(made & 0xffff_ffff)?);
        builder.begin_data(TEMPLATE);
        for _ in 0..RECORDS_IN_A_MESSAGE {
            let record = random.record(now_ms);
            for &(id, length) in &fields {
                builder.put_uint(record.value(id), usize::from(length));
            }
            builder.end_record();
        }
        made += RECORDS_IN_A_MESSAGE;
        bytes.extend_from_slice(builder.finish()?);
    }
    Ok(bytes)
}

struct Random {
    rng: Xoshiro256PlusPlus,
    hosts: Zipf<f64>,
}

struct Record {
    is_from: bool,
    subscriber: u32,
    host: u32,
    packets: u64,
    dice: u64,
    end_ms: u64,
}

impl Random {
    fn record(&mut self, now_ms: u64) -> Record {
        let uniform: f64 = self.rng.random();
        // Some subscribers do much, all do something; some flows are long, half have at most four packets.
        let subscriber = (uniform * uniform * f64::from(SUBSCRIBERS)) as u32;
        let host = self.hosts.sample(&mut self.rng) as u32;
        let uniform: f64 = self.rng.random();
        let packets = (2.0 / (1.0 - uniform).max(1e-5)) as u64;
        let dice = self.rng.next_u64();
        Record {
            is_from: dice & 1 == 0,
            subscriber,
            host,
            packets,
            dice,
            end_ms: now_ms - (dice >> 1) % 15_000,
        }
    }
}

impl Record {
    fn value(&self, element: u16) -> u64 {
        let Record { is_from, subscriber, host, packets, dice, end_ms } = *self;
        let own = u64::from(0x0a40_0000 + subscriber);
        // Spread over the addresses outside of 10.0.0.0/8.
        let other = u64::from(0x1700_0000 + host.wrapping_mul(2_654_435_761) % 0xc000_0000);
        let own_port = 32_768 + (dice >> 20 & 0x6fff);
        let other_port = if host % 5 == 0 { 1_025 + u64::from(host % 50_000) } else { 443 };
        let (own_as, other_as) = (65_010, 1_000 + u64::from(host % 60_000));
        let is_tcp = dice >> 16 & 3 != 0;
        let of_source = |own: u64, other: u64| if is_from { own } else { other };
        let when = |is_so: bool, value: u64| if is_so { value } else { 0 };
        match element {
            1 => packets * (60 + (dice >> 32 & 0x3ff)),
            2 => packets,
            4 if is_tcp => 6,
            4 => 17,
            5 => when(host % 8 == 0, 0x28),
            6 => when(is_tcp, 0x1b),
            7 => of_source(own_port, other_port),
            8 => of_source(own, other),
            10 => of_source(2, 1),
            11 => of_source(other_port, own_port),
            12 => of_source(other, own),
            14 => of_source(1, 2),
            16 => of_source(own_as, other_as),
            17 => of_source(other_as, own_as),
            58 => 100 + u64::from(subscriber % 400),
            60 => 4,
            152 => end_ms - (dice >> 42) % 60_000,
            153 => end_ms,
            225 => when(is_from, 0xc633_6400 | u64::from(subscriber & 0xff)),
            227 => when(is_from, 1_024 + (dice >> 44) % 60_000),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;

    #[test]
    fn records_have_70_bytes_and_messages_19_records() {
        assert_eq!(FIELDS.iter().map(|(_, length)| length).sum::<u16>(), 70);
        let pool = Pool::new(pool(1_000, 1, 2).unwrap()).unwrap();
        assert_eq!(pool.records, 1_007);
        assert!(pool.messages.iter().all(|message| message.records == 19 && message.place.len() == 1_350));
    }
}
