//! Of a journal record as JSON, what is about programs. All else of it is in `record_json.rs`.

use crate::api::{controls_json, guarded, hold_expiry_json};
use crate::engine::fees::schedule::ProgramFees;
use crate::engine::ids::AccountId;
use crate::engine::programs::{
    Bin, BinFacts, ChangeProgram, LimitThresholds, Program, ProgramStatus,
};
use crate::engine::registry::{RegistryAction, RegistryEvent};
use serde_json::{Value, json};

pub(super) fn action(action: &RegistryAction) -> Value {
    match action {
        RegistryAction::CreateProgram(program) => create_program(program),
        RegistryAction::ChangeProgram(change) => change_program(change),
        action => panic!("this is not about a program: {action:?}"),
    }
}

pub(super) fn event(event: &RegistryEvent) -> Value {
    match event {
        RegistryEvent::ProgramCreated { version } => {
            json!({ "type": "program_created", "registry_version": version })
        }
        RegistryEvent::ProgramChanged { version } => {
            json!({ "type": "program_changed", "registry_version": version })
        }
        event => panic!("this is not about a program: {event:?}"),
    }
}

fn create_program(program: &Program) -> Value {
    json!({
        "type": "create_program",
        "program_id": program.id.to_string(),
        "name": program.name,
        "network": program.network,
        "bin": program.bin,
        "bins": program.bins().collect::<Vec<&Bin>>(),
        "bin_facts": bin_facts(&program.bin_facts),
        "currency": program.currency.alpha(),
        "product_type": program.product_type,
        "region": program.region,
        "foreign_exchange_mark_up_basis_points": program.foreign_exchange_mark_up_basis_points,
        "fee_schedule_id": program.fees.map(|fees| fees.fee_schedule_id.to_string()),
        "hold_expiry": hold_expiry_json::to_json(&program.hold_expiry),
        "controls": controls_json::to_json(&program.controls),
        "second_approver": guarded::policy_json(&program.second_approver),
        "limit_threshold_percents": program.limit_threshold_percents.percents(),
        "master_account_id": program.master_account_id.map(|id| id.to_string()),
    })
}

/// What is said of single BINs; `null` is the program's own.
fn bin_facts(all: &[BinFacts]) -> Vec<Value> {
    let json = |facts: &BinFacts| {
        json!({
            "bin": facts.bin,
            "network": facts.network,
            "region": facts.region,
            "product_type": facts.product_type,
        })
    };
    all.iter().map(json).collect()
}

fn master_account(id: Option<AccountId>) -> String {
    id.map_or("none".to_owned(), |id| id.to_string())
}

fn fee_schedule(fees: Option<ProgramFees>) -> String {
    fees.map_or("none".to_owned(), |fees| fees.fee_schedule_id.to_string())
}

/// What stays as it is is `null`.
fn change_program(change: &ChangeProgram) -> Value {
    json!({
        "type": "change_program",
        "program_id": change.id.to_string(),
        "name": change.name,
        "bins": change.bins,
        "bin_facts": change.bins.as_ref().map(|_| bin_facts(&change.bin_facts)),
        "product_type": change.product_type,
        "region": change.region,
        "status": change.status.map(ProgramStatus::name),
        "foreign_exchange_mark_up_basis_points": change.foreign_exchange_mark_up_basis_points,
        "fee_schedule_id": change.fees.map(fee_schedule),
        "hold_expiry": change.hold_expiry.as_ref().map(hold_expiry_json::to_json),
        "controls": change.controls.as_ref().map(controls_json::to_json),
        "second_approver": change.second_approver.as_ref().map(guarded::policy_json),
        "limit_threshold_percents": change.limit_threshold_percents.as_ref().map(LimitThresholds::percents),
        "master_account_id": change.master_account_id.map(master_account),
    })
}
