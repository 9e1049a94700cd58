//! Users, their rights and limits, as a server reads them. Passwords appear as SHA-256 only.

use std::fmt::Write;

use crds::clickhouse::{Access, Managed};
use schema::hash_of;

use super::resources::{Login, Rights};
use super::server_xml::server_memory;

/// How long a query of a reader may take, in seconds.
const READER_SECONDS: u32 = 60;
/// Queries of a reader that may run at the same time.
const READER_AT_ONCE: u32 = 20;
/// What a reader may ask within an hour, in queries and in rows that are read for them.
const READER_QUERIES: u64 = 10_000;
const READER_ROWS: u64 = 1_000_000_000_000;

/// What a user with read and write access may do in the database.
const READ_WRITE: &str =
    "SELECT, INSERT, ALTER, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, TRUNCATE, OPTIMIZE, dictGet";
/// Engines of tables that such a user may make: none that reaches beyond the server.
const OWN_ENGINES: [&str; 4] =
    ["MergeTree", "ReplacingMergeTree", "SummingMergeTree", "AggregatingMergeTree"];

/// The file. `database` is the only one that anybody but the administrator may use.
pub(super) fn write(database: &str, managed: &Managed, logins: &[Login]) -> String {
    let mut users = String::new();
    for login in logins {
        user(&mut users, database, login);
    }
    // One query must not take what all others need.
    let query_memory = server_memory(managed) / 2;
    format!(
        "<clickhouse>
    <!-- Written by the operator; changes are lost. -->
    <profiles>
        <default/>
        <qoe_reader>
            <!-- 2: settings may be changed, as clients do, within the constraints. -->
            <readonly>2</readonly>
            <max_execution_time>{READER_SECONDS}</max_execution_time>
            <max_memory_usage>{query_memory}</max_memory_usage>
            <max_concurrent_queries_for_user>{READER_AT_ONCE}</max_concurrent_queries_for_user>
            <constraints>
                <max_execution_time><min>1</min><max>{READER_SECONDS}</max></max_execution_time>
                <max_memory_usage><min>1</min><max>{query_memory}</max></max_memory_usage>
                <max_concurrent_queries_for_user><readonly/></max_concurrent_queries_for_user>
            </constraints>
        </qoe_reader>
    </profiles>
    <quotas>
        <default/>
        <qoe_reader>
            <interval>
                <duration>3600</duration>
                <queries>{READER_QUERIES}</queries>
                <read_rows>{READER_ROWS}</read_rows>
            </interval>
        </qoe_reader>
    </quotas>
    <users>
        <default remove=\"remove\"/>
{users}    </users>
</clickhouse>
"
    )
}

fn user(users: &mut String, database: &str, login: &Login) {
    let Login { name, password, rights } = login;
    let hash = hash_of(password.as_bytes());
    let hash = hash.trim_start_matches("sha256:");
    let on_database = |rights: &str| format!("GRANT {rights} ON {database}.*");
    let (profile, grants) = match rights {
        Rights::Admin => ("default", Vec::new()),
        Rights::Writer => ("default", vec![on_database("SELECT, INSERT")]),
        Rights::Given(Access::ReadOnly) => ("qoe_reader", vec![on_database("SELECT, dictGet")]),
        Rights::Given(Access::ReadWrite) => {
            let engines = OWN_ENGINES.map(|engine| format!("TABLE ENGINE ON {engine}"));
            ("default", vec![on_database(READ_WRITE), format!("GRANT {}", engines.join(", "))])
        }
    };
    let rights = if grants.is_empty() {
        "<access_management>1</access_management>\
         <named_collection_control>1</named_collection_control>"
            .to_owned()
    } else {
        let queries: Vec<String> = grants.iter().map(|grant| format!("<query>{grant}</query>")).collect();
        format!("<grants>{}</grants>", queries.concat())
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        users,
        "        <{name}>
            <password_sha256_hex>{hash}</password_sha256_hex>
            <networks><ip>::/0</ip></networks>
            <profile>{profile}</profile>
            <quota>{profile}</quota>
            {rights}
        </{name}>"
    );
}
