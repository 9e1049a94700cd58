//! The Kubernetes operator: watches `QoeCollector` and `QoeDictionary` objects and makes what they say
//! true.
//!
//! It must never delete data that an object does not ask it to delete, and never restart a receiver
//! for a change that the receiver can load.

pub mod collector;
