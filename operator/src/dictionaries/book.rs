//! What the loaders of all collectors have reported last. Only remembers; what follows from it is judged
//! elsewhere, and all of it is found out again after a restart.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dictionaries::{Report, State};

/// What became of one object, as it was in one generation.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Generation of the object that was looked at.
    pub generation: i64,
    /// What became of it.
    pub report: Report,
}

/// The objects of one collector by name.
pub type Page = BTreeMap<String, Entry>;

/// A page for each collector, by its uid.
#[derive(Default)]
pub struct Book(Mutex<HashMap<String, Page>>);

impl Book {
    /// Replaces what is known of a collector; returns what was known.
    pub fn record(&self, collector: &str, page: Page) -> Page {
        self.pages().insert(collector.to_owned(), page).unwrap_or_default()
    }

    /// Nothing could be looked at. What was reported of the same generation stays: it is in force whether or not
    /// the server answers now.
    pub fn record_failure(&self, collector: &str, generations: &BTreeMap<String, i64>, error: &str) {
        let mut pages = self.pages();
        let page = pages.entry(collector.to_owned()).or_default();
        page.retain(|name, _| generations.contains_key(name));
        for (name, generation) in generations {
            let earlier = page.get(name);
            let failed = |entry: &Entry| matches!(entry.report.state, State::Failed(_));
            if earlier.is_some_and(|entry| entry.generation >= *generation && !failed(entry)) {
                continue;
            }
            let report = Report {
                object: name.clone(),
                rows: 0,
                bad: dictionaries::parse::BadRows::default(),
                warnings: Vec::new(),
                version: earlier.and_then(|entry| entry.report.version),
                state: State::Failed(error.to_owned()),
            };
            page.insert(name.clone(), Entry { generation: *generation, report });
        }
    }

    /// What was reported of one object for one collector.
    pub fn entry(&self, collector: &str, dictionary: &str) -> Option<Entry> {
        self.pages().get(collector)?.get(dictionary).cloned()
    }

    /// Forgets collectors that are gone.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.pages().retain(|collector, _| is_there(collector));
    }

    /// A poisoned lock only means that another task panicked between two plain assignments.
    fn pages(&self) -> MutexGuard<'_, HashMap<String, Page>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(generation: i64, version: u32, state: State) -> Entry {
        let bad = dictionaries::parse::BadRows::default();
        let report = Report {
            object: "a".to_owned(),
            rows: 3,
            bad,
            warnings: Vec::new(),
            version: Some(version),
            state,
        };
        Entry { generation, report }
    }

    fn generations(all: &[(&str, i64)]) -> BTreeMap<String, i64> {
        all.iter().map(|(name, generation)| (name.to_string(), *generation)).collect()
    }

    #[test]
    fn a_server_that_does_not_answer_takes_nothing_out_of_force() {
        let book = Book::default();
        let page = Page::from([
            ("a".to_owned(), entry(1, 7, State::InForce)),
            ("b".to_owned(), entry(1, 6, State::InForce)),
            ("gone".to_owned(), entry(1, 9, State::InForce)),
        ]);
        book.record("uid", page);
        book.record_failure("uid", &generations(&[("a", 1), ("b", 2), ("c", 1)]), "away");
        let state = |name| book.entry("uid", name).map(|entry| entry.report.state);
        assert_eq!(state("a"), Some(State::InForce));
        assert_eq!(state("b"), Some(State::Failed("away".to_owned())));
        assert_eq!(state("c"), Some(State::Failed("away".to_owned())));
        assert_eq!(state("gone"), None);

        // The newest words count while nothing else is known.
        book.record_failure("uid", &generations(&[("a", 1), ("b", 2), ("c", 1)]), "refused");
        assert_eq!(state("c"), Some(State::Failed("refused".to_owned())));
        assert_eq!(state("a"), Some(State::InForce));
    }

    #[test]
    fn collectors_are_forgotten() {
        let book = Book::default();
        book.record("one", Page::from([("a".to_owned(), entry(1, 7, State::InForce))]));
        book.record("two", Page::from([("a".to_owned(), entry(1, 8, State::InForce))]));
        book.retain(|uid| uid == "two");
        assert!(book.entry("one", "a").is_none());
        assert!(book.entry("two", "a").is_some());
    }
}
