//! What is made of decoded columns before they are encoded: direction and subscriber's side, login, category of
//! the host, and by which version of the dictionaries.
//!
//! An [`Enricher`] belongs to one worker of one stream and is told with each block what is known: a block is
//! enriched by one version of everything. What a stream gets follows from its declaration alone: the columns that
//! are declared as enriched, and the columns by their names that these are made from.
//!
//! It must never drop a row, fail, or allocate for each row: dictionaries that are empty and settings that are
//! off cost nothing.
//!
//! - [`AsNumbers`], [`Prefixes`], [`Logins`], [`HostCategories`], [`ChannelNames`]: the dictionaries as look-ups,
//!   built once for each version and never changed;
//! - `direction`, `login`: the rules;
//! - [`keep_translated`]: which fullflow records become rows of natflow.

mod address;
mod as_numbers;
mod channels;
mod direction;
mod hosts;
mod login;
mod logins;
mod places;
mod prefixes;
mod ranges;
mod sieve;
mod slots;
#[cfg(test)]
mod tests;
mod texts;
mod translated;

use std::sync::Arc;

use crds::receiver::EnrichmentConfig;
use ipfix::Column;
use schema::Stream;

pub use address::Address;
pub use as_numbers::AsNumbers;
pub use channels::ChannelNames;
pub use direction::TO;
pub use hosts::{HostCategories, HostsTooLarge, without_port};
pub use logins::{Logins, LoginsBuilder, LoginsTooLarge};
pub use prefixes::Prefixes;
pub use translated::keep_translated;

use direction::Sides;
use login::LoginRule;
use places::Places;

/// What blocks are enriched by: settings and one version of each dictionary.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    /// The collector's settings.
    pub settings: EnrichmentConfig,
    /// The newest version of a dictionary among these; 0: there is none.
    pub version: u32,
    /// Our own AS numbers.
    pub asnum_local: Arc<AsNumbers>,
    /// AS numbers that aggregates leave out.
    pub asnum_exclude: Arc<AsNumbers>,
    /// Our own networks.
    pub subnets_local: Arc<Prefixes>,
    /// Networks that aggregates leave out.
    pub subnets_exclude: Arc<Prefixes>,
    /// Logins by address.
    pub subscribers: Arc<Logins>,
    /// Categories by host.
    pub hosts: Arc<HostCategories>,
    /// Names by channel.
    pub channels: Arc<ChannelNames>,
}

/// Enriches blocks of one stream, in buffers that it keeps.
pub struct Enricher {
    places: Places,
    sides: Sides,
    login: LoginRule,
}

impl Enricher {
    /// For columns as the decoder fills them for a stream.
    pub fn new(stream: &Stream) -> Enricher {
        Enricher { places: Places::of(stream), sides: Sides::default(), login: LoginRule::default() }
    }

    /// Fills the enriched columns, which hold zeros, and replaces logins.
    pub fn enrich(&mut self, columns: &mut [Column], knowledge: &Knowledge) {
        let rows = columns.first().map_or(0, Column::len);
        if rows == 0 {
            return;
        }
        self.sides.find(&self.places, columns, knowledge);
        self.login.apply(&self.places, columns, knowledge, self.sides.directions());
        self.sides.store(&self.places, columns);
        self.categories(columns, knowledge);

        fill(columns, self.places.rtt_unit, knowledge.settings.rtt_unit.microseconds().into());
        fill(columns, self.places.dictionary_version, knowledge.version.into());
        // A flow that carries its translation says that there is one: 1 is "create".
        fill(columns, self.places.nat_event, 1);
    }

    fn categories(&self, columns: &mut [Column], knowledge: &Knowledge) {
        let (Some(host), Some(category)) = (self.places.host, self.places.host_category) else { return };
        if knowledge.hosts.is_empty() {
            return;
        }
        let Ok([Column::Bytes(hosts), Column::U16(categories)]) = columns.get_disjoint_mut([host, category])
        else {
            return;
        };
        for (host, category) in hosts.iter().zip(categories) {
            *category = knowledge.hosts.get(host);
        }
    }
}

/// Gives every row of a column, if the stream has it, the same value.
fn fill(columns: &mut [Column], place: Option<usize>, value: u64) {
    if value == 0 {
        return;
    }
    if let Some(column) = place.and_then(|place| columns.get_mut(place)) {
        let rows = column.len();
        column.clear();
        column.push_constant(value, rows);
    }
}
