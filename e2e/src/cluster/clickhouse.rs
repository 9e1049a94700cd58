//! ClickHouse in a pod: a Deployment of the engine's image with a volume, a Secret, a Service.

use serde_json::{Value, json};

use super::certificates::certificate_for;
use super::requirements::STAND_IN;
use super::server::{self, Cut, READY_WITHIN};
use super::{Scenario, wait_until};

const USER: &str = "qoe";

/// How ClickHouse is to run.
#[derive(Clone, Debug)]
pub struct ClickHouseOptions {
    /// Name of the Deployment, the Service and the Secret (keys `username`, `password`).
    pub name: String,
    /// The password of the user `qoe`.
    pub password: String,
    /// HTTPS on port 8443 as well; the authority's certificate is in the Secret `NAME-ca` as `ca.crt`.
    pub tls: bool,
}

impl Default for ClickHouseOptions {
    fn default() -> Self {
        ClickHouseOptions {
            name: "clickhouse".to_string(),
            password: "secret-of-a-test".to_string(),
            tls: false,
        }
    }
}

/// A running ClickHouse; it goes with the scenario's namespace.
pub struct ClickHouse<'a> {
    scenario: &'a Scenario,
    options: ClickHouseOptions,
    address: String,
    cut: Cut,
}

impl<'a> ClickHouse<'a> {
    /// Starts it and waits until it answers.
    pub fn start(scenario: &'a Scenario) -> ClickHouse<'a> {
        ClickHouse::start_with(scenario, ClickHouseOptions::default())
    }

    /// [`ClickHouse::start`], with options.
    pub fn start_with(scenario: &'a Scenario, options: ClickHouseOptions) -> ClickHouse<'a> {
        scenario.apply(&service(&options).to_string());
        let address = scenario.service_address(&options.name);
        for object in objects(&options, &address) {
            scenario.apply(&object.to_string());
        }
        let clickhouse = ClickHouse { scenario, options, address, cut: Cut::default() };
        clickhouse.wait_ready();
        clickhouse
    }

    /// Name of the Secret with `username` and `password`.
    pub fn secret(&self) -> &str {
        &self.options.name
    }

    /// Name of the Secret with `ca.crt`, if there is TLS.
    pub fn authority_secret(&self) -> String {
        format!("{}-ca", self.options.name)
    }

    /// `http://ADDRESS:8123`, the Service's.
    pub fn url(&self) -> String {
        format!("http://{}:8123", self.address)
    }

    /// `https://ADDRESS:8443`, the Service's; answers if TLS was asked for.
    pub fn https_url(&self) -> String {
        format!("https://{}:8443", self.address)
    }

    /// The Service's address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The answer to a statement, tried again while the server cannot be reached.
    pub fn query(&self, sql: &str) -> String {
        server::answer(sql, || self.try_query(sql))
    }

    /// The answer to a statement, asked once; an error of ClickHouse begins with `ClickHouse: `.
    pub fn try_query(&self, sql: &str) -> Result<String, String> {
        server::ask(&self.url(), USER, &self.options.password, sql)
    }

    /// [`ClickHouse::query`] for one number.
    pub fn number(&self, sql: &str) -> u64 {
        server::number(sql, &self.query(sql))
    }

    /// Its pod, if there is one that is not ending.
    pub fn pod(&self) -> Result<Value, String> {
        let pods = self.scenario.list("pods", &format!("app={}", self.options.name))?;
        let running = pods.into_iter().find(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        running.ok_or_else(|| "no pod".to_string())
    }

    /// Kills the server (SIGKILL), as a crash would; it is started again on the same data.
    pub fn kill(&self) {
        let pod = self.pod().unwrap();
        self.scenario.kill_container(pod["metadata"]["name"].as_str().unwrap());
    }

    /// Stops the server in order; [`ClickHouse::resume`] starts it again on the same data.
    pub fn halt(&self) {
        self.scale(0);
        wait_until("clickhouse's pod to end", READY_WITHIN, || {
            let pods = self.scenario.list("pods", &format!("app={}", self.options.name))?;
            if pods.is_empty() { Ok(()) } else { Err(format!("{} pods", pods.len())) }
        });
    }

    /// Ends [`ClickHouse::halt`].
    pub fn resume(&self) {
        self.scale(1);
        self.wait_ready();
    }

    /// Throws away every packet from and to the pod until [`ClickHouse::heal`]: peers see time-outs.
    /// The pod's own probes fail too, so it becomes unready, but is not restarted.
    pub fn cut(&mut self) {
        self.cut.cut(&self.pod().unwrap());
    }

    /// Ends [`ClickHouse::cut`].
    pub fn heal(&mut self) {
        self.cut.heal();
    }

    /// Waits until the server answers through its Service.
    pub fn wait_ready(&self) {
        wait_until("clickhouse to answer through its Service", READY_WITHIN, || {
            match self.try_query("SELECT 1") {
                Ok(answer) if answer == "1\n" => Ok(()),
                other => {
                    let state = self.pod().map(|pod| pod["status"]["containerStatuses"].to_string());
                    Err(format!("{other:?}; its pod: {state:?}"))
                }
            }
        });
    }

    fn scale(&self, replicas: u32) {
        let replicas = format!("--replicas={replicas}");
        self.scenario.kubectl(&["scale", "deployment", &self.options.name, &replicas]).unwrap();
    }
}

fn service(options: &ClickHouseOptions) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": options.name},
        "spec": {
            "selector": {"app": options.name},
            "ports": [{"name": "http", "port": 8123}, {"name": "https", "port": 8443}],
        },
    })
}

fn secret(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})
}

fn objects(options: &ClickHouseOptions, address: &str) -> Vec<Value> {
    let name = &options.name;
    let labels = json!({"app": name});
    let mut objects = vec![secret(name, json!({"username": USER, "password": options.password}))];
    let claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let mut mounts = vec![
        json!({"name": "data", "mountPath": "/var/lib/clickhouse"}),
        json!({"name": "tmp", "mountPath": "/tmp"}),
        json!({"name": "password", "mountPath": "/etc/clickhouse-test/password", "readOnly": true}),
    ];
    let mut volumes = vec![
        json!({"name": "data", "persistentVolumeClaim": {"claimName": name}}),
        json!({"name": "tmp", "emptyDir": {}}),
        json!({"name": "password", "secret": {"secretName": name}}),
    ];
    if options.tls {
        let (own, authority) = (format!("{name}-tls"), format!("{name}-ca"));
        let made = certificate_for(address);
        objects.push(secret(&own, json!({"tls.crt": made.certificate, "tls.key": made.key})));
        objects.push(secret(&authority, json!({"ca.crt": made.authority})));
        mounts.push(json!({"name": "tls", "mountPath": "/etc/clickhouse-test/tls", "readOnly": true}));
        volumes.push(json!({"name": "tls", "secret": {"secretName": own}}));
    }
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 30,
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": 10002, "runAsGroup": 10002, "fsGroup": 10002,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [{
                        "name": "clickhouse",
                        "image": STAND_IN,
                        "imagePullPolicy": "Never",
                        "ports": [{"name": "http", "containerPort": 8123}, {"name": "https", "containerPort": 8443}],
                        "readinessProbe": {"httpGet": {"path": "/ping", "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 6},
                        "securityContext": {
                            "allowPrivilegeEscalation": false,
                            "readOnlyRootFilesystem": true,
                            "capabilities": {"drop": ["ALL"]},
                        },
                        "volumeMounts": mounts,
                    }],
                    "volumes": volumes,
                },
            },
        },
    });
    objects.extend([claim, deployment]);
    objects
}
