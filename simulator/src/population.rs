//! The subscribers and hosts of a simulated provider, made once and only read afterwards.

use anyhow::Context;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

/// How unevenly hosts are visited: the share of the n-th goes with `1 / n^1.1`.
const ZIPF_EXPONENT: f64 = 1.1;

/// One in so many subscribers is active within a quarter of an hour.
const ACTIVE_ONE_IN: u32 = 20;

/// Length of the window in which the same subscribers are active, in milliseconds.
const WINDOW_MS: u64 = 15 * 60 * 1_000;

/// Hosts that a subscriber visits within a window, by IPv4 and by IPv6: people return to where they were.
const VISITED: [f64; 2] = [10.0, 4.0];

/// Steps through the subscribers so that those of a window are spread; a prime above their number.
const STRIDE: u64 = 4_194_319;

/// Texts one behind the other.
#[derive(Debug, Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }

    fn get(&self, index: u32) -> &[u8] {
        let index = index as usize;
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(index).copied().unwrap_or(start);
        self.bytes.get(start as usize..end as usize).unwrap_or_default()
    }
}

/// Where a host is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) address: u32,
    pub(super) as_number: u32,
}

/// Everybody and everything that takes part.
#[derive(Debug)]
pub(super) struct Population {
    subscribers: u32,
    logins: Texts,
    hosts: Texts,
    places: Vec<Place>,
    popularity: Zipf<f64>,
    seed: u64,
}

impl Population {
    pub(super) fn new(seed: u64, subscribers: u32, hosts: u32) -> anyhow::Result<Population> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x706f_7075_6c61_7465);
        let mut logins = Texts::default();
        for number in 0..subscribers {
            logins.push(&login(&mut rng, number));
        }
        let mut names = Texts::default();
        let mut places = Vec::with_capacity(hosts as usize);
        for rank in 0..hosts {
            names.push(&host(&mut rng, rank));
            places.push(place(&mut rng));
        }
        let popularity = Zipf::new(f64::from(hosts), ZIPF_EXPONENT)
            .context("the popularity of hosts cannot be computed")?;
        Ok(Population { subscribers, logins, hosts: names, places, popularity, seed })
    }

    /// One of the hosts that a subscriber visits about now, some more often than others; all subscribers together
    /// visit popular hosts more often. With it comes what decides everything that stays the same from visit to visit.
    #[inline]
    pub(super) fn pick_visit(
        &self,
        rng: &mut Xoshiro256PlusPlus,
        subscriber: u32,
        elapsed_ms: u64,
        ipv6: bool,
    ) -> (u32, u64) {
        let uniform: f64 = rng.random();
        let [ipv4_hosts, ipv6_hosts] = VISITED;
        let slot = (uniform * uniform * if ipv6 { ipv6_hosts } else { ipv4_hosts }) as u64;
        let window = (elapsed_ms / WINDOW_MS).wrapping_add(self.seed);
        let habit = mix(mix(window) ^ u64::from(subscriber) << 5 ^ slot << 1 ^ u64::from(ipv6));
        let rank = self.popularity.sample(&mut Xoshiro256PlusPlus::seed_from_u64(habit)) as u32;
        (rank.saturating_sub(1), mix(habit))
    }

    /// Name of a host.
    #[inline]
    pub(super) fn host_name(&self, host: u32) -> &[u8] {
        self.hosts.get(host)
    }

    /// Address and AS of a host.
    #[inline]
    pub(super) fn place(&self, host: u32) -> Place {
        self.places.get(host as usize).copied().unwrap_or_default()
    }

    /// One of those who are active `elapsed_ms` after the start, heavy users more often.
    #[inline]
    pub(super) fn pick_subscriber(&self, rng: &mut Xoshiro256PlusPlus, elapsed_ms: u64) -> u32 {
        let active = (self.subscribers / ACTIVE_ONE_IN).max(1);
        let uniform: f64 = rng.random();
        let position = (uniform * uniform * f64::from(active)) as u64;
        let window = (elapsed_ms / WINDOW_MS).wrapping_add(self.seed);
        let shift = window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let index = position.wrapping_add(shift).wrapping_mul(STRIDE) % u64::from(self.subscribers);
        u32::try_from(index).unwrap_or(0)
    }

    /// Login of a subscriber.
    #[inline]
    pub(super) fn login(&self, subscriber: u32) -> &[u8] {
        self.logins.get(subscriber)
    }
}

/// Spreads a number over 64 bits; no two numbers become the same.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

fn login(rng: &mut Xoshiro256PlusPlus, number: u32) -> String {
    match rng.random_range(0..10_u32) {
        0..4 => format!("u{number:07}"),
        4..6 => format!("{}{number}@home.example", syllables(rng, 2)),
        6..8 => format!("{:02x}:{:02x}:5e:{:06x}", rng.random::<u8>(), rng.random::<u8>(), number),
        8 => format!("pppoe-{}-{number}", rng.random_range(1..40_u32)),
        _ => format!("{}.{}.{number}", syllables(rng, 2), syllables(rng, 3)),
    }
}

fn host(rng: &mut Xoshiro256PlusPlus, rank: u32) -> String {
    const PREFIXES: [&str; 8] = ["www.", "", "api.", "cdn.", "static.", "img.", "m.", ""];
    const ENDS: [&str; 8] = [".com", ".net", ".org", ".de", ".io", ".co.uk", ".example", ".info"];
    let prefix = pick(rng, &PREFIXES);
    let end = pick(rng, &ENDS);
    let count = rng.random_range(1..4_u32);
    let word = syllables(rng, count);
    // The rank makes the name the only one of its kind.
    match rng.random_range(0..4_u32) {
        0 => format!("{prefix}{word}{rank}{end}"),
        1 => format!("{prefix}n{rank}.{word}{end}"),
        2 => format!("{prefix}{word}-{rank:x}{end}"),
        _ => format!("r{rank}---sn-{}.{prefix}{word}{end}", syllables(rng, 2)),
    }
}

fn syllables(rng: &mut Xoshiro256PlusPlus, count: u32) -> String {
    const FIRST: [&str; 16] =
        ["b", "k", "d", "f", "g", "l", "m", "n", "p", "r", "s", "t", "v", "st", "tr", "sh"];
    const SECOND: [&str; 8] = ["a", "e", "i", "o", "u", "ar", "en", "is"];
    let mut word = String::new();
    for _ in 0..count {
        word.push_str(pick(rng, &FIRST));
        word.push_str(pick(rng, &SECOND));
    }
    word
}

fn pick<'a>(rng: &mut Xoshiro256PlusPlus, from: &[&'a str]) -> &'a str {
    from.get(rng.random_range(0..from.len())).copied().unwrap_or_default()
}

fn place(rng: &mut Xoshiro256PlusPlus) -> Place {
    // Outside of 10.0.0.0/8, where the subscribers are.
    let address = rng.random_range(0x1700_0000..0xdf00_0000_u32);
    // Few networks have most hosts.
    let skew: f64 = rng.random();
    let as_number = 1_000 + (skew * skew * skew * 60_000.0) as u32;
    Place { address, as_number }
}
