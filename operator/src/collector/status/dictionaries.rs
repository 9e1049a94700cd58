//! `DictionariesReady`: whether everything that a collector's dictionaries say is in force, in ClickHouse and in its
//! receivers. Pure; not part of `Ready`.

use super::conditions::{Finding, finding};
use super::{Facts, ReceiverFacts};
use crate::dictionaries::judgement::Judgement;

/// The dictionaries of a collector.
#[derive(Debug, Clone, Default)]
pub struct DictionaryFacts {
    /// Each with what is said of it for this collector.
    pub judged: Vec<(String, Judgement)>,
    /// The newest version that was loaded; 0: none.
    pub newest: u32,
}

/// The condition's reason while a receiver has not taken over what ClickHouse has.
const RECEIVERS_BEHIND: &str = "ReceiversBehind";
/// Reasons that pass by themselves, soon.
pub const PASSING: [&str; 2] = [RECEIVERS_BEHIND, "Loading"];

pub(super) fn dictionaries_ready(facts: &Facts) -> Finding {
    let name = "DictionariesReady";
    let DictionaryFacts { judged, newest } = &facts.dictionaries;
    if judged.is_empty() {
        return finding(name, true, "NoDictionaries", "no QoeDictionary names this collector");
    }
    let unready: Vec<&(String, Judgement)> =
        judged.iter().filter(|(_, judgement)| !judgement.standing.is_ready()).collect();
    if let Some(worst) = unready.iter().map(|(_, judgement)| judgement.standing).max() {
        let lines: Vec<String> =
            unready.iter().map(|(name, judgement)| format!("{name}: {}", judgement.message)).collect();
        return finding(name, false, worst.reason(), lines.join("; "));
    }
    let behind: Vec<String> =
        facts.receivers.iter().filter_map(|receiver| behind(receiver, *newest)).collect();
    if !behind.is_empty() {
        return finding(name, false, RECEIVERS_BEHIND, behind.join("; "));
    }
    let message = format!("{} dictionaries are in force; the newest version is {newest}", judged.len());
    finding(name, true, "InForce", message)
}

/// What keeps a receiver that answers; one that does not is said elsewhere.
fn behind(receiver: &ReceiverFacts, newest: u32) -> Option<String> {
    let held = match &receiver.status {
        Some(Ok(answer)) => &answer.dictionaries,
        Some(Err(_)) | None => return None,
    };
    if let Some(error) = &held.error {
        return Some(format!("DPI {}: {error}", receiver.dpi));
    }
    (held.version < newest)
        .then(|| format!("DPI {} has version {}, {newest} is the newest", receiver.dpi, held.version))
}
