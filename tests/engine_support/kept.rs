//! What shards forget, kept in lists that are read from end to end: the archive as a handful of lines, and the shard
//! that looks in it before it decides.

use super::*;
use cardswitch::engine::authorizations::Authorization;
use cardswitch::engine::first_answer::FirstAnswer;
use cardswitch::engine::recall::{self, Forgotten, Found, Lookup};
use cardswitch::engine::tokens;

#[derive(Debug, Default)]
pub struct Kept {
    pub authorizations: Vec<Authorization>,
    pub answers: Vec<(RepeatKey, FirstAnswer)>,
    pub lookups: usize,
}

impl Kept {
    pub fn of(switch: &mut Switch) -> Kept {
        let shards = switch.world.shards.iter_mut();
        shards.for_each(|state| state.outbox.open());
        Kept::default()
    }

    /// As a shard carries out a command: what it needs of the forgotten is recalled first.
    pub fn command(&mut self, switch: &mut Switch, root: AccountId, action: Action) -> Outcome {
        let at = switch.at;
        let mut command = Command { root, at, action };
        let state = switch.world.shard(root);
        tokens::name_card(state, &mut command);
        let recall = recall::look_up(state, &mut command, |lookup| self.find(lookup));
        if let Some(recall) = recall {
            let outcome = switch.command(root, recall.action);
            assert!(matches!(outcome, Outcome::Event(_)), "{outcome:?}");
        }
        let outcome = switch.command(root, command.action);
        self.take(&mut switch.world);
        outcome
    }

    pub fn take(&mut self, world: &mut World) {
        let shards = world.shards.iter_mut();
        for forgotten in shards.flat_map(|state| state.outbox.take()) {
            match forgotten {
                Forgotten::Authorization(known) => {
                    self.authorizations.retain(|other| other.id != known.id);
                    self.authorizations.push(*known);
                }
                Forgotten::FirstAnswer { key, first, .. } => self.answers.push((key, first)),
            }
        }
    }

    fn find(&mut self, lookup: &Lookup) -> Found {
        self.lookups += 1;
        let named = |known: &&Authorization| {
            let own = known.parts.iter().map(|part| &part.match_keys);
            let mut own = own
                .chain([&known.match_keys])
                .flat_map(|keys| keys.stated());
            let asked: Vec<_> = lookup.names().collect();
            known.card_id == lookup.card_id && own.any(|name| asked.contains(&name))
        };
        let mut answers = self.answers.iter().rev();
        let first = answers.find(|(key, _)| Some(*key) == lookup.repeat_key);
        Found {
            first_answer: first.map(|(_, first)| *first),
            authorizations: self.authorizations.iter().filter(named).cloned().collect(),
        }
    }
}
