//! A receiver whose surroundings change while it runs: its configuration, its password, the day it is told to
//! stop. No record is lost, and it stays the same process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crds::collector::NodePolicy;
use crds::dpi::Fsync;
use crds::receiver::{ReceiverConfig, TAKES_A_RESTART, hash_of};
use e2e::exporter::{Exporter, template};
use e2e::{
    Sending, Sent, Simulator, System, SystemOptions, assert_balanced, assert_stored_exactly, qoe_binary,
    wait_for,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const LONG: Duration = Duration::from_secs(600);

fn configured(configure: impl Fn(&mut ReceiverConfig) + 'static) -> SystemOptions {
    SystemOptions { configure: Some(Box::new(configure)), ..SystemOptions::default() }
}

/// Waits until everything in the configuration file is in force.
fn wait_in_force(system: &System) {
    let hash = hash_of(&fs::read(system.config_file()).unwrap());
    wait_for("the configuration", LONG, || {
        let status = system.status();
        (status.config_hash == hash && status.config_error.is_none()).then_some(())
    });
}

fn reloads(system: &System, result: &str) -> u64 {
    let name = format!("qoe_receiver_config_reloads_total{{result=\"{result}\"}} ");
    let text = system.get("/metrics");
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

fn replace(path: &Path, text: &[u8]) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, path).unwrap();
}

#[test]
fn changes_lose_no_record_and_restart_nothing() {
    // Its own copy, to be changed.
    let mut system = System::prepare(&SystemOptions::default());
    let right = fs::read(&system.config.clickhouse.password_file).unwrap();
    let password = system.path().join("receiver-password");
    fs::write(&password, &right).unwrap();
    system.config.clickhouse.password_file = password.clone();
    system.start_receiver();
    let (pid, started_at) = (system.receiver_pid(), system.status().started_at);
    assert_eq!(system.status().config_hash, hash_of(&fs::read(system.config_file()).unwrap()));

    let to = [system.address(0), system.address(1)];
    let tcp = Sending::start_with(&to[0], 60_000, 1, &["--connections", "3"]);
    let udp = Sending::start_with(&to[1], 20_000, 1_000, &["--transport", "udp"]);
    wait_for("records", LONG, || (system.stream(0).destination.stored > 10_000).then_some(()));

    let changes: [fn(&mut ReceiverConfig); 4] = [
        |config| config.dpis[0].max_delay_ms = 2_000,
        |config| {
            config.dpis[0].streams[0].allow_from = vec!["127.0.0.0/8".to_string(), "::1/128".to_string()]
        },
        |config| {
            config.dpis[0].journal.quota_bytes = 5 << 30;
            config.dpis[0].journal.fsync = Fsync::Always;
            config.dpis[0].journal.keep_after_commit_ms = 2_000;
        },
        |config| {
            config.dpis[0].max_delay_ms = 200;
            config.dpis[0].name = Some("north".to_string());
            config.dpis[0].journal.fsync = Fsync::Interval;
            config.dpis[1].streams[0].allow_from = vec!["127.0.0.1/32".to_string()];
        },
    ];
    for change in changes {
        change(&mut system.config);
        system.write_config();
        wait_in_force(&system);
    }
    assert_eq!(system.status().dpis[0].journal_quota_bytes, 5 << 30);

    // The password is changed on the server first, as far as the receiver can tell.
    replace(&password, b"not the password");
    let refusal = wait_for("the refusal", LONG, || {
        system.stream(0).last_error.filter(|error| error.contains("516") || error.contains("uthentication"))
    });
    println!("{refusal}");
    let waiting = system.stream(0).journal.waiting_frames;
    wait_for("frames that wait", LONG, || (system.stream(0).journal.waiting_frames > waiting).then_some(()));
    assert_eq!(system.get("/readyz"), "ok\n");
    replace(&password, &right);

    for (dpi, runs) in [(0, tcp.finish()), (1, udp.finish())] {
        let sent = Sent::sum(&runs);
        assert_eq!(sent.reconnects, 0, "{sent:?}");
        system.wait_until_decoded(dpi, "fullflow", sent.records);
        let status = system.wait_until_stored(dpi);
        assert_balanced(&status);
        assert_eq!(status.destination.set_aside, 0, "{status:?}");
        assert_eq!(status.wire.refused.values().sum::<u64>(), 0, "{status:?}");
        assert_eq!(status.sequence.missing, 0, "{status:?}");
        assert_stored_exactly(&system, dpi, &runs);
    }
    assert_eq!((system.receiver_pid(), system.status().started_at), (pid, started_at));
    // Four of the file and two of the password.
    assert_eq!([reloads(&system, "applied"), reloads(&system, "invalid")], [6, 0]);
}

#[test]
fn what_cannot_be_used_changes_nothing_and_is_told() {
    let mut system = System::start(&SystemOptions::default());
    let before = system.status().config_hash;
    let good = fs::read(system.config_file()).unwrap();

    replace(&system.config_file(), b"{\"collector\": ");
    let error = wait_for("the error", LONG, || system.status().config_error);
    assert!(error.contains("is not a receiver's configuration"), "{error}");
    assert_eq!(reloads(&system, "invalid"), 1);
    assert!(system.get("/metrics").contains("qoe_receiver_config_in_force 0\n"));

    let mut wrong = system.config.clone();
    wrong.dpis[0].max_delay_ms = 60_000;
    wrong.dpis[0].streams[0].allow_from = vec!["192.0.2.1".to_string()];
    replace(&system.config_file(), &serde_json::to_vec(&wrong).unwrap());
    let error = wait_for("the next error", LONG, || {
        system.status().config_error.filter(|error| error.contains("dpi 0 fullflow: allowFrom: "))
    });
    println!("{error}");
    let mut wrong = system.config.clone();
    wrong.clickhouse.password_file = "/nowhere/password".into();
    replace(&system.config_file(), &serde_json::to_vec(&wrong).unwrap());
    wait_for("the next error", LONG, || {
        system.status().config_error.filter(|error| error.contains("the password file /nowhere/password"))
    });
    assert_eq!(reloads(&system, "invalid"), 3);
    assert_eq!(system.status().config_hash, before);

    // All the while it works as before: records come at once, not after a minute.
    let sent = Simulator::start(&["--to", &system.address(0), "--records", "20000"]).finish(LONG);
    system.wait_until_stored(0);
    assert_stored_exactly(&system, 0, &[sent]);

    // What takes a restart is told, and the rest of it is taken over.
    let port = system.config.dpis[0].streams[0].listen;
    system.config.dpis[0].inserters = 3;
    system.config.dpis[0].streams[0].listen.set_port(e2e::free_port());
    system.config.dpis[1].journal.quota_bytes = 3 << 30;
    system.write_config();
    let error = wait_for("the restart that is due", LONG, || {
        system.status().config_error.filter(|error| error.starts_with(TAKES_A_RESTART))
    });
    assert_eq!(error, format!("{TAKES_A_RESTART}dpis[0].inserters, dpis[0].streams[0].listen"));
    assert_eq!(reloads(&system, "restart"), 1);
    assert_eq!(system.status().config_hash, before);
    assert_eq!(system.status().dpis[1].journal_quota_bytes, 3 << 30);
    TcpStream::connect(port).unwrap();

    replace(&system.config_file(), &good);
    wait_in_force(&system);
    assert_eq!(system.status().config_hash, before);
    assert!(system.get("/metrics").contains("qoe_receiver_config_in_force 1\n"));
}

#[test]
fn a_mounted_config_map_is_a_symbolic_link_that_is_swapped() {
    let mut system = System::prepare(&SystemOptions::default());
    let mount = system.path().join("mount");
    let version = |number: u32| mount.join(format!("..2026_{number}"));
    fs::create_dir_all(version(1)).unwrap();
    fs::write(version(1).join("receiver.json"), "").unwrap();
    std::os::unix::fs::symlink("..2026_1", mount.join("..data")).unwrap();
    std::os::unix::fs::symlink(mount.join("..data/receiver.json"), system.config_file()).unwrap();
    // Writes through both links.
    system.start_receiver();
    assert!(fs::metadata(version(1).join("receiver.json")).unwrap().len() > 0);

    system.config.dpis[0].journal.quota_bytes = 7 << 30;
    fs::create_dir_all(version(2)).unwrap();
    fs::write(version(2).join("receiver.json"), serde_json::to_vec(&system.config).unwrap()).unwrap();
    std::os::unix::fs::symlink("..2026_2", mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    fs::remove_dir_all(version(1)).unwrap();
    kill(Pid::from_raw(system.receiver_pid() as i32), Signal::SIGHUP).unwrap();
    wait_in_force(&system);
    assert_eq!(system.status().dpis[0].journal_quota_bytes, 7 << 30);
    assert_eq!([reloads(&system, "applied"), reloads(&system, "invalid")], [1, 0]);
}

#[test]
fn who_may_not_send_any_more_is_cut_off_and_may_come_again() {
    let mut system = System::start(&SystemOptions::default());
    let open = TcpStream::connect(system.address(0)).unwrap();
    wait_for("the connection", LONG, || (system.stream(0).wire.connections == 1).then_some(()));
    for dpi in [0, 1] {
        system.config.dpis[dpi].streams[0].allow_from = vec!["192.0.2.0/24".to_string()];
    }
    system.write_config();
    wait_in_force(&system);
    wait_for("the connection's end", LONG, || (system.stream(0).wire.connections == 0).then_some(()));
    let mut read = [0; 1];
    assert!(matches!((&open).read(&mut read), Ok(0) | Err(_)));
    TcpStream::connect(system.address(0)).unwrap();
    wait_for("both refusals", LONG, || {
        (system.stream(0).wire.refused.get("not_allowed") == Some(&2)).then_some(())
    });
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&[0, 10], system.address(1)).unwrap();
    wait_for("the datagram's refusal", LONG, || {
        (system.stream(1).wire.refused.get("not_allowed") == Some(&1)).then_some(())
    });

    for dpi in [0, 1] {
        system.config.dpis[dpi].streams[0].allow_from = vec!["127.0.0.1/32".to_string()];
    }
    system.write_config();
    wait_in_force(&system);
    let sent = Simulator::start(&["--to", &system.address(0), "--records", "20000"]).finish(LONG);
    assert_balanced(&system.wait_until_stored(0));
    assert_stored_exactly(&system, 0, &[sent]);
}

#[test]
fn one_socket_for_both_families_and_exporters_by_their_own_address() {
    let mut system = System::prepare(&configured(|config| {
        config.http = "[::]:0".parse().unwrap();
        for dpi in &mut config.dpis {
            dpi.streams[0].listen.set_ip("::".parse().unwrap());
            dpi.streams[0].allow_from = vec!["127.0.0.0/8".to_string(), "::1/128".to_string()];
        }
    }));
    system.start_receiver();
    let port = |dpi: usize| system.config.dpis[dpi].streams[0].listen.port();
    let mut runs = [Vec::new(), Vec::new()];
    for (host, seed) in [("127.0.0.1", "1"), ("[::1]", "2")] {
        if host == "[::1]" && TcpStream::connect(("::1", port(0))).is_err() {
            println!("this machine has no IPv6");
            continue;
        }
        let to = [0, 1].map(|dpi| format!("{host}:{}", port(dpi)));
        runs[0].push(Simulator::start(&["--to", &to[0], "--records", "20000", "--seed", seed]).finish(LONG));
        let udp = ["--to", &to[1], "--transport", "udp", "--records", "20000", "--seed", seed];
        runs[1].push(Simulator::start(&[&udp[..], &["--drop-every", "9"]].concat()).finish(LONG));
        wait_for("the records", LONG, || {
            let arrived = |dpi: u16| system.stream(dpi).sequence.decoded;
            let sent = |dpi: usize| Sent::sum(&runs[dpi]).records;
            (arrived(0) >= sent(0) && arrived(1) >= sent(1)).then_some(())
        });
        let gaps = system.stream(1).sequence.gaps;
        let gap = gaps.last().expect("messages were left out");
        assert_eq!(gap.exporter, host.trim_matches(['[', ']']), "{gaps:?}");
    }
    for dpi in [0u16, 1] {
        let status = system.wait_until_stored(dpi);
        assert_eq!(status.wire.refused.values().sum::<u64>(), 0, "{status:?}");
        assert_balanced(&status);
        assert_stored_exactly(&system, dpi, &runs[usize::from(dpi)]);
    }
}

#[test]
fn a_planned_stop_is_not_ready_at_once_and_a_second_signal_changes_nothing() {
    let mut system = System::start(&SystemOptions::default());
    let mut exporter = Exporter::new(1);
    let mut open = TcpStream::connect(system.address(0)).unwrap();
    open.write_all(&exporter.message(|builder| builder.template(&template(256)))).unwrap();
    // What cannot be stored holds the stop up until the end of its time.
    system.kill_clickhouse();
    open.write_all(&exporter.records(256, 1)).unwrap();
    wait_for("both messages", LONG, || (system.stream(0).wire.journaled == 2).then_some(()));
    assert!(!system.is_unready());
    let last = exporter.records(256, 1);
    let exporter = std::thread::spawn(move || {
        // Half-closed: it is told, and what it says all the same is still taken.
        assert_eq!(open.read(&mut [0; 1]).unwrap(), 0);
        open.write_all(&last).unwrap();
    });
    let pid = Pid::from_raw(system.receiver_pid() as i32);
    kill(pid, Signal::SIGTERM).unwrap();
    wait_for("not ready", LONG, || system.is_unready().then_some(()));
    assert_eq!(system.get("/livez"), "ok\n");
    kill(pid, Signal::SIGTERM).unwrap();
    kill(pid, Signal::SIGINT).unwrap();
    kill(pid, Signal::SIGHUP).unwrap();
    exporter.join().unwrap();
    // Asserts an orderly end.
    system.stop_receiver();
    system.start_clickhouse();
    system.start_receiver();
    assert_eq!(system.stream(0).wire.journaled, 3);
    wait_for("both records", LONG, || (system.stored(0).rows == 2).then_some(()));
}

#[test]
fn a_cpu_that_lacks_what_is_required_is_named() {
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap();
    // No CPU has all of them: the first is AMD's, the last ones are young.
    let rare = [("SSE4A", " sse4a"), ("AVX512VPOPCNTDQ", " avx512_vpopcntdq"), ("GFNI", " gfni")];
    let Some((missing, _)) = rare.iter().find(|(_, flag)| !flags.contains(flag)) else {
        println!("this CPU has everything");
        return;
    };
    let mut system = System::prepare(&SystemOptions::default());
    system.config.cpu_policy = NodePolicy::Require;
    for (name, said) in [(*missing, format!("lacks {missing},")), ("MMX9", "AVX512F".to_string())] {
        system.config.cpu_features = vec!["SSE42".to_string(), name.to_string()];
        system.write_config();
        let mut command = Command::new(qoe_binary());
        command.arg("receiver").arg("--config").arg(system.config_file()).stdin(Stdio::null());
        let ended = command.output().unwrap();
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && text.contains(&said), "{text}");
    }
    system.config.cpu_features = vec!["SSE42".to_string(), (*missing).to_string()];
    system.config.cpu_policy = NodePolicy::Prefer;
    system.start_receiver();
    assert_eq!(system.status().cpu_missing, [*missing]);
    system.config.cpu_policy = NodePolicy::Ignore;
    system.write_config();
    wait_in_force(&system);
    assert!(system.status().cpu_missing.is_empty());
}

#[test]
fn fields_of_a_newer_operator_are_ignored_and_named() {
    let mut system = System::prepare(&SystemOptions::default());
    system.start_receiver();
    let mut json = serde_json::to_value(&system.config).unwrap();
    json["of_a_newer_operator"] = 1.into();
    json["dpis"][0]["streams"][0]["also_new"] = true.into();
    replace(&system.config_file(), &serde_json::to_vec(&json).unwrap());
    wait_in_force(&system);
    let log = system.receiver_log_text();
    assert!(log.contains("dpis.0.streams.0.also_new, of_a_newer_operator"), "{log}");
}
