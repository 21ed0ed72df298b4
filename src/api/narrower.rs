//! Whether a key sees no more than another one. What a key sees is in `bounds.rs`.

use super::bounds::{Whereabouts, account};
use super::error::ApiError;
use super::{ApiState, links};
use crate::engine::api_keys::{BoundLink, Bounds};
use crate::engine::ids::ProgramId;
use crate::engine::links::{KnownLink, LinkedTrees};
use axum::http::StatusCode;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whether a key of these bounds sees no more than one of those.
pub async fn are_within(
    state: &Arc<ApiState>,
    outer: &Bounds,
    inner: &Bounds,
) -> Result<bool, ApiError> {
    let programs = inner.program_ids.iter();
    let fit = outer.program_ids.is_empty()
        || !inner.program_ids.is_empty()
            && programs.clone().all(|id| outer.program_ids.contains(id));
    let links = inner.links.iter();
    let links_fit = outer.links.is_empty()
        || !inner.links.is_empty() && links.clone().all(|link| outer.links.contains(link));
    if !fit || !links_fit || !outer.account_ids.is_empty() && inner.account_ids.is_empty() {
        return Ok(false);
    }
    let without_links = Bounds {
        links: Box::default(),
        ..outer.clone()
    };
    let of_links = places_of_links(state, outer).await?;
    for id in &inner.account_ids {
        // Of an account that is not there the same is said.
        match account(state, *id).await {
            Ok(place) if place.is_within(&without_links) && of_links.cover(&place) => {}
            Err(error) if error.status != StatusCode::NOT_FOUND => return Err(error),
            Ok(_) | Err(_) => return Ok(false),
        }
    }
    // Whoever is bound by account names no program but theirs.
    if outer.program_ids.is_empty() && !outer.account_ids.is_empty() {
        let mut own = BTreeSet::new();
        for id in &outer.account_ids {
            own.insert(account(state, *id).await?.program_id);
        }
        return Ok(programs.clone().all(|id| own.contains(id)));
    }
    Ok(!outer.program_ids.is_empty() || programs.clone().all(|id| of_links.has_program(*id)))
}

/// Where the objects are by which a key is bound: it names no other programs and accounts, and does not learn which there are.
/// `None` of one that is not bound by links.
struct PlacesOfLinks(Option<Vec<KnownLink>>);

async fn places_of_links(state: &ApiState, bounds: &Bounds) -> Result<PlacesOfLinks, ApiError> {
    if bounds.links.is_empty() {
        return Ok(PlacesOfLinks(None));
    }
    let mut known = Vec::new();
    for BoundLink { link_type, id } in &bounds.links {
        known.extend(links::find(state, &(link_type.clone(), id.clone())).await?);
    }
    Ok(PlacesOfLinks(Some(known)))
}

impl PlacesOfLinks {
    fn has_program(&self, id: ProgramId) -> bool {
        let known = self.0.as_ref();
        known.is_none_or(|known| known.iter().any(|link| link.key.program_id == id))
    }

    /// The account is of the tree that the cards of one draw on.
    fn cover(&self, account: &Whereabouts) -> bool {
        let is_of = |link: &KnownLink| match link.trees {
            LinkedTrees::One(root) => account.accounts.contains(&root),
            LinkedTrees::None | LinkedTrees::Several => false,
        };
        let known = self.0.as_ref();
        known.is_none_or(|known| known.iter().any(is_of))
    }
}
