//! The servers that an operator runs for a collector, by the names of [`crds::managed`]. Makes none of
//! their objects.

use crds::managed::{ADMIN, HTTP_PORT, admin_secret, pod_name};
use k8s_openapi::ByteString;
use serde_json::Value;

use super::server::{self, Cut, READY_WITHIN};
use super::{Scenario, wait_until};

/// The managed servers of one collector.
pub struct Managed<'a> {
    scenario: &'a Scenario,
    collector: String,
    cut: Cut,
}

impl<'a> Managed<'a> {
    /// Those of the collector `main`. They need not exist yet.
    pub fn of(scenario: &'a Scenario) -> Managed<'a> {
        Managed::of_collector(scenario, "main")
    }

    /// Those of any collector.
    pub fn of_collector(scenario: &'a Scenario, collector: &str) -> Managed<'a> {
        Managed { scenario, collector: collector.to_string(), cut: Cut::default() }
    }

    /// A server's answer to the administrator, tried again while it cannot be reached.
    pub fn query(&self, shard: u32, sql: &str) -> String {
        server::answer(sql, || self.try_query(shard, sql))
    }

    /// [`Managed::query`], asked once; an error of ClickHouse begins with `ClickHouse: `.
    pub fn try_query(&self, shard: u32, sql: &str) -> Result<String, String> {
        let password = self.password(&admin_secret(&self.collector))?;
        self.try_query_as(shard, ADMIN, &password, sql)
    }

    /// [`Managed::try_query`], as another user.
    pub fn try_query_as(&self, shard: u32, user: &str, password: &str, sql: &str) -> Result<String, String> {
        server::ask(&self.url(shard)?, user, password, sql)
    }

    /// [`Managed::query`] for one number.
    pub fn number(&self, shard: u32, sql: &str) -> u64 {
        server::number(sql, &self.query(shard, sql))
    }

    /// The key `password` of a Secret.
    pub fn password(&self, secret: &str) -> Result<String, String> {
        let secret = self.scenario.get("secret", secret)?;
        let password: ByteString =
            serde_json::from_value(secret["data"]["password"].clone()).map_err(|error| error.to_string())?;
        String::from_utf8(password.0).map_err(|error| error.to_string())
    }

    /// Where a server answers: at its pod's address, so whether or not it is ready or has a name.
    pub fn url(&self, shard: u32) -> Result<String, String> {
        let pod = self.pod(shard)?;
        let address = pod["status"]["podIP"].as_str().ok_or("its pod has no address yet")?;
        Ok(format!("http://{address}:{HTTP_PORT}"))
    }

    /// A server's pod.
    pub fn pod(&self, shard: u32) -> Result<Value, String> {
        self.scenario.get("pod", &pod_name(&self.collector, shard))
    }

    /// Kills a server (SIGKILL), as a crash would; it is started again on the same data.
    pub fn kill(&self, shard: u32) {
        self.scenario.kill_container(&pod_name(&self.collector, shard));
    }

    /// Throws away every packet from and to a server until [`Managed::heal`]: peers see time-outs. So do
    /// the pod's own probes.
    pub fn cut(&mut self, shard: u32) {
        let pod = self.pod(shard).unwrap();
        self.cut.cut(&pod);
    }

    /// Ends [`Managed::cut`], for all servers.
    pub fn heal(&mut self) {
        self.cut.heal();
    }

    /// Waits until a server's pod is ready and the server answers the administrator.
    pub fn wait_ready(&self, shard: u32) {
        wait_until(&format!("the server of shard {shard}"), READY_WITHIN, || {
            let status = self.pod(shard)?["status"].clone();
            let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
            if !conditions.iter().any(|is| is["type"] == "Ready" && is["status"] == "True") {
                return Err(format!("its pod is not ready: {status}"));
            }
            match self.try_query(shard, "SELECT 1")?.as_str() {
                "1\n" => Ok(()),
                other => Err(format!("it answers {other}")),
            }
        });
    }
}
