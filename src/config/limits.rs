//! The section `[limits]`: bounds and times that decisions depend on. What they do is in `engine`.

use super::WrongKey;
use crate::engine::approvals::APPROVAL_VALID_MS;
use crate::engine::hold_expiry::HOLD_HOURS_MAX;
use crate::engine::registry::EngineSettings;
use serde::Deserialize;

const APPROVAL_VALID_DAYS: u32 = (APPROVAL_VALID_MS / (24 * 3_600_000)) as u32;
/// Longest that something past is still known.
const DAYS_MAX: u32 = 100 * 366;
/// More would be no bound: all CVVs are 1,000.
const VERIFICATION_TRIES_MAX: u32 = 1_000;

/// Bounds and times that decisions depend on; a change is journalled at the next start.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub first_answer_minutes: u32,
    pub reversal_hours: u32,
    pub closed_hours: u32,
    pub idempotency_hours: u32,
    pub hold_days: u32,
    pub open_holds_per_account_max: u32,
    pub open_holds_per_shard_max: u64,
    pub closed_per_shard_max: u64,
    pub idempotency_mib_max: u32,
    pub idempotency_mib_of_tenant_max: u32,
    pub ended_api_key_days: u32,
    pub past_exception_days: u32,
    pub verification_tries_per_day_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        let settings = EngineSettings::default();
        Limits {
            first_answer_minutes: 15,
            reversal_hours: 24,
            closed_hours: 24,
            idempotency_hours: 24,
            hold_days: 7,
            open_holds_per_account_max: settings.open_holds_per_account_max,
            open_holds_per_shard_max: settings.open_holds_per_shard_max,
            closed_per_shard_max: settings.closed_per_shard_max,
            idempotency_mib_max: 1_024,
            idempotency_mib_of_tenant_max: 128,
            ended_api_key_days: 30,
            past_exception_days: 90,
            verification_tries_per_day_max: settings.verification_tries_per_day_max,
        }
    }
}

impl Limits {
    pub fn engine_settings(&self) -> EngineSettings {
        const MINUTE_MS: i64 = 60_000;
        let days = |days: u32| i64::from(days) * 24 * 60 * MINUTE_MS;
        let mib = |mib: u32| u64::from(mib) << 20;
        EngineSettings {
            first_answer_retention_ms: i64::from(self.first_answer_minutes) * MINUTE_MS,
            reversal_retention_ms: i64::from(self.reversal_hours) * 60 * MINUTE_MS,
            closed_retention_ms: i64::from(self.closed_hours) * 60 * MINUTE_MS,
            idempotency_retention_ms: i64::from(self.idempotency_hours) * 60 * MINUTE_MS,
            hold_expiry_ms: days(self.hold_days),
            open_holds_per_account_max: self.open_holds_per_account_max,
            open_holds_per_shard_max: self.open_holds_per_shard_max,
            closed_per_shard_max: self.closed_per_shard_max,
            idempotency_bytes_max: mib(self.idempotency_mib_max),
            idempotency_bytes_of_tenant_max: mib(self.idempotency_mib_of_tenant_max),
            ended_api_key_retention_ms: days(self.ended_api_key_days),
            past_exception_retention_ms: days(self.past_exception_days),
            verification_tries_per_day_max: self.verification_tries_per_day_max,
        }
    }

    /// Nothing that is to be remembered may be forgotten at once, and a hold not end with its placing.
    pub(super) fn check(&self) -> Result<(), WrongKey> {
        for (key, value, most) in [
            (
                "first_answer_minutes",
                self.first_answer_minutes,
                7 * 24 * 60,
            ),
            ("reversal_hours", self.reversal_hours, HOLD_HOURS_MAX),
            ("closed_hours", self.closed_hours, HOLD_HOURS_MAX),
            ("idempotency_hours", self.idempotency_hours, HOLD_HOURS_MAX),
            ("hold_days", self.hold_days, HOLD_HOURS_MAX / 24),
            ("idempotency_mib_max", self.idempotency_mib_max, u32::MAX),
            (
                "idempotency_mib_of_tenant_max",
                self.idempotency_mib_of_tenant_max,
                u32::MAX,
            ),
            ("past_exception_days", self.past_exception_days, DAYS_MAX),
        ] {
            if !(1..=most).contains(&value) {
                let what = format!("[limits] `{key}` must be 1 to {most}");
                return Err(WrongKey::new(&["limits", key], &what));
            }
        }
        // What a message needs of the forgotten comes back for as long as it takes to decide it.
        if self.closed_per_shard_max == 0 {
            let key = "closed_per_shard_max";
            let what = format!("[limits] `{key}` must be 1 or more");
            return Err(WrongKey::new(&["limits", key], &what));
        }
        if self.verification_tries_per_day_max > VERIFICATION_TRIES_MAX {
            let key = "verification_tries_per_day_max";
            let what = format!("[limits] `{key}` must be 0 (no bound) to {VERIFICATION_TRIES_MAX}");
            return Err(WrongKey::new(&["limits", key], &what));
        }
        // What a key asked for is still approved while it waits, where the key was rolled meanwhile.
        if !(APPROVAL_VALID_DAYS..=DAYS_MAX).contains(&self.ended_api_key_days) {
            let what = format!(
                "[limits] `ended_api_key_days` must be {APPROVAL_VALID_DAYS} (as long as approvals wait) to {DAYS_MAX}"
            );
            return Err(WrongKey::new(&["limits", "ended_api_key_days"], &what));
        }
        Ok(())
    }
}
