use super::*;
use crate::element::Element;
use crate::encode::MessageBuilder;
use crate::message::{Sets, parse_header};
use crate::template::FieldSpec;

const SECOND: u64 = 1_000_000;

fn template(id: u16, fields: u16) -> Template {
    Template::new(id, 0, (1..=fields).map(|n| FieldSpec::new(Element::iana(n), 4)).collect())
}

fn options_template(id: u16) -> Template {
    Template::new(
        id,
        1,
        vec![FieldSpec::new(Element::iana(149), 4), FieldSpec::new(Element::vas_experts(1), 8)],
    )
}

/// Sends a message that `fill` writes through the cache; the outcomes of its sets are added up.
fn send_as(
    protocol: Protocol,
    cache: &mut TemplateCache,
    domain: u32,
    now_us: u64,
    fill: impl Fn(&mut MessageBuilder),
) -> ApplyOutcome {
    let mut builder = MessageBuilder::new(protocol, domain);
    builder.begin(0, 0);
    fill(&mut builder);
    let message = builder.finish().unwrap();
    let header = parse_header(message).unwrap();
    let mut sum = ApplyOutcome::default();
    for set in Sets::new(&header, message) {
        let set = set.unwrap();
        let outcome = cache.apply(protocol, domain, set.kind(protocol), set.body, now_us);
        sum.learned.extend(outcome.learned);
        sum.withdrawn.extend(outcome.withdrawn);
        sum.refreshed += outcome.refreshed;
        sum.ignored_withdrawals += outcome.ignored_withdrawals;
        sum.refused.too_many += outcome.refused.too_many;
        sum.refused.too_large += outcome.refused.too_large;
        sum.refused.malformed += outcome.refused.malformed;
    }
    sum
}

fn send(
    cache: &mut TemplateCache,
    domain: u32,
    now_us: u64,
    fill: impl Fn(&mut MessageBuilder),
) -> ApplyOutcome {
    send_as(Protocol::Ipfix, cache, domain, now_us, fill)
}

#[test]
fn templates_belong_to_their_domain() {
    let mut cache = TemplateCache::new(Limits::default());
    let outcome = send(&mut cache, 1, 0, |builder| {
        builder.template(&template(256, 3));
        builder.template(&template(257, 4));
        builder.template(&options_template(258));
    });
    assert_eq!(outcome.learned, [256, 257, 258]);
    send(&mut cache, 2, 0, |builder| builder.template(&template(256, 5)));
    assert_eq!(cache.get(1, 256, 0).unwrap().fields.len(), 3);
    assert_eq!(cache.get(2, 256, 0).unwrap().fields.len(), 5);
    assert_eq!(cache.get(1, 258, 0).unwrap().as_ref(), &options_template(258));
    assert!(cache.get(3, 256, 0).is_none());
    assert_eq!(cache.len(), 4);
}

#[test]
fn v9_templates_are_read_from_padded_sets() {
    let v9_options = Template::new(
        300,
        1,
        vec![FieldSpec::new(Element::v9_scope(1), 4), FieldSpec::new(Element::iana(34), 4)],
    );
    let mut cache = TemplateCache::new(Limits::udp());
    let outcome = send_as(Protocol::NetflowV9, &mut cache, 0, 0, |builder| {
        builder.template(&v9_options);
        builder.template(&template(256, 2));
    });
    assert_eq!(outcome.learned, [300, 256]);
    assert_eq!(outcome.refused.total(), 0);
    assert_eq!(cache.get(0, 300, 0).unwrap().as_ref(), &v9_options);
}

#[test]
fn an_unchanged_template_stays_the_same_arc() {
    let mut cache = TemplateCache::new(Limits::default());
    send(&mut cache, 0, 0, |builder| builder.template(&template(256, 3)));
    let first = Arc::clone(cache.get(0, 256, 0).unwrap());
    let outcome = send(&mut cache, 0, 1, |builder| builder.template(&template(256, 3)));
    assert_eq!((outcome.learned.len(), outcome.refreshed), (0, 1));
    assert!(Arc::ptr_eq(&first, cache.get(0, 256, 1).unwrap()));

    let outcome = send(&mut cache, 0, 2, |builder| builder.template(&template(256, 4)));
    assert_eq!(outcome.learned, [256]);
    assert!(!Arc::ptr_eq(&first, cache.get(0, 256, 2).unwrap()));
    assert_eq!(cache.bytes(), template(256, 4).wire_len());
}

#[test]
fn an_id_is_a_template_or_an_options_template() {
    let mut cache = TemplateCache::new(Limits::default());
    send(&mut cache, 0, 0, |builder| builder.template(&template(256, 3)));
    send(&mut cache, 0, 0, |builder| builder.template(&options_template(256)));
    assert!(cache.get(0, 256, 0).unwrap().is_options());
    assert_eq!((cache.len(), cache.bytes()), (1, options_template(256).wire_len()));
    send(&mut cache, 0, 0, |builder| builder.template(&template(256, 3)));
    assert!(!cache.get(0, 256, 0).unwrap().is_options());
    assert_eq!((cache.len(), cache.bytes()), (1, template(256, 3).wire_len()));
}

#[test]
fn withdrawals_over_tcp() {
    let mut cache = TemplateCache::new(Limits::default());
    let fill = |builder: &mut MessageBuilder| {
        (256..260).for_each(|id| builder.template(&template(id, 1)));
        builder.template(&options_template(300));
    };
    send(&mut cache, 1, 0, fill);
    send(&mut cache, 2, 0, fill);
    let outcome = send(&mut cache, 1, 0, |builder| {
        builder.withdraw(257, false);
        builder.withdraw(999, false);
    });
    assert_eq!(outcome.withdrawn, [257]);
    let outcome = send(&mut cache, 1, 0, |builder| builder.withdraw(2, false));
    assert_eq!(outcome.withdrawn, [256, 258, 259]);
    assert!(cache.get(1, 300, 0).is_some(), "options templates are withdrawn apart");
    let outcome = send(&mut cache, 1, 0, |builder| builder.withdraw(3, true));
    assert_eq!(outcome.withdrawn, [300]);
    assert_eq!(cache.len(), 5, "the other domain keeps its templates");
    send(&mut cache, 2, 0, |builder| {
        builder.withdraw(2, false);
        builder.withdraw(3, true);
    });
    assert!(cache.is_empty());
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn withdrawals_over_udp_are_ignored() {
    let mut cache = TemplateCache::new(Limits::udp());
    send(&mut cache, 0, 0, |builder| builder.template(&template(256, 1)));
    let outcome = send(&mut cache, 0, 0, |builder| builder.withdraw(256, false));
    assert_eq!((outcome.ignored_withdrawals, outcome.withdrawn.len()), (1, 0));
    assert!(cache.get(0, 256, 0).is_some());
}

#[test]
fn templates_expire_over_udp_by_the_given_clock() {
    let mut cache = TemplateCache::new(Limits { lifetime_us: Some(10 * SECOND), ..Limits::default() });
    send(&mut cache, 0, SECOND, |builder| builder.template(&template(256, 1)));
    send(&mut cache, 0, 2 * SECOND, |builder| builder.template(&template(257, 1)));
    send(&mut cache, 0, 9 * SECOND, |builder| builder.template(&template(256, 1)));
    assert!(cache.get(0, 257, 12 * SECOND).is_some());
    assert!(cache.get(0, 257, 12 * SECOND + 1).is_none());
    assert!(cache.get(0, 256, 12 * SECOND + 1).is_some(), "was repeated");

    let mut clone = cache.clone();
    clone.remove_expired(13 * SECOND);
    assert_eq!((clone.len(), cache.len()), (1, 2));
    assert_eq!(clone.bytes(), template(256, 1).wire_len());

    let outcome = send(&mut cache, 0, 13 * SECOND, |builder| builder.template(&template(257, 1)));
    assert_eq!(outcome.learned, [257], "an expired template is learned anew");
}

#[test]
fn too_many_templates_are_refused() {
    let mut cache = TemplateCache::new(Limits { templates: 3, ..Limits::default() });
    let outcome = send(&mut cache, 0, 0, |builder| {
        (256..260).for_each(|id| builder.template(&template(id, 1)));
    });
    assert_eq!(outcome.learned, [256, 257, 258]);
    assert_eq!(outcome.refused, Refused { too_many: 1, ..Refused::default() });
    let outcome = send(&mut cache, 0, 0, |builder| builder.template(&template(258, 9)));
    assert_eq!(outcome.learned, [258], "redefining needs no more room");
}

#[test]
fn too_many_bytes_are_refused() {
    let mut cache = TemplateCache::new(Limits { bytes: 100, ..Limits::default() });
    let outcome = send(&mut cache, 0, 0, |builder| {
        builder.template(&template(256, 20)); // 84 bytes
        builder.template(&template(257, 4)); // 20 bytes
        builder.template(&template(258, 3)); // 16 bytes
        builder.template(&template(259, 25)); // 104 bytes: never fits
        builder.template(&template(256, 21)); // 4 bytes more than before
        builder.template(&template(256, 10));
        builder.template(&template(257, 4));
    });
    assert_eq!(outcome.learned, [256, 258, 256, 257]);
    assert_eq!(outcome.refused, Refused { too_many: 2, too_large: 1, malformed: 0 });
    assert_eq!(cache.bytes(), 44 + 16 + 20);
}

#[test]
fn expired_templates_make_room() {
    let mut cache =
        TemplateCache::new(Limits { templates: 2, lifetime_us: Some(SECOND), ..Limits::default() });
    send(&mut cache, 0, 0, |builder| {
        builder.template(&template(256, 1));
        builder.template(&template(257, 1));
    });
    let fill = |builder: &mut MessageBuilder| builder.template(&template(258, 1));
    assert_eq!(send(&mut cache, 0, SECOND, fill).refused.too_many, 1);
    assert_eq!(send(&mut cache, 0, SECOND + 1, fill).learned, [258]);
    assert_eq!(cache.len(), 1);
    // Redefining an expired template when the cache is full replaces it.
    send(&mut cache, 0, SECOND + 1, |builder| builder.template(&template(259, 1)));
    let outcome = send(&mut cache, 0, 3 * SECOND, |builder| builder.template(&template(259, 2)));
    assert_eq!(outcome.learned, [259]);
}

#[test]
fn a_template_of_65535_fields_is_refused() {
    let mut cache = TemplateCache::new(Limits::default());
    let mut body = vec![1, 0, 0xff, 0xff];
    body.resize(65_000, 1);
    let outcome = cache.apply(Protocol::Ipfix, 0, SetKind::Template, &body, 0);
    assert_eq!(outcome.refused, Refused { too_large: 1, ..Refused::default() });
    assert!(cache.is_empty());
}

#[test]
fn good_templates_beside_a_bad_one_are_kept() {
    let mut cache = TemplateCache::new(Limits::default());
    let body = [
        &[1, 0, 0, 1, 0, 1, 0, 4][..], // good
        &[0, 9, 0, 1, 0, 1, 0, 4],     // its id is too low
        &[1, 1, 0, 1, 0, 1, 0, 4],     // good
        &[1, 2, 0, 2, 0, 1, 0, 4],     // cut off
    ];
    let outcome = cache.apply(Protocol::Ipfix, 0, SetKind::Template, &body.concat(), 0);
    assert_eq!(outcome.learned, [256, 257]);
    assert_eq!(outcome.refused, Refused { malformed: 2, ..Refused::default() });
    let outcome = cache.apply(Protocol::Ipfix, 0, SetKind::Data, &body.concat(), 0);
    assert_eq!(outcome, ApplyOutcome::default());
}

#[test]
fn exported_templates_come_back() {
    let mut cache = TemplateCache::new(Limits { lifetime_us: Some(10), ..Limits::default() });
    send(&mut cache, 7, 5, |builder| {
        builder.template(&template(256, 3));
        builder.template(&options_template(257));
    });
    let mut bytes = Vec::new();
    cache.export(&mut bytes);
    let imported =
        TemplateCache::import(Limits { lifetime_us: Some(10), ..Limits::default() }, &bytes).unwrap();
    assert_eq!(imported.iter().collect::<Vec<_>>(), cache.iter().collect::<Vec<_>>());
    assert_eq!(imported.bytes(), cache.bytes());
    assert!(imported.get(7, 256, 15).is_some());
    assert!(imported.get(7, 256, 16).is_none(), "the time of arrival is kept");

    for end in 0..bytes.len() {
        assert!(TemplateCache::import(Limits::default(), &bytes[..end]).is_err(), "cut at {end}");
    }
    bytes.push(0);
    assert_eq!(TemplateCache::import(Limits::default(), &bytes).unwrap_err(), ImportError::Damaged);
    bytes[0] = 2;
    assert_eq!(TemplateCache::import(Limits::default(), &bytes).unwrap_err(), ImportError::Version(2));
}
