//! Reads the sources of objects, each as seldom as its kind allows: a file when its stamp has changed, a web
//! server at its interval, a table when its checksum has changed. Remembers since when a source cannot be read.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use clickhouse::Client;
use clickhouse::error::Error as ClickHouseError;
use schema::Dictionary;
use schema::sql::{identifier, qualified};

use crate::load::now;
use crate::loader::{Content, Unreachable};
use crate::origin::Origin;
use crate::source::MAX_CONTENT;
use crate::source::file::{self, Look, Stamp};
use crate::source::http::{self, Fetched, Http, Validators};

/// A web server that did not answer is asked again after this, or after its interval if that is shorter.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// How often a table is asked for its checksum, which reads all of it.
const TABLE_REFRESH: Duration = Duration::from_secs(5);

/// What is known of one object's source.
#[derive(Default)]
struct Seen {
    content: Option<Content>,
    unreachable: Option<Unreachable>,
    stamp: Option<Stamp>,
    http: Option<Http>,
    validators: Option<Validators>,
    asked: Option<Instant>,
    checksum: Option<(u64, u64)>,
}

/// Reads sources again and again.
pub struct Gatherer {
    client: Client,
    seen: HashMap<String, Seen>,
}

impl Gatherer {
    /// Knows nothing yet; tables are read by this client.
    pub fn new(client: Client) -> Gatherer {
        Gatherer { client, seen: HashMap::new() }
    }

    /// What the source of `object` holds now.
    ///
    /// # Errors
    /// It cannot be read, since when and why.
    pub async fn content(
        &mut self,
        object: &str,
        dictionary: &'static Dictionary,
        origin: Origin,
    ) -> Result<Content, Unreachable> {
        let mut seen = self.seen.remove(object).unwrap_or_default();
        let read = read(&self.client, dictionary, origin, &mut seen).await;
        match read {
            Ok(()) => seen.unreachable = None,
            Err(error) => {
                let since = seen.unreachable.as_ref().map_or_else(now, |earlier| earlier.since);
                seen.unreachable = Some(Unreachable { since, error });
            }
        }
        let result = match (&seen.unreachable, &seen.content) {
            (Some(unreachable), _) => Err(unreachable.clone()),
            (None, Some(content)) => Ok(content.clone()),
            (None, None) => Err(Unreachable { since: now(), error: "it is not read yet".to_owned() }),
        };
        self.seen.insert(object.to_owned(), seen);
        result
    }

    /// Forgets objects that are gone.
    pub fn retain(&mut self, mut is_there: impl FnMut(&str) -> bool) {
        self.seen.retain(|object, _| is_there(object));
    }
}

async fn read(
    client: &Client,
    dictionary: &'static Dictionary,
    origin: Origin,
    seen: &mut Seen,
) -> Result<(), String> {
    match origin {
        Origin::Missing(reason) => Err(reason),
        Origin::Text(text) => {
            seen.take(text);
            Ok(())
        }
        Origin::File(path) => read_file(&path, seen),
        Origin::Http(http, refresh) => read_http(http, refresh, seen).await,
        Origin::Table { database, name } => {
            let table = qualified(&database, &name);
            let error = |error: ClickHouseError| format!("table {table} cannot be read: {error}");
            let asked_lately = seen.asked.is_some_and(|asked| asked.elapsed() < TABLE_REFRESH);
            if asked_lately && seen.unreachable.is_none() {
                return Ok(());
            }
            seen.asked = Some(Instant::now());
            read_table(client, dictionary, &table, seen).await.map_err(error)
        }
    }
}

impl Seen {
    fn take(&mut self, text: Vec<u8>) {
        let content = Content::new(text);
        // The same text stays the same memory.
        if self.content.as_ref().is_none_or(|before| before.hash != content.hash) {
            self.content = Some(content);
        }
    }
}

fn read_file(path: &Path, seen: &mut Seen) -> Result<(), String> {
    let stamp = file::stamp(path).map_err(|error| error.to_string())?;
    if seen.stamp == Some(stamp) {
        return Ok(());
    }
    match file::read(path).map_err(|error| error.to_string())? {
        Look::Content { content, stamp } => {
            seen.stamp = Some(stamp);
            seen.take(content);
            Ok(())
        }
        Look::Again if seen.content.is_some() => Ok(()),
        Look::Again => Err(format!("{} is being written", path.display())),
    }
}

async fn read_http(http: Http, refresh: Duration, seen: &mut Seen) -> Result<(), String> {
    let changed = seen.http.as_ref() != Some(&http);
    let pause = if seen.unreachable.is_some() { refresh.min(AFTER_FAILURE) } else { refresh };
    if !changed && seen.asked.is_some_and(|asked| asked.elapsed() < pause) {
        return match &seen.unreachable {
            Some(unreachable) => Err(unreachable.error.clone()),
            None => Ok(()),
        };
    }
    if changed {
        seen.validators = None;
    }
    seen.asked = Some(Instant::now());
    seen.http = Some(http.clone());
    let validators = seen.validators.clone();
    let fetching = tokio::task::spawn_blocking(move || http::fetch(&http, validators.as_ref()));
    match fetching.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())? {
        Fetched::Unchanged => {}
        Fetched::New { content, validators } => {
            seen.validators = Some(validators);
            seen.take(content);
        }
    }
    Ok(())
}

async fn read_table(
    client: &Client,
    dictionary: &'static Dictionary,
    table: &str,
    seen: &mut Seen,
) -> Result<(), ClickHouseError> {
    let names: Vec<String> = dictionary.fields.iter().map(|field| identifier(field.name)).collect();
    let names = names.join(", ");
    let sql = format!("SELECT count(), sum(cityHash64({names})) FROM {table}");
    let checksum: (u64, u64) = client.query_raw(&sql).fetch_one().await?;
    if seen.checksum == Some(checksum) && seen.content.is_some() {
        return Ok(());
    }
    // The order of lines decides which of two equal keys stays.
    let sql = format!("SELECT {names} FROM {table} ORDER BY ALL");
    let mut rows = client.query_raw(&sql).fetch_bytes("TSVRaw")?;
    let mut text = BytesMut::new();
    while let Some(bytes) = rows.next().await? {
        text.extend_from_slice(&bytes);
        if text.len() as u64 > MAX_CONTENT {
            return Err(ClickHouseError::Custom(format!("it holds more than {MAX_CONTENT} bytes")));
        }
    }
    seen.checksum = Some(checksum);
    seen.take(text.to_vec());
    Ok(())
}
