//! A pool of what the simulator sends: the vendor's templates, IPv4 and IPv6, texts of any length.

use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

const PATIENCE: Duration = Duration::from_secs(30);

/// Lets the simulator send to a port of ours and keeps what comes.
///
/// # Errors
/// It does not start, does not come, or fails.
pub fn pool(qoe: &Path, records: u64, seed: u64, order_seed: u64) -> anyhow::Result<Vec<u8>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let to = listener.local_addr()?.to_string();
    let numbers = [records, seed, order_seed].map(|number| number.to_string());
    let [records, seed, order_seed] = &numbers;
    let mut simulator = Command::new(qoe)
        .args(["simulate", "--to", &to, "--records", records, "--seed", seed, "--order-seed", order_seed])
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}: is it built?", qoe.display()))?;
    listener.set_nonblocking(true)?;
    let begun = Instant::now();
    let mut connection = loop {
        match listener.accept() {
            Ok((connection, _)) => break connection,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = simulator.try_wait()? {
            bail!("the simulator has ended before it sent anything: {status}");
        }
        if begun.elapsed() > PATIENCE {
            let _ = simulator.kill();
            let _ = simulator.wait();
            bail!("the simulator did not connect");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    connection.set_nonblocking(false)?;
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes)?;
    drop(connection);
    let status = simulator.wait()?;
    ensure!(status.success(), "the simulator has failed: {status}");
    Ok(bytes)
}
