//! The registry: names and types of elements, for people and for declarations.
//!
//! Decoding never asks it: a template says all that is needed to read a record.

mod iana;
mod vas_experts;

use std::borrow::Cow;
use std::collections::HashMap;

use thiserror::Error;

use crate::element::{Element, ElementInfo, ElementType};

/// One line of the built-in tables.
type Entry = (u16, &'static str, ElementType);

/// The elements that are known, and those that the user has declared.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    elements: HashMap<Element, ElementInfo>,
    by_name: HashMap<String, Element>,
}

/// Why an element cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegistryError {
    /// The element is there already and means something else.
    #[error("element {element} is already known as {name}")]
    Known {
        /// The element.
        element: Element,
        /// Its name.
        name: String,
    },
    /// Another element has that name.
    #[error("the name {name} already belongs to element {element}")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        element: Element,
    },
}

impl Registry {
    /// A registry without elements.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A registry of IANA's common flow elements and those of VAS Experts (PEN 43823).
    pub fn standard() -> Self {
        let mut registry = Self::empty();
        let iana = iana::ELEMENTS.iter().map(|entry| (Element::iana(entry.0), entry));
        let vas_experts = vas_experts::ELEMENTS.iter().map(|entry| (Element::vas_experts(entry.0), entry));
        for (element, &(_, name, element_type)) in iana.chain(vas_experts) {
            registry.insert(ElementInfo { element, name: Cow::Borrowed(name), element_type });
        }
        registry
    }

    /// What is known of an element.
    pub fn lookup(&self, element: Element) -> Option<&ElementInfo> {
        self.elements.get(&element)
    }

    /// The element of that name.
    pub fn by_name(&self, name: &str) -> Option<&ElementInfo> {
        self.elements.get(self.by_name.get(name)?)
    }

    /// Adds an element. Adding the same again changes nothing.
    ///
    /// # Errors
    /// If the element or the name is taken by something else.
    pub fn add(&mut self, info: ElementInfo) -> Result<(), RegistryError> {
        if let Some(known) = self.lookup(info.element) {
            if *known == info {
                return Ok(());
            }
            return Err(RegistryError::Known { element: info.element, name: known.name.to_string() });
        }
        if let Some(&element) = self.by_name.get(info.name.as_ref()) {
            return Err(RegistryError::NameTaken { name: info.name.into_owned(), element });
        }
        self.insert(info);
        Ok(())
    }

    /// All elements, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &ElementInfo> {
        self.elements.values()
    }

    fn insert(&mut self, info: ElementInfo) {
        self.by_name.insert(info.name.to_string(), info.element);
        self.elements.insert(info.element, info);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_elements_are_found_by_number_and_by_name() {
        let registry = Registry::standard();
        let octets = registry.lookup(Element::iana(1)).unwrap();
        assert_eq!((octets.name.as_ref(), octets.element_type), ("octetDeltaCount", ElementType::Unsigned64));
        assert_eq!(registry.by_name("sessionId").unwrap().element, Element::vas_experts(2000));
        assert_eq!(registry.lookup(Element::iana(60_000)), None);
    }

    #[test]
    fn no_number_and_no_name_is_listed_twice() {
        let listed = iana::ELEMENTS.len() + vas_experts::ELEMENTS.len();
        let registry = Registry::standard();
        assert_eq!(registry.elements.len(), listed);
        assert_eq!(registry.by_name.len(), listed);
    }

    #[test]
    fn elements_are_added_once() {
        let mut registry = Registry::standard();
        let info = ElementInfo {
            element: Element::vas_experts(3311),
            name: Cow::Borrowed("pgwControlTeid"),
            element_type: ElementType::Unsigned32,
        };
        assert_eq!(registry.add(info.clone()), Ok(()));
        assert_eq!(registry.add(info.clone()), Ok(()));
        assert_eq!(registry.by_name("pgwControlTeid"), Some(&info));
        let other = ElementInfo { name: Cow::Borrowed("else"), ..info.clone() };
        assert!(matches!(registry.add(other), Err(RegistryError::Known { .. })));
        let other = ElementInfo { element: Element::vas_experts(3312), ..info };
        assert!(matches!(registry.add(other), Err(RegistryError::NameTaken { .. })));
    }
}
