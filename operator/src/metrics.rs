//! What the operator counts about itself and about collectors, for Prometheus. Only counts; judges
//! nothing.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

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

/// Labels of one DPI of one collector.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DpiLabels {
    /// Namespace of the collector.
    pub namespace: String,
    /// Its name.
    pub collector: String,
    /// Id of the DPI.
    pub dpi: u32,
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
    /// Records decoded, stored, waiting, missing of each DPI.
    pub decoded: Family<DpiLabels, Gauge>,
    /// Records that ClickHouse has acknowledged.
    pub stored: Family<DpiLabels, Gauge>,
    /// Records on their way.
    pub waiting: Family<DpiLabels, Gauge>,
    /// Records that never came.
    pub missing: Family<DpiLabels, Gauge>,
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
        let decoded = Family::default();
        registry.register("dpi_decoded_records", "Records received and decoded", decoded.clone());
        let stored = Family::default();
        registry.register("dpi_stored_records", "Records acknowledged by ClickHouse", stored.clone());
        let waiting = Family::default();
        registry.register("dpi_waiting_records", "Records on their way to ClickHouse", waiting.clone());
        let missing = Family::default();
        registry.register(
            "dpi_missing_records",
            "Records that exporters sent and that never came",
            missing.clone(),
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
            decoded,
            stored,
            waiting,
            missing,
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
