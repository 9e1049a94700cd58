//! The rules of a dictionary's text, one by one, and what holds for any text.

use proptest::prelude::*;
use schema::dictionaries::{
    ASNUM, ASNUM_LOCAL, CRC, SUBNETS_EXCLUDE, SUBNETS_LOCAL, SUBSCRIBERS, SWITCHES, URLCATS_HOST, all,
};

use super::*;

fn tsv(parsed: &Parsed<'_>) -> String {
    let mut out = Vec::new();
    parsed.write_tsv(7, &[1, 2], 0..parsed.rows(), &mut out);
    String::from_utf8(out).unwrap()
}

/// The rows without version and DPIs.
fn fields(parsed: &Parsed<'_>) -> Vec<String> {
    tsv(parsed).lines().map(|line| line.strip_prefix("7\t[1,2]\t").unwrap().to_string()).collect()
}

fn bad<'a>(parsed: &'a Parsed<'_>) -> Vec<(u64, &'a str)> {
    assert_eq!(parsed.bad.count, parsed.bad.first.len() as u64);
    parsed.bad.first.iter().map(|row| (row.line, row.reason.as_str())).collect()
}

fn switch(id: &str, upstream: &str) -> String {
    format!("{id}\tname\ttype\tregion\taddress\tip\tisp\t0\t{upstream}\tport\towner\n")
}

#[test]
fn line_ends_byte_order_mark_and_blank_lines() {
    let parsed = parse(&ASNUM, b"\xef\xbb\xbf1\tone\r\n\n\r\n   \n2\ttwo\n3\tthree");
    assert_eq!(bad(&parsed), []);
    assert_eq!((parsed.lines, parsed.blank, parsed.rows()), (6, 3, 3));
    assert_eq!(fields(&parsed), ["1\tone", "2\ttwo", "3\tthree"]);
    assert_eq!(
        (parsed.line(0), parsed.line(1), parsed.line(2), parsed.line(3)),
        (Some(1), Some(5), Some(6), None)
    );
    assert_eq!(parse(&ASNUM, b"1\tone\r").rows(), 1);
    for nothing in [&b""[..], b"\xef\xbb\xbf"] {
        assert_eq!(parse(&ASNUM, nothing).lines, 0);
    }
}

#[test]
fn rows_are_written_in_their_canonical_form() {
    let text = "10.64.66.100\tlo\\gin\t 005 \tport1\t\t\t\t\tm\\\\ac\n";
    let parsed = parse(&SUBSCRIBERS, text.as_bytes());
    assert_eq!(bad(&parsed), []);
    assert_eq!(tsv(&parsed), "7\t[1,2]\t10.64.66.100/32\tlo\\\\gin\t5\tport1\t\t\t\t\tm\\\\\\\\ac\n");

    let parsed = parse(&SWITCHES, b"1\tn\tt\tr\ta\ti\tisp\t\t\t\t\n");
    assert_eq!(fields(&parsed), ["1\tn\tt\tr\ta\ti\tisp\t0\t0\t\t"]);

    let parsed = parse(&URLCATS_HOST, b"WWW.Example.com.\t0008\n");
    assert_eq!(fields(&parsed), ["www.example.com\t8"]);
}

#[test]
fn rows_are_written_by_range() {
    let parsed = parse(&ASNUM, b"1\ta\n2\tb\n3\tc\n");
    let mut out = Vec::new();
    parsed.write_tsv(1, &[], 1..3, &mut out);
    assert_eq!(out, b"1\t[]\t2\tb\n1\t[]\t3\tc\n");
    out.clear();
    parsed.write_tsv(1, &[], 1..4, &mut out);
    assert_eq!(out, b"");
}

#[test]
fn reasons_name_what_was_found_and_expected() {
    for (dictionary, line, reason) in [
        (&SUBSCRIBERS, "10.0.0.1\ta\tb\tc", "3 tabs, expected 8 (9 columns)"),
        (&ASNUM, "1", "0 tabs, expected 1 (2 columns)"),
        (&CRC, "1\t2", "1 tab, expected 2 (3 columns)"),
        (&ASNUM, "1\ta\t", "2 tabs, expected 1 (2 columns)"),
        (&SUBNETS_LOCAL, "10.0.0.300/24\ta", "prefix: \"10.0.0.300/24\" is not an IP address or prefix"),
        (&SUBNETS_LOCAL, "\ta", "prefix: empty, expected an IP address or prefix"),
        (&ASNUM_LOCAL, "x\ta", "asn: \"x\" is not a number up to 4294967295"),
        (&ASNUM_LOCAL, "4294967296\ta", "asn: \"4294967296\" is not a number up to 4294967295"),
        (&ASNUM_LOCAL, " \ta", "asn: empty, expected a number up to 4294967295"),
        (&URLCATS_HOST, "a.example\t65536", "category: \"65536\" is not a number up to 65535"),
        (&URLCATS_HOST, ".\t1", "host: \".\" is not a host's name"),
        (&URLCATS_HOST, "\t1", "host: empty, expected a host's name"),
        (&SWITCHES, "1\t\t\t\t\t\t\t2\t\t\t", "is_trunk: \"2\" is not 0, 1 or empty"),
        (
            &SWITCHES,
            "1\t\t\t\t\t\t\t\tx\t\t",
            "upstream_id: \"x\" is not a number up to 18446744073709551615",
        ),
        (&ASNUM, "1\ta\0b", "control character U+0000 in column 2"),
        (&ASNUM, "1\ta\rb", "control character U+000D in column 2"),
        (&ASNUM, "1\x7f\ta", "control character U+007F in column 1"),
        (&ASNUM, "1\t\u{85}", "control character U+0085 in column 2"),
    ] {
        let text = format!("\n{line}\n");
        let parsed = parse(dictionary, text.as_bytes());
        assert_eq!(bad(&parsed), [(2, reason)], "{line:?}");
        assert_eq!((parsed.lines, parsed.blank, parsed.rows()), (2, 1, 0));
    }
    let parsed = parse(&ASNUM, b"1\t\xc0\xc1\n2\t\xc2\xa0\xc3\xa9\n");
    assert_eq!(bad(&parsed), [(1, "not UTF-8 in column 2: save the file as UTF-8")]);
    assert_eq!(parsed.rows(), 1, "U+00A0 and é are text");
}

#[test]
fn a_long_field_is_shown_in_part() {
    let text = format!("{}\ta\n", "é".repeat(1000));
    let parsed = parse(&ASNUM, text.as_bytes());
    let reason = format!("asn: \"{}...\" is not a number up to 4294967295", "é".repeat(60));
    assert_eq!(bad(&parsed), [(1, reason.as_str())]);
}

#[test]
fn a_line_has_at_most_64_kib() {
    let line = |length: usize| format!("1\t{}\r\n2\tb\n", "a".repeat(length - 2));
    let (fits, longer) = (line(65536), line(65537));
    assert_eq!(parse(&ASNUM, fits.as_bytes()).rows(), 2);
    let parsed = parse(&ASNUM, longer.as_bytes());
    assert_eq!(bad(&parsed), [(1, "longer than 64 KiB")]);
    assert_eq!(parsed.rows(), 1);
}

#[test]
fn the_first_of_two_equal_keys_stays() {
    let text = b"::1\ta\n\n10.0.0.0/24\tb\n10.0.0.7/24\tc\n10.0.0.0\td\n::ffff:10.0.0.0/120\te\n";
    let parsed = parse(&SUBNETS_LOCAL, text);
    assert_eq!(bad(&parsed), [(4, "the same prefix as in line 3"), (6, "the same prefix as in line 3")]);
    assert_eq!(fields(&parsed), ["::1/128\ta", "10.0.0.0/24\tb", "10.0.0.0/32\td"]);

    let parsed = parse(&CRC, b"1\tp1\t5\n1\tp2\t5\n 01\tp1\t6\n1\tp1 \t5\n");
    assert_eq!(bad(&parsed), [(3, "the same switch_id and switch_port as in line 1")]);

    let parsed = parse(&URLCATS_HOST, b"A.example.\t1\na.EXAMPLE\t2\n");
    assert_eq!(bad(&parsed), [(2, "the same host as in line 1")]);

    // A wrong line takes no key away.
    let parsed = parse(&CRC, b"1\tp1\tx\n1\tp1\t5\n");
    assert_eq!(bad(&parsed), [(1, "crc: \"x\" is not a number up to 18446744073709551615")]);
}

#[test]
fn switches_on_a_cycle_are_bad_and_those_below_it_are_not() {
    let text = [
        switch("1", "0"),
        switch("7", "9"),
        switch("8", "7"),
        "x\n".to_string(),
        switch("9", "7"),
        switch("5", "5"),
        switch("6", "1234"),
        switch("10", ""),
        switch("7", "1"),
    ]
    .concat();
    let parsed = parse(&SWITCHES, text.as_bytes());
    assert_eq!(
        bad(&parsed),
        [
            (2, "switch 7: its upstream switches lead back to itself (7 -> 9 -> 7)"),
            (4, "0 tabs, expected 10 (11 columns)"),
            (5, "switch 9: its upstream switches lead back to itself (9 -> 7 -> 9)"),
            (6, "switch 5: its upstream switches lead back to itself (5 -> 5)"),
            (9, "the same id as in line 2"),
        ]
    );
    let ids: Vec<String> = (0..parsed.rows()).map(|row| parsed.key_text(row)).collect();
    assert_eq!(ids, ["id 1", "id 8", "id 6", "id 10"]);
    for row in 0..parsed.rows() {
        let mut key = Vec::new();
        parsed.read_key(row, &mut key);
        assert_eq!(parsed.row_with_key(&key), Some(row));
    }
}

#[test]
fn a_switch_0_is_nobodys_upstream() {
    let text = [switch("0", "1"), switch("1", "0")].concat();
    let parsed = parse(&SWITCHES, text.as_bytes());
    assert_eq!((bad(&parsed), parsed.rows()), (vec![], 2));
}

#[test]
fn the_first_100_bad_rows_are_told_by_line_and_all_are_counted() {
    let mut text = String::new();
    for id in 1..=300_u64 {
        text += &switch(&id.to_string(), &(id % 300 + 1).to_string());
        text += "wrong\n";
    }
    let parsed = parse(&SWITCHES, text.as_bytes());
    assert_eq!((parsed.bad.count, parsed.rows(), parsed.lines), (600, 0, 600));
    let lines: Vec<u64> = parsed.bad.first.iter().map(|row| row.line).collect();
    assert_eq!(lines, (1..=100).collect::<Vec<_>>());
    assert_eq!(parsed.bad.first[1].reason, "0 tabs, expected 10 (11 columns)");
}

#[test]
fn very_large_own_networks_are_worth_a_warning() {
    let text = b"10.0.0.0/6\ta\n16.0.0.0/5\tb\n::/0\tc\n0.0.0.0/0\td\n16.0.0.0/5\tagain\n";
    for dictionary in [&SUBNETS_LOCAL, &SUBNETS_EXCLUDE] {
        let parsed = parse(dictionary, text);
        let warnings: Vec<(u64, &str)> =
            parsed.warnings.iter().map(|row| (row.line, row.reason.as_str())).collect();
        assert_eq!(
            warnings,
            [
                (2, "prefix: 16.0.0.0/5 has 134217728 addresses: see whether all are meant"),
                (4, "prefix: 0.0.0.0/0 has 4294967296 addresses: see whether all are meant"),
            ]
        );
        assert_eq!(bad(&parsed), [(5, "the same prefix as in line 2")]);
    }
    let parsed = parse(&SUBSCRIBERS, b"0.0.0.0/0\t\t1\t\t\t\t\t\t\n");
    assert_eq!((parsed.rows(), parsed.warnings.len()), (1, 0));
}

#[test]
fn a_million_lines() {
    let mut text = String::new();
    for number in 0..1_000_000_u32 {
        // Every tenth address comes again 5 lines later, every thousandth line is wrong.
        let address = if number % 10 == 5 { number - 5 } else { number };
        let switch = if number % 1000 == 1 { "x".to_string() } else { (number % 500).to_string() };
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + address);
        text += &format!("{ip}\tuser{number}\t{switch}\tport\tvendor\tcable\tcontract\tservices\tmac\n");
    }
    let parsed = parse(&SUBSCRIBERS, text.as_bytes());
    assert_eq!((parsed.lines, parsed.blank), (1_000_000, 0));
    assert_eq!((parsed.bad.count, parsed.rows()), (100_000 + 1000, 899_000));
    assert_eq!(parsed.bad.first[0].reason, "switch_id: \"x\" is not a number up to 18446744073709551615");
    assert_eq!(parsed.bad.first[1], BadRow { line: 6, reason: "the same address as in line 1".to_string() });
    let mut row = 0;
    let mut out = Vec::new();
    for number in 0..1_000_000_u32 {
        if number % 10 == 5 || number % 1000 == 1 {
            continue;
        }
        out.clear();
        parsed.write_tsv(1, &[], row..row + 1, &mut out);
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + number);
        let switch = number % 500;
        let expected =
            format!("1\t[]\t{ip}/32\tuser{number}\t{switch}\tport\tvendor\tcable\tcontract\tservices\tmac\n");
        assert_eq!(str::from_utf8(&out), Ok(expected.as_str()));
        assert_eq!(parsed.line(row), Some(u64::from(number) + 1));
        row += 1;
    }
    assert_eq!(row, parsed.rows());
}

#[test]
fn the_examples_are_without_mistakes() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/dictionaries");
    let mut read = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let dictionary_type = crate::declare::type_named(name).unwrap();
        let text = std::fs::read(&path).unwrap();
        let parsed = parse(crate::declare::declaration(dictionary_type), &text);
        assert_eq!(bad(&parsed), [], "{name}");
        assert!(parsed.rows() > 0, "{name}");
        read += 1;
    }
    assert!(read >= 5);
}

/// What a line may be made of: nonsense, and what is nearly right.
fn any_text() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![
        4 => (0_u64..12).prop_map(|number| number.to_string().into_bytes()),
        2 => (any::<[u8; 4]>(), 0_u8..34).prop_map(|(ip, length)| {
            format!("{}/{length}", std::net::Ipv4Addr::from(ip)).into_bytes()
        }),
        2 => (any::<[u16; 8]>(), 0_u8..130).prop_map(|(ip, length)| {
            format!("{}/{length}", std::net::Ipv6Addr::from(ip)).into_bytes()
        }),
        2 => "[ -~]{0,8}".prop_map(String::into_bytes),
        1 => "\\PC{0,4}".prop_map(String::into_bytes),
        1 => Just(Vec::new()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    let line = (prop::collection::vec(field, 0..12), prop::sample::select(vec!["\n", "\r\n", "\n\n", ""]));
    prop::collection::vec(line, 0..30).prop_map(|lines| {
        let mut text = Vec::new();
        for (fields, end) in lines {
            text.extend(fields.join(&b'\t'));
            text.extend(end.as_bytes());
        }
        text
    })
}

/// Lines with the right number of columns, most of them good.
fn nearly_good(dictionary: &'static Dictionary) -> impl Strategy<Value = Vec<u8>> {
    let field = |field_type| match field_type {
        schema::FieldType::Prefix => {
            let text = |(ip, length): ([u8; 4], u8)| format!("{}/{length}", std::net::Ipv4Addr::from(ip));
            (prop::array::uniform4(0_u8..3), 0_u8..33).prop_map(text).boxed()
        }
        schema::FieldType::Text => "\\PC{0,6}".boxed(),
        schema::FieldType::Host => "[ .a-zA-ZЯß\\\\]{1,4}".boxed(),
        schema::FieldType::Flag => "[01 ]?".boxed(),
        _ => " ?[0-9]{1,2}".boxed(),
    };
    let line: Vec<BoxedStrategy<String>> =
        dictionary.fields.iter().map(|each| field(each.field_type)).collect();
    prop::collection::vec(line.prop_map(|fields| fields.join("\t")), 0..40)
        .prop_map(|lines| lines.join("\n").into_bytes())
}

fn check_any(dictionary: &'static Dictionary, text: &[u8]) {
    let parsed = parse(dictionary, text);
    assert_eq!(parsed.rows() as u64 + parsed.bad.count + parsed.blank, parsed.lines);
    assert!(parsed.bad.first.is_sorted_by(|a, b| a.line < b.line));
    let body = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let ends = body.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert_eq!(parsed.lines, ends + u64::from(body.last().is_some_and(|last| *last != b'\n')));

    // What was written reads as the same rows, and is written the same again.
    let written = fields(&parsed);
    let again: String = written.iter().map(|line| line.replace("\\\\", "\\") + "\n").collect();
    let again = format!("\u{feff}{again}");
    let reparsed = parse(dictionary, again.as_bytes());
    assert_eq!(bad(&reparsed), []);
    assert_eq!(fields(&reparsed), written);
    for row in 0..parsed.rows() {
        let (mut key, mut other) = (Vec::new(), Vec::new());
        parsed.read_key(row, &mut key);
        reparsed.read_key(row, &mut other);
        assert_eq!(key, other);
        assert_eq!(parsed.row_with_key(&key), Some(row));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_lines(dictionary in 0_usize..12, text in prop::collection::vec(any::<u8>(), 0..300)) {
        check_any(all()[dictionary], &text);
    }

    #[test]
    fn any_fields_are_lines(dictionary in 0_usize..12, text in any_text()) {
        check_any(all()[dictionary], &text);
    }

    #[test]
    fn good_lines_are_read_as_they_are_written(
        (dictionary, text) in (0_usize..12).prop_flat_map(|at| (Just(at), nearly_good(all()[at])))
    ) {
        check_any(all()[dictionary], &text);
    }
}
