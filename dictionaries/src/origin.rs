//! From a source as an object names it to a source with everything that it takes to read it. Whoever calls has
//! looked up what is kept elsewhere: on Kubernetes at the API server, on one machine among the file's documents.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crds::DictionarySource;
use crds::dictionary::HttpSource;

use crate::source::http::{Credentials, Http};

/// How often a web server is asked unless told otherwise.
const REFRESH: Duration = Duration::from_secs(24 * 3600);
/// No server is asked more often.
const LEAST_REFRESH: Duration = Duration::from_secs(1);

/// A source with everything that it takes to read it.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The lines themselves: inline, or those of a ConfigMap or Secret.
    Text(Vec<u8>),
    /// It cannot be read, for this reason.
    Missing(String),
    /// A file.
    File(PathBuf),
    /// A web server, and how often it is asked.
    Http(Http, Duration),
    /// A table of the same ClickHouse.
    Table {
        /// Its database.
        database: String,
        /// Its name.
        name: String,
    },
}

/// Values of ConfigMaps and Secrets, or why there are none.
pub type Values = Result<BTreeMap<String, Vec<u8>>, String>;

/// What was looked up for a source.
#[derive(Clone, Debug, Default)]
pub struct LookedUp {
    /// The ConfigMap or Secret that holds the lines.
    pub lines: Option<Values>,
    /// The Secret with a web server's credentials.
    pub credentials: Option<Values>,
    /// The Secret with the CA of a web server.
    pub ca: Option<Values>,
}

impl Origin {
    /// The source of an object. `directory` is where files are looked for, `None` where there are none.
    pub fn new(
        source: &DictionarySource,
        directory: Option<&std::path::Path>,
        database: &str,
        found: &LookedUp,
    ) -> Origin {
        let DictionarySource { inline, config_map, secret, http, table, file } = source;
        if let Some(text) = inline {
            return Origin::Text(text.clone().into_bytes());
        }
        if let Some(reference) = config_map.as_ref().or(secret.as_ref()) {
            let lines = found.lines.clone().unwrap_or_else(|| Ok(BTreeMap::new()));
            return match key(&lines, &reference.name, &reference.key) {
                Ok(text) => Origin::Text(text),
                Err(reason) => Origin::Missing(reason),
            };
        }
        if let Some(http) = http {
            return of_http(http, found).unwrap_or_else(Origin::Missing);
        }
        if let Some(table) = table {
            let database = table.database.clone().unwrap_or_else(|| database.to_owned());
            return Origin::Table { database, name: table.name.clone() };
        }
        match (file, directory) {
            (Some(file), Some(directory)) => Origin::File(directory.join(file)),
            (Some(_), None) => Origin::Missing("files are read by `qoe up` on one machine only".to_owned()),
            (None, _) => Origin::Missing("the object names no source".to_owned()),
        }
    }
}

fn key(values: &Values, object: &str, key: &str) -> Result<Vec<u8>, String> {
    let values = values.as_ref().map_err(Clone::clone)?;
    values.get(key).cloned().ok_or_else(|| format!("{object} has no key {key}"))
}

fn of_http(http: &HttpSource, found: &LookedUp) -> Result<Origin, String> {
    let HttpSource { url, refresh, credentials_secret_ref, tls } = http;
    let credentials = match (credentials_secret_ref, &found.credentials) {
        (Some(reference), Some(values)) => Some(credentials(values, &reference.name)?),
        (Some(reference), None) => return Err(format!("Secret {} is not there", reference.name)),
        (None, _) => None,
    };
    let ca = match tls.as_ref().and_then(|tls| tls.ca_secret_ref.as_ref()) {
        Some(reference) => {
            let missing = Err(format!("Secret {} is not there", reference.name));
            Some(key(found.ca.as_ref().unwrap_or(&missing), &reference.name, "ca.crt")?)
        }
        None => None,
    };
    let refresh = refresh.map_or(REFRESH, |refresh| Duration::from_millis(refresh.as_millis()));
    Ok(Origin::Http(Http { url: url.clone(), credentials, ca }, refresh.max(LEAST_REFRESH)))
}

/// `username` and `password`, or `token`.
fn credentials(values: &Values, secret: &str) -> Result<Credentials, String> {
    let text = |name: &str| {
        let value = key(values, secret, name)?;
        let text = String::from_utf8(value).map_err(|_| format!("{secret}, {name}: not UTF-8"))?;
        Ok::<String, String>(text.trim_end_matches(['\r', '\n']).to_owned())
    };
    if let Ok(token) = text("token") {
        return Ok(Credentials::Bearer { token });
    }
    Ok(Credentials::Basic { username: text("username")?, password: text("password")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        Ok(pairs.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect())
    }

    fn source(yaml: &str) -> DictionarySource {
        serde_json::from_str(yaml).unwrap()
    }

    fn missing(origin: Origin) -> String {
        match origin {
            Origin::Missing(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_come_from_what_was_looked_up() {
        let source = source(r#"{"configMap": {"name": "dictionaries", "key": "a.txt"}}"#);
        let with = |lines| Origin::new(&source, None, "qoestor", &LookedUp { lines, ..LookedUp::default() });
        let found = with(Some(values(&[("a.txt", "1\tone\n")])));
        assert!(matches!(found, Origin::Text(text) if text == b"1\tone\n"));
        assert_eq!(missing(with(Some(values(&[("b.txt", "")])))), "dictionaries has no key a.txt");
        assert_eq!(missing(with(Some(Err("no such ConfigMap".to_owned())))), "no such ConfigMap");
    }

    #[test]
    fn credentials_are_a_token_or_a_password() {
        let source = source(r#"{"http": {"url": "https://a", "credentialsSecretRef": {"name": "s"}}}"#);
        let with = |credentials| {
            let found = LookedUp { credentials: Some(credentials), ..LookedUp::default() };
            Origin::new(&source, None, "qoestor", &found)
        };
        let Origin::Http(http, refresh) = with(values(&[("token", "t\n")])) else { panic!("no token") };
        assert_eq!(http.credentials, Some(Credentials::Bearer { token: "t".to_owned() }));
        assert_eq!(refresh, REFRESH);
        let Origin::Http(http, _) = with(values(&[("username", "u"), ("password", "p")])) else {
            panic!("no password")
        };
        let basic = Credentials::Basic { username: "u".to_owned(), password: "p".to_owned() };
        assert_eq!(http.credentials, Some(basic));
        assert_eq!(missing(with(values(&[("username", "u")]))), "s has no key password");
    }

    #[test]
    fn a_file_needs_a_place() {
        let source = source(r#"{"file": "./a.txt"}"#);
        let found = LookedUp::default();
        let here = Origin::new(&source, Some("/etc/qoe".as_ref()), "qoestor", &found);
        assert!(matches!(here, Origin::File(path) if path.ends_with("a.txt")));
        assert!(missing(Origin::new(&source, None, "qoestor", &found)).contains("one machine only"));
    }
}
