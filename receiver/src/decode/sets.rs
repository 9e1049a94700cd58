//! Data sets to rows, many at once: within a frame, sets of one template are found one by one, because
//! the sequence numbers must know how many records each holds, and filled into the columns together.
//! Must keep nothing from frame to frame.

use std::sync::Arc;

use ipfix::Column;
use ipfix::plan::{DataSet, Decoded, Scratch};

use super::Compiled;

/// Templates whose sets are gathered at a time; an exporter uses two or three.
const MAX_TEMPLATES: usize = 16;

/// The data sets of one frame.
pub(super) struct FrameSets<'f> {
    payload: &'f [u8],
    of_templates: Vec<OfTemplate<'f>>,
}

struct OfTemplate<'f> {
    domain: u32,
    id: u16,
    /// Whether no template has been announced since it was looked up.
    current: bool,
    compiled: Compiled,
    sets: Vec<DataSet<'f>>,
    scratch: Scratch,
}

impl<'f> FrameSets<'f> {
    /// For the sets of a frame's payload.
    pub(super) fn new(payload: &'f [u8]) -> Self {
        FrameSets { payload, of_templates: Vec::new() }
    }

    /// Templates were announced: what was looked up before may mean something else now.
    pub(super) fn templates_changed(&mut self) {
        for of_template in &mut self.of_templates {
            of_template.current = false;
        }
    }

    /// The place of a template that was looked up before.
    pub(super) fn find(&self, domain: u32, id: u16) -> Option<usize> {
        self.of_templates.iter().position(|of| of.current && of.id == id && of.domain == domain)
    }

    /// What the template at a place means.
    pub(super) fn compiled(&self, place: usize) -> Option<&Compiled> {
        self.of_templates.get(place).map(|of| &of.compiled)
    }

    /// Remembers a template and returns its place.
    pub(super) fn add(&mut self, domain: u32, id: u16, compiled: Compiled, rows: &mut [Column]) -> usize {
        let same = |of: &OfTemplate<'_>| {
            of.domain == domain && of.id == id && Arc::ptr_eq(&of.compiled.plan, &compiled.plan)
        };
        if let Some(place) = self.of_templates.iter().position(same) {
            if let Some(of_template) = self.of_templates.get_mut(place) {
                of_template.current = true;
            }
            return place;
        }
        if self.of_templates.len() >= MAX_TEMPLATES {
            self.fill(rows);
            self.of_templates.clear();
        }
        self.of_templates.push(OfTemplate {
            domain,
            id,
            current: true,
            compiled,
            sets: Vec::new(),
            scratch: Scratch::default(),
        });
        self.of_templates.len() - 1
    }

    /// Takes a set of the template at a place; says what is in it.
    pub(super) fn gather(&mut self, place: usize, set: DataSet<'f>, rows: &mut [Column]) -> Decoded {
        let Some(of_template) = self.of_templates.get_mut(place) else { return Decoded::default() };
        let decoded = of_template.compiled.plan.find(self.payload, &set, &mut of_template.scratch);
        of_template.sets.push(set);
        if of_template.scratch.is_full() {
            of_template.fill(self.payload, rows);
        }
        decoded
    }

    /// Appends the rows of all sets that were gathered.
    pub(super) fn fill(&mut self, rows: &mut [Column]) {
        for of_template in &mut self.of_templates {
            of_template.fill(self.payload, rows);
        }
    }
}

impl OfTemplate<'_> {
    fn fill(&mut self, payload: &[u8], rows: &mut [Column]) {
        self.compiled.plan.fill(payload, &self.sets, rows, &mut self.scratch);
        self.sets.clear();
    }
}
