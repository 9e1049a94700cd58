//! Which nodes are fit for a receiver, and what a node lacks. Pure.
