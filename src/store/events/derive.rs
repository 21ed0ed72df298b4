//! Which events a record is: types and contents. Where they happened and who wants them is `fold.rs`.

use super::about::Subject;
use super::approvals;
use super::balances;
use super::exceptions;
use super::fold::{Content, Draft, EventContext, text_of};
use super::links;
use super::money;
use super::tokens;
use super::types::EventType;
use crate::engine::command::{Action, StatusChange};
use crate::engine::event::{Event, Flags, ResolvedTo};
use crate::engine::ids::{AuthorizationId, WebhookEndpointId};
use crate::engine::record::Record;
use crate::engine::registry::{RegistryAction, RegistryEvent};
use crate::engine::reissue::ReplaceCard;
use crate::engine::risk::rule::RuleState;
use crate::engine::shipping::ShippingStatus;
use crate::engine::state::{AccountStatus, CardStatus};
use crate::engine::three_ds::Authentication;
use crate::engine::verification_tries::is_last_try;
use crate::json::three_ds;
use crate::store::from_fees;
use crate::store::from_message::{
    advice_of, request_of, resolved_of, reversal_row, undoing_of, withheld_of,
};
use crate::store::from_posting::{self, Purchase};
use crate::store::row_json;
use crate::store::rows::{
    AuthorizationResult, AuthorizationRow, AuthorizationStatus, FeeRow, MessageName, Sequence,
    TransactionType,
};
use serde_json::json;

/// The events of a record, whose own rows and changes the context has taken in already.
pub(super) fn of_record(context: &EventContext, sequence: Sequence, record: &Record) -> Vec<Draft> {
    let mut drafts = of_message(context, sequence, record);
    drafts.extend(of_authentication(context, record));
    drafts.extend(of_transaction(context, sequence, record));
    drafts.extend(balances::thresholds_reached(context, record));
    match record {
        Record::Shard { command, event, .. } => {
            drafts.extend(of_shard(context, &command.action, event));
            drafts.extend(tokens::of_shard(context, &command.action, event));
            drafts.extend(money::of_shard(sequence, command, event));
            drafts.extend(of_fees(context, sequence, record));
        }
        Record::Registry { command, event, .. } => {
            drafts.extend(of_registry(context, sequence, &command.action, event));
        }
    }
    // What it was that moved a balance comes first.
    drafts.extend(balances::balances_updated(context, record));
    drafts
}

fn about_authorization(
    context: &EventContext,
    id: AuthorizationId,
    event_type: EventType,
) -> Option<Draft> {
    let row = context.authorizations.get(&id)?;
    Some(Draft {
        event_type,
        subject: Subject::Payment(row.card_id, row.account_id),
        content: vec![("authorization", context.authorization_json(row))],
    })
}

/// What a message, or the end of a hold, made of an authorization.
fn of_message(context: &EventContext, sequence: Sequence, record: &Record) -> Vec<Draft> {
    let one = |id, event_type| {
        let draft = about_authorization(context, id, event_type);
        draft.into_iter().collect()
    };
    if let Some((authorize, authorized)) = request_of(record) {
        let id = authorize.authorization_id;
        let Some(row) = context.authorizations.get(&id) else {
            return Vec::new();
        };
        return match (of_result(row), &authorized.increased) {
            // The customer decides first.
            (None, _) => one(id, EventType::AuthorizationRequested),
            (Some(EventType::AuthorizationDeclined), _) => {
                one(id, EventType::AuthorizationDeclined)
            }
            (Some(_), Some(increased)) => {
                let increment = context.authorization_json(row);
                let mut drafts: Vec<Draft> = one(
                    increased.authorization_id,
                    EventType::AuthorizationIncremented,
                );
                for draft in &mut drafts {
                    draft.content.push(("increment", increment.clone()));
                }
                drafts
            }
            (Some(event_type), None) => one(id, event_type),
        };
    }
    if advice_of(record).is_some() {
        return of_advice(context, record);
    }
    if let Some((resolve, resolved)) = resolved_of(record) {
        let id = resolve.authorization_id;
        let row = context.authorizations.get(&id);
        let decided = !matches!(resolved.to, ResolvedTo::NothingWaits);
        let event_type = row.and_then(of_result).filter(|_| decided);
        return event_type.map_or_else(Vec::new, |event_type| one(id, event_type));
    }
    if let Some((withhold, withheld)) = withheld_of(record) {
        // An increment, and what it had added to.
        let own = withhold.payment.authorization_id;
        let undone = withheld.undone.map(|undone| undone.authorization_id);
        let original = undone.filter(|id| *id != own);
        let ids = original.into_iter().chain([own]);
        let draft = |id| about_authorization(context, id, EventType::AuthorizationUpdated);
        return ids.filter_map(draft).collect();
    }
    if let Some(undoing) = undoing_of(record) {
        let id = undoing.undone.authorization_id;
        let mut drafts: Vec<Draft> = one(id, EventType::ReversalCreated);
        if let (Some(draft), Some(row)) = (drafts.first_mut(), reversal_row(sequence, record)) {
            let reversal = row_json::reversal(&row);
            draft.content.insert(0, ("reversal", reversal));
        }
        return drafts;
    }
    Vec::new()
}

/// What a request says of the authentication of its cardholder.
fn of_authentication(context: &EventContext, record: &Record) -> Option<Draft> {
    let (authorize, _) = request_of(record)?;
    let event_type = match authorize.three_ds.authentication {
        Authentication::Authenticated => EventType::AuthenticationSucceeded,
        Authentication::Failed => EventType::AuthenticationFailed,
        _ => return None,
    };
    let row = context.authorizations.get(&authorize.authorization_id)?;
    let mut said = three_ds::said(&authorize.three_ds, authorize.initiated_by_merchant);
    said["object"] = json!("authentication");
    Some(Draft {
        event_type,
        subject: Subject::Payment(row.card_id, row.account_id),
        content: vec![
            ("authentication", said),
            ("authorization_id", json!(row.id.to_string())),
        ],
    })
}

fn of_result(row: &AuthorizationRow) -> Option<EventType> {
    match row.result {
        AuthorizationResult::Approved => Some(EventType::AuthorizationApproved),
        AuthorizationResult::PartiallyApproved => Some(EventType::AuthorizationPartiallyApproved),
        AuthorizationResult::Declined => Some(EventType::AuthorizationDeclined),
        AuthorizationResult::Recorded => Some(EventType::AuthorizationUpdated),
        AuthorizationResult::Waiting => None,
    }
}

/// Of an advice that has a row: a hold of its own, an amount in place of another, or a decline that we are told of.
/// Of what posts money, the transaction speaks.
fn of_advice(context: &EventContext, record: &Record) -> Vec<Draft> {
    let id = crate::store::from_message::authorization_id_of(record);
    let Some(row) = id.and_then(|id| context.authorizations.get(&id)) else {
        return Vec::new();
    };
    let posts = matches!(row.message, MessageName::FinancialAdvice);
    let draft = match (row.status, row.original_authorization_id) {
        (AuthorizationStatus::Merged, Some(original)) => {
            about_authorization(context, original, EventType::AuthorizationUpdated)
        }
        (AuthorizationStatus::Cleared, _) if posts => None,
        _ => of_result(row).and_then(|event_type| about_authorization(context, row.id, event_type)),
    };
    draft.into_iter().collect()
}

/// Money that a message posted.
fn of_transaction(context: &EventContext, sequence: Sequence, record: &Record) -> Vec<Draft> {
    let facts_of = |id| context.facts_of(id);
    let original_of = |id| context.authorizations.get(&id).map(Purchase::of);
    let row = from_posting::transaction_row(sequence, record, facts_of, original_of);
    let Some(row) = row else {
        return Vec::new();
    };
    let links = context.links_json(row.card_id);
    let mut content: Content = vec![("transaction", row_json::transaction(&row, links))];
    if let Some(row) = context.authorizations.get(&row.authorization_id) {
        content.push(("authorization", context.authorization_json(row)));
    }
    let mut types = vec![EventType::TransactionSettled];
    let also = [
        (
            row.flags.contains(Flags::FORCE_POST),
            EventType::TransactionForcePosted,
        ),
        (
            row.flags.contains(Flags::EXCEEDS_HOLD),
            EventType::TransactionOverCleared,
        ),
        (
            row.transaction_type == TransactionType::Refund,
            EventType::TransactionRefunded,
        ),
    ];
    types.extend(also.iter().filter(|(is, _)| *is).map(|(_, also)| *also));
    let draft = |event_type| Draft {
        event_type,
        subject: Subject::Payment(row.card_id, Some(row.account_id)),
        content: content.clone(),
    };
    types.into_iter().map(draft).collect()
}

fn of_shard(context: &EventContext, action: &Action, event: &Event) -> Vec<Draft> {
    let draft = match (action, event) {
        (Action::OpenAccount(open), Event::AccountOpened { .. }) => {
            context.about_account(open.account_id, EventType::AccountCreated)
        }
        (Action::ChangeAccountStatus(change), Event::AccountStatusChanged { to, .. }) => {
            let event_type = match to {
                AccountStatus::Frozen => EventType::AccountFrozen,
                AccountStatus::Active => EventType::AccountUnfrozen,
                AccountStatus::Closed => EventType::AccountClosed,
            };
            context.about_account(change.account_id, event_type)
        }
        // One that could not be paid for never was there for anybody.
        (Action::OpenCard(_), Event::CardOpened { status, .. }) if status.is_closed() => None,
        (Action::OpenCard(open), Event::CardOpened { .. }) => {
            context.about_card(open.card_id, EventType::CardCreated)
        }
        (Action::ReplaceCard(replace), Event::CardReplaced(replaced)) => {
            return of_replaced(context, replace, replaced.to);
        }
        (Action::RenewCard(renew), Event::CardRenewed(_)) => {
            context.about_card(renew.card_id, EventType::CardRenewed)
        }
        (Action::Authorize(authorize), Event::Authorized(authorized))
            if is_last_try(authorized) =>
        {
            let event_type = EventType::CardVerificationTriesExceeded;
            context.about_card(authorize.card_id, event_type)
        }
        (Action::ExpireCard(expire), Event::CardExpired) => {
            context.about_card(expire.card_id, EventType::CardExpired)
        }
        (Action::ChangeAccount(change), Event::AccountChanged) if change.controls.is_some() => {
            let id = change.account_id;
            Some(controls_changed("account", id, Subject::Account(id)))
        }
        (Action::ReleaseHold(release), Event::HoldReleased { .. }) => {
            let id = release.authorization_id;
            let draft = about_authorization(context, id, EventType::AuthorizationExpired);
            draft.map(|mut draft| {
                draft.content.push(("cause", json!(release.cause.name())));
                draft
            })
        }
        _ => of_changed_card(context, action, event),
    };
    draft.into_iter().collect()
}

fn of_changed_card(context: &EventContext, action: &Action, event: &Event) -> Option<Draft> {
    match (action, event) {
        (Action::ChangeCardStatus(change), Event::CardStatusChanged { from, to, .. }) => {
            let event_type = of_card_status(change.change, *from, *to);
            let draft =
                event_type.and_then(|event_type| context.about_card(change.card_id, event_type));
            draft.map(|draft| with_reason(draft, *to))
        }
        // What is new of the holder that it has is no event of the card.
        (Action::ChangeCardHolder(change), Event::CardHolderChanged { from })
            if *from != Some(change.holder.id) =>
        {
            let draft = context.about_card(change.card_id, EventType::CardCardholderChanged);
            draft.map(|mut draft| {
                let id = change.holder.id.to_string();
                let previous_id = from.map(|id| id.to_string());
                let cardholder = json!({ "id": id, "previous_id": previous_id });
                draft.content.push(("cardholder", cardholder));
                draft
            })
        }
        (Action::ChangeShipping(change), Event::ShippingChanged { .. }) => {
            let draft = context.about_card(change.card_id, EventType::CardShippingUpdated);
            draft.map(|mut draft| {
                let parcel = json!({
                    "carrier": change.parcel.carrier,
                    "tracking_number": change.parcel.tracking_number,
                    "eta": change.parcel.eta,
                });
                let is_sent = change.to == ShippingStatus::Shipped;
                draft.content.extend(is_sent.then_some(("parcel", parcel)));
                draft
            })
        }
        (Action::ChangeCardControls(change), Event::CardControlsChanged) => {
            let draft = context.about_card(change.card_id, EventType::LimitUpdated);
            draft.map(|mut draft| {
                let owner = json!({ "object": "card", "id": change.card_id.to_string() });
                draft.content.push(("owner", owner));
                draft
            })
        }
        _ => None,
    }
}

/// The controls of what is no card.
fn controls_changed(object: &str, id: impl ToString, subject: Subject) -> Draft {
    Draft {
        event_type: EventType::LimitUpdated,
        subject,
        content: vec![("owner", json!({ "object": object, "id": id.to_string() }))],
    }
}

/// Why a card is blocked or closed: the record says it, and no table keeps it.
fn with_reason(mut draft: Draft, to: CardStatus) -> Draft {
    for (name, card) in &mut draft.content {
        if *name == "card" {
            card["status_reason"] = json!(to.reason());
        }
    }
    draft
}

fn of_replaced(context: &EventContext, replace: &ReplaceCard, to: CardStatus) -> Vec<Draft> {
    let old = context.about_card(replace.replaces, EventType::CardReissued);
    let mut old = old.map(|draft| with_reason(draft, to));
    if let Some(draft) = &mut old {
        let by = json!(replace.card_id.to_string());
        draft.content.push(("replaced_by", by));
        let reason = json!(replace.reason.name());
        draft.content.push(("reason", reason));
    }
    let new = context.about_card(replace.card_id, EventType::CardCreated);
    old.into_iter().chain(new).collect()
}

/// Whatever a record charges, after what it was charged for.
fn of_fees(context: &EventContext, sequence: Sequence, record: &Record) -> Vec<Draft> {
    let rows = from_fees::fee_rows(sequence, record).into_iter();
    let draft = |mut row: FeeRow| {
        let subject = match row.card_id {
            Some(id) => Subject::Payment(id, Some(row.account_id)),
            None => Subject::Account(row.account_id),
        };
        let owner = || context.first_card_of_own_account(row.account_id);
        row.card_id = row.card_id.or_else(owner);
        let links = row.card_id.map(|id| context.links_json(id));
        Draft {
            event_type: EventType::FeeCharged,
            subject,
            content: vec![("fee", row_json::fee(&row, links.unwrap_or_default()))],
        }
    };
    rows.map(draft).collect()
}

fn of_card_status(change: StatusChange, from: CardStatus, to: CardStatus) -> Option<EventType> {
    match change {
        _ if from == to => None,
        StatusChange::Activate => Some(EventType::CardActivated),
        StatusChange::Freeze => Some(EventType::CardFrozen),
        StatusChange::Unfreeze => Some(EventType::CardUnfrozen),
        StatusChange::Close => Some(EventType::CardClosed),
        StatusChange::Block
        | StatusChange::BlockLost
        | StatusChange::BlockStolen
        | StatusChange::BlockFraud => Some(EventType::CardBlocked),
    }
}

fn of_registry(
    context: &EventContext,
    sequence: Sequence,
    action: &RegistryAction,
    event: &RegistryEvent,
) -> Vec<Draft> {
    let draft = match (action, event) {
        (RegistryAction::RevealCard(reveal), RegistryEvent::CardRevealed) => {
            let draft = context.about_card(reveal.card_id, EventType::CardRevealed);
            draft.map(|mut draft| {
                let by = json!({ "api_key_id": reveal.api_key_id, "reason": reveal.reason });
                draft.content.push(("reveal", by));
                draft
            })
        }
        (
            RegistryAction::ChangeRiskRule { rule_id, .. },
            RegistryEvent::RiskRuleChanged {
                to: RuleState::Active,
                program_id,
                ..
            },
        ) => Some(Draft {
            event_type: EventType::RulePromoted,
            subject: Subject::OfProgram(*program_id, rule_id.to_string()),
            content: vec![(
                "rule",
                json!({ "id": rule_id.to_string(), "object": "rule", "state": RuleState::Active.name() }),
            )],
        }),
        (RegistryAction::RequestApproval(wanted), RegistryEvent::ApprovalChanged { .. }) => {
            Some(approvals::of_requested(wanted))
        }
        (RegistryAction::ChangeApproval(change), RegistryEvent::ApprovalChanged { to, place }) => {
            approvals::of_changed(change, *to, place)
        }
        (
            RegistryAction::DisableWebhookEndpoint { id, .. },
            RegistryEvent::WebhookEndpointDisabled { state, .. },
        ) => Some(Draft {
            event_type: EventType::WebhookEndpointDisabled,
            subject: of_endpoint(context, *id),
            content: vec![(
                "webhook_endpoint",
                json!({ "id": id.to_string(), "object": "webhook_endpoint", "status": state.name() }),
            )],
        }),
        (RegistryAction::ChangeLinkStatus(change), RegistryEvent::LinkStatusChanged { .. }) => {
            return links::of_change(context, (&change.key, change.to), sequence);
        }
        (RegistryAction::TellCardsOfLink(_), RegistryEvent::CardsOfLinkTold) => {
            return links::of_piece(context);
        }
        _ => of_controls(action, event),
    };
    draft.into_iter().collect()
}

/// Exceptions from controls, and the controls of what is of no account tree.
fn of_controls(action: &RegistryAction, event: &RegistryEvent) -> Option<Draft> {
    match (action, event) {
        (RegistryAction::RequestException(wanted), RegistryEvent::ExceptionRequested { link }) => {
            Some(exceptions::of_requested(wanted, link.as_ref()))
        }
        (
            RegistryAction::ChangeException(change),
            RegistryEvent::ExceptionChanged { to, link, of, .. },
        ) => exceptions::of_changed((change, *to), of, link.as_ref()),
        (RegistryAction::ExpireException(_), RegistryEvent::ExceptionExpired { of, link }) => {
            Some(exceptions::of_expired(of, link.as_ref()))
        }
        (RegistryAction::ChangeProgram(change), RegistryEvent::ProgramChanged { .. })
            if change.controls.is_some() =>
        {
            let subject = Subject::OfProgram(change.id, change.id.to_string());
            Some(controls_changed("program", change.id, subject))
        }
        (RegistryAction::SetLinkControls(set), RegistryEvent::LinkControlsSet { .. }) => {
            let key = &set.key;
            let subject = Subject::OfLink(key.clone(), text_of(key));
            let mut draft = controls_changed("link", &key.id, subject);
            draft.content[0].1["type"] = json!(key.link_type);
            Some(draft)
        }
        _ => None,
    }
}

/// Who sees the program of one that is of one program alone hears of it: of the only one that its maker sees, or that it names.
fn of_endpoint(context: &EventContext, id: WebhookEndpointId) -> Subject {
    let known = context.endpoints.get(&id).map(|(_, endpoint)| endpoint);
    let programs = known.map(|endpoint| {
        let (own, named) = (&endpoint.bounds, &*endpoint.filter.program_ids);
        let is_own = own.is_unbound() || named.iter().all(|id| own.program_ids.contains(id));
        match is_own && !named.is_empty() {
            true => named,
            false => &*own.program_ids,
        }
    });
    match programs {
        Some([one]) => Subject::OfProgram(*one, id.to_string()),
        _ => Subject::Other(id.to_string()),
    }
}
