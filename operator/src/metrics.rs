//! What the operator counts about itself and about collectors, for Prometheus. Only counts; judges
//! nothing.

pub mod collectors;

use std::time::Duration;

use crds::status::QoeDictionaryStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use collectors::Collectors;

/// Labels of reconciles.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// Kind of the object.
    pub kind: &'static str,
}

/// Labels of errors.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErrorLabels {
    /// Kind of the object.
    pub kind: &'static str,
    /// The error's name, as in events.
    pub reason: &'static str,
}

/// Labels of schema steps.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepLabels {
    /// `done` or `failed`.
    pub result: &'static str,
}

/// Labels of one dictionary.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct DictionaryLabels {
    /// Namespace of the object.
    pub namespace: String,
    /// Its name.
    pub dictionary: String,
}

impl DictionaryLabels {
    /// Those of an object.
    pub fn of(meta: &ObjectMeta) -> DictionaryLabels {
        DictionaryLabels {
            namespace: meta.namespace.clone().unwrap_or_default(),
            dictionary: meta.name.clone().unwrap_or_default(),
        }
    }
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    /// Reconciles that have ended.
    pub reconciles: Family<KindLabels, Counter>,
    /// Reconciles that have ended in an error.
    pub errors: Family<ErrorLabels, Counter>,
    /// How long reconciles took, in seconds.
    pub duration: Family<KindLabels, Histogram>,
    /// Reconciles that are going on.
    pub running: Family<KindLabels, Gauge>,
    /// Objects that were brought back to what they should be.
    pub repairs: Family<KindLabels, Counter>,
    /// Schema steps.
    pub schema_steps: Family<StepLabels, Counter>,
    /// Whether we are the active operator.
    pub leader: Gauge,
    /// The numbers of each collector.
    pub collectors: Collectors,
    dictionary_rows: Family<DictionaryLabels, Gauge>,
    dictionary_bad_rows: Family<DictionaryLabels, Gauge>,
    dictionary_in_force: Family<DictionaryLabels, Gauge>,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("qoe_operator");
        let reconciles = Family::default();
        registry.register("reconciles", "Reconciles that have ended", reconciles.clone());
        let errors = Family::default();
        registry.register("reconcile_errors", "Reconciles that have ended in an error", errors.clone());
        let duration = Family::<KindLabels, Histogram>::new_with_constructor(|| {
            Histogram::new([0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0])
        });
        registry.register("reconcile_seconds", "How long reconciles took", duration.clone());
        let running = Family::default();
        registry.register("reconciles_running", "Reconciles that are going on", running.clone());
        let repairs = Family::default();
        registry.register(
            "repairs",
            "Objects that were brought back to what they should be",
            repairs.clone(),
        );
        let schema_steps = Family::default();
        registry.register("schema_steps", "Statements of schema migrations", schema_steps.clone());
        let leader = Gauge::default();
        registry.register("leader", "Whether this is the active operator", leader.clone());
        let collectors = Collectors::new(&mut registry);
        let dictionary_rows = Family::default();
        registry.register("dictionary_rows", "Rows of a dictionary in force", dictionary_rows.clone());
        let dictionary_bad_rows = Family::default();
        registry.register(
            "dictionary_bad_rows",
            "Lines of a dictionary's source that are wrong",
            dictionary_bad_rows.clone(),
        );
        let dictionary_in_force = Family::default();
        registry.register(
            "dictionary_in_force",
            "Whether what a dictionary says now is in force for all its collectors",
            dictionary_in_force.clone(),
        );
        Metrics {
            registry,
            reconciles,
            errors,
            duration,
            running,
            repairs,
            schema_steps,
            leader,
            collectors,
            dictionary_rows,
            dictionary_bad_rows,
            dictionary_in_force,
        }
    }

    /// A reconcile begins.
    pub fn begin(&self, kind: &'static str) {
        self.running.get_or_create(&KindLabels { kind }).inc();
    }

    /// A reconcile has ended.
    pub fn end(&self, kind: &'static str, took: Duration, error: Option<&'static str>) {
        let labels = KindLabels { kind };
        self.running.get_or_create(&labels).dec();
        self.reconciles.get_or_create(&labels).inc();
        self.duration.get_or_create(&labels).observe(took.as_secs_f64());
        if let Some(reason) = error {
            self.errors.get_or_create(&ErrorLabels { kind, reason }).inc();
        }
    }

    /// The numbers of a dictionary.
    pub fn count_dictionary(&self, labels: &DictionaryLabels, status: &QoeDictionaryStatus) {
        let number = |count: Option<u64>| i64::try_from(count.unwrap_or(0)).unwrap_or(i64::MAX);
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let in_force = ready.is_some_and(|ready| ready.status == "True");
        self.dictionary_rows.get_or_create(labels).set(number(status.rows));
        self.dictionary_bad_rows.get_or_create(labels).set(number(status.bad_rows));
        self.dictionary_in_force.get_or_create(labels).set(i64::from(in_force));
    }

    /// A dictionary is gone.
    pub fn forget_dictionary(&self, labels: &DictionaryLabels) {
        for family in [&self.dictionary_rows, &self.dictionary_bad_rows, &self.dictionary_in_force] {
            family.remove(labels);
        }
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// Never in practice: the text is made in memory.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}
