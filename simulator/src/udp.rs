//! Sends over UDP. Whatever the kernel takes counts as sent, and what it refuses too: the
//! receiver has to notice.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::connection::{Clock, Fate, Tampering};
use super::exporter::{Exporter, Templates};
use super::options::Options;
use super::pace::Pace;
use super::report::{Tally, Weight};

/// Templates are sent again at least this often while records are sent.
const TEMPLATE_INTERVAL: Duration = Duration::from_secs(10);

/// Time between the messages that state the last sequence number.
const CLOSING_PAUSE: Duration = Duration::from_millis(20);

pub(super) fn send_all(
    options: &Options,
    mut exporter: Exporter<'_>,
    clock: Clock,
    address: SocketAddr,
) -> anyhow::Result<Tally> {
    let mut link = Link::new(address)?;
    let pace = Pace::new(options.rate_per_connection());
    let mut tampering = Tampering::new(options);
    let mut made = 0;
    let mut data_messages: u64 = 0;
    let mut templates_at = Instant::now();
    let mut held: Option<Vec<u8>> = None;

    link.send(exporter.templates(Templates::All, 0, clock.now_ms())?);
    while !exporter.is_done() {
        if pace.allowance(made) == 0 {
            pace.nap(made);
            continue;
        }
        if data_messages > 0
            && (data_messages.is_multiple_of(options.template_every)
                || templates_at.elapsed() >= TEMPLATE_INTERVAL)
        {
            templates_at = Instant::now();
            let sequence = exporter.sequence();
            link.send(exporter.templates(Templates::All, sequence, clock.now_ms())?);
        }
        let Some(message) = exporter.data(clock.now_ms(), pace.records_per_message())? else {
            break;
        };
        data_messages += 1;
        made += message.weight.records;
        let before = held.take();
        match tampering.next() {
            Fate::Drop => link.lose(&message.weight),
            Fate::Send => link.send_data(message.bytes, &message.weight),
            Fate::Twice => {
                link.send_data(message.bytes, &message.weight);
                link.send(message.bytes);
                link.tally.duplicated_messages += 1;
                link.tally.duplicated_records += message.weight.records;
            }
            Fate::Late => {
                link.count(&message.weight);
                link.tally.reordered_messages += 1;
                held = Some(message.bytes.to_vec());
            }
        }
        if let Some(bytes) = before {
            link.send(&bytes);
        }
    }
    if let Some(bytes) = held {
        link.send(&bytes);
    }
    // Three different ones: equal messages would look like duplicates.
    for which in [Templates::All, Templates::First(2), Templates::First(3)] {
        std::thread::sleep(CLOSING_PAUSE);
        let sequence = exporter.sequence();
        link.send(exporter.templates(which, sequence, clock.now_ms())?);
    }
    link.tally.closed_cleanly = true;
    Ok(link.tally)
}

struct Link {
    socket: UdpSocket,
    tally: Tally,
}

impl Link {
    fn new(address: SocketAddr) -> anyhow::Result<Link> {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).context("no UDP socket")?;
        socket.connect(address).with_context(|| format!("no way to {address}"))?;
        Ok(Link { socket, tally: Tally::default() })
    }

    fn send_data(&mut self, bytes: &[u8], weight: &Weight) {
        self.count(weight);
        self.send(bytes);
    }

    fn count(&mut self, weight: &Weight) {
        self.tally.sent.add(weight);
    }

    fn lose(&mut self, weight: &Weight) {
        self.tally.lost.add(weight);
        self.tally.lost_messages += 1;
    }

    fn send(&mut self, bytes: &[u8]) {
        self.tally.messages += 1;
        self.tally.bytes += bytes.len() as u64;
        // A refusal may speak of an earlier datagram; then this one has not been sent yet.
        for _ in 0..3 {
            match self.socket.send(bytes) {
                Ok(_) => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.tally.send_errors += 1,
            }
        }
    }
}
