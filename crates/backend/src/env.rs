//! The process environment as a store.
