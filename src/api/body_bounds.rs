//! What the body of a write may name: held against the bounds of the key. The objects of paths are in `bounds.rs`.

use super::auth::forbidden;
use super::bounds::{About, Whereabouts, account, is_by_program_alone, link, unseen, whereabouts};
use super::error::ApiError;
use super::fields::Fields;
use super::{ApiState, accounts, links};
use crate::engine::api_keys::Bounds;
use crate::engine::ids::ProgramId;
use crate::engine::links::LinkedTrees;
use std::sync::Arc;

/// Objects that a body may name, by the names that every route gives them.
const NAMED: [(&str, About); 11] = [
    ("account_id", About::Account),
    ("master_account_id", About::Account),
    ("parent_id", About::Account),
    ("from_account_id", About::Account),
    ("to_account_id", About::Account),
    ("card_id", About::Card),
    ("cardholder_id", About::Cardholder),
    ("program_id", About::Program),
    ("authorization_id", About::Authorization),
    ("repeat_of", About::Authorization),
    ("token_id", About::Token),
];

/// Between these money is moved, and nothing is made.
const MOVES: [&str; 2] = ["from_account_id", "to_account_id"];

/// Refuses a body that names what the key does not see, or that would make something outside of its bounds.
pub async fn check_body(
    state: &Arc<ApiState>,
    bounds: &Bounds,
    about: About,
    fields: &Fields,
) -> Result<(), ApiError> {
    let links = fields.peek_pairs("links", ("type", "id"));
    let mut anchored = is_by_program_alone(bounds) || about != About::Body;
    for (name, about) in NAMED {
        let Some(id) = fields.peek_text(name) else {
            continue;
        };
        anchored |= matches!(
            about,
            About::Account | About::Card | About::Authorization | About::Token
        );
        let place = whereabouts(state, about, id).await?;
        let fits = match (place, about) {
            (None, _) => false,
            // It has neither account nor links.
            (Some(place), About::Program) => {
                is_of_programs(state, bounds, place.program_id).await?
            }
            (Some(place), About::Account) if MOVES.contains(&name) => place.is_within(bounds),
            (Some(mut place), About::Account) => {
                // What is made there is not of the card that the account was opened for.
                place.links.clear();
                draws_within(state, bounds, place, &links).await?
            }
            (Some(place), _) => place.is_within(bounds),
        };
        if !fits {
            return Err(unseen(about).with_param(name));
        }
    }
    check_linked(state, bounds, fields, &links).await?;
    for id in fields.peek_texts("wallet_account_ids") {
        let place = whereabouts(state, About::Account, id).await?;
        let fits = match place {
            Some(place) => draws_within(state, bounds, place, &links).await?,
            None => false,
        };
        if !fits {
            return Err(unseen(About::Account).with_param("wallet_account_ids"));
        }
    }
    check_bound_links(bounds, &links)?;
    if let Some((link_type, id)) = fields.peek_pair("link", ("type", "id")) {
        let seen = link(state, bounds, &link_type, &id).await;
        seen.map_err(|error| error.with_param("link"))?;
        anchored = true;
    }
    match anchored {
        true => Ok(()),
        false => {
            let message = "this API key is bound by account or link: name the account, card or link that this is for";
            Err(forbidden("key_is_bound", message))
        }
    }
}

/// Refuses an order of a card that a key which is bound to links would not see: before anything is looked up, so that it says
/// nothing of what there is.
pub fn check_order(bounds: &Bounds, fields: &Fields) -> Result<(), ApiError> {
    let links = fields.peek_pairs("links", ("type", "id"));
    if !bounds.links.is_empty() && links.is_empty() {
        let message = "this API key is bound to links: name the one that the card is of in `links`, as in [{\"type\": \"project\", \"id\": \"p1\"}]";
        return Err(forbidden("key_is_bound", message).with_param("links"));
    }
    check_bound_links(bounds, &links)
}

fn check_bound_links(bounds: &Bounds, links: &[(String, String)]) -> Result<(), ApiError> {
    let is_bound = |(link_type, id): &(String, String)| {
        let mut bound = bounds.links.iter();
        bound.any(|link| *link.link_type == **link_type && *link.id == **id)
    };
    match bounds.links.is_empty() || links.iter().all(is_bound) {
        true => Ok(()),
        false => {
            let message = "this API key is bound to links, and this names others";
            Err(forbidden("key_is_bound", message).with_param("links"))
        }
    }
}

/// A key that is bound by account links cards to what no card of another tree is linked to: else it would take a budget
/// away from them, or stand between a key and its link.
async fn check_linked(
    state: &Arc<ApiState>,
    bounds: &Bounds,
    fields: &Fields,
    links: &[(String, String)],
) -> Result<(), ApiError> {
    let account = fields
        .peek_text("account_id")
        .and_then(|id| id.parse().ok());
    let (false, Some(account_id)) = (bounds.account_ids.is_empty(), account) else {
        return Ok(());
    };
    let Ok(named) = accounts::find(state, account_id).await else {
        return Ok(());
    };
    for (link_type, id) in links {
        let known = links::find(state, &(link_type.as_str().into(), id.as_str().into())).await?;
        let mut known = known.iter();
        let of_program = known.find(|known| known.key.program_id == named.program_id);
        let trees = of_program.map_or(LinkedTrees::None, |known| known.trees);
        if ![LinkedTrees::None, LinkedTrees::One(named.root)].contains(&trees) {
            let message =
                "this API key is bound to accounts, and cards of others are linked to this object";
            return Err(forbidden("key_is_bound", message).with_param("links"));
        }
    }
    Ok(())
}

/// Whether a program is one in which the key sees anything at all.
async fn is_of_programs(
    state: &Arc<ApiState>,
    bounds: &Bounds,
    program_id: ProgramId,
) -> Result<bool, ApiError> {
    if !bounds.program_ids.is_empty() && !bounds.program_ids.contains(&program_id) {
        return Ok(false);
    }
    let mut of_accounts = bounds.account_ids.is_empty();
    for id in &bounds.account_ids {
        of_accounts |= account(state, *id).await?.program_id == program_id;
    }
    let mut of_links = bounds.links.is_empty();
    for link in &bounds.links {
        let known = links::find(state, &(link.link_type.clone(), link.id.clone())).await?;
        of_links |= known.iter().any(|known| known.key.program_id == program_id);
    }
    Ok(of_accounts && of_links)
}

/// Whether the key may make a card that draws on this account, with these links. One that is bound to links has no
/// account of its own: it draws on the tree that the cards of such a link draw on already.
async fn draws_within(
    state: &Arc<ApiState>,
    bounds: &Bounds,
    mut place: Whereabouts,
    links: &[(String, String)],
) -> Result<bool, ApiError> {
    let root = place.accounts.last().copied();
    let mut draws = bounds.links.is_empty();
    for link in &bounds.links {
        let known = links::find(state, &(link.link_type.clone(), link.id.clone())).await?;
        let mut known = known.iter();
        draws |= known.any(|known| {
            let is_of_tree = matches!(known.trees, LinkedTrees::One(of) if Some(of) == root);
            is_of_tree && known.key.program_id == place.program_id
        });
    }
    place.links.extend(links.iter().cloned());
    Ok(draws && place.is_within(bounds))
}
