//! Risk rules: conditions that a customer writes in CEL, read once and then evaluated for every request.
//! What a match does to a decision does not live here (see `rules/risk_rules.rs`).

pub mod change;
pub mod compile;
pub mod expression;
pub mod fact_list;
pub mod fact_values;
pub mod rule;
mod tokens;
mod typing;
