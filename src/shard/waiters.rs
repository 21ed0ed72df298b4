//! Who waits for the answer to an authorization that its customer decides on: the message that brought it, and its
//! repeats. In memory only: whoever waited is gone with the process. What becomes of the authorization is decided in
//! `engine/resolve.rs`.

use super::reply::{Replies, Reply, ReplySink, Unavailable};
use super::request::Token;
use crate::engine::answer::Answer;
use crate::engine::facts::RepeatKey;
use crate::engine::ids::AuthorizationId;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;

/// Repeats of one message that wait at once; more are told that there is no room.
const WAITERS_MAX: usize = 64;

#[derive(Default)]
pub struct Waiters(HashMap<AuthorizationId, Waiting>);

struct Waiting {
    repeat_key: RepeatKey,
    /// This process has asked the customer.
    is_asked: bool,
    who: SmallVec<[(Arc<dyn ReplySink>, Token); 1]>,
}

impl Waiters {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn is_asked(&self, id: AuthorizationId) -> bool {
        self.0.get(&id).is_some_and(|waiting| waiting.is_asked)
    }

    pub fn note_asked(&mut self, id: AuthorizationId, repeat_key: RepeatKey) {
        self.of(id, repeat_key).is_asked = true;
    }

    /// False where too many wait.
    pub fn add(
        &mut self,
        id: AuthorizationId,
        repeat_key: RepeatKey,
        who: (Arc<dyn ReplySink>, Token),
    ) -> bool {
        let waiting = self.of(id, repeat_key);
        let has_room = waiting.who.len() < WAITERS_MAX;
        if has_room {
            waiting.who.push(who);
        }
        has_room
    }

    fn of(&mut self, id: AuthorizationId, repeat_key: RepeatKey) -> &mut Waiting {
        self.0.entry(id).or_insert_with(|| Waiting {
            repeat_key,
            is_asked: false,
            who: SmallVec::new(),
        })
    }

    /// Whether repeats of the message wait beside it.
    pub fn has_repeats(&self, id: AuthorizationId) -> bool {
        self.0.get(&id).is_some_and(|waiting| waiting.who.len() > 1)
    }

    /// What everybody who waited for it gets; `answer_of` knows the first answer of a message.
    pub fn resolve(
        &mut self,
        id: AuthorizationId,
        answer_of: impl FnOnce(RepeatKey) -> Option<Answer>,
    ) -> Vec<(Arc<dyn ReplySink>, Replies)> {
        let Some(waiting) = self.0.remove(&id) else {
            return Vec::new();
        };
        let answer = answer_of(waiting.repeat_key);
        let reply = || match answer {
            Some(answer) => Reply::Message(answer),
            None => Reply::Unavailable(Unavailable::Overloaded),
        };
        let who = waiting.who.into_iter();
        who.map(|(sink, token)| (sink, vec![(token, reply())]))
            .collect()
    }
}
