//! The authorization that a simulated message is about, where a message can be about it.

use super::What;
use super::asked::Asked;
use crate::api::error::ApiError;
use crate::api::{ApiState, accounts, authorizations};
use crate::engine::ids::AuthorizationId;
use crate::engine::money::Currency;
use crate::engine::reason::DeclineReason;
use crate::store::rows::AuthorizationRow;
use std::sync::Arc;

/// As a body names it in this field.
pub async fn about(
    state: &Arc<ApiState>,
    id: AuthorizationId,
    param: &str,
) -> Result<AuthorizationRow, ApiError> {
    let found = authorizations::find(state, id).await;
    let mut row = found.map_err(|error| error.with_param(param))?.row;
    let Some(account_id) = row.account_id else {
        let message = "it is of a card that nobody issued, and so of no card that can be simulated";
        return Err(ApiError::conflict("card_not_issued", message).with_param(param));
    };
    // Messages name it by numbers, and these are the other one's: it is that one which would be reversed or cleared.
    if row.reason == Some(DeclineReason::DuplicateTransmission) && param != "repeat_of" {
        let message = format!(
            "{param} was declined as a message with the numbers of another one, so what names it is about that other: name that"
        );
        return Err(ApiError::conflict("duplicate_transmission", message).with_param(param));
    }
    row.currency = accounts::find(state, account_id).await?.currency;
    if row.transaction_currency == Currency::ABSENT {
        row.transaction_currency = row.currency;
    }
    Ok(row)
}

/// Of an authorization whose kind no dialect has a word for, where the message has to repeat it.
pub fn of_other_kind(what: What, asked: &Asked) -> ApiError {
    let param = match asked.repeat_of {
        Some(_) => "repeat_of",
        None => "authorization_id",
    };
    let or_say = match what {
        What::Authorization | What::Advice => ", or say another `kind`",
        _ => "",
    };
    let message = format!(
        "{param} takes an authorization of a kind that messages can say (docs/kinds.md), and this one is `other`: name one of another kind{or_say}"
    );
    ApiError::invalid("network_cannot_say", param, message)
}
