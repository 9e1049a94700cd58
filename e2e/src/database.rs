//! A server with the schema, as `qoe up` makes it: in a directory of its own, on a port that it keeps.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crds::CustomElement;

use crate::ports::free_port;
use crate::process::{Process, qoe_binary, wait_for};
use crate::system::SOON;

/// A server; it ends with the value.
pub struct Database {
    dir: PathBuf,
    url: String,
    up: Option<Process>,
    elements: Vec<CustomElement>,
    tables: &'static str,
}

impl Database {
    /// Starts one.
    pub fn start(dir: PathBuf, elements: &[CustomElement], tables: &'static str) -> Database {
        let up = start(&dir, 0, elements, tables);
        let url = wait_for("ClickHouse", SOON, || url(&dir));
        Database { dir, url, up: Some(up), elements: elements.to_vec(), tables }
    }

    /// Starts another one with the same schema and the same password.
    pub fn another(&self, dir: PathBuf) -> Database {
        std::fs::create_dir_all(dir.join("clickhouse")).unwrap();
        std::fs::copy(self.dir.join("clickhouse/password"), dir.join("clickhouse/password")).unwrap();
        Database::start(dir, &self.elements, self.tables)
    }

    /// Where it listens, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `kill -9` (the server dies with its parent).
    pub fn kill(&mut self) {
        self.up.take().expect("ClickHouse runs").kill();
    }

    /// Starts it again on the same port.
    pub fn start_again(&mut self) {
        let port = self.url.rsplit(':').next().unwrap().parse().unwrap();
        self.up = Some(start(&self.dir, port, &self.elements, self.tables));
    }

    /// The answer to a query, without the last line end.
    pub fn query(&self, password: &str, sql: &str) -> Result<String, String> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent
            .post(format!("{}/", self.url))
            .query("wait_end_of_query", "1")
            .header("X-ClickHouse-User", "qoe")
            .header("X-ClickHouse-Key", password)
            .send(sql.as_bytes())
            .map_err(|error| error.to_string())?;
        let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
        if answer.status().is_success() { Ok(text.trim_end().to_string()) } else { Err(text) }
    }
}

/// `qoe up` with one stream on a port of its own that nobody uses: it brings ClickHouse and the schema.
fn start(dir: &Path, http_port: u16, elements: &[CustomElement], tables: &str) -> Process {
    let file = dir.join("database.yaml");
    let port = free_port();
    let elements = serde_json::to_string(elements).unwrap();
    std::fs::write(
        &file,
        format!(
            "apiVersion: qoeplane.io/v1alpha1\nkind: QoeCollector\nmetadata: {{name: database}}\nspec:\n  dpis:\n    \
             - id: 65000\n      streams: [{{type: Fullflow, port: {port}, transport: TCP}}]\n  clickhouse: {{embedded: {{}}}}\n  elements: {elements}\n  tables: {tables}\n"
        ),
    )
    .unwrap();
    let _ = std::fs::remove_file(dir.join("receiver.json"));
    let log = std::fs::File::options().create(true).append(true).open(dir.join("up.log")).unwrap();
    let mut command = Command::new(qoe_binary());
    command.arg("up").arg("-f").arg(&file).arg("--data").arg(dir);
    command.arg("--clickhouse-http-port").arg(http_port.to_string());
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let mut up = Process::start(&mut command);
    wait_for("qoe up", SOON, || {
        let log = || std::fs::read_to_string(dir.join("up.log")).unwrap_or_default();
        assert!(up.is_running(), "qoe up ended: {}", log());
        dir.join("receiver.json").exists().then_some(())
    });
    up
}

fn url(dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(dir.join("clickhouse/connection.json")).ok()?;
    serde_json::from_str::<serde_json::Value>(&text).ok()?["url"].as_str().map(str::to_string)
}
