//! What a bound API key sees: where the object is that a path or a body names, held against the key's bounds. What it does
//! not see is not there for it. Lists are bounded in SQL (`store::query`), and those of memory where they are made.

use super::auth::forbidden;
use super::error::ApiError;
use super::{
    ApiState, accounts, ask, authorizations, card_batches, card_links, cardholders, cards, fees,
    links, narrower, tokens, top_ups, transactions, transfers,
};
use crate::engine::api_keys::{Bounds, Place};
use crate::engine::card_batches::BatchProgress;
use crate::engine::exceptions::Subject;
use crate::engine::ids::{
    AccountId, AuthorizationId, CardId, CardholderId, DecisionEndpointId, ExceptionId, FeeId,
    ProgramId, RiskRuleId, TokenId, TopUpId, TransactionId,
};
use crate::engine::links::{KnownLink, LinkedTrees};
use crate::engine::registry::LinkKey;
use crate::shard::reply::Reply;
use crate::shard::request::{RegistryRequest, ShardRequest};
use axum::extract::RawPathParams;
use axum::http::StatusCode;
use std::sync::Arc;

/// What a route is about, so far as that says who sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// What all programs share: only a key that is not bound changes it.
    Everything,
    /// What everybody may see.
    Anything,
    /// The route itself leaves out what the caller does not see.
    Several,
    /// What belongs to an account, a card or a link that its body names.
    Body,
    /// What belongs to the program alone that its body names.
    OfProgram,
    /// The object that its path names.
    Program,
    Account,
    Card,
    Authorization,
    Transaction,
    Rule,
    Cardholder,
    Exception,
    Link,
    DecisionEndpoint,
    CardBatch,
    Transfer,
    TopUp,
    Fee,
    Token,
}

/// Where an object is.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    pub program_id: ProgramId,
    pub accounts: Vec<AccountId>,
    pub links: Vec<(String, String)>,
}

impl Whereabouts {
    pub fn of_program(program_id: ProgramId) -> Whereabouts {
        Whereabouts {
            program_id,
            ..Whereabouts::default()
        }
    }

    pub fn is_within(&self, bounds: &Bounds) -> bool {
        let links = self.links.iter();
        let links: Vec<_> = links.map(|(t, id)| (t.as_str(), id.as_str())).collect();
        bounds.cover(&Place {
            program_id: self.program_id,
            accounts: &self.accounts,
            links: &links,
        })
    }
}

/// Refuses what the key does not see, as if it were not there.
pub async fn check(
    state: &Arc<ApiState>,
    bounds: &Bounds,
    about: About,
    path: &RawPathParams,
) -> Result<(), ApiError> {
    let named = |name: &str| {
        let mut all = path.iter();
        let found = all.find(|(known, _)| *known == name);
        found.map(|(_, value)| value).unwrap_or_default()
    };
    let id = named("id");
    match about {
        About::Anything | About::Several | About::Body => return Ok(()),
        About::OfProgram if is_by_program_alone(bounds) => return Ok(()),
        About::OfProgram => return Err(not_of_program()),
        About::Everything => {
            let message =
                "this API key is bound to a part of what there is, and this is about all of it";
            return Err(forbidden("key_is_bound", message));
        }
        // What is not linked yet is made known by a write in one of its programs (`links::target`).
        About::Link if is_by_program_alone(bounds) => return Ok(()),
        About::Link => return link(state, bounds, named("type"), id).await,
        About::CardBatch => return card_batch(state, bounds, id).await,
        About::Transfer => return transfer(state, bounds, id).await,
        _ => {}
    }
    let place = whereabouts(state, about, id).await?;
    match place.is_some_and(|place| place.is_within(bounds)) {
        true => Ok(()),
        false => Err(unseen(about)),
    }
}

/// The kind of object that has such an id, of those that are in one place.
pub(super) fn about_id(id: &str) -> Option<About> {
    let (prefix, _) = id.rsplit_once('_')?;
    Some(match prefix {
        ProgramId::PREFIX => About::Program,
        AccountId::PREFIX => About::Account,
        CardId::PREFIX => About::Card,
        AuthorizationId::PREFIX => About::Authorization,
        TransactionId::PREFIX => About::Transaction,
        RiskRuleId::PREFIX => About::Rule,
        CardholderId::PREFIX => About::Cardholder,
        ExceptionId::PREFIX => About::Exception,
        DecisionEndpointId::PREFIX => About::DecisionEndpoint,
        TopUpId::PREFIX => About::TopUp,
        FeeId::PREFIX => About::Fee,
        TokenId::PREFIX => About::Token,
        _ => return None,
    })
}

/// Nothing, where there is no such object.
fn found(place: Result<Whereabouts, ApiError>) -> Result<Option<Whereabouts>, ApiError> {
    match place {
        Ok(place) => Ok(Some(place)),
        Err(error) if error.status == StatusCode::NOT_FOUND => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the object of this kind and id is; nothing, where the text is no such id or names nothing.
pub(super) async fn whereabouts(
    state: &Arc<ApiState>,
    about: About,
    id: &str,
) -> Result<Option<Whereabouts>, ApiError> {
    Ok(match about {
        About::Program => id.parse().ok().map(Whereabouts::of_program),
        About::Account => match id.parse() {
            Ok(id) => found(account(state, id).await)?,
            Err(_) => None,
        },
        About::Card => match id.parse() {
            Ok(id) => found(card(state, id).await)?,
            Err(_) => None,
        },
        About::Cardholder => match id.parse() {
            Ok(id) => found(cardholder(state, id).await)?,
            Err(_) => None,
        },
        About::Exception => match id.parse() {
            Ok(id) => found(exception(state, id).await)?,
            Err(_) => None,
        },
        About::Authorization => match id.parse() {
            Ok(id) => found(authorization(state, id).await)?,
            Err(_) => None,
        },
        About::Transaction => match id.parse() {
            Ok(id) => found(transaction(state, id).await)?,
            Err(_) => None,
        },
        About::Rule => {
            let view = ask::view(state).await?;
            let rule = id.parse().ok().and_then(|id| view.risk_rules.get(id));
            rule.map(|loaded| Whereabouts::of_program(loaded.rule.program_id))
        }
        About::DecisionEndpoint => {
            let view = ask::view(state).await?;
            let endpoint = id.parse().ok();
            let endpoint = endpoint.and_then(|id| view.decision_endpoints.get(id));
            endpoint.map(|endpoint| Whereabouts::of_program(endpoint.program_id))
        }
        About::TopUp => match id.parse() {
            Ok(id) => found(top_up(state, id).await)?,
            Err(_) => None,
        },
        About::Fee => match id.parse() {
            Ok(id) => found(fee(state, id).await)?,
            Err(_) => None,
        },
        About::Token => match id.parse() {
            Ok(id) => found(token(state, id).await)?,
            Err(_) => None,
        },
        About::Link
        | About::CardBatch
        | About::Transfer
        | About::Everything
        | About::Anything
        | About::Several
        | About::Body
        | About::OfProgram => None,
    })
}

/// The same words as for what is not there.
pub(super) fn unseen(about: About) -> ApiError {
    let (code, what) = match about {
        About::Program => ("program_not_found", "program"),
        About::Account => ("account_not_found", "account"),
        About::Card => ("card_not_found", "card"),
        About::Authorization => ("authorization_not_found", "authorization"),
        About::Transaction => ("transaction_not_found", "transaction"),
        About::Rule => ("rule_not_found", "rule"),
        About::Cardholder => ("cardholder_not_found", "cardholder"),
        About::Exception => ("exception_not_found", "exception"),
        About::Link => ("link_not_found", "linked object"),
        About::DecisionEndpoint => ("decision_endpoint_not_found", "decision endpoint"),
        About::CardBatch => ("card_batch_not_found", "card batch"),
        About::Transfer => ("transfer_not_found", "transfer"),
        About::TopUp => ("top_up_not_found", "top-up"),
        About::Fee => ("fee_not_found", "fee"),
        About::Token => ("token_not_found", "token"),
        About::Everything | About::Anything | About::Several | About::Body | About::OfProgram => {
            ("not_found", "object")
        }
    };
    ApiError::not_found(code, format!("there is no {what} with this id"))
}

pub(super) async fn account(state: &ApiState, id: AccountId) -> Result<Whereabouts, ApiError> {
    let account = accounts::find(state, id).await?;
    let program_id = account.program_id;
    let (mut line, mut above) = (vec![account.id], account.parent_id);
    while let Some(id) = above {
        line.push(id);
        above = accounts::find(state, id).await?.parent_id;
    }
    // One that was opened for a card is where that card is.
    let links = match card_links::owner(state, account.root, id).await? {
        Some(card_id) => pairs(&cards::issued(state, card_id).await?.1),
        None => Vec::new(),
    };
    Ok(Whereabouts {
        program_id,
        accounts: line,
        links,
    })
}

fn pairs(links: &[LinkKey]) -> Vec<(String, String)> {
    let pair = |link: &LinkKey| (link.link_type.to_string(), link.id.to_string());
    links.iter().map(pair).collect()
}

pub(super) async fn card(state: &ApiState, id: CardId) -> Result<Whereabouts, ApiError> {
    let (issued, links) = cards::issued(state, id).await?;
    let account_id = match ask::shard(state, issued.root, ShardRequest::Card(id)).await? {
        Reply::Card(card) => card.account_id,
        Reply::NotFound => return Err(cards::not_found()),
        reply => return Err(ask::unexpected(&reply)),
    };
    Ok(Whereabouts {
        links: pairs(&links),
        ..account(state, account_id).await?
    })
}

/// A token is where its card is.
async fn token(state: &ApiState, id: TokenId) -> Result<Whereabouts, ApiError> {
    card(state, tokens::find(state, id).await?.0.card_id).await
}

async fn cardholder(state: &ApiState, id: CardholderId) -> Result<Whereabouts, ApiError> {
    let known = cardholders::find(state, id).await?;
    Ok(Whereabouts::of_program(known.cardholder.program_id))
}

async fn exception(state: &ApiState, id: ExceptionId) -> Result<Whereabouts, ApiError> {
    match ask::registry(state, RegistryRequest::Exception(id)).await? {
        Reply::Exception(Some(known)) => subject(state, known.0.subject, known.1.as_ref()).await,
        Reply::Exception(None) => Err(unseen(About::Exception)),
        reply => Err(ask::unexpected(&reply)),
    }
}

async fn subject(
    state: &ApiState,
    subject: Subject,
    link: Option<&LinkKey>,
) -> Result<Whereabouts, ApiError> {
    match (subject, link) {
        (Subject::Card(id), _) => card(state, id).await,
        // Of a linked object are exceptions of its cards and of itself.
        (Subject::Account(id), _) => Ok(Whereabouts {
            links: Vec::new(),
            ..account(state, id).await?
        }),
        (Subject::Link(_), Some(key)) => Ok(Whereabouts {
            program_id: key.program_id,
            accounts: Vec::new(),
            links: vec![(key.link_type.to_string(), key.id.to_string())],
        }),
        (Subject::Link(_), None) => Err(unseen(About::Exception)),
    }
}

async fn authorization(
    state: &Arc<ApiState>,
    id: AuthorizationId,
) -> Result<Whereabouts, ApiError> {
    let row = authorizations::find(state, id).await?.row;
    match row.account_id {
        Some(_) => card(state, row.card_id).await,
        // Of a card that nobody issued.
        None => Err(unseen(About::Authorization)),
    }
}

async fn transaction(state: &Arc<ApiState>, id: TransactionId) -> Result<Whereabouts, ApiError> {
    let row = transactions::find(state, id).await?;
    card(state, row.card_id).await
}

async fn top_up(state: &Arc<ApiState>, id: TopUpId) -> Result<Whereabouts, ApiError> {
    let row = top_ups::find(state, id).await?;
    account(state, row.account_id).await
}

/// It is where its card is, if it is of one, and on the account that paid.
async fn fee(state: &Arc<ApiState>, id: FeeId) -> Result<Whereabouts, ApiError> {
    let row = fees::find(state, id).await?;
    let of_account = account(state, row.account_id).await?;
    let links = match row.card_id {
        Some(id) => card(state, id).await?.links,
        None => Vec::new(),
    };
    Ok(Whereabouts {
        links,
        ..of_account
    })
}

/// Who sees one of its accounts sees a transfer.
async fn transfer(state: &Arc<ApiState>, bounds: &Bounds, id: &str) -> Result<(), ApiError> {
    let Ok(id) = id.parse() else {
        return Err(unseen(About::Transfer));
    };
    let row = match transfers::find(state, id).await {
        Err(error) if error.status == StatusCode::NOT_FOUND => {
            return Err(unseen(About::Transfer));
        }
        found => found?,
    };
    for id in [row.from_account_id, row.to_account_id] {
        let place = found(account(state, id).await)?;
        if place.is_some_and(|place| place.is_within(bounds)) {
            return Ok(());
        }
    }
    Err(unseen(About::Transfer))
}

/// Some program has a linked object of this type and id that the key sees. Those of others do not concern it.
pub(super) async fn link(
    state: &ApiState,
    bounds: &Bounds,
    link_type: &str,
    id: &str,
) -> Result<(), ApiError> {
    let known = links::find(state, &(link_type.into(), id.into())).await?;
    match known.iter().any(|known| sees_link(bounds, known)) {
        true => Ok(()),
        false => Err(unseen(About::Link)),
    }
}

/// A linked object is seen in a program and a tree of the key's bounds.
pub(super) fn sees_link(bounds: &Bounds, known: &KnownLink) -> bool {
    let accounts = match known.trees {
        LinkedTrees::One(root) => vec![root],
        LinkedTrees::None | LinkedTrees::Several => Vec::new(),
    };
    let LinkKey {
        program_id,
        link_type,
        id,
    } = &known.key;
    let place = Whereabouts {
        program_id: *program_id,
        accounts,
        links: vec![(link_type.to_string(), id.to_string())],
    };
    place.is_within(bounds)
}

async fn card_batch(state: &Arc<ApiState>, bounds: &Bounds, id: &str) -> Result<(), ApiError> {
    let unseen = || unseen(About::CardBatch);
    let id = id.parse().map_err(|_| unseen())?;
    let progress = card_batches::find(state, id).await?;
    match sees_batch(state, bounds, &progress).await? {
        true => Ok(()),
        false => Err(unseen()),
    }
}

/// A key sees the batches of keys that see no more than it does.
pub async fn sees_batch(
    state: &Arc<ApiState>,
    bounds: &Bounds,
    progress: &BatchProgress,
) -> Result<bool, ApiError> {
    match &progress.order.bounds {
        Some(inner) => narrower::are_within(state, bounds, inner).await,
        None => Ok(false),
    }
}

pub(super) fn is_by_program_alone(bounds: &Bounds) -> bool {
    bounds.account_ids.is_empty() && bounds.links.is_empty()
}

fn not_of_program() -> ApiError {
    let message = "this API key is bound by account or link, and this is for a whole program";
    forbidden("key_is_bound", message)
}
