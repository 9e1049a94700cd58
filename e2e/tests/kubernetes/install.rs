//! The page `docs/install.md`, followed: each of its blocks that is marked as a shell's, in their order and as
//! they stand. The operator is the one of `manifests/cluster`, a pod with rights over all namespaces.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use e2e::cluster::{Scenario, wait_until};

use crate::support::DEADLINE;

const PAGE: &str = include_str!("../../../docs/install.md");
/// What the page lets the simulator send.
const RECORDS: &str = "100000";
/// What the page makes outside of the scenario's namespace.
const NAMESPACES: [&str; 2] = ["qoe", "qoeplane-system"];

/// From an empty cluster to answers, without anything that the page does not say.
pub fn the_page_is_followed(scenario: &Scenario) {
    let cluster = scenario.cluster;
    cluster.name_images_as_users_do().unwrap();
    let _removed = Removed(scenario);
    let person = Person { scenario, path: path(&cluster.programs_of_a_person().unwrap()) };

    let overlay = |name: &str| person.run(&format!("kubectl kustomize manifests/overlays/{name}")).unwrap();
    let air_gapped = overlay("air-gapped");
    for image in ["image: ", "--receiver-image=", "--clickhouse-image="] {
        assert!(air_gapped.contains(&format!("{image}registry.internal.example/")), "{image}: {air_gapped}");
    }
    assert!(overlay("two-replicas").contains("replicas: 2"));

    let blocks = shell_blocks(PAGE);
    let (answers, before) = blocks.split_last().unwrap();
    assert!(
        PAGE.contains(&format!("--records {RECORDS}")) && answers.contains("kubectl qoe query"),
        "{answers}"
    );
    for block in before {
        person.run(block).unwrap_or_else(|error| panic!("{block}\n{error}"));
    }
    wait_until("every record to be queryable", DEADLINE, || {
        let count = person.run("kubectl qoe query -n qoe --format TSV 'SELECT count() FROM fullflow'")?;
        if count.trim() == RECORDS { Ok(()) } else { Err(count) }
    });
    let said = person.run(answers).unwrap_or_else(|error| panic!("{answers}\n{error}"));
    for expected in [RECORDS, "login", "stored in fullflow", "main-clickhouse-0-0", "main-dpi-0-0"] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
}

/// `PATH` with these directories first.
fn path(first: &[PathBuf]) -> OsString {
    let all = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(first.iter().cloned().chain(std::env::split_paths(&all))).unwrap()
}

/// The contents of all blocks that are fenced as ```` ```sh ````.
fn shell_blocks(page: &str) -> Vec<&str> {
    let parts = page.split("\n```sh\n").skip(1);
    parts.map(|part| part.split_once("\n```").expect("a block without an end").0).collect()
}

/// Somebody in a checkout, with a shell.
struct Person<'a> {
    scenario: &'a Scenario,
    path: OsString,
}

impl Person<'_> {
    /// What the commands print; all of it when one of them fails.
    fn run(&self, commands: &str) -> Result<String, String> {
        let output = Command::new("bash")
            .args(["-e", "-u", "-o", "pipefail", "-c", commands])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .env("PATH", &self.path)
            .env("KUBECONFIG", self.scenario.cluster.kubeconfig())
            .output()
            .map_err(|error| format!("cannot start bash: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(said);
        }
        Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Takes away what the page has made, but for the definitions, which other scenarios use.
struct Removed<'a>(&'a Scenario);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        let cluster = self.0.cluster;
        if std::thread::panicking() {
            for namespace in NAMESPACES {
                for words in [
                    &["get", "all,events"][..],
                    &["describe", "qoecollectors,pods"],
                    &["logs", "deployment/qoeplane-operator", "--tail=200"],
                ] {
                    let seen = cluster.kubectl(&[words, &["-n", namespace]].concat());
                    println!("{namespace}: {words:?}\n{}", seen.unwrap_or_else(|error| error));
                }
            }
        }
        for words in [
            // First whoever acts on all namespaces.
            &[
                "delete",
                "deployment",
                "qoeplane-operator",
                "-n",
                NAMESPACES[1],
                "--cascade=foreground",
                "--timeout=60s",
            ][..],
            &["delete", "clusterrole,clusterrolebinding", "-l", "app.kubernetes.io/part-of=qoeplane"],
            &["delete", "namespace", NAMESPACES[0], NAMESPACES[1], "--wait=false"],
        ] {
            if let Err(error) = cluster.kubectl(words) {
                println!("{words:?}: {error}");
            }
        }
    }
}
