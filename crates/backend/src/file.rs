//! Files as a store.
