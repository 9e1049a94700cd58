//! Other people's decoders of IPFIX on the pools of `qoe-bench`: all fields of each record decoded in memory, octets
//! and packets summed up, one line of JSON as `qoe-bench decode` prints it.
//!
//! `peers netgauze-flow-pkt|netflow_parser --file POOL --records N`

use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use netflow_parser::variable_versions::field_value::{DataNumber, FieldValue};
use netflow_parser::variable_versions::ipfix::FlowSetBody;
use netflow_parser::variable_versions::ipfix::lookup::{IANAIPFixField, IPFixField};
use netflow_parser::{NetflowPacket, NetflowParser};
use netgauze_flow_pkt::FlowInfo;
use netgauze_flow_pkt::codec::FlowInfoCodec;
use netgauze_flow_pkt::ie::Field;
use netgauze_flow_pkt::ipfix::Set;
use tokio_util::codec::Decoder;

#[derive(Default)]
struct Sums {
    records: u64,
    octets: u64,
    packets: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, who, _, file, _, records] = arguments.as_slice() else {
        return Err("expected: WHO --file FILE --records N".into());
    };
    let pool = fs::read(file)?;
    let records: u64 = records.parse()?;
    let messages = messages(&pool);
    let mut sums = Sums::default();
    let (begun, cpu) = match who.as_str() {
        "netgauze-flow-pkt" => {
            // It takes messages out of a buffer: filled before the time begins.
            let mut buffer = BytesMut::from(pool.as_slice());
            let mut codec = FlowInfoCodec::new();
            let before = (Instant::now(), cpu()?);
            while sums.records < records {
                let Some(packet) = codec.decode(&mut buffer)? else { break };
                add_netgauze(&packet, &mut sums);
            }
            before
        }
        "netflow_parser" => {
            let mut parser = NetflowParser::default();
            let before = (Instant::now(), cpu()?);
            for message in messages {
                if sums.records >= records {
                    break;
                }
                let parsed = parser.parse_bytes(message);
                if let Some(error) = parsed.error {
                    return Err(error.to_string().into());
                }
                parsed.packets.iter().for_each(|packet| add_netflow_parser(packet, &mut sums));
            }
            before
        }
        other => return Err(format!("{other} is not among us").into()),
    };
    let cpu = (self::cpu()? - cpu).as_secs_f64();
    let wall = begun.elapsed().as_secs_f64();
    let Sums { records, octets, packets } = sums;
    println!(
        "{{\"cpu_seconds\":{cpu},\"wall_seconds\":{wall},\"peak_bytes\":{},\"records\":{records},\
         \"fields\":{{\"1\":{octets},\"2\":{packets}}}}}",
        peak()
    );
    Ok(())
}

fn messages(pool: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = pool;
    std::iter::from_fn(move || {
        let length = u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]);
        let (message, after) = rest.split_at_checked(length.into())?;
        rest = after;
        Some(message)
    })
}

fn add_netgauze(packet: &FlowInfo, sums: &mut Sums) {
    let FlowInfo::IPFIX(packet) = packet else { return };
    for set in packet.sets() {
        let Set::Data { records, .. } = set else { continue };
        for record in records {
            sums.records += 1;
            for field in record.fields() {
                match field {
                    Field::octetDeltaCount(value) => sums.octets = sums.octets.wrapping_add(*value),
                    Field::packetDeltaCount(value) => sums.packets = sums.packets.wrapping_add(*value),
                    _ => {}
                }
            }
        }
    }
}

fn add_netflow_parser(packet: &NetflowPacket, sums: &mut Sums) {
    let NetflowPacket::IPFix(packet) = packet else { return };
    for set in &packet.flowsets {
        let FlowSetBody::Data(data) = &set.body else { continue };
        for record in &data.fields {
            sums.records += 1;
            for (field, value) in record {
                let FieldValue::DataNumber(DataNumber::U64(value)) = value else { continue };
                match field {
                    IPFixField::IANA(IANAIPFixField::OctetDeltaCount) => {
                        sums.octets = sums.octets.wrapping_add(*value)
                    }
                    IPFixField::IANA(IANAIPFixField::PacketDeltaCount) => {
                        sums.packets = sums.packets.wrapping_add(*value);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// CPU time of this thread, which is the only one.
fn cpu() -> Result<Duration, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds = text.split_whitespace().next().unwrap_or_default().parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}

fn peak() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}
