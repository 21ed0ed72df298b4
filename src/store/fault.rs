//! Where a test has the projection die, in the middle of a transaction.

use std::sync::Arc;

/// Where a fault hook may strike.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchStep {
    Begun,
    PositionMoved,
    ObjectsInserted,
    AuthorizationsInserted,
    RowsInserted,
    AuthorizationsChanged,
    AccountsMoved,
    StatusesSet,
    Committed,
}

impl BatchStep {
    pub const ALL: &'static [BatchStep] = &[
        BatchStep::Begun,
        BatchStep::PositionMoved,
        BatchStep::ObjectsInserted,
        BatchStep::AuthorizationsInserted,
        BatchStep::RowsInserted,
        BatchStep::AuthorizationsChanged,
        BatchStep::AccountsMoved,
        BatchStep::StatusesSet,
        BatchStep::Committed,
    ];
}

/// True where the projector is to die.
#[doc(hidden)]
pub type Fault = Arc<dyn Fn(BatchStep) -> bool + Send + Sync>;
