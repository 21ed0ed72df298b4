//! `cardswitch explain`: why an authorization was decided as it was, from its record in the journal; the same
//! decided again on the state of that moment; and what became of it. Reads beside a running switch.

use super::backtest::{begin, progress_bar};
use super::explain_text;
use super::journal::Place;
use super::record_json;
use crate::engine::again::{Again, Decided};
use crate::engine::changed::changed;
use crate::engine::command::Action;
use crate::engine::event::Event;
use crate::engine::ids::{AuthorizationId, LinkId};
use crate::engine::money::Currency;
use crate::engine::record::{self, Record};
use crate::engine::registry::{LinkKey, RegistryAction};
use crate::engine::trace::Detail;
use crate::engine::world::World;
use crate::journal::Sequence;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// Explain an authorization: what was asked, every check with the numbers that it compared, what came of it.
///
/// Everything is from the journal. At the end the same request is decided again on the state of that moment, and
/// any difference is told. Ends with 0 if there is none, with 1 if there is no such authorization, with 3 if it
/// would be decided otherwise now.
///
/// Example: cardswitch explain auth_0000000000001 --config config/cardswitch.toml
#[derive(clap::Args)]
pub struct Explain {
    /// The authorization, as the REST interface names it.
    #[arg(value_name = "AUTHORIZATION_ID")]
    authorization_id: AuthorizationId,
    #[command(flatten)]
    place: Place,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The exit code for an authorization that would be decided otherwise now.
const DIFFERS: u8 = 3;

/// Records between two looks at the progress bar.
const RECORDS_PER_TICK: u64 = 4_096;

pub fn run(options: &Explain) -> Result<u8> {
    let Some(found) = look(options)? else {
        bail!(
            "there is no authorization {} in the journal",
            options.authorization_id
        );
    };
    let json = found.to_json();
    match options.json {
        true => println!("{json:#}"),
        false => print!("{}", explain_text::text(&json)),
    }
    Ok(match found.again {
        Decided::Same => 0,
        _ => DIFFERS,
    })
}

/// What the journal has of an authorization.
struct Found {
    sequence: Sequence,
    record: Record,
    /// Of the account that it is about; a card of nobody has none.
    account_currency: Option<Currency>,
    /// The links that its trace names, by number.
    links: Vec<(LinkId, LinkKey)>,
    again: Decided,
    later: Vec<(Sequence, Record)>,
}

/// Goes through the journal from its beginning, or from the newest snapshot where that is not kept.
fn look(options: &Explain) -> Result<Option<Found>> {
    let id = options.authorization_id;
    let storage = options.place.storage()?;
    let (world, mut reader) = begin(&storage)?;
    let bar = progress_bar(&storage)?;
    let mut state = Again::new(world);
    let mut found: Option<Found> = None;
    while let Some((sequence, bytes)) = reader.next()? {
        let record = record::read(bytes).with_context(|| format!("record {sequence}"))?;
        if sequence.is_multiple_of(RECORDS_PER_TICK) {
            bar.set_position(sequence);
        }
        match &mut found {
            // After it nothing is decided again, and the state is not needed.
            Some(found) if is_about(&record, id) => found.later.push((sequence, record)),
            Some(_) => {}
            None if asks_for(&record) == Some(id) => {
                found = Some(Found {
                    sequence,
                    account_currency: account_currency(&state.world, &record),
                    links: links_of(&state.world, &record),
                    again: state.decide(&record),
                    record,
                    later: Vec::new(),
                });
            }
            None => state.apply(&record),
        }
    }
    bar.finish_and_clear();
    Ok(found)
}

fn account_currency(world: &World, record: &Record) -> Option<Currency> {
    let Record::Shard { command, event, .. } = record else {
        return None;
    };
    let account_id = match event {
        Event::Authorized(authorized) => authorized.account_id,
        Event::Advised(advised) => advised.account_id,
        _ => None,
    };
    let account = world.shard(command.root).account(account_id?)?;
    Some(account.currency)
}

fn links_of(world: &World, record: &Record) -> Vec<(LinkId, LinkKey)> {
    let Record::Shard { event, .. } = record else {
        return Vec::new();
    };
    let trace = match event {
        Event::Authorized(authorized) => &authorized.trace,
        Event::Advised(advised) => &advised.trace,
        _ => return Vec::new(),
    };
    let named = trace.steps().filter_map(|step| match step.detail {
        Detail::Link { link_id } => Some(link_id),
        _ => step.owner?.link_id(),
    });
    let known = named.filter_map(|id| Some((id, world.registry.link_key(id)?.clone())));
    known.collect()
}

/// Says links by their names, where steps say them by their numbers.
fn name_links(trace: &mut Value, links: &[(LinkId, LinkKey)]) {
    for step in trace.as_array_mut().into_iter().flatten() {
        let Some(detail) = step["detail"].as_object_mut() else {
            continue;
        };
        let is_it =
            |(id, _): &&(LinkId, LinkKey)| detail.get("link_id") == Some(&json!(id.to_string()));
        if let Some((_, link)) = links.iter().find(is_it) {
            detail.remove("link_id");
            let name = format!("{}/{}", link.link_type, link.id);
            detail.insert("link".into(), name.into());
        }
    }
}

/// The id that a request or an advice has.
fn asks_for(record: &Record) -> Option<AuthorizationId> {
    let payment = match record {
        Record::Shard { command, .. } => match &command.action {
            Action::Authorize(authorize) => authorize,
            Action::Advise(advise) => &advise.payment,
            _ => return None,
        },
        Record::Registry { command, .. } => match &command.action {
            RegistryAction::AuthorizeUnknownCard { authorize, .. } => authorize,
            RegistryAction::AdviseUnknownCard(advise) => &advise.payment,
            _ => return None,
        },
    };
    Some(payment.authorization_id)
}

/// Whether a later record did something to the authorization.
fn is_about(record: &Record, id: AuthorizationId) -> bool {
    let Record::Shard { command, event, .. } = record else {
        return false;
    };
    let own = match &command.action {
        Action::Withhold(withhold) => Some(withhold.payment.authorization_id),
        _ => None,
    };
    own == Some(id) || changed(&command.action, event) == Some(id)
}

impl Found {
    fn to_json(&self) -> Value {
        let mut line = record_json::line(self.sequence, &self.record);
        let differences = match &self.again {
            Decided::Same => json!([]),
            Decided::Nothing => json!([{ "what": "event", "recorded": "this one", "again": null }]),
            Decided::Otherwise(again) => {
                let again = record_json::line(self.sequence, again);
                differences(&line["event"], &again["event"])
            }
        };
        name_links(&mut line["event"]["trace"], &self.links);
        let later = self.later.iter();
        let later = later.map(|(sequence, record)| record_json::line(*sequence, record));
        json!({
            "record": line,
            "account_currency": self.account_currency.map(Currency::alpha),
            "decided_again": {
                "engine_version": record::ENGINE_VERSION,
                "result": if self.again == Decided::Same { "same" } else { "different" },
                "differences": differences,
            },
            "later": later.collect::<Vec<Value>>(),
        })
    }
}

/// The members in which two events differ.
fn differences(recorded: &Value, again: &Value) -> Value {
    let members = recorded.as_object().into_iter().flatten();
    let other = members.filter(|(name, value)| again[name.as_str()] != **value);
    let told = other.map(
        |(name, value)| json!({ "what": name, "recorded": value, "again": again[name.as_str()] }),
    );
    let told: Vec<Value> = told.collect();
    match told.is_empty() {
        // What JSON does not show.
        true => {
            json!([{ "what": "event", "recorded": "differs in what is not printed", "again": null }])
        }
        false => told.into(),
    }
}
