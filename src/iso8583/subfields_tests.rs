//! Tests of `subfields.rs`.
