//! Deciding a record of the journal again, on the state before it: a check of what was decided then. What prints
//! it does not live here.

use super::decide::{self, Outcome};
use super::event::Event;
use super::record::Record;
use super::registry::{RegistryOutcome, RegistryView};
use super::registry_decide;
use super::world::World;
use std::collections::VecDeque;
use std::sync::Arc;

/// Views of the registry that a shard may still decide by when a newer one is in the journal already: it
/// adopts each as it reaches it.
const VIEWS_KEPT: usize = 64;

/// The fold of the journal up to a record, with what it takes to decide that one again.
pub struct Again {
    pub world: World,
    views: VecDeque<Arc<RegistryView>>,
}

/// What a record comes to when it is decided again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    Same,
    /// Another event, as the record would be with it.
    Otherwise(Box<Record>),
    /// No event: a repeat, or a refusal.
    Nothing,
}

impl Again {
    pub fn new(world: World) -> Again {
        let views = VecDeque::from([Arc::clone(&world.registry.view)]);
        Again { world, views }
    }

    /// Applies a record.
    pub fn apply(&mut self, record: &Record) {
        self.world.apply(record);
        let view = &self.world.registry.view;
        if self
            .views
            .back()
            .is_none_or(|last| last.version != view.version)
        {
            self.views.push_back(Arc::clone(view));
            if self.views.len() > VIEWS_KEPT {
                self.views.pop_front();
            }
        }
    }

    /// Decides a record that is not applied yet.
    pub fn decide(&mut self, record: &Record) -> Decided {
        match record {
            Record::Shard {
                engine_version,
                command,
                event,
                ..
            } => {
                let version = version_of(event);
                let view = self.views.iter().find(|view| Some(view.version) == version);
                let state = self.world.shard_mut(command.root);
                let present = Arc::clone(&state.registry);
                state.registry = view.map_or(present.clone(), Arc::clone);
                let outcome = decide::decide(state, command);
                state.registry = present;
                match outcome {
                    Outcome::Event(again) if again == *event => Decided::Same,
                    Outcome::Event(event) => Decided::Otherwise(Box::new(Record::Shard {
                        engine_version: *engine_version,
                        command: command.clone(),
                        event,
                        requester: None,
                    })),
                    _ => Decided::Nothing,
                }
            }
            Record::Registry {
                engine_version,
                command,
                event,
                ..
            } => match registry_decide::decide(&self.world.registry, command) {
                RegistryOutcome::Event(again) if again == *event => Decided::Same,
                RegistryOutcome::Event(event) => Decided::Otherwise(Box::new(Record::Registry {
                    engine_version: *engine_version,
                    command: command.clone(),
                    event,
                    requester: None,
                })),
                _ => Decided::Nothing,
            },
        }
    }
}

/// The version of the registry that decided, where the event says so.
fn version_of(event: &Event) -> Option<u64> {
    match event {
        Event::Authorized(authorized) => Some(authorized.registry_version),
        Event::Advised(advised) => Some(advised.registry_version),
        Event::Reversed(reversed) => Some(reversed.registry_version),
        Event::Resolved(resolved) => Some(resolved.registry_version),
        Event::Withheld(withheld) => Some(withheld.registry_version),
        _ => None,
    }
}
