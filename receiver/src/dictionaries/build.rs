//! From a file of rows to the look-ups that enrichment asks, for one DPI: rows that are limited to others are
//! left out.

use std::fs::File;
use std::io::{self, BufReader};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use schema::dictionaries::{SUBSCRIBERS, URLCATS_HOST, VCHANNEL_NAME};
use schema::{Dictionary, FieldDecl, FieldType};

use super::row_binary::RowBinary;
use crate::enrich::{AsNumbers, ChannelNames, HostCategories, Logins, LoginsBuilder, Prefixes};

/// A dictionary as enrichment asks it.
#[derive(Clone)]
pub enum LookUp {
    /// A set of AS numbers.
    AsNumbers(Arc<AsNumbers>),
    /// A set of prefixes.
    Prefixes(Arc<Prefixes>),
    /// Logins by address.
    Logins(Arc<Logins>),
    /// Categories by host.
    Hosts(Arc<HostCategories>),
    /// Names by channel.
    Channels(Arc<ChannelNames>),
}

/// A row: its first fields, each as a number or as a text.
#[derive(Default)]
struct Row {
    dpis: Vec<u16>,
    numbers: [u32; 2],
    texts: [Vec<u8>; 2],
}

/// The fields that are fetched: what is asked for and, where it is more than a set, what is answered.
pub fn columns(dictionary: &'static Dictionary) -> impl Iterator<Item = &'static FieldDecl> {
    let answers = [&SUBSCRIBERS, &URLCATS_HOST, &VCHANNEL_NAME];
    let fields = if answers.iter().any(|other| other.name == dictionary.name) { 2 } else { 1 };
    dictionary.fields.iter().take(fields)
}

/// How many rows a file holds. Fails where its bytes are no rows.
pub fn count(dictionary: &'static Dictionary, path: &Path) -> io::Result<u64> {
    let mut rows = 0;
    for_each(dictionary, path, None, |_| {
        rows += 1;
        Ok(())
    })?;
    Ok(rows)
}

/// Whether rows of a file are limited to DPIs.
pub fn is_limited(dictionary: &'static Dictionary, path: &Path) -> io::Result<bool> {
    let mut limited = false;
    for_each(dictionary, path, None, |row| {
        limited |= !row.dpis.is_empty();
        Ok(())
    })?;
    Ok(limited)
}

/// The look-up over about `rows` rows of a file, of those for `dpi` or, with none, of all.
pub fn build(
    dictionary: &'static Dictionary,
    path: Option<&Path>,
    rows: u64,
    dpi: Option<u16>,
) -> io::Result<LookUp> {
    let each = |take: &mut dyn FnMut(&Row) -> io::Result<()>| match path {
        Some(path) => for_each(dictionary, path, dpi, take),
        None => Ok(()),
    };
    let room = usize::try_from(rows).unwrap_or(0);
    match dictionary.name {
        "asnum_local" | "asnum_exclude" => {
            let mut numbers = Vec::with_capacity(room);
            each(&mut |row| {
                numbers.push(row.numbers[0]);
                Ok(())
            })?;
            Ok(LookUp::AsNumbers(Arc::new(numbers.into_iter().collect())))
        }
        "subscribers" => {
            let mut logins = LoginsBuilder::with_room(room);
            each(&mut |row| {
                let (address, length) = prefix(&row.texts[0])?;
                logins.add(address, length, &row.texts[1]).map_err(io::Error::other)
            })?;
            Ok(LookUp::Logins(Arc::new(logins.finish())))
        }
        "urlcats_host" => {
            let mut hosts = HostCategories::with_room(room);
            each(&mut |row| {
                let category = u16::try_from(row.numbers[1]).unwrap_or(0);
                hosts.add(&row.texts[0], category).map_err(io::Error::other)
            })?;
            hosts.shrink();
            Ok(LookUp::Hosts(Arc::new(hosts)))
        }
        "vchannel_name" => {
            let mut names = Vec::new();
            each(&mut |row| {
                names.push((u16::try_from(row.numbers[0]).unwrap_or(0), row.texts[1].clone()));
                Ok(())
            })?;
            Ok(LookUp::Channels(Arc::new(names.into_iter().collect())))
        }
        _ => {
            let mut prefixes = Vec::with_capacity(room);
            each(&mut |row| {
                prefixes.push(prefix(&row.texts[0])?);
                Ok(())
            })?;
            Ok(LookUp::Prefixes(Arc::new(prefixes.into_iter().collect())))
        }
    }
}

fn for_each(
    dictionary: &'static Dictionary,
    path: &Path,
    dpi: Option<u16>,
    mut take: impl FnMut(&Row) -> io::Result<()>,
) -> io::Result<()> {
    let mut rows = RowBinary::new(BufReader::with_capacity(1 << 18, File::open(path)?));
    let mut row = Row::default();
    while !rows.is_at_end()? {
        rows.dpis(&mut row.dpis)?;
        let fields = columns(dictionary).zip(row.numbers.iter_mut().zip(&mut row.texts));
        for (field, (number, text)) in fields {
            match field.field_type {
                FieldType::UInt16 => *number = rows.u16()?.into(),
                FieldType::UInt32 => *number = rows.u32()?,
                FieldType::Prefix | FieldType::Host | FieldType::Text => rows.text(text)?,
                // No dictionary that is fetched has one.
                FieldType::UInt64 | FieldType::Flag => return Err(io::ErrorKind::Unsupported.into()),
            }
        }
        if dpi.is_none_or(|dpi| row.dpis.is_empty() || row.dpis.contains(&dpi)) {
            take(&row)?;
        }
    }
    Ok(())
}

/// A prefix as its text, `10.0.0.0/24`.
fn prefix(text: &[u8]) -> io::Result<(IpAddr, u8)> {
    let parse = || {
        let (address, length) = std::str::from_utf8(text).ok()?.split_once('/')?;
        let (address, length): (IpAddr, u8) = (address.parse().ok()?, length.parse().ok()?);
        let most = if address.is_ipv4() { 32 } else { 128 };
        (length <= most).then_some((address, length))
    };
    parse().ok_or_else(|| {
        let text = String::from_utf8_lossy(text).into_owned();
        io::Error::new(io::ErrorKind::InvalidData, format!("{text:?} is not a prefix"))
    })
}
