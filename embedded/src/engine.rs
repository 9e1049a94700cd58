//! Finds the engine: a `clickhouse` binary or libchdb. Loads nothing.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{LocateError, ServerError};

/// The version of libchdb this crate is tested with; `scripts/fetch-clickhouse` fetches it.
pub const LIBRARY_VERSION: &str = "26.7.3";

/// What runs the queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// A `clickhouse` (or `clickhouse-server`) executable.
    Binary(PathBuf),
    /// A `libchdb.so`.
    Library(PathBuf),
}

/// Finds the engine: `explicit`, else the environment variable `QOE_CLICKHOUSE`, else the cache that
/// `scripts/fetch-clickhouse` fills. A name that ends in `.so` is a library, anything else a binary.
///
/// # Errors
/// [`LocateError`]; a path that was named but is not a file is an error, never skipped.
pub fn locate(explicit: Option<&Path>) -> Result<Engine, LocateError> {
    if let Some(path) = explicit {
        return named(path, "the configuration");
    }
    if let Some(path) = set("QOE_CLICKHOUSE") {
        return named(Path::new(&path), "QOE_CLICKHOUSE");
    }
    let cached = cache_dir()?.join(format!("libchdb-{LIBRARY_VERSION}")).join("libchdb.so");
    if cached.is_file() { Ok(Engine::Library(cached)) } else { Err(LocateError::NotFetched { cached }) }
}

fn named(path: &Path, from: &'static str) -> Result<Engine, LocateError> {
    if !path.is_file() {
        return Err(LocateError::NotAFile { path: path.to_owned(), from });
    }
    // The server changes its directory, so the path must not depend on ours.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let library = path.extension().is_some_and(|extension| extension == "so");
    Ok(if library { Engine::Library(path) } else { Engine::Binary(path) })
}

/// The same rule as in `scripts/fetch-clickhouse`.
fn cache_dir() -> Result<PathBuf, LocateError> {
    if let Some(dir) = set("QOE_CACHE") {
        return Ok(PathBuf::from(dir));
    }
    if let Some(dir) = set("XDG_CACHE_HOME") {
        return Ok(Path::new(&dir).join("qoeplane"));
    }
    let home = set("HOME").ok_or(LocateError::NoCache)?;
    Ok(Path::new(&home).join(".cache/qoeplane"))
}

/// An environment variable; empty counts as not set.
fn set(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Whether the engine can run on this CPU. The library is compiled for AVX2 throughout and would die
/// of SIGILL while it is being loaded, so this comes first.
pub(crate) fn check_cpu(engine: &Engine) -> Result<(), ServerError> {
    check_cpu_with(engine, has_avx2())
}

fn check_cpu_with(engine: &Engine, avx2: bool) -> Result<(), ServerError> {
    match engine {
        Engine::Library(_) if !avx2 => Err(ServerError::NoAvx2),
        Engine::Library(_) | Engine::Binary(_) => Ok(()),
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_engine_that_is_missing_is_an_error() {
        let error = locate(Some(Path::new("/nonexistent/clickhouse"))).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/clickhouse"), "{error}");
        assert!(error.contains("the configuration"), "{error}");
    }

    #[test]
    fn the_name_tells_a_library_from_a_binary() {
        let this = std::env::current_exe().unwrap();
        assert_eq!(locate(Some(&this)).unwrap(), Engine::Binary(this));
    }

    #[test]
    fn only_the_library_needs_avx2() {
        let library = Engine::Library("libchdb.so".into());
        assert!(matches!(check_cpu_with(&library, false), Err(ServerError::NoAvx2)));
        assert!(check_cpu_with(&library, true).is_ok());
        assert!(check_cpu_with(&Engine::Binary("clickhouse".into()), false).is_ok());
    }

    #[test]
    fn what_is_not_fetched_says_what_to_run() {
        let text = LocateError::NotFetched { cached: "/c/libchdb.so".into() }.to_string();
        assert!(text.contains("make clickhouse") && text.contains("scripts/fetch-clickhouse"), "{text}");
    }
}
