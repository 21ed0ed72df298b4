//! `cardswitch backtest`: what another rule, or other controls, would have changed in the journal's history.
//! Reads beside a running switch. How the findings print is in `backtest_report.rs`.

use super::backtest_report::to_text;
use super::journal::Place;
use crate::api::controls_json;
use crate::backtest::findings::{Findings, Ran};
use crate::backtest::history::{self, Look};
use crate::engine::backtest::{Change, Target, TriedRule};
use crate::engine::ids::ProgramId;
use crate::engine::record::{self, Record};
use crate::engine::risk::compile::compile_new;
use crate::engine::risk::rule::RuleAction;
use crate::engine::world::World;
use crate::journal::{Reader, Sequence, Storage};
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::civil::Date;
use serde::Deserialize;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

/// Hold a rule, or other controls, against the journal's history: what would they have changed?
///
/// A rule is held against every request as it was. With other controls everything is decided again, and
/// what follows from it. The file holds one of the two:
///
///   [rule]
///   expression = "amount > 50000 && first_use_of_merchant"
///   action = "decline"             # or "flag", "require_three_ds"
///   program_id = "prog_…"          # leave it out for all programs
///
///   card_id = "card_…"             # or account_id, program_id, link = { type = "project", id = "p1" }; a link of one
///                                  # program: { type = "project", id = "p1", program_id = "prog_…" }
///   [controls]                     # as in the REST interface, in place of what it has
///   limits = [{ window = "day", amount = 50000 }]
///
/// Ends with 0 whatever it finds, and with 1 if it cannot look.
///
/// Example: cardswitch backtest config/rule.toml --config config/cardswitch.toml --from 2026-11-01
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct BacktestCommand {
    /// The file with the rule or the controls.
    #[arg(value_name = "RULE_FILE")]
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// The first day to report on, UTC.
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<Date>,
    /// The last day to report on, UTC.
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<Date>,
    /// How many examples to print at the most.
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    examples: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Records that travel together, and how many such batches may wait.
const BATCH: usize = 512;
const BATCHES_AHEAD: usize = 8;

pub fn run(command: &BacktestCommand) -> Result<u8> {
    let text = std::fs::read_to_string(&command.file)
        .with_context(|| format!("cannot read {}", command.file.display()))?;
    let tried = Tried::read(&text).with_context(|| command.file.display().to_string())?;
    let storage = command.place.storage()?;
    let (findings, ran) = look(&storage, &tried, command)?;
    if command.json {
        println!("{:#}", findings.to_json(&tried.shown, &ran));
    } else {
        print!("{}", to_text(&findings, &tried.shown, &ran));
    }
    Ok(0)
}

/// What a file asks for.
struct Tried {
    change: Change,
    /// For people.
    shown: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Option<RuleTable>,
    controls: Option<serde_json::Value>,
    program_id: Option<String>,
    account_id: Option<String>,
    card_id: Option<String>,
    link: Option<LinkTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkTable {
    #[serde(rename = "type")]
    link_type: String,
    id: String,
    program_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    expression: String,
    action: String,
    program_id: Option<String>,
}

impl Tried {
    fn read(text: &str) -> Result<Tried> {
        let file: File = toml::from_str(text)?;
        let target = target(&file)?;
        match (file.rule, file.controls, target) {
            (Some(rule), None, None) => Tried::rule(&rule),
            (None, Some(controls), Some(target)) => {
                let controls = controls_json::read(controls).map_err(anyhow::Error::msg)?;
                let shown = format!("other controls of {}", target_text(&target));
                Ok(Tried {
                    change: Change::Controls(target, controls),
                    shown,
                })
            }
            _ => bail!(
                "the file needs either [rule], or [controls] and the `card_id`, `account_id`, `program_id` or `link` \
                 that they are of"
            ),
        }
    }

    fn rule(rule: &RuleTable) -> Result<Tried> {
        let mut actions = RuleAction::ALL.iter();
        let action = actions.find(|(_, name)| *name == rule.action);
        let (action, name) = action.with_context(|| {
            let names: Vec<_> = RuleAction::ALL.iter().map(|(_, name)| *name).collect();
            format!("rule.action must be one of: {}", names.join(", "))
        })?;
        let compiled = compile_new(&rule.expression).context("rule.expression")?;
        let program_id = rule.program_id.as_deref();
        let program_id = program_id.map(|id| parsed("rule.program_id", id));
        let program_id: Option<ProgramId> = program_id.transpose()?;
        let place = program_id.map_or("every program".into(), |id| format!("program {id}"));
        let (expression, action) = (&rule.expression, *action);
        Ok(Tried {
            change: Change::Rule(TriedRule {
                program_id,
                action,
                compiled,
            }),
            shown: format!("{name} when {expression} (in {place})"),
        })
    }
}

fn parsed<Id: FromStr>(name: &str, text: &str) -> Result<Id>
where
    Id::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().with_context(|| name.to_owned())
}

/// What the controls of a file are of: one object, or none is named.
fn target(file: &File) -> Result<Option<Target>> {
    let program = file.program_id.as_deref();
    let account = file.account_id.as_deref();
    let card = file.card_id.as_deref();
    let named = [
        program.map(|id| parsed("program_id", id).map(Target::Program)),
        account.map(|id| parsed("account_id", id).map(Target::Account)),
        card.map(|id| parsed("card_id", id).map(Target::Card)),
        file.link.as_ref().map(|link| {
            let program_id = link.program_id.as_deref();
            let program_id = program_id.map(|id| parsed("link.program_id", id));
            Ok(Target::Link {
                program_id: program_id.transpose()?,
                link_type: link.link_type.as_str().into(),
                id: link.id.as_str().into(),
            })
        }),
    ];
    let mut named = named.into_iter().flatten();
    let target = named.next().transpose()?;
    anyhow::ensure!(
        named.next().is_none(),
        "the file names more than one of `card_id`, `account_id`, `program_id` and `link`"
    );
    Ok(target)
}

fn target_text(target: &Target) -> String {
    match target {
        Target::Program(id) => format!("program {id}"),
        Target::Account(id) => format!("account {id}"),
        Target::Card(id) => format!("card {id}"),
        Target::Link {
            program_id,
            link_type,
            id,
        } => match program_id {
            Some(program_id) => format!("{link_type} {id} (in program {program_id})"),
            None => format!("{link_type} {id} (in every program that has one)"),
        },
    }
}

/// Goes through the journal from its beginning, or from the newest snapshot where that is not kept.
fn look(
    storage: &Arc<dyn Storage>,
    tried: &Tried,
    command: &BacktestCommand,
) -> Result<(Findings, Ran)> {
    let days = history::days(command.from, command.to);
    let days = days.context("--from must not be after --to")?;
    let (world, reader) = begin(storage)?;
    let bar = progress_bar(storage)?;
    let mut look = Look::new(world, tried.change.clone(), days, command.examples);
    let (sender, batches) = sync_channel(BATCHES_AHEAD);
    std::thread::scope(|scope| -> Result<()> {
        scope.spawn(move || read_all(reader, &sender));
        // Whichever way this ends, the receiver goes with it, and then the thread that reads ends too.
        for batch in batches {
            for (sequence, record) in batch? {
                look.take(sequence, record);
            }
            bar.set_position(look.last());
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    if !look.backtest().has_target() {
        bail!(
            "the journal has nothing of what the file names: {}",
            tried.shown
        );
    }
    if !look.backtest().has_groups() {
        bail!(
            "the file's controls name an MCC group or a merchant list that the journal does not have"
        );
    }
    Ok(look.end())
}

/// Reads and decodes to the end, in batches, on a core of its own.
fn read_all(mut reader: Reader, sender: &SyncSender<Result<Vec<(Sequence, Record)>>>) {
    loop {
        let mut batch = Vec::with_capacity(BATCH);
        let result = read_batch(&mut reader, &mut batch);
        let end = batch.len() < BATCH;
        if sender.send(result.map(|()| batch)).is_err() || end {
            return;
        }
    }
}

fn read_batch(reader: &mut Reader, batch: &mut Vec<(Sequence, Record)>) -> Result<()> {
    while batch.len() < BATCH {
        let Some((sequence, bytes)) = reader.next()? else {
            return Ok(());
        };
        let record = record::read(bytes).with_context(|| format!("record {sequence}"))?;
        batch.push((sequence, record));
    }
    Ok(())
}

/// The state before the first record that is kept, and a reader from there.
pub(super) fn begin(storage: &Arc<dyn Storage>) -> Result<(World, Reader)> {
    let unusable = |error: &dyn std::fmt::Display| eprintln!("cardswitch: {error}");
    let read_from = |from| Reader::open(storage.clone(), from);
    Ok(history::begin(storage, read_from, unusable)?)
}

/// As long as there are records now; a switch that runs on adds more.
pub(super) fn progress_bar(storage: &Arc<dyn Storage>) -> Result<ProgressBar> {
    let mut at_end = Reader::open(storage.clone(), Sequence::MAX)?;
    at_end.next()?;
    let bar = ProgressBar::new(at_end.position().sequence);
    bar.set_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} records, {per_sec}, {eta} left",
    )?);
    Ok(bar)
}
