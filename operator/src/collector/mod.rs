//! One `QoeCollector`, in steps that each have a file: dereference (find what it names), validate,
//! build (pure), roll (pure), apply, update status. Only the outer steps hold a client.

pub mod build;
pub mod nodes;
pub mod validated;
