//! What records are enriched by, kept up to date while they flow: asks the database for the versions of
//! dictionaries, fetches the rows that enrichment needs into files beside the journal, and puts a finished set
//! in the place of the old one. Records never wait for it, except at the very first start.

mod build;
mod cache;
mod fetch;
mod follow;
mod row_binary;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub use follow::Follower;
use schema::Dictionary;
use schema::dictionaries::{
    ASNUM_EXCLUDE, ASNUM_LOCAL, SUBNETS_EXCLUDE, SUBNETS_LOCAL, SUBSCRIBERS, URLCATS_HOST, VCHANNEL_NAME,
};

use crate::enrich::Knowledge;
use crate::journal::lock;

/// The dictionaries that enrichment asks; the others are for queries.
pub const NEEDED: [&Dictionary; 7] = [
    &ASNUM_LOCAL,
    &ASNUM_EXCLUDE,
    &SUBNETS_LOCAL,
    &SUBNETS_EXCLUDE,
    &SUBSCRIBERS,
    &URLCATS_HOST,
    &VCHANNEL_NAME,
];

/// What the records of one DPI are enriched by, as of now. Nothing until it is known for the first time.
#[derive(Default)]
pub struct Known(Mutex<Option<Arc<Knowledge>>>);

impl Known {
    /// The newest.
    pub fn get(&self) -> Option<Arc<Knowledge>> {
        lock(&self.0).clone()
    }

    fn set(&self, knowledge: Knowledge) {
        *lock(&self.0) = Some(Arc::new(knowledge));
    }
}

/// How the dictionaries stand, for status and metrics.
#[derive(Clone, Debug, Default)]
pub struct DictionariesState {
    /// The newest version in force.
    pub version: u32,
    /// Rows held, by dictionary.
    pub rows: BTreeMap<&'static str, u64>,
    /// Sets that were put in the place of an older one.
    pub swaps: u64,
    /// Why the newest versions are not in force.
    pub error: Option<String>,
}
