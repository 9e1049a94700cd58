//! `/livez`, `/readyz`, `/metrics`, `/status`. Ready means that the journals accept, and nothing else:
//! an outage of ClickHouse must not take the receiver out of its Service. During a planned stop it is not ready
//! and answers all the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::registry::Registry;

use crate::dictionaries::DictionariesState;
use crate::insert::Shards;
use crate::reload::ConfigState;
use crate::stream::StreamHandle;
use crate::{metrics, status};

/// What the answers are made from.
pub struct Shared {
    /// Name of the collector.
    pub collector: String,
    /// Milliseconds since 1970, UTC.
    pub started_at: u64,
    /// All streams.
    pub streams: Vec<Arc<StreamHandle>>,
    /// All servers.
    pub shards: Shards,
    /// All metrics.
    pub registry: Registry,
    /// How the configuration stands.
    pub config: Arc<Mutex<ConfigState>>,
    /// How the dictionaries stand.
    pub dictionaries: Arc<Mutex<DictionariesState>>,
    /// Set when a planned stop begins.
    pub stop: Arc<AtomicBool>,
}

/// The routes.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .route("/status", get(status_document))
        .with_state(shared)
}

async fn livez(State(shared): State<Arc<Shared>>) -> Response {
    let dead: Vec<String> =
        shared.streams.iter().filter(|stream| stream.has_died()).map(|stream| name(stream)).collect();
    if dead.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("listeners have ended: {}\n", dead.join(", "))).into_response()
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    if shared.stop.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    let refusing: Vec<String> =
        shared.streams.iter().filter(|stream| !stream.accepts()).map(|stream| name(stream)).collect();
    if refusing.is_empty() {
        return "ok\n".into_response();
    }
    let text = format!("journals that do not accept: {}\n", refusing.join(", "));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn metrics_text(State(shared): State<Arc<Shared>>) -> Response {
    match metrics::text(&shared.registry) {
        Ok(text) => {
            let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, format)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn status_document(State(shared): State<Arc<Shared>>) -> Response {
    Json(status::of_receiver(&shared)).into_response()
}

fn name(stream: &StreamHandle) -> String {
    format!("dpi {} {}", stream.dpi, stream.config.name)
}
