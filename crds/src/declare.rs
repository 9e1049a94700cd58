//! The declaration of a stream as a collector has it: what `schema` declares, and the collector's own fields.
//! Both the tables and the receiver are made from it, so they cannot differ.

use ipfix::Element;
use schema::{ColumnType, ElementError};

use crate::enrichment::{CustomElement, ElementType};
use crate::stream::StreamType;

/// The stream's declaration with those of `elements` that belong to it.
///
/// # Errors
/// A field whose column has another type, or is not one that fields fill.
pub fn stream(stream_type: StreamType, elements: &[CustomElement]) -> Result<schema::Stream, ElementError> {
    let declared = match stream_type {
        StreamType::Fullflow => schema::fullflow(),
        StreamType::Clickstream => schema::clickstream(),
        StreamType::GtpFlow => schema::gtpflow(),
        StreamType::NatFlow => schema::natflow(),
        StreamType::DnsFlow => schema::dnsflow(),
    };
    let own: Vec<schema::CustomElement> = elements
        .iter()
        .filter(|element| element.stream == stream_type)
        .map(|element| schema::CustomElement {
            element: Element { pen: element.pen, id: element.id },
            name: element.name.clone(),
            column: element.column.clone(),
            column_type: column_type(element.element_type),
        })
        .collect();
    declared.with_elements(&own)
}

fn column_type(element: ElementType) -> ColumnType {
    match element {
        ElementType::String => ColumnType::Text,
        ElementType::UInt8 => ColumnType::UInt8,
        ElementType::UInt16 => ColumnType::UInt16,
        ElementType::UInt32 => ColumnType::UInt32,
        ElementType::UInt64 => ColumnType::UInt64,
        ElementType::IPv4 => ColumnType::IPv4,
        ElementType::IPv6 => ColumnType::IPv6,
        ElementType::DateTime => ColumnType::DateTime,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_named_like_its_table() {
        for stream_type in StreamType::ALL {
            assert_eq!(stream(stream_type, &[]).unwrap().name, stream_type.table());
        }
    }
}
