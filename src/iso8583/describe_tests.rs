//! Tests of `describe.rs`.
