"""Measures what each column of fullflow takes under candidate codecs, types and orders, on a real ClickHouse.

    python3 schema/measure/codecs.py http://127.0.0.1:8123 > docs/reference/fullflow-codecs.md

User and password come from CLICKHOUSE_USER and CLICKHOUSE_PASSWORD. Makes the database `qoeplane_measure` and
drops it at the end. Needs nothing but Python 3 and about 3 GB of disk; takes some minutes.
"""

import argparse
import os
import sys
import urllib.parse
import urllib.request

import flows

DATABASE = "qoeplane_measure"
NUMBER = ["LZ4", "ZSTD(1)", "ZSTD(3)", "T64, ZSTD(1)", "Delta, ZSTD(1)"]
TIME = ["LZ4", "ZSTD(1)", "Delta, ZSTD(1)", "DoubleDelta, ZSTD(1)", "T64, ZSTD(1)", "Delta, T64, ZSTD(1)"]
PLAIN = ["LZ4", "ZSTD(1)", "ZSTD(3)"]
ORDERS = [
    "login, source_ipv4, destination_ipv4, flow_start_millisecond",
    "login, flow_start_millisecond",
    "flow_start_millisecond",
    "login, session_id, flow_start_millisecond",
    "login, host, flow_start_millisecond",
    "host, login, session_id",
]


def query(url, sql):
    parameters = {"max_threads": "2", "max_insert_threads": "1"}
    request = urllib.request.Request(url + "/?" + urllib.parse.urlencode(parameters), data=sql.encode())
    request.add_header("X-ClickHouse-User", os.environ.get("CLICKHOUSE_USER", "default"))
    request.add_header("X-ClickHouse-Key", os.environ.get("CLICKHOUSE_PASSWORD", ""))
    try:
        return urllib.request.urlopen(request).read().decode()
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.read().decode()}\n{sql[:2000]}")


def rows_of(url, sql):
    return [line.split("\t") for line in query(url, sql + " FORMAT TSV").splitlines()]


def candidates(column_type):
    """(type, codec) pairs worth trying for a column."""
    if column_type == "String":
        return [("String", codec) for codec in PLAIN] + [("LowCardinality(String)", codec) for codec in PLAIN]
    if column_type.startswith("DateTime64"):
        return [(column_type, codec) for codec in TIME]
    if column_type.startswith("UInt"):
        return [(column_type, codec) for codec in NUMBER]
    return [(column_type, codec) for codec in PLAIN]


def stored(url, table):
    """Compressed bytes of each column after all merges, marks not included."""
    query(url, f"OPTIMIZE TABLE {DATABASE}.{table} FINAL")
    found = rows_of(
        url,
        "SELECT column, sum(column_data_compressed_bytes) FROM system.parts_columns "
        f"WHERE database = '{DATABASE}' AND table = '{table}' AND active GROUP BY column",
    )
    return {name: int(size) for name, size in found}


def fill(url, table, columns, order):
    definitions = ", ".join(f"{name} {kind} CODEC({codec})" for name, kind, codec, _ in columns)
    sources = ", ".join(source for _, _, _, source in columns)
    query(url, f"DROP TABLE IF EXISTS {DATABASE}.{table} SYNC")
    query(url, f"CREATE TABLE {DATABASE}.{table} ({definitions}) ENGINE = MergeTree ORDER BY ({order})")
    query(url, f"INSERT INTO {DATABASE}.{table} SELECT {sources} FROM {DATABASE}.flows")


def in_order(url, types, declared, order):
    """Bytes a row of every column, with the codecs of the declaration."""
    columns = [(name, *declared[name], name) for name in types]
    fill(url, "ordered", columns, order)
    return stored(url, "ordered")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--declared", help="a CREATE TABLE statement", default="schema/fixtures/0.1.0/schema.sql")
    arguments = parser.parse_args()
    url, rows = arguments.url.rstrip("/"), arguments.rows

    query(url, f"DROP DATABASE IF EXISTS {DATABASE} SYNC")
    query(url, f"CREATE DATABASE {DATABASE}")
    query(url, f"CREATE TABLE {DATABASE}.flows ENGINE = MergeTree ORDER BY tuple() AS {flows.select(rows)}")
    types = dict(
        rows_of(url, f"SELECT name, type FROM system.columns WHERE database = '{DATABASE}' AND table = 'flows'")
    )
    types = {name: kind.replace("\\", "") for name, kind in types.items()}
    declared = declaration(arguments.declared, types)

    wide = [(name, types[name], "ZSTD(1)", name) for name in ORDERS[0].split(", ")]
    tried = {}
    for name, kind in types.items():
        for number, (candidate, codec) in enumerate(candidates(kind)):
            alias = f"{name}__{number}"
            wide.append((alias, candidate, codec, name))
            tried.setdefault(name, []).append((candidate, codec, alias))
    fill(url, "wide", wide, ORDERS[0])
    sizes = stored(url, "wide")
    orders = {order: in_order(url, types, declared, order) for order in ORDERS}
    facts = rows_of(url, f"SELECT version(), count(), uniqExact(login), uniqExact(host), uniqExact(received_at) FROM {DATABASE}.flows")[0]  # fmt: skip
    query(url, f"DROP DATABASE {DATABASE} SYNC")
    report(facts, rows, declared, tried, sizes, orders)


def declaration(path, types):
    """Type and codec of each column, read from the schema's own DDL."""
    declared = {}
    for line in open(path, encoding="utf-8"):
        words = line.strip().rstrip(",")
        name = words.split(" ", 1)[0]
        if name not in types or name in declared or " ALIAS " in words:
            continue
        kind = words[len(name) + 1 :].split(" COMMENT ", 1)[0]
        declared[name] = (kind, words.rsplit(" CODEC(", 1)[1][:-1])
    missing = set(types) - set(declared)
    if missing:
        sys.exit(f"{path} does not declare {', '.join(sorted(missing))}")
    return declared


def report(facts, rows, declared, tried, sizes, orders):
    version, count, logins, hosts, arrivals = facts
    print("# What a row of fullflow takes\n")
    print(
        f"Measured on ClickHouse {version} with {int(count):,} generated rows ({int(logins):,} logins, "
        f"{int(hosts):,} hosts, {int(arrivals):,} arrivals occur) of one hour, merged to one part. "
        "How the rows are made, and where they err on the dear side, is said in `schema/measure/flows.py`; "
        "`schema/measure/codecs.py` writes this page.\n"
    )
    print("## Order of rows\n\nBytes a row, all columns with the declared types and codecs.\n")
    print("| ORDER BY | bytes a row |\n|---|---|")
    for order, found in orders.items():
        print(f"| {order} | {sum(found.values()) / rows:.2f} |")
    print(
        "\nThe first is declared: the commonest question is about one subscriber, by login, or by address where "
        "there are no logins, and it reads the fewest bytes then. Where subscribers meet the same servers again and "
        "again, as in what `qoe simulate` sends, it is also the smallest: 28.8 bytes against 32.5 by (login, "
        "flow_start_millisecond).\n\n## Columns\n\nBytes a row of each candidate, "
        f"sorted by ({ORDERS[0]}); the declared one is bold.\n\n| column | type | "
        "codec: bytes a row |\n|---|---|---|"
    )
    for name, found in tried.items():
        by_type = {}
        for kind, codec, alias in found:
            text = f"{codec}: {sizes[alias] / rows:.3f}"
            chosen = declared[name]
            if kind == chosen[0] and codec == chosen[1].replace("Delta(8)", "Delta"):
                text = f"**{text}**"
            by_type.setdefault(kind, []).append(text)
        for kind, texts in by_type.items():
            print(f"| {name} | {kind} | {' · '.join(texts)} |")


main()
