//! Messages into columns, by the crate that the receiver decodes with: the templates of one sender, and for each of
//! them a plan. Data sets of many messages are decoded together, as the receiver does it for a frame.

use std::ops::Range;
use std::sync::Arc;

use ipfix::{
    Column, ColumnKind, Convert, DataSet, Element, FieldSpec, Limits, MessageContext, Plan, Scratch, SetKind,
    Sets, Source, Template, TemplateCache, VARIABLE, Wanted, parse_header,
};

use crate::sums::{Sums, name, of_column};

/// What is decoded.
#[derive(Clone, Debug)]
pub enum What {
    /// Every field, in columns as wide as it arrives.
    AllFields,
    /// These elements, and nothing else.
    Only(Vec<Element>),
    /// The columns of a stream's table.
    Table(Vec<Wanted>),
}

/// Decodes the messages of one sender.
pub struct Decoding {
    what: What,
    cache: TemplateCache,
    templates: Vec<OfTemplate>,
    scratch: Scratch,
    /// Records so far.
    pub records: u64,
    /// Bytes of messages so far.
    pub bytes: usize,
}

/// What a template becomes.
pub struct OfTemplate {
    domain: u32,
    template: Arc<Template>,
    /// False once templates were announced: it may mean something else now.
    is_current: bool,
    plan: Plan,
    /// The names of the columns, see [`name`].
    pub names: Vec<String>,
    /// Its columns; none for [`What::Table`], where all templates share them.
    pub columns: Vec<Column>,
    /// Sets of the present buffer, with the export times of their messages.
    sets: Vec<(Range<usize>, u32)>,
}

/// Bytes that are not messages that can be decoded: nothing of the sort is ever sent here.
#[derive(Debug, thiserror::Error)]
#[error("what came cannot be decoded: {0}")]
pub struct Undecodable(&'static str);

impl Decoding {
    /// Nothing is known yet.
    pub fn new(what: What) -> Decoding {
        let cache = TemplateCache::new(Limits::default());
        Decoding { what, cache, templates: Vec::new(), scratch: Scratch::default(), records: 0, bytes: 0 }
    }

    /// Finds the sets of a message that begins at `offset` of the buffer; they are decoded by the next
    /// [`Decoding::decode`]. Returns the message's length, or `None` if it is not there completely.
    ///
    /// # Errors
    /// It is no message, or its template is not known.
    pub fn walk(&mut self, buffer: &[u8], offset: usize) -> Result<Option<usize>, Undecodable> {
        let rest = buffer.get(offset..).unwrap_or_default();
        let Ok(header) = parse_header(rest) else {
            return if rest.len() < 16 { Ok(None) } else { Err(Undecodable("no header")) };
        };
        let length = usize::from(header.length);
        let Some(message) = rest.get(..length) else { return Ok(None) };
        for set in Sets::new(&header, message) {
            let set = set.map_err(|_| Undecodable("a set's length"))?;
            match set.kind(header.protocol) {
                SetKind::Data => {
                    let of_template = self.of_template(header.domain, set.id)?;
                    let begin = offset + set.offset;
                    of_template.sets.push((begin..begin + set.body.len(), header.export_time));
                }
                SetKind::Reserved => return Err(Undecodable("a set's id")),
                kind => {
                    self.cache.apply(header.protocol, header.domain, kind, set.body, 0);
                    self.templates.iter_mut().for_each(|of| of.is_current = false);
                }
            }
        }
        self.bytes += length;
        Ok(Some(length))
    }

    fn of_template(&mut self, domain: u32, id: u16) -> Result<&mut OfTemplate, Undecodable> {
        let known = |of: &OfTemplate| of.domain == domain && of.template.id == id;
        let place = match self.templates.iter().position(|of| known(of) && of.is_current) {
            Some(place) => place,
            None => {
                let template =
                    self.cache.get(domain, id, 0).ok_or(Undecodable("a template is missing"))?.clone();
                let same = |of: &OfTemplate| known(of) && Arc::ptr_eq(&of.template, &template);
                match self.templates.iter().position(same) {
                    Some(place) => place,
                    None => {
                        self.templates.push(OfTemplate::new(domain, template, &self.what));
                        self.templates.len() - 1
                    }
                }
            }
        };
        let of_template = self.templates.get_mut(place).ok_or(Undecodable("a template is missing"))?;
        of_template.is_current = true;
        Ok(of_template)
    }

    /// Decodes the sets that were found in the buffer, into `shared` or the columns of their templates.
    ///
    /// # Errors
    /// A record is not whole.
    pub fn decode(
        &mut self,
        buffer: &[u8],
        constants: &[u64],
        shared: Option<&mut [Column]>,
    ) -> Result<(), Undecodable> {
        let mut shared = shared;
        for of_template in &mut self.templates {
            if of_template.sets.is_empty() {
                continue;
            }
            let context = |export_time| MessageContext { export_time, uptime_ms: 0, constants };
            let sets: Vec<DataSet<'_>> = of_template
                .sets
                .drain(..)
                .map(|(body, export_time)| DataSet { body, context: context(export_time) })
                .collect();
            let columns = match &mut shared {
                Some(columns) => columns,
                None => of_template.columns.as_mut_slice(),
            };
            let decoded = of_template.plan.decode_many(buffer, &sets, columns, &mut self.scratch);
            for decoded in decoded {
                if decoded.malformed_tail {
                    return Err(Undecodable("a record's end"));
                }
                self.records += u64::from(decoded.records);
            }
        }
        Ok(())
    }

    /// Every template that has come, with its columns.
    pub fn templates(&mut self) -> impl Iterator<Item = &mut OfTemplate> {
        self.templates.iter_mut()
    }

    /// Adds the columns up and empties them.
    pub fn sum_up(&mut self, sums: &mut Sums) {
        sums.records = self.records;
        for of_template in &mut self.templates {
            for (name, column) in of_template.names.iter().zip(&mut of_template.columns) {
                if !column.is_empty() {
                    sums.add(name, of_column(column));
                    column.clear();
                }
            }
        }
    }

    /// Rows in the fullest columns.
    pub fn rows(&self) -> usize {
        self.templates.iter().filter_map(|of| of.columns.first()).map(Column::len).max().unwrap_or(0)
    }
}

impl OfTemplate {
    fn new(domain: u32, template: Arc<Template>, what: &What) -> OfTemplate {
        let own = |fields: &[FieldSpec]| -> Vec<Wanted> { fields.iter().map(of_field).collect() };
        let (wanted, names): (Vec<Wanted>, Vec<String>) = match what {
            What::AllFields => {
                (own(&template.fields), template.fields.iter().map(|field| name(field.element)).collect())
            }
            What::Only(elements) => {
                let fields: Vec<FieldSpec> = template
                    .fields
                    .iter()
                    .filter(|field| elements.contains(&field.element))
                    .copied()
                    .collect();
                (own(&fields), fields.iter().map(|field| name(field.element)).collect())
            }
            What::Table(wanted) => (wanted.clone(), Vec::new()),
        };
        let plan = Plan::compile(&template, &wanted);
        let columns = match what {
            What::Table(_) => Vec::new(),
            _ => wanted.iter().map(|wanted| Column::new(wanted.kind)).collect(),
        };
        OfTemplate { domain, template, is_current: true, plan, names, columns, sets: Vec::new() }
    }
}

/// A column that holds a field as it arrives.
fn of_field(field: &FieldSpec) -> Wanted {
    let kind = match field.length {
        1 => ColumnKind::U8,
        2 => ColumnKind::U16,
        3..=4 => ColumnKind::U32,
        5..=8 => ColumnKind::U64,
        16 => ColumnKind::Bytes16,
        _ => ColumnKind::Bytes,
    };
    let max_len = if field.is_variable() { VARIABLE } else { field.length };
    let source = Source { element: field.element, min_len: 0, max_len, convert: Convert::Plain };
    Wanted { kind, sources: vec![source], constant: None }
}
