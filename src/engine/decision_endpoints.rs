//! Where a customer is asked before an authorization is approved, and what holds when it does not answer. Asking lives in
//! `decision_call`, what an answer comes to in `resolve.rs`.

use super::ids::{ApiKeyId, DecisionEndpointId, ProgramId};
use super::registry::{RegistryEvent, RegistryOutcome, RegistryRefusal, RegistryView};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The endpoint of one program; a program has one at the most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionEndpoint {
    pub id: DecisionEndpointId,
    pub program_id: ProgramId,
    pub url: Box<str>,
    /// From the decision of the switch until the customer's has to be there.
    pub timeout_ms: u32,
    pub fallback: Fallback,
    /// Authorizations wait for it.
    pub enabled: bool,
    /// How often the secret was changed; the secret itself is made by the vault.
    pub secret_version: u32,
    pub created_at: Timestamp,
    /// Whose key made it: its calls take of the share of that tenant.
    pub tenant: Option<ApiKeyId>,
}

/// What holds where the customer gives no usable answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fallback {
    Decline,
    /// In minor units of the account's currency; more is declined.
    ApproveUpTo {
        amount_minor: i64,
    },
}

/// The endpoints of all programs.
#[derive(Debug, Clone, Default)]
pub struct DecisionEndpoints(BTreeMap<ProgramId, Arc<DecisionEndpoint>>);

impl DecisionEndpoints {
    /// Who is to be asked for this program, if anybody.
    pub fn enabled_of(&self, program_id: ProgramId) -> Option<&Arc<DecisionEndpoint>> {
        let endpoint = self.0.get(&program_id)?;
        endpoint.enabled.then_some(endpoint)
    }

    pub fn of_program(&self, program_id: ProgramId) -> Option<&Arc<DecisionEndpoint>> {
        self.0.get(&program_id)
    }

    pub fn get(&self, id: DecisionEndpointId) -> Option<&Arc<DecisionEndpoint>> {
        self.iter().find(|endpoint| endpoint.id == id)
    }

    /// In the order of their programs.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<DecisionEndpoint>> {
        self.0.values()
    }

    pub(super) fn put(&mut self, endpoint: DecisionEndpoint) {
        self.0.insert(endpoint.program_id, Arc::new(endpoint));
    }
}

/// Creates the endpoint, or changes it as a whole.
pub(super) fn decide_put(view: &RegistryView, endpoint: &DecisionEndpoint) -> RegistryOutcome {
    let program_id = endpoint.program_id;
    let known = view.decision_endpoints.of_program(program_id);
    if !view.programs.contains_key(&program_id) {
        return RegistryOutcome::Refused(RegistryRefusal::ProgramNotFound(program_id));
    }
    match known {
        Some(known) if known.id != endpoint.id => {
            RegistryOutcome::Refused(RegistryRefusal::DecisionEndpointTaken(known.id))
        }
        Some(known) if **known == *endpoint => RegistryOutcome::AlreadyDone,
        _ => RegistryOutcome::Event(RegistryEvent::DecisionEndpointPut {
            version: view.version + 1,
        }),
    }
}
