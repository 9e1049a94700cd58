//! The vendor's templates: which fields, in which order and width. One file for each stream holds its
//! table; here is what they share.

mod clickstream;
mod dnsflow;
mod fullflow;
mod gtpflow;
mod natflow;

use ipfix::{Element, FieldSpec, MessageBuilder, Template};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::field::Field;
use super::flow::Flow;
use super::options::StreamKind;

/// Template of IPv4 records. The vendor does not publish its numbers; nobody may rely on them.
const TEMPLATE_V4: u16 = 1_024;
/// Template of IPv6 records.
const TEMPLATE_V6: u16 = 1_026;
/// Template of records of another kind on the same stream.
const TEMPLATE_OTHER: u16 = 1_028;

/// A field, and the element that carries it.
type Entry = (Field, FieldSpec);

/// What a stream sends.
#[derive(Debug, Clone, Copy)]
struct Records {
    /// The fields of both address families in the vendor's order.
    fields: &'static [Entry],
    /// Whether there are IPv6 records.
    ipv6: bool,
    /// The fields of another kind of records on the same stream; perhaps none.
    other: &'static [Entry],
    /// Whether records count octets and packets.
    volume: bool,
}

fn records(stream: StreamKind) -> Records {
    match stream {
        StreamKind::Fullflow => fullflow::RECORDS,
        StreamKind::Clickstream => clickstream::RECORDS,
        StreamKind::Gtpflow => gtpflow::RECORDS,
        StreamKind::Natflow => natflow::RECORDS,
        StreamKind::Dnsflow => dnsflow::RECORDS,
    }
}

const fn iana(field: Field, id: u16, length: u16) -> Entry {
    (field, FieldSpec::new(Element::iana(id), length))
}

const fn vendor(field: Field, id: u16, length: u16) -> Entry {
    (field, FieldSpec::new(Element::vas_experts(id), length))
}

/// A field of variable length.
const fn text(field: Field, id: u16) -> Entry {
    (field, FieldSpec::variable(Element::vas_experts(id)))
}

/// One template and how to fill it.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) template: Template,
    fields: Vec<Field>,
    /// The most bytes a record can have.
    pub(super) max_record: usize,
}

impl Layout {
    /// The fields in the vendor's order, or one made from a seed.
    fn new(id: u16, entries: impl Iterator<Item = Entry>, order_seed: Option<u64>) -> Layout {
        let mut entries: Vec<Entry> = entries.collect();
        if let Some(seed) = order_seed {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ u64::from(id));
            for last in (1..entries.len()).rev() {
                entries.swap(last, rng.random_range(0..=last));
            }
        }
        let mut max_record = 0;
        for (field, spec) in &entries {
            max_record += if spec.is_variable() { 1 + field.longest() } else { usize::from(spec.length) };
        }
        let (fields, specs) = entries.into_iter().unzip();
        Layout { template: Template::new(id, 0, specs), fields, max_record }
    }

    /// Appends a record.
    #[inline]
    pub(super) fn put(&self, flow: &Flow<'_>, to: &mut MessageBuilder) {
        for field in &self.fields {
            field.put(flow, to);
        }
        to.end_record();
    }
}

/// The templates of a stream.
#[derive(Debug)]
pub(super) struct Layouts {
    pub(super) v4: Layout,
    pub(super) v6: Option<Layout>,
    pub(super) other: Option<Layout>,
    /// Whether records count octets and packets.
    pub(super) volume: bool,
}

impl Layouts {
    pub(super) fn new(stream: StreamKind, order_seed: Option<u64>) -> Layouts {
        let Records { fields, ipv6, other, volume } = records(stream);
        let v4 = fields.iter().copied().filter(|(field, _)| !field.only_v6());
        let v6 = fields.iter().copied().filter(|(field, _)| !field.only_v4());
        Layouts {
            v4: Layout::new(TEMPLATE_V4, v4, order_seed),
            v6: ipv6.then(|| Layout::new(TEMPLATE_V6, v6, order_seed)),
            other: (!other.is_empty())
                .then(|| Layout::new(TEMPLATE_OTHER, other.iter().copied(), order_seed)),
            volume,
        }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Layout> {
        [Some(&self.v4), self.v6.as_ref(), self.other.as_ref()].into_iter().flatten()
    }
}
