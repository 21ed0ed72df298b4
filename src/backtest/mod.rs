//! Holding a rule, or other controls, against the journal's history beside a running switch: going through the records, adding
//! up what is found, and the backtests that were asked for over the interface, one after the other. What would have come of a
//! request is decided in `engine::backtest`; what is printed lives with the command line.

pub mod desk;
pub mod findings;
pub mod history;
