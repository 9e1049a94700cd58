//! The dictionaries of one machine: their sources are looked at every second, and what has changed is loaded into
//! ClickHouse. The receiver follows ClickHouse by itself. What is wrong is said once, on standard error and in a
//! file for `qoe dictionaries ls`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use clickhouse::Client;
use crds::QoeDictionary;
use crds::dictionary::DictionarySource;
use crds::key_values::{KeyValues, ValuesKind, values};
use crds::receiver::ClickHouseTarget;
use dictionaries::{Gatherer, Loader, LookedUp, Object, Origin, Report, State, declare};

use super::configuration::Configuration;
use super::database::is_away;
use crate::dictionaries::status;

/// How often sources are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Files that are just being written are waited for so long at the start.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);
/// What is said of servers is said under this, which is no object's name.
const SERVERS: &str = "further servers";
/// Bad rows of one object that are printed.
const PRINTED_ROWS: usize = 10;

/// The dictionaries of a collector.
pub struct Dictionaries {
    file: PathBuf,
    data: PathBuf,
    directory: PathBuf,
    database: String,
    objects: Vec<QoeDictionary>,
    documents: Vec<KeyValues>,
    gatherer: Gatherer,
    /// One for each server; the first is the one whose versions receivers follow.
    loaders: Vec<(Client, Loader)>,
    runtime: tokio::runtime::Runtime,
    said: BTreeMap<String, String>,
}

impl Dictionaries {
    /// Those of the configuration that the collector uses; the database's tables are there.
    pub fn new(
        file: &Path,
        data: &Path,
        configuration: &Configuration,
        target: &ClickHouseTarget,
    ) -> anyhow::Result<Dictionaries> {
        let collector = &configuration.collector.metadata.name;
        let objects: Vec<QoeDictionary> =
            configuration.dictionaries.iter().filter(|object| is_for(object, collector)).cloned().collect();
        let password = fs::read_to_string(&target.password_file)
            .with_context(|| format!("cannot read the password file {}", target.password_file.display()))?;
        let password = password.trim();
        let ca = target.ca_file.as_ref().map(fs::read).transpose()?;
        let client = |url: &str| schema::connect(url, &target.user, password, ca.as_deref());
        let loader = |url| {
            let client = client(url)?;
            Ok((client.clone(), Loader::new(client, &target.database, &target.user, password)))
        };
        let loaders: Result<Vec<_>, schema::ConnectError> = target.shards().map(loader).collect();
        Ok(Dictionaries {
            file: file.to_path_buf(),
            data: data.to_path_buf(),
            directory: file.parent().unwrap_or(Path::new(".")).to_path_buf(),
            database: target.database.clone(),
            objects,
            documents: configuration.values.clone(),
            gatherer: Gatherer::new(client(&target.url)?),
            loaders: loaders?,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            said: BTreeMap::new(),
        })
    }

    /// Loads them for the first time, before a record is stored; returns how many objects and rows are in force.
    pub fn load(&mut self) -> anyhow::Result<(usize, u64)> {
        let begun = Instant::now();
        loop {
            let reports = self.cycle()?;
            let unread = reports.iter().any(|report| matches!(&report.state, State::Unreachable(_)));
            if unread && begun.elapsed() < SETTLED_WITHIN && self.has_files_just_written() {
                std::thread::sleep(Duration::from_millis(200));
                continue;
            }
            self.tell(&reports);
            let in_force = reports.iter().filter(|report| report.state == State::InForce);
            return Ok((in_force.clone().count(), in_force.map(|report| report.rows).sum()));
        }
    }

    /// Goes on looking until `stop`, in a thread of its own.
    pub fn follow(mut self, stop: Arc<AtomicBool>) -> anyhow::Result<std::thread::JoinHandle<()>> {
        let thread = std::thread::Builder::new().name("dictionaries".to_string());
        let joined = thread.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK);
                match self.cycle() {
                    Ok(reports) => self.tell(&reports),
                    Err(error) => self.say("", format!("dictionaries: {error:#}: tried again")),
                }
            }
        })?;
        Ok(joined)
    }

    fn cycle(&mut self) -> anyhow::Result<Vec<Report>> {
        let mut objects: BTreeMap<&'static str, Vec<Object>> = BTreeMap::new();
        for object in &self.objects {
            let dictionary = declare::declaration(object.spec.dictionary_type);
            let found = look_up(&self.documents, &object.spec.source);
            let origin = Origin::new(&object.spec.source, Some(&self.directory), &self.database, &found);
            let name = object.metadata.name.clone();
            let content = self.runtime.block_on(self.gatherer.content(&name, dictionary, origin));
            let (dpis, on_error) = (object.spec.dpis.clone(), object.spec.on_error);
            objects.entry(dictionary.name).or_default().push(Object { name, dpis, on_error, content });
        }
        let Some((first, further)) = self.loaders.split_first_mut() else { return Ok(Vec::new()) };
        let mut silent = Vec::new();
        for (number, (client, loader)) in (1..).zip(further) {
            let cycle = self.runtime.block_on(async {
                if is_away(client).await {
                    anyhow::bail!("it does not answer");
                }
                Ok(loader.cycle(&objects).await?)
            });
            if let Err(error) = cycle {
                silent.push(format!("dictionaries of server {number}: {error}: tried again"));
            }
        }
        let reports = self.runtime.block_on(first.1.cycle(&objects))?;
        if silent.is_empty() {
            self.said.remove(SERVERS);
        } else {
            self.say(SERVERS, silent.join("\n"));
        }
        Ok(reports)
    }

    fn has_files_just_written(&self) -> bool {
        let young = |path: PathBuf| {
            let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
            modified.and_then(|at| at.elapsed().ok()).is_some_and(|age| age < Duration::from_secs(2))
        };
        let files = self.objects.iter().filter_map(|object| object.spec.source.file.as_ref());
        files.map(|file| self.directory.join(file)).any(young)
    }

    /// Says what has changed since it was last said, and keeps all of it in a file.
    fn tell(&mut self, reports: &[Report]) {
        let written = status::write(&self.data, reports);
        if let Err(error) = written {
            self.say("status", format!("the dictionaries' status cannot be written: {error:#}"));
        }
        for report in reports {
            let source = self.objects.iter().find(|object| object.metadata.name == report.object);
            let file = source.and_then(|object| object.spec.source.file.clone());
            self.say(&report.object, text(report, file.as_deref()));
        }
    }

    fn say(&mut self, about: &str, text: String) {
        if self.said.get(about).map_or("", String::as_str) == text {
            return;
        }
        if text.is_empty() {
            eprintln!("{}: QoeDictionary/{about}: in force again", self.file.display());
        }
        for line in text.lines() {
            eprintln!("{}: {line}", self.file.display());
        }
        self.said.insert(about.to_owned(), text);
    }
}

/// Whether an object is meant for this collector.
fn is_for(object: &QoeDictionary, collector: &str) -> bool {
    object.spec.collectors.as_ref().is_none_or(|names| names.iter().any(|name| name == collector))
}

fn look_up(documents: &[KeyValues], source: &DictionarySource) -> LookedUp {
    let secret = |name: &str| values(documents, ValuesKind::Secret, name);
    let http = source.http.as_ref();
    LookedUp {
        lines: match (&source.config_map, &source.secret) {
            (Some(reference), _) => Some(values(documents, ValuesKind::ConfigMap, &reference.name)),
            (None, Some(reference)) => Some(secret(&reference.name)),
            (None, None) => None,
        },
        credentials: http
            .and_then(|http| http.credentials_secret_ref.as_ref())
            .map(|reference| secret(&reference.name)),
        ca: http
            .and_then(|http| http.tls.as_ref()?.ca_secret_ref.as_ref())
            .map(|reference| secret(&reference.name)),
    }
}

/// What a person should know of an object; nothing if all is well.
fn text(report: &Report, file: Option<&str>) -> String {
    let name = format!("QoeDictionary/{}", report.object);
    let mut text = match &report.state {
        State::InForce if report.bad.count == 0 => String::new(),
        State::InForce if report.bad.count == 1 => format!("{name}: 1 bad row is left out\n"),
        State::InForce => format!("{name}: {} bad rows are left out\n", report.bad.count),
        other => format!("{name}: {}\n", other),
    };
    let place = file.unwrap_or(&name);
    for bad in report.bad.first.iter().take(PRINTED_ROWS) {
        text.push_str(&format!("{place}:{}: {}\n", bad.line, bad.reason));
    }
    if report.bad.count > PRINTED_ROWS as u64 {
        text.push_str(&format!("{place}: {} further bad rows\n", report.bad.count - PRINTED_ROWS as u64));
    }
    for warning in report.warnings.iter().take(PRINTED_ROWS) {
        text.push_str(&format!("{place}:{}: warning: {}\n", warning.line, warning.reason));
    }
    text
}
