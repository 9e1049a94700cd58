//! From the objects of one dictionary as they are now to the version that is in force: parsed, checked against
//! each other, loaded if something has changed. What cannot be used changes nothing, and the report of each
//! object says why. Keeps in memory only what was tried last.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use clickhouse::Client;
use crds::dictionary::OnError;
use jiff::Timestamp;
use schema::{Dictionary, DictionaryVersion, current_versions, hash_of};

use crate::load::{LoadError, Rows, load, now};
use crate::merge::{Part, conflicts};
use crate::parse::{BadRow, BadRows, Parsed, parse};
use crate::server::{Server, ServerError};

/// What a source holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The lines.
    pub text: Arc<Vec<u8>>,
    /// Their hash.
    pub hash: String,
}

impl Content {
    /// Lines that were just read.
    pub fn new(text: Vec<u8>) -> Content {
        Content { hash: hash_of(&text), text: Arc::new(text) }
    }
}

/// A source that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// Since when, seconds since 1970, UTC.
    pub since: u32,
    /// Why.
    pub error: String,
}

/// One object of a dictionary, as it is now.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its name.
    pub name: String,
    /// The DPIs that it is limited to; `None`: all.
    pub dpis: Option<Vec<u16>>,
    /// What happens when a line is wrong.
    pub on_error: OnError,
    /// What its source holds.
    pub content: Result<Content, Unreachable>,
}

/// How an object stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its contents are in force.
    InForce,
    /// It has bad rows and a previous version, which stays.
    BadRows,
    /// Another object of the same type has the same keys.
    Conflict(String),
    /// Its source cannot be read.
    Unreachable(Unreachable),
    /// It could be used, but another object of the same type could not.
    WaitsFor(String),
    /// The database could not be given it.
    Failed(String),
}

impl fmt::Display for State {
    /// What a person is to know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::InForce => f.write_str("in force"),
            State::BadRows => f.write_str(
                "it has bad rows: the previous version stays in force; correct them, or set onError: SkipRow",
            ),
            State::Conflict(conflict) => write!(f, "{conflict}: what was in force stays"),
            State::Unreachable(Unreachable { since, error }) => {
                let since = Timestamp::from_second((*since).into()).unwrap_or_default();
                write!(f, "its source cannot be read since {since}: {error}: what was in force stays")
            }
            State::WaitsFor(others) => write!(f, "it waits for {others}: what was in force stays"),
            State::Failed(error) => write!(f, "{error}: what was in force stays; it is tried again"),
        }
    }
}

/// What became of an object.
#[derive(Clone, Debug)]
pub struct Report {
    /// Name of the object.
    pub object: String,
    /// Rows that could be used.
    pub rows: u64,
    /// Lines that could not.
    pub bad: BadRows,
    /// Rows that can be used and look odd.
    pub warnings: Vec<BadRow>,
    /// The version that is in force for its type, whatever it was made from.
    pub version: Option<u32>,
    /// How it stands.
    pub state: State,
}

/// What was tried last for one dictionary.
struct Attempt {
    content: String,
    reports: Vec<Report>,
}

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    /// The versions cannot be read.
    #[error("the dictionaries' versions cannot be read: {0}")]
    Versions(#[from] clickhouse::error::Error),
    /// The tables are not made yet.
    #[error("database {0} has no table dictionary_versions: its schema comes first")]
    NoTables(String),
    /// ClickHouse's own dictionaries.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// Brings the dictionaries of one database up to date, again and again.
pub struct Loader {
    client: Client,
    database: String,
    server: Server,
    attempts: HashMap<&'static str, Attempt>,
}

impl Loader {
    /// A loader that knows nothing yet; ClickHouse's dictionaries log in as this user.
    pub fn new(client: Client, database: &str, user: &str, password: &str) -> Loader {
        let server = Server::new(client.clone(), database, user, password);
        Loader { client, database: database.to_owned(), server, attempts: HashMap::new() }
    }

    /// Makes every dictionary what its objects say; a dictionary without objects is empty. `objects` holds those
    /// of each dictionary by its name. It computes for a while where files are large: not for a thread that
    /// others wait for.
    ///
    /// # Errors
    /// Nothing could be looked at. What is wrong with single objects is in their reports.
    pub async fn cycle(
        &mut self,
        objects: &BTreeMap<&'static str, Vec<Object>>,
    ) -> Result<Vec<Report>, LoaderError> {
        let Some(mut current) = current_versions(&self.client, &self.database).await? else {
            return Err(LoaderError::NoTables(self.database.clone()));
        };
        self.server.keep().await?;
        let mut reports = Vec::new();
        for dictionary in schema::dictionaries::all() {
            let objects = objects.get(dictionary.name).map(Vec::as_slice).unwrap_or_default();
            let next = current.values().map(|version| version.version).max().unwrap_or(0) + 1;
            let loaded = self.bring(dictionary, objects, current.get(dictionary.name), next).await;
            if let Some(version) = loaded.version {
                current.insert(dictionary.name.to_owned(), version);
            }
            reports.extend(loaded.reports);
        }
        Ok(reports)
    }

    async fn bring(
        &mut self,
        dictionary: &'static Dictionary,
        objects: &[Object],
        current: Option<&DictionaryVersion>,
        next: u32,
    ) -> Brought {
        let in_force = current.map(|version| version.version);
        let unreachable = |object: &Object| object.content.as_ref().err().cloned();
        if objects.iter().any(|object| unreachable(object).is_some()) {
            return Brought::nothing(wait_for_unreachable(objects, in_force));
        }
        let content = content_hash(objects);
        let is_current = current.is_some_and(|current| current.content == content);
        if objects.is_empty() && current.is_none_or(|current| current.sources.is_empty()) {
            self.attempts.remove(dictionary.name);
            return Brought::nothing(Vec::new());
        }
        if let Some(attempt) = self.attempts.get(dictionary.name)
            && attempt.content == content
            && attempt.reports.iter().all(|report| report.version == in_force)
            && !attempt.reports.iter().any(|report| matches!(report.state, State::Failed(_)))
        {
            return Brought::nothing(attempt.reports.clone());
        }
        let parsed: Vec<(&Object, Parsed<'_>)> = objects
            .iter()
            .filter_map(|object| {
                Some((object, parse(dictionary, object.content.as_ref().ok()?.text.as_slice())))
            })
            .collect();
        let mut reports = judge(&parsed, current);
        let mut version = None;
        if is_current || reports.iter().all(|report| report.state == State::InForce) {
            if !is_current {
                let made = describe(dictionary, &parsed, &content, next);
                match self.load(dictionary, &parsed, &made).await {
                    Ok(()) => version = Some(made),
                    Err(error) => {
                        let text = error.to_string();
                        reports.iter_mut().for_each(|report| report.state = State::Failed(text.clone()));
                    }
                }
            } else {
                // A version was made of exactly this, with its bad rows left out.
                reports.iter_mut().for_each(|report| report.state = State::InForce);
            }
        } else {
            wait_for_others(&mut reports);
        }
        let in_force = version.as_ref().map(|version: &DictionaryVersion| version.version).or(in_force);
        reports.iter_mut().for_each(|report| report.version = in_force);
        self.attempts.insert(dictionary.name, Attempt { content, reports: reports.clone() });
        Brought { reports, version }
    }

    async fn load(
        &self,
        dictionary: &'static Dictionary,
        parsed: &[(&Object, Parsed<'_>)],
        version: &DictionaryVersion,
    ) -> Result<(), LoadError> {
        let rows: Vec<Rows<'_>> = parsed
            .iter()
            .map(|(object, parsed)| Rows { dpis: object.dpis.as_deref().unwrap_or_default(), parsed })
            .collect();
        load(&self.client, &self.database, dictionary, &rows, version).await?;
        tracing::info!(
            dictionary = dictionary.name,
            version = version.version,
            rows = version.rows,
            bad_rows = version.bad_rows,
            "a version of a dictionary is in force"
        );
        if let Err(error) = self.server.reload(dictionary).await {
            // The server takes it over by itself, a little later.
            tracing::warn!(%error, "ClickHouse's dictionary was not reloaded");
        }
        Ok(())
    }
}

struct Brought {
    reports: Vec<Report>,
    /// The version that became current.
    version: Option<DictionaryVersion>,
}

impl Brought {
    fn nothing(reports: Vec<Report>) -> Brought {
        Brought { reports, version: None }
    }
}

/// What makes one version differ from another.
fn content_hash(objects: &[Object]) -> String {
    let mut text = String::new();
    for Object { name, dpis, on_error: _, content } in objects {
        let hash = content.as_ref().map(|content| content.hash.as_str()).unwrap_or_default();
        text.push_str(&format!("{name}\0{dpis:?}\0{hash}\0"));
    }
    hash_of(text.as_bytes())
}

fn describe(
    dictionary: &'static Dictionary,
    parsed: &[(&Object, Parsed<'_>)],
    content: &str,
    number: u32,
) -> DictionaryVersion {
    DictionaryVersion {
        version: number,
        dictionary: dictionary.name.to_owned(),
        loaded_at: now(),
        rows: parsed.iter().map(|(_, parsed)| parsed.rows() as u64).sum(),
        bad_rows: parsed.iter().map(|(_, parsed)| parsed.bad.count).sum(),
        content: content.to_owned(),
        sources: parsed.iter().map(|(object, _)| object.name.clone()).collect(),
    }
}

/// How each object stands by itself and beside the others.
fn judge(parsed: &[(&Object, Parsed<'_>)], current: Option<&DictionaryVersion>) -> Vec<Report> {
    let parts: Vec<Part<'_>> = parsed
        .iter()
        .map(|(object, parsed)| Part { object: &object.name, dpis: object.dpis.as_deref(), parsed })
        .collect();
    let conflicts = conflicts(&parts);
    let mut reports = Vec::new();
    for (object, parsed) in parsed {
        let has_previous = current.is_some_and(|current| current.sources.contains(&object.name));
        let refused = parsed.bad.count > 0 && has_previous && object.on_error == OnError::KeepPrevious;
        let conflict =
            conflicts.iter().find(|conflict| conflict.first == object.name || conflict.second == object.name);
        let state = match conflict {
            Some(conflict) => State::Conflict(conflict.to_string()),
            None if refused => State::BadRows,
            None => State::InForce,
        };
        reports.push(Report {
            object: object.name.clone(),
            rows: parsed.rows() as u64,
            bad: parsed.bad.clone(),
            warnings: parsed.warnings.clone(),
            version: None,
            state,
        });
    }
    reports
}

/// An object that could be used waits for those that cannot.
fn wait_for_others(reports: &mut [Report]) {
    let unusable: Vec<String> = reports
        .iter()
        .filter(|report| report.state != State::InForce)
        .map(|report| report.object.clone())
        .collect();
    for report in reports.iter_mut().filter(|report| report.state == State::InForce) {
        report.state = State::WaitsFor(unusable.join(", "));
    }
}

fn wait_for_unreachable(objects: &[Object], in_force: Option<u32>) -> Vec<Report> {
    let unreachable: Vec<&str> =
        objects.iter().filter(|object| object.content.is_err()).map(|object| object.name.as_str()).collect();
    let report = |object: &Object| Report {
        object: object.name.clone(),
        rows: 0,
        bad: BadRows::default(),
        warnings: Vec::new(),
        version: in_force,
        state: match &object.content {
            Err(unreachable) => State::Unreachable(unreachable.clone()),
            Ok(_) => State::WaitsFor(unreachable.join(", ")),
        },
    };
    objects.iter().map(report).collect()
}
