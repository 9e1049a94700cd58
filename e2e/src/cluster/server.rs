//! What is the same for every ClickHouse in a pod, whoever made the pod: asking it and cutting it off.

use std::time::Duration;

use serde_json::Value;

use super::namespace::run;
use super::wait_until;

/// How long a server may take to start.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(360);
const ANSWERED_WITHIN: Duration = Duration::from_secs(300);

/// The answer to a statement, asked once; an error of ClickHouse begins with `ClickHouse: `.
pub(super) fn ask(url: &str, user: &str, password: &str, sql: &str) -> Result<String, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(120)))
        // What goes to an address that nobody has yet is not refused, and not heard of again.
        .timeout_connect(Some(Duration::from_secs(5)))
        .http_status_as_error(false)
        .build()
        .into();
    let mut answer = agent
        .post(format!("{url}/?wait_end_of_query=1"))
        .header("X-ClickHouse-User", user)
        .header("X-ClickHouse-Key", password)
        .send(sql)
        .map_err(|error| error.to_string())?;
    let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
    if answer.status() == 200 { Ok(text) } else { Err(format!("ClickHouse: {}", text.trim())) }
}

/// Asks again while the server cannot be reached; panics with ClickHouse's own error.
pub(super) fn answer(sql: &str, ask_once: impl Fn() -> Result<String, String>) -> String {
    wait_until(&format!("the answer to {sql}"), ANSWERED_WITHIN, || match ask_once() {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) if error.starts_with("ClickHouse: ") => Ok(Err(error)),
        Err(error) => Err(error),
    })
    .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// An answer that is one number.
pub(super) fn number(sql: &str, answer: &str) -> u64 {
    answer.trim().parse().unwrap_or_else(|_| panic!("{sql}: no number: {answer}"))
}

/// Pods whose packets are thrown away; healed when it is dropped.
#[derive(Default)]
pub(super) struct Cut {
    rules: Vec<String>,
}

impl Cut {
    /// Throws away every packet from and to the pod: peers see time-outs.
    pub fn cut(&mut self, pod: &Value) {
        let address = pod["status"]["podIP"].as_str().unwrap();
        for rule in [
            format!("FORWARD -d {address} -j DROP"),
            format!("FORWARD -s {address} -j DROP"),
            format!("OUTPUT -d {address} -j DROP"),
        ] {
            run("iptables", &format!("-w -I {rule}")).unwrap();
            self.rules.push(rule);
        }
    }

    /// Ends it, for all pods.
    pub fn heal(&mut self) {
        for rule in self.rules.drain(..) {
            run("iptables", &format!("-w -D {rule}")).unwrap();
        }
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        // The address will be another pod's.
        for rule in self.rules.drain(..) {
            let _ = run("iptables", &format!("-w -D {rule}"));
        }
    }
}
