//! The numbers of the configuration that decisions depend on. Reading the configuration does not live here.

use serde::{Deserialize, Serialize};

/// Numbers that decisions depend on; journalled, so that a replay has the ones of its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineSettings {
    /// How long a repeat gets the first answer from memory.
    pub first_answer_retention_ms: i64,
    /// How long a reversal is remembered for an original still to come.
    pub reversal_retention_ms: i64,
    /// How long a closed authorization can be named by a later message.
    pub closed_retention_ms: i64,
    /// How long an idempotency key holds its first response.
    pub idempotency_retention_ms: i64,
    pub hold_expiry_ms: i64,
    pub open_holds_per_account_max: u32,
    /// Over all accounts of a shard; above it authorizations are refused, nothing is evicted.
    pub open_holds_per_shard_max: u64,
    /// Closed authorizations that a shard remembers; above it the one closed first is forgotten.
    pub closed_per_shard_max: u64,
    /// What idempotency keys and their responses may take in memory, and of it those of one tenant.
    pub idempotency_bytes_max: u64,
    pub idempotency_bytes_of_tenant_max: u64,
    /// How long an API key that was revoked or has expired is still known.
    pub ended_api_key_retention_ms: i64,
    /// How long an exception that is over is still known.
    pub past_exception_retention_ms: i64,
    /// So many requests of a day (UTC) may state a wrong expiry, CVV, PIN or cryptogram of one card; after them nothing of it
    /// is looked at on that day. Zero: as many as there are.
    pub verification_tries_per_day_max: u32,
}

impl Default for EngineSettings {
    fn default() -> EngineSettings {
        EngineSettings {
            first_answer_retention_ms: 15 * 60_000,
            reversal_retention_ms: 24 * 3_600_000,
            closed_retention_ms: 24 * 3_600_000,
            idempotency_retention_ms: 24 * 3_600_000,
            hold_expiry_ms: 7 * 24 * 3_600_000,
            open_holds_per_account_max: 100_000,
            open_holds_per_shard_max: 10_000_000,
            closed_per_shard_max: 1_000_000,
            idempotency_bytes_max: 1 << 30,
            idempotency_bytes_of_tenant_max: 128 << 20,
            ended_api_key_retention_ms: 30 * 24 * 3_600_000,
            past_exception_retention_ms: 90 * 24 * 3_600_000,
            verification_tries_per_day_max: 10,
        }
    }
}
