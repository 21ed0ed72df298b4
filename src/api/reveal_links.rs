//! `/v1/cards/{id}/reveal_links`: links that show a card's number once and soon, so that a product's user sees it and the
//! product's servers do not. Who makes one says why, as in a reveal, and is on record before the link leaves. Links are kept
//! in memory, without their tokens and without any number. What they show is in `reveals.rs`.

use super::body::WriteRequest;
use super::cards::{self, FullCard};
use super::error::{ApiError, ErrorType, forbid_keeping};
use super::idempotency::{Success, Write, once};
use super::{ApiState, Gate, reveal, reveals};
use crate::engine::ids::{ApiKeyId, CardId, RevealLinkId};
use crate::engine::link_states::LinkStatus;
use crate::engine::shares::{Full, ShareBounds, Shares};
use crate::engine::time::Timestamp;
use crate::security::new_token;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How long a link is good: where nothing is said, and what may be.
pub const EXPIRES_IN_S: (i64, RangeInclusive<i64>) = (60, 1..=300);

/// Links at once, the used ones too until they would have expired.
const LINKS: ShareBounds = ShareBounds::new(10_000, 2_500);

pub async fn create(
    State(gate): State<Gate>,
    Path(id): Path<String>,
    request: WriteRequest,
) -> Result<Response, ApiError> {
    let work = |write| carry_out(write, id);
    let mut response = once(gate.state()?, request, work).await?;
    forbid_keeping(response.headers_mut());
    Ok(response)
}

async fn carry_out(write: Write, id: String) -> Result<Success, ApiError> {
    let Write {
        state,
        caller,
        mut fields,
        mut ids,
        ..
    } = write;
    let reason = fields.required_text("reason", 500)?;
    let (usual_s, range_s) = EXPIRES_IN_S;
    let expires_in_s = fields.integer("expires_in_seconds", range_s)?;
    fields.finish()?;
    let card_id = id.parse().map_err(|_| cards::not_found())?;
    let card = cards::find_full(&state, card_id).await?;
    if is_over(&state, &card) {
        let message = "the card is closed or blocked, so no link shows its number; `reveal` does";
        return Err(ApiError::conflict("card_status_forbids", message));
    }
    let token = new_token().map_err(|error| ApiError::internal(&error))?;
    let now = state.switchboard.clock.now();
    let link = Link {
        id: RevealLinkId(ids.next()),
        card_id,
        reason: reason.as_str().into(),
        api_key_id: caller.key_id(),
        tenant: caller.tenant(),
        expires_at: now.plus_ms(expires_in_s.unwrap_or(usual_s) * 1_000),
        is_used: false,
    };
    let hash = TokenHash::of(&token);
    let answer = link.to_json();
    // Before it is on record, so that what finds no room leaves none; nobody has the token yet.
    let added = state.reveal_links.add(hash, link, now);
    added.map_err(no_room)?;
    let recorded = reveal::record(&state, card_id, &reason, &caller.key_name()).await;
    if let Err(error) = recorded {
        state.reveal_links.remove(hash);
        return Err(error);
    }
    let told = |url: Value| {
        let mut told = answer.clone();
        told["url"] = url;
        told
    };
    Ok(Success {
        repeated: Some(told(Value::Null)),
        ..Success::created(told(format!("{}{token}", reveals::PREFIX).into()))
    })
}

/// Nobody pays with it again, by itself or by what it is linked to, and so nobody needs its number.
pub fn is_over(state: &ApiState, card: &FullCard) -> bool {
    let status = card.card.status;
    let of_links = state.switchboard.view().link_states.of_card(&card.card);
    status.is_closed() || status.is_blocked() || of_links == LinkStatus::Closed
}

fn no_room(full: Full) -> ApiError {
    const RETRY_AFTER_S: u32 = 10;
    let status = match full {
        Full::Tenant => StatusCode::TOO_MANY_REQUESTS,
        Full::All => StatusCode::SERVICE_UNAVAILABLE,
    };
    let (error_type, code, most) = match full {
        Full::Tenant => (
            ErrorType::RateLimited,
            "reveal_links_share_full",
            LINKS.of_tenant,
        ),
        Full::All => (ErrorType::Unavailable, "reveal_links_full", LINKS.all),
    };
    let message = format!(
        "there are {most} reveal links that are not over yet; repeat this when some are, or let them expire sooner"
    );
    ApiError::new(status, error_type, code, message).with_retry_after(RETRY_AFTER_S)
}

/// What is kept of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// How long it takes to find a hash, or not to, says nothing of any token.
    pub fn of(token: &str) -> TokenHash {
        let domain = "cardswitch 2026-11 token of a reveal link";
        TokenHash(blake3::derive_key(domain, token.as_bytes()))
    }
}

#[derive(Clone)]
pub struct Link {
    pub id: RevealLinkId,
    pub card_id: CardId,
    pub reason: Box<str>,
    /// Who made it; `None` is the root key.
    pub api_key_id: Option<ApiKeyId>,
    tenant: Option<ApiKeyId>,
    expires_at: Timestamp,
    is_used: bool,
}

impl Link {
    /// Without what it shows and without its token.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id.to_string(),
            "object": "reveal_link",
            "card_id": self.card_id.to_string(),
            "reason": self.reason,
            "expires_at": self.expires_at.to_string(),
        })
    }
}

/// Why a token shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotShown {
    /// No link has it, or none any more.
    Unknown,
    /// Its link was used, and would not be over yet.
    Used,
}

/// The links that are not over.
#[derive(Default)]
pub struct RevealLinks(Mutex<Links>);

#[derive(Default)]
struct Links {
    by_token: HashMap<TokenHash, Link>,
    taken: Shares,
}

impl RevealLinks {
    fn add(&self, token: TokenHash, link: Link, now: Timestamp) -> Result<(), Full> {
        let mut links = self.lock();
        let Links { by_token, taken } = &mut *links;
        by_token.retain(|_, link| {
            let is_over = link.expires_at <= now;
            if is_over {
                taken.remove(link.tenant, 1);
            }
            !is_over
        });
        taken.check(link.tenant, 1, &LINKS)?;
        taken.add(link.tenant, 1);
        by_token.insert(token, link);
        Ok(())
    }

    fn remove(&self, token: TokenHash) {
        let mut links = self.lock();
        if let Some(link) = links.by_token.remove(&token) {
            links.taken.remove(link.tenant, 1);
        }
    }

    /// The link of a token that may be used.
    pub fn find(&self, token: TokenHash, now: Timestamp) -> Result<Link, NotShown> {
        good(&mut self.lock(), token, now).map(|link| link.clone())
    }

    /// Uses a link: of several who ask at once, one has it.
    pub fn take(&self, token: TokenHash, now: Timestamp) -> Result<(), NotShown> {
        good(&mut self.lock(), token, now).map(|link| link.is_used = true)
    }

    /// What was taken has shown nothing.
    pub fn give_back(&self, token: TokenHash) {
        if let Some(link) = self.lock().by_token.get_mut(&token) {
            link.is_used = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Links> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn good(links: &mut Links, token: TokenHash, now: Timestamp) -> Result<&mut Link, NotShown> {
    match links.by_token.get_mut(&token) {
        Some(link) if link.expires_at <= now => Err(NotShown::Unknown),
        Some(link) if link.is_used => Err(NotShown::Used),
        Some(link) => Ok(link),
        None => Err(NotShown::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(number: u64, tenant: Option<u64>, expires_at: i64) -> (TokenHash, Link) {
        let link = Link {
            id: RevealLinkId(number),
            card_id: CardId(1),
            reason: "r".into(),
            api_key_id: None,
            tenant: tenant.map(ApiKeyId),
            expires_at: Timestamp(expires_at),
            is_used: false,
        };
        (TokenHash::of(&number.to_string()), link)
    }

    #[test]
    fn a_link_is_good_once_and_until_it_expires() {
        let links = RevealLinks::default();
        let (token, one) = link(1, None, 1_000);
        let at = Timestamp;
        assert_eq!(links.take(token, at(0)), Err(NotShown::Unknown));
        links.add(token, one.clone(), at(0)).unwrap();
        assert_eq!(links.find(token, at(999)).map(|link| link.id), Ok(one.id));
        assert_eq!(links.take(token, at(999)), Ok(()));
        assert_eq!(links.take(token, at(999)), Err(NotShown::Used));
        assert_eq!(links.find(token, at(999)).err(), Some(NotShown::Used));
        links.give_back(token);
        assert_eq!(links.take(token, at(1_000)), Err(NotShown::Unknown));
        assert_eq!(links.take(token, at(999)), Ok(()));
        assert_eq!(links.take(token, at(1_000)), Err(NotShown::Unknown));
        let (other, _) = link(2, None, 1_000);
        assert_eq!(links.take(other, at(0)), Err(NotShown::Unknown));
    }

    #[test]
    fn links_have_a_bound_and_each_tenant_its_share_until_they_are_over() {
        let links = RevealLinks::default();
        let mut next = 0;
        let mut add = |tenant: Option<u64>, now: i64| {
            next += 1;
            let (token, link) = link(next, tenant, now + 1_000);
            links.add(token, link, Timestamp(now)).map(|()| token)
        };
        let first = add(Some(1), 0).unwrap();
        for _ in 1..LINKS.of_tenant {
            add(Some(1), 1).unwrap();
        }
        assert_eq!(add(Some(1), 1).err(), Some(Full::Tenant));
        // A used one counts as long as it would have been good.
        links.take(first, Timestamp(1)).unwrap();
        assert_eq!(add(Some(1), 1).err(), Some(Full::Tenant));
        assert!(add(Some(1), 1_000).is_ok());
        assert_eq!(add(Some(1), 1_000).err(), Some(Full::Tenant));
        for tenant in [2, 3] {
            for _ in 0..LINKS.of_tenant {
                add(Some(tenant), 1_000).unwrap();
            }
        }
        // The last quarter is the operator's.
        assert_eq!(add(Some(4), 1_000).err(), Some(Full::All));
        for _ in 0..LINKS.all - LINKS.of_tenants() {
            add(None, 1_000).unwrap();
        }
        assert_eq!(add(None, 1_000).err(), Some(Full::All));
        add(None, 2_000).unwrap();
        assert_eq!(links.lock().by_token.len(), 1);
        let (token, link) = link(0, Some(1), 3_000);
        links.add(token, link, Timestamp(2_000)).unwrap();
        links.remove(token);
        assert_eq!(links.lock().taken, Shares::of([None].into_iter()));
    }
}
