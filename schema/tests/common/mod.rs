//! Shared by the test files that need a server; each of them has a test `clickhouse_server` that becomes it.
#![allow(dead_code)]

use clickhouse::Client;
use embedded::testing::{Launch, TestServer};
use ipfix::Column;

/// A real server and a client for it; the server ends with the value.
pub struct Server {
    pub server: TestServer,
    pub client: Client,
}

pub fn start() -> Server {
    let server = TestServer::start(&Launch::this_test("clickhouse_server")).unwrap();
    let client = client(&server);
    Server { server, client }
}

fn client(server: &TestServer) -> Client {
    let connection = server.connection();
    Client::default()
        .with_url(&connection.url)
        .with_user(&connection.user)
        .with_password(connection.password().unwrap())
        .with_setting("async_insert", "0")
}

/// Tells each server of a cluster of all, in their order, and starts it again. What lies in `config.d` beside the
/// configuration goes before it.
pub fn join(cluster: &str, servers: &mut [&mut Server]) {
    let shards: String = servers
        .iter()
        .map(|server| {
            let port = server.server.connection().tcp_port;
            format!("<shard><replica><host>127.0.0.1</host><port>{port}</port></replica></shard>")
        })
        .collect();
    // Servers believe each other by the secret, and run what one sends as the user who asked.
    let xml = format!(
        "<clickhouse><remote_servers><{cluster}><secret>between servers</secret>{shards}</{cluster}></remote_servers>\
         </clickhouse>"
    );
    for server in servers {
        let directory = server.server.prepared.settings.data_dir.join("clickhouse/config.d");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("{cluster}.xml")), &xml).unwrap();
        server.server.restart().unwrap();
        server.client = client(&server.server);
    }
}

impl Server {
    pub async fn run(&self, sql: &str) {
        self.client.query_raw(sql).execute().await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    }

    /// The answer as text, in the format that the statement names (TSV if none).
    pub fn text(&self, sql: &str) -> String {
        self.server.query(sql).unwrap_or_else(|error| panic!("{error}\n{sql}"))
    }

    pub async fn bytes(&self, sql: &str, format: &str) -> Vec<u8> {
        let mut cursor = self.client.query_raw(sql).fetch_bytes(format).unwrap();
        cursor.collect().await.unwrap().to_vec()
    }

    pub async fn insert(&self, sql: &str, body: Vec<u8>) {
        let mut insert = self.client.insert_formatted_with(sql);
        insert.send(body.into()).await.unwrap();
        insert.end().await.unwrap();
    }
}

/// What `FORMAT RowBinary` must give for these columns: written from the values alone, without the encoder.
pub fn row_binary(columns: &[Column]) -> Vec<u8> {
    let mut out = Vec::new();
    for row in 0..columns[0].len() {
        for column in columns {
            match column {
                Column::U8(values) => out.push(values[row]),
                Column::U16(values) => out.extend(values[row].to_le_bytes()),
                Column::U32(values) => out.extend(values[row].to_le_bytes()),
                Column::U64(values) => out.extend(values[row].to_le_bytes()),
                Column::Bytes16(values) => out.extend(values[row]),
                Column::Bytes(values) => {
                    let value = values.get(row).unwrap();
                    let mut length = value.len();
                    while length >= 0x80 {
                        out.push(length as u8 | 0x80);
                        length >>= 7;
                    }
                    out.push(length as u8);
                    out.extend(value);
                }
            }
        }
    }
    out
}
