//! Logins of subscribers by address: exact addresses and prefixes, the longest one wins. One table for each
//! length that occurs, the logins in one piece, equal ones once.
//!
//! Memory: for an IPv4 row 12 to 14 bytes, for an IPv6 prefix of at most 64 bits 18 to 21, for a longer one 30 to
//! 35; for each different login its bytes and 1. While it is built, 12 bytes more for each row that was
//! announced, up to 18 for each different login beyond.

use std::net::IpAddr;

use super::address::Address;
use super::prefixes::{mask_v4, mask_v6};
use super::slots::Slots;
use super::texts::{TextTable, Texts};

/// So many look-ups wait for memory together.
const TOGETHER: usize = 64;

/// Why a login cannot be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the subscribers' different logins take more than 4 GiB: shorten them, or split the dictionary by DPI"
)]
pub struct LoginsTooLarge;

/// Prefixes of one length.
#[derive(Clone, Debug)]
struct Level<const S: usize> {
    length: u8,
    slots: Slots<S>,
}

/// Logins by address.
#[derive(Clone, Debug, Default)]
pub struct Logins {
    /// Longest first, as the other two.
    ipv4: Vec<Level<2>>,
    /// Longer than 64 bits.
    ipv6_long: Vec<Level<5>>,
    /// The first 64 bits are enough.
    ipv6: Vec<Level<3>>,
    texts: Texts,
}

impl Logins {
    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ipv4.is_empty() && self.ipv6.is_empty() && self.ipv6_long.is_empty()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        count(&self.ipv4) + count(&self.ipv6) + count(&self.ipv6_long)
    }

    /// Bytes that they take.
    pub fn memory(&self) -> usize {
        memory(&self.ipv4) + memory(&self.ipv6) + memory(&self.ipv6_long) + self.texts.memory()
    }

    /// The login of the longest prefix that an address lies in.
    #[inline]
    pub fn get(&self, address: Address) -> Option<&[u8]> {
        self.text(self.find(address)?)
    }

    /// The same for many addresses: where the login of each is for [`Logins::text`], 0 without one. With millions
    /// of rows a look-up is waiting for memory, and here many wait together.
    pub fn find_many(&self, addresses: &[Address], found: &mut Vec<u32>) {
        found.clear();
        for addresses in addresses.chunks(TOGETHER) {
            let touched = addresses.iter().fold(0, |sum, &address| sum ^ self.touch(address));
            std::hint::black_box(touched);
            let first = found.len();
            found.extend(addresses.iter().map(|&address| self.find(address).unwrap_or(0)));
            let places = found.get(first..).unwrap_or_default();
            let touched = places.iter().fold(0, |sum, &at| sum ^ self.texts.touch(at));
            std::hint::black_box(touched);
        }
    }

    /// The login that [`Logins::find_many`] has found.
    #[inline]
    pub fn text(&self, at: u32) -> Option<&[u8]> {
        if at == 0 { None } else { self.texts.get(at) }
    }

    #[inline]
    fn find(&self, address: Address) -> Option<u32> {
        match address {
            Address::V4(number) => {
                self.ipv4.iter().find_map(|level| level.slots.get(&key_v4(number, level.length)))
            }
            Address::V6(number) => {
                let long = self.ipv6_long.iter();
                let long = long.map(|level| level.slots.get(&key_long(number, level.length)));
                let short = self.ipv6.iter().map(|level| level.slots.get(&key_v6(number, level.length)));
                long.chain(short).flatten().next()
            }
        }
    }

    #[inline]
    fn touch(&self, address: Address) -> u32 {
        let mut sum = 0;
        match address {
            Address::V4(number) => {
                for level in &self.ipv4 {
                    sum ^= level.slots.touch(&key_v4(number, level.length));
                }
            }
            Address::V6(number) => {
                for level in &self.ipv6_long {
                    sum ^= level.slots.touch(&key_long(number, level.length));
                }
                for level in &self.ipv6 {
                    sum ^= level.slots.touch(&key_v6(number, level.length));
                }
            }
        }
        sum
    }
}

/// Takes rows one by one.
#[derive(Debug)]
pub struct LoginsBuilder {
    room: usize,
    made: Logins,
    logins: TextTable,
}

impl LoginsBuilder {
    /// Room for so many rows; more may come.
    pub fn with_room(rows: usize) -> LoginsBuilder {
        LoginsBuilder { room: rows, made: Logins::default(), logins: TextTable::with_room(rows) }
    }

    /// Takes a row in. Bits of the address beyond the prefix's length do not matter, and a length beyond the
    /// address's is the whole address. A prefix that is there gets the new login; an empty login is one too: the
    /// address has none, whatever a shorter prefix says.
    pub fn add(&mut self, address: IpAddr, length: u8, login: &[u8]) -> Result<(), LoginsTooLarge> {
        let at = self.logins.insert(login, 0).ok_or(LoginsTooLarge)?;
        match Address::from(address) {
            Address::V4(number) => {
                let length = length.min(32);
                insert(&mut self.made.ipv4, length, with_number(key_v4(number, length), at), self.room);
            }
            Address::V6(number) if length > 64 => {
                let length = length.min(128);
                let entry = with_number(key_long(number, length), at);
                insert(&mut self.made.ipv6_long, length, entry, self.room);
            }
            Address::V6(number) => {
                insert(&mut self.made.ipv6, length, with_number(key_v6(number, length), at), self.room);
            }
        }
        // The first row says best what most rows are.
        self.room = 0;
        Ok(())
    }

    /// What was taken in.
    pub fn finish(self) -> Logins {
        let LoginsBuilder { room: _, mut made, logins } = self;
        // The table goes before others are made anew.
        made.texts = logins.into_texts();
        made.ipv4.iter_mut().for_each(|level| level.slots.shrink());
        made.ipv6.iter_mut().for_each(|level| level.slots.shrink());
        made.ipv6_long.iter_mut().for_each(|level| level.slots.shrink());
        made
    }
}

fn insert<const S: usize>(levels: &mut Vec<Level<S>>, length: u8, entry: [u32; S], room: usize) {
    let place = levels.partition_point(|level| level.length > length);
    if levels.get(place).is_none_or(|level| level.length != length) {
        levels.insert(place, Level { length, slots: Slots::with_room(room) });
    }
    if let Some(level) = levels.get_mut(place) {
        level.slots.insert(entry);
    }
}

fn count<const S: usize>(levels: &[Level<S>]) -> usize {
    levels.iter().map(|level| level.slots.len()).sum()
}

fn memory<const S: usize>(levels: &[Level<S>]) -> usize {
    levels.iter().map(|level| level.slots.memory()).sum()
}

fn with_number<const S: usize>(mut key: [u32; S], number: u32) -> [u32; S] {
    if let Some(first) = key.first_mut() {
        *first = number;
    }
    key
}

#[inline]
fn key_v4(number: u32, length: u8) -> [u32; 2] {
    [0, number & mask_v4(length)]
}

#[inline]
fn key_v6(number: u128, length: u8) -> [u32; 3] {
    let prefix = number & mask_v6(length);
    [0, (prefix >> 64) as u32, (prefix >> 96) as u32]
}

#[inline]
fn key_long(number: u128, length: u8) -> [u32; 5] {
    let prefix = number & mask_v6(length);
    [0, prefix as u32, (prefix >> 32) as u32, (prefix >> 64) as u32, (prefix >> 96) as u32]
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// Few bits, so that prefixes lie in each other.
    fn row() -> impl Strategy<Value = (IpAddr, u8)> {
        prop_oneof![
            (any::<u32>(), 0u8..=33)
                .prop_map(|(bits, length)| (IpAddr::V4(Ipv4Addr::from_bits(bits & 0x8001_0103)), length)),
            (any::<u128>(), 0u8..=129).prop_map(|(bits, length)| {
                let bits = bits & 0x8000_0100_0000_0001_0000_0001_0000_0003;
                (IpAddr::V6(Ipv6Addr::from_bits(bits)), length)
            }),
        ]
    }

    fn covers(prefix: IpAddr, length: u8, address: IpAddr) -> bool {
        match (prefix, address) {
            (IpAddr::V4(prefix), IpAddr::V4(address)) => {
                (prefix.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(length.min(32))
            }
            (IpAddr::V6(prefix), IpAddr::V6(address)) => {
                (prefix.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(length.min(128))
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn the_longest_prefix_wins_and_the_newest_of_equal_ones(
            rows in prop::collection::vec((row(), "[a-c]{0,2}"), 0..80),
            asked in prop::collection::vec(row(), 0..80),
            room in 0usize..100,
        ) {
            let mut builder = LoginsBuilder::with_room(room);
            for ((address, length), login) in &rows {
                prop_assert_eq!(builder.add(*address, *length, login.as_bytes()), Ok(()));
            }
            let logins = builder.finish();
            prop_assert_eq!(logins.is_empty(), rows.is_empty());
            let addresses: Vec<IpAddr> = rows.iter().map(|row| row.0.0).chain(asked.iter().map(|row| row.0)).collect();
            let mut found = vec![1];
            let numbers: Vec<Address> = addresses.iter().map(|address| Address::from(*address)).collect();
            logins.find_many(&numbers, &mut found);
            prop_assert_eq!(found.len(), addresses.len());
            for (address, at) in addresses.iter().zip(found) {
                let expected = rows
                    .iter()
                    .filter(|((prefix, length), _)| covers(*prefix, *length, *address))
                    .max_by_key(|((prefix, length), _)| (*length).min(if prefix.is_ipv4() { 32 } else { 128 }))
                    .map(|(_, login)| login.as_bytes());
                prop_assert_eq!(logins.get(Address::from(*address)), expected);
                prop_assert_eq!(logins.text(at), expected);
            }
        }
    }

    #[test]
    fn a_row_takes_few_bytes() {
        let mut builder = LoginsBuilder::with_room(50_000);
        for number in 0..50_000u32 {
            let login = format!("subscriber-{number:09}");
            builder.add(IpAddr::V4(Ipv4Addr::from_bits(number << 3)), 32, login.as_bytes()).unwrap();
        }
        let logins = builder.finish();
        assert_eq!(logins.len(), 50_000);
        assert!(logins.memory() / 50_000 <= 40, "{}", logins.memory() / 50_000);
    }
}
