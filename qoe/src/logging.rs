//! Logs go to standard error: JSON for machines, one line each for people. `QOE_LOG` filters, in the
//! syntax of tracing's `EnvFilter` (`info`, `warn,receiver=debug`).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Environment variable with the filter.
pub const FILTER_VARIABLE: &str = "QOE_LOG";

/// Starts logging; `default` applies if the variable is not set.
pub fn start(default: &str) {
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).init();
    } else {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
    }
}
