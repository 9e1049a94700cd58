"""The flows that codecs are measured on, as one SELECT that any ClickHouse can run.

Deterministic: every random number is a hash of the row's number, so two runs store the same bytes.
What is imitated, and where the guess is on the dear side:

- one hour, two records (one for each direction) for each session, in the order of arrival;
- 100,000 logins and 1,000,000 hosts, both by Zipf 1.1; one session in ten has no host;
- client ports and translated ports random; server ports mostly 443, 80 and 53;
- octets log-normal, packets from octets by a random mean size;
- durations log-normal up to 300 s, ends up to 30 s before arrival (the exporter's idle time-out);
- a sixth of the sessions over IPv6; the server's address follows the host and is otherwise random;
- 20 records share one arrival (under load it is some thousands: cheaper);
- session numbers count up on eight processing cores of the DPI.
"""

ZIPF = 1.1
LOGINS = 100_000
HOSTS = 1_000_000
BASE_US = 1_790_000_000_000_000  # a moment in September 2026; any other does as well

SYLLABLES = [
    "ba", "be", "bo", "da", "de", "di", "fa", "fi", "ga", "go", "ka", "ki", "ko", "la", "le", "lo",
    "ma", "me", "mo", "na", "ne", "no", "pa", "po", "ra", "ri", "sa", "so", "ta", "ti", "va", "vo",
]  # fmt: skip
PREFIXES = ["", "www.", "api.", "cdn.", "static.", "img.", "edge-1.", "m."]
ENDINGS = [".com", ".net", ".org", ".io", ".ru", ".de", ".tv", ".co.uk"]


def uniform(of, salt):
    """A number in (0, 1), decided by the expression and the salt."""
    return f"((cityHash64({of}, '{salt}') + 1) / 18446744073709553000.)"


def normal(of, salt):
    """A standard normal number (Box-Muller)."""
    return f"(sqrt(-2 * log({uniform(of, salt + '1')})) * cos(6.283185307179586 * {uniform(of, salt + '2')}))"


def zipf(of, salt, n):
    """A rank in 0..n-1 by Zipf's law, through the inverse of the continuous distribution."""
    power = 1 - ZIPF
    return (
        f"toUInt64(least({n - 1}., floor(pow(1 + {uniform(of, salt)} * (pow({n} + 1, {power}) - 1), {1 / power}) - 1)))"
    )


def array(values):
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


def select(rows):
    """The SELECT with all columns of fullflow, `rows` rows in the order of arrival."""
    step_us = 3_600_000_000 / rows
    names = f"arrayElement({array(PREFIXES)}, h % 8 + 1), " + ", ".join(
        f"arrayElement({array(SYLLABLES)}, bitAnd(bitShiftRight(mixed, {shift}), 31) + 1)" for shift in (0, 5, 10, 15)
    )
    return f"""
SELECT
    0::UInt16 AS dpi_id,
    3141592653::UInt32 AS journal_id,
    fromUnixTimestamp64Micro(toInt64(arrival_us), 'UTC') AS received_at,
    fromUnixTimestamp64Milli(toInt64(end_ms - least(300000., exp(8 + 1.8 * {normal('s', 'duration')}))), 'UTC') AS flow_start_millisecond,
    fromUnixTimestamp64Milli(end_ms, 'UTC') AS flow_end_millisecond,
    toUInt64(octets) AS octet_delta_count,
    toUInt64(1 + octets / (if(outbound, 150, 700) * (0.5 + {uniform('number', 'size')}))) AS packet_delta_count,
    if(tcp, 6, 17)::UInt8 AS protocol_identifier,
    if(h % 10 = 0, 40, 0)::UInt8 AS ip_class_of_service,
    if(v6, 6, 4)::UInt8 AS ip_version,
    toIPv4(if(v6, 0, if(outbound, client4, server4))::UInt32) AS source_ipv4,
    toIPv4(if(v6, 0, if(outbound, server4, client4))::UInt32) AS destination_ipv4,
    toIPv6(if(NOT v6, '::', if(outbound, client6, server6))) AS source_ipv6,
    toIPv6(if(NOT v6, '::', if(outbound, server6, client6))) AS destination_ipv6,
    if(outbound, client_port, server_port)::UInt16 AS source_port,
    if(outbound, server_port, client_port)::UInt16 AS destination_port,
    if(outbound, 64500, server_as)::UInt32 AS bgp_source_as_number,
    if(outbound, server_as, 64500)::UInt32 AS bgp_destination_as_number,
    if(outbound, 1, 2)::UInt32 AS input_snmp,
    if(outbound, 2, 1)::UInt32 AS output_snmp,
    bitOr(bitShiftLeft(cityHash64(s, 'core') % 8, 56), 7000000000 + s)::UInt64 AS session_id,
    host,
    (h % 300)::UInt16 AS protocol_code,
    concat('user', leftPad(toString(login_number), 6, '0')) AS login,
    toIPv4(if(v6, 0, if(outbound, 3110000000 + login_number % 1024, server4))::UInt32) AS post_nat_source_ipv4,
    if(v6, 0, if(outbound, 1024 + {uniform('s', 'nat')} * 64000, server_port))::UInt16 AS post_nat_source_port,
    if({uniform('number', 'fragments')} < 0.003, 2, 0)::UInt32 AS frgmt_delta_packs,
    if(tcp AND {uniform('number', 'repeats')} < 0.08, 1 + exp({normal('number', 'repeats')}), 0)::UInt32 AS repeat_delta_pack,
    if(tcp, exp(3.2 + 0.8 * {normal('number', 'deliver')}), 0)::UInt32 AS packet_deliver_time,
    (login_number % 4)::UInt16 AS bridge_vchannel_num,
    (100 + login_number % 3000)::UInt16 AS vlan_id,
    (100 + login_number % 3000)::UInt16 AS post_vlan_id,
    '' AS mpls_labels,
    if({uniform('number', 'drops')} < 0.005, 1 + cityHash64(number) % 20, 0)::UInt64 AS dropped_packets,
    (dropped_packets * 900)::UInt64 AS dropped_bytes,
    0::UInt8 AS original_tos
FROM
(
    SELECT
        number,
        intDiv(number, 2) AS s,
        number % 2 = 0 AS outbound,
        (73939 * {zipf('intDiv(number, 2)', 'login', LOGINS)}) % {LOGINS} AS login_number,
        {zipf('intDiv(number, 2)', 'host', HOSTS)} AS host_rank,
        cityHash64(host_rank, 'host') AS h,
        (host_rank * 617047) % 1048576 AS mixed,
        if({uniform('s', 'no host')} < 0.1, '', concat({names}, arrayElement({array(ENDINGS)}, intDiv(h, 8) % 8 + 1))) AS host,
        h % 3 = 0 AND login_number % 2 = 0 AS v6,
        {uniform('s', 'protocol')} > 0.35 AS tcp,
        1681915904 + login_number AS client4,
        385875968 + h % 2147483648 AS server4,
        concat('2001:db8:', lower(hex(toUInt16(login_number % 65536))), '::', lower(hex(toUInt16(cityHash64(login_number) % 65536)))) AS client6,
        concat('2a00:', lower(hex(toUInt16(h % 5000))), '::', lower(hex(toUInt16(intDiv(h, 65536) % 65536)))) AS server6,
        1024 + {uniform('s', 'port')} * 64000 AS client_port,
        multiIf(h % 100 < 78, 443, h % 100 < 86, 80, h % 100 < 92, 53, 1024 + intDiv(h, 128) % 60000) AS server_port,
        1000 + intDiv(h, 65536) % 3000 AS server_as,
        {BASE_US} + intDiv(number, 20) * {20 * step_us} + cityHash64(intDiv(number, 20)) % 1000 AS arrival_us,
        toInt64(arrival_us / 1000 - {uniform('s', 'idle')} * 30000) AS end_ms,
        if(outbound, 60 + exp(7.2 + 1.8 * {normal('number', 'up')}), 60 + exp(8.5 + 2.3 * {normal('number', 'down')})) AS octets
    FROM numbers({rows})
)"""
