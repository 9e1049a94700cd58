//! Whose records a template's are. A listener takes one stream; a template that is clearly another's was sent
//! to the wrong port, and its records must not become rows of zeros. In doubt it is the listener's: fields
//! that nobody knows must never cost a record.

use ipfix::{FieldSpec, Template};

use crate::stream::{ColumnDecl, Filled, Stream};
use crate::streams::all;

/// So many fields that only one stream has make a template that stream's. A single one may be chance.
const MARKS: usize = 2;

/// So many fields of a template must another stream know, to be the one that was meant.
const FAMILIAR: usize = 8;

impl Stream {
    /// Whether records of this template belong to this stream: at least one of the identifying columns finds
    /// an element, and the template is not clearly another stream's. Records of other templates are counted,
    /// not stored.
    pub fn is_this_stream(&self, template: &Template) -> bool {
        if template.scope_count > 0 {
            return false;
        }
        let mut identifying = self.columns.iter().filter(|column| self.identifying.contains(&column.name));
        let identified =
            identifying.any(|column| template.fields.iter().any(|field| column.is_filled_by(*field)));
        identified && !self.is_clearly_anothers(template)
    }

    fn is_clearly_anothers(&self, template: &Template) -> bool {
        let others = || all().into_iter().filter(|other| other.name != self.name);
        let count = |is_counted: &dyn Fn(FieldSpec) -> bool| {
            template.fields.iter().filter(|field| is_counted(**field)).count()
        };
        let only_ours = count(&|field| self.knows(field) && !others().any(|other| other.knows(field)));
        if only_ours > 0 {
            return false;
        }
        others().any(|other| {
            let third = |field| others().any(|third| third.name != other.name && third.knows(field));
            let marks = count(&|field| other.knows(field) && !self.knows(field) && !third(field));
            marks >= MARKS && count(&|field| other.knows(field)) >= FAMILIAR
        })
    }

    fn knows(&self, field: FieldSpec) -> bool {
        self.columns.iter().any(|column| column.is_filled_by(field))
    }
}

impl ColumnDecl {
    fn is_filled_by(&self, field: FieldSpec) -> bool {
        let Filled::Elements(elements) = &self.filled else { return false };
        elements.iter().any(|from| {
            let source = from.source(self.column_type);
            field.element == source.element
                && field.length >= source.min_len
                && field.length <= source.max_len
        })
    }
}

#[cfg(test)]
mod tests {
    use ipfix::Element;

    use super::*;
    use crate::{clickstream, dnsflow, fullflow, gtpflow, natflow};

    fn template(iana: &[u16], vendor: &[u16]) -> Template {
        let width = |id| match id {
            8 | 12 | 225 | 1003 | 1004 => 4,
            27 | 28 => 16,
            _ => 2,
        };
        let mut fields: Vec<FieldSpec> =
            iana.iter().map(|id| FieldSpec::new(Element::iana(*id), width(*id))).collect();
        fields.extend(vendor.iter().map(|id| FieldSpec::new(Element::vas_experts(*id), width(*id))));
        Template::new(256, 0, fields)
    }

    #[test]
    fn one_identifying_element_is_enough() {
        assert!(fullflow().is_this_stream(&template(&[1], &[])));
        assert!(fullflow().is_this_stream(&template(&[27], &[])));
        assert!(!fullflow().is_this_stream(&template(&[], &[2003])));
        let wide = Template::new(256, 0, vec![FieldSpec::new(Element::iana(8), 16)]);
        assert!(!fullflow().is_this_stream(&wide), "no IPv4 address has 16 bytes");
        let mut options = template(&[1], &[]);
        options.scope_count = 1;
        assert!(!fullflow().is_this_stream(&options));
    }

    #[test]
    fn what_is_clearly_anothers_is_not_ours() {
        let flows = template(&[1, 2, 4, 7, 8, 11, 12, 152, 153, 225, 227], &[2000, 2002, 2003]);
        let translations = template(&[323, 4, 230, 8, 225, 7, 227, 12, 11], &[2000, 2003]);
        let requests = template(&[], &[1001, 1002, 1003, 1004, 1005, 1006, 1007, 1013, 1014, 2000]);
        for stream in [fullflow(), clickstream(), gtpflow(), natflow(), dnsflow()] {
            assert_eq!(stream.is_this_stream(&flows), stream.name == "fullflow", "{}", stream.name);
            assert_eq!(stream.is_this_stream(&translations), stream.name == "natflow", "{}", stream.name);
            assert_eq!(stream.is_this_stream(&requests), stream.name == "clickstream", "{}", stream.name);
        }
    }

    #[test]
    fn in_doubt_it_is_the_listeners() {
        // A response with fields that fullflow has too, and some that nobody has.
        let response = template(&[1, 2, 7, 11], &[2000, 2801, 2802, 2803]);
        assert!(clickstream().is_this_stream(&response));
        // Translations with what flows have besides.
        let translation = template(&[1, 2, 4, 7, 8, 11, 12, 58, 152, 153, 225, 227, 230], &[2000, 2003]);
        assert!(natflow().is_this_stream(&translation) && fullflow().is_this_stream(&translation));
        // Flows of somebody who tells nothing but addresses and ports.
        assert!(fullflow().is_this_stream(&template(&[4, 7, 8, 11, 12, 225, 227, 58, 59], &[2000, 2003])));
    }
}
