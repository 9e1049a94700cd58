//! The server with one user, `qoe`, whose password is in a mounted Secret: the embedded engine, which
//! serves loopback only, and a relay in front of it that serves the pod's address, with TLS if there is a
//! certificate.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use embedded::{Child, Settings};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use crate::{DATA, ENGINE, STOP_WITHIN};

const PASSWORD: &str = "/etc/clickhouse-test/password/password";
const CERTIFICATE: &str = "/etc/clickhouse-test/tls/tls.crt";
const KEY: &str = "/etc/clickhouse-test/tls/tls.key";
const ENGINE_PORTS: (u16, u16) = (28_123, 29_000);
const HTTP: &str = "0.0.0.0:8123";
const HTTPS: &str = "0.0.0.0:8443";

/// Becomes the engine.
pub fn engine(settings: &Path) -> ExitCode {
    match Settings::read(settings) {
        Ok(settings) => embedded::run_here(&settings),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until SIGTERM.
pub async fn serve() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let directory = Path::new(DATA).join("clickhouse");
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let password = fs::read_to_string(PASSWORD).with_context(|| format!("no {PASSWORD}"))?;
    fs::write(directory.join("password"), password.trim())?;

    let settings = Settings {
        http_port: ENGINE_PORTS.0,
        tcp_port: ENGINE_PORTS.1,
        engine: Some(ENGINE.into()),
        ..Settings::new(DATA)
    };
    let prepared = embedded::prepare(&settings)?;
    let program = std::env::current_exe()?;
    let arguments = ["--engine".into(), prepared.settings_file.clone().into_os_string()];
    let mut child = Child::spawn(&program, &arguments, &prepared)?;
    let (mut child, version) = tokio::task::spawn_blocking(move || {
        let version = child.wait_ready(Duration::from_secs(120));
        (child, version)
    })
    .await?;
    eprintln!("ClickHouse {} serves {HTTP}", version?);

    tokio::spawn(relay(TcpListener::bind(HTTP).await?, None));
    if Path::new(CERTIFICATE).exists() {
        let acceptor = TlsAcceptor::from(Arc::new(tls()?));
        tokio::spawn(relay(TcpListener::bind(HTTPS).await?, Some(acceptor)));
        eprintln!("and {HTTPS}, with TLS");
    }
    let mut look = tokio::time::interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = look.tick() => {
                if let Some(ended) = child.ended()? {
                    bail!("ClickHouse has ended: {ended}");
                }
            }
        }
    }
    child.stop(STOP_WITHIN)?;
    Ok(())
}

fn tls() -> anyhow::Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(CERTIFICATE)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(KEY)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_no_client_auth().with_single_cert(chain, key)?)
}

/// Forwards every connection until the process ends.
async fn relay(listener: TcpListener, acceptor: Option<TlsAcceptor>) {
    let engine = SocketAddr::from(([127, 0, 0, 1], ENGINE_PORTS.0));
    loop {
        let Ok((mut outside, _)) = listener.accept().await else { continue };
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(mut inside) = TcpStream::connect(engine).await else { return };
            // Either side's end or failure ends the other one's connection.
            match acceptor {
                None => drop(tokio::io::copy_bidirectional(&mut outside, &mut inside).await),
                Some(acceptor) => {
                    if let Ok(mut outside) = acceptor.accept(outside).await {
                        drop(tokio::io::copy_bidirectional(&mut outside, &mut inside).await);
                    }
                }
            }
        });
    }
}
