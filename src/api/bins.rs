//! BINs in bodies and answers: those of a program, with what it says of each, which of them a card's number begins with, and
//! `/v1/bins`, the list of all.

use super::auth::Caller;
use super::error::ApiError;
use super::fields::{self, Fields};
use super::list::{self, ListQuery};
use super::{ApiState, Gate, ask, reveal};
use crate::engine::ids::{CardId, ProgramId};
use crate::engine::programs::{BINS_MAX, Bin, BinDetails, BinFacts, Program};
use crate::engine::registry::IssuedCard;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

/// Longest `product_type` or `region`.
pub const WORD_MAX: usize = 32;

/// The BINs of a body, with what it says of them.
#[derive(Default)]
pub struct StatedBins {
    pub bins: Vec<Bin>,
    /// Of those of which anything is said.
    pub facts: Vec<BinFacts>,
}

/// `bin` and `bins` of a program that is made: `bins`, where it is given, names all of them.
pub fn take_new(fields: &mut Fields, networks: &[String]) -> Result<StatedBins, ApiError> {
    let first = bin(fields)?.ok_or_else(|| fields.missing("bin"))?;
    match take(fields, networks, &[])? {
        None => Ok(StatedBins {
            bins: vec![first],
            facts: Vec::new(),
        }),
        Some(stated) if stated.bins[0] == first => Ok(stated),
        Some(_) => {
            let path = fields.path("bins");
            let message = format!("{path} must begin with bin, {first}");
            Err(ApiError::invalid("bins_invalid", path, message))
        }
    }
}

/// At least one, each once; nothing where they are left out. An entry that is digits alone leaves what was said of that BIN
/// `before`; an object says all that is said of it.
pub fn take(
    fields: &mut Fields,
    networks: &[String],
    before: &[BinFacts],
) -> Result<Option<StatedBins>, ApiError> {
    let Some(given) = fields.list_with_entries("bins", BINS_MAX)? else {
        return Ok(None);
    };
    let mut stated = StatedBins::default();
    for (path, value) in given {
        let facts = match value {
            value @ Value::Object(_) => facts(&path, value, networks)?,
            value => {
                let bin = bin_of(&path, &fields::text(&path, value, 19)?)?;
                let known = before.iter().find(|facts| facts.bin == bin);
                known.cloned().unwrap_or(BinFacts {
                    bin,
                    ..BinFacts::default()
                })
            }
        };
        if stated.bins.contains(&facts.bin) {
            let message = format!("{path} repeats another BIN");
            return Err(ApiError::invalid("bin_repeated", path, message));
        }
        stated.bins.push(facts.bin);
        let says_nothing = BinFacts {
            bin: facts.bin,
            ..BinFacts::default()
        };
        stated
            .facts
            .extend((facts != says_nothing).then_some(facts));
    }
    Ok(Some(stated))
}

fn facts(path: &str, value: Value, networks: &[String]) -> Result<BinFacts, ApiError> {
    let mut fields = Fields::of(path, value)?;
    let facts = BinFacts {
        bin: bin(&mut fields)?.ok_or_else(|| fields.missing("bin"))?,
        network: network(&mut fields, networks)?,
        region: region(&mut fields)?,
        product_type: product_type(&mut fields)?,
    };
    fields.finish()?;
    Ok(facts)
}

pub fn bin(fields: &mut Fields) -> Result<Option<Bin>, ApiError> {
    let path = fields.path("bin");
    let text = fields.text("bin", 19)?;
    text.map(|text| bin_of(&path, &text)).transpose()
}

fn bin_of(path: &str, text: &str) -> Result<Bin, ApiError> {
    let fits = matches!(text.len(), 6 | 8) && text.bytes().all(|byte| byte.is_ascii_digit());
    let bin = fits.then(|| Bin::from(text).ok()).flatten();
    bin.ok_or_else(|| {
        let message = format!("{path} must have 6 or 8 digits, as in 411111");
        ApiError::invalid("bin_invalid", path, message)
    })
}

/// The name of a network that is configured. Where none is yet, any name that one could have: letters,
/// digits, `-` and `_`.
pub fn network(fields: &mut Fields, known: &[String]) -> Result<Option<Box<str>>, ApiError> {
    let path = fields.path("network");
    let Some(network) = fields.text("network", 16)? else {
        return Ok(None);
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !network.bytes().all(fits) {
        let message = format!("{path} must have 1 to 16 letters, digits, `-` or `_`, as in visa");
        return Err(ApiError::invalid("network_invalid", path, message));
    }
    if !known.is_empty() && !known.contains(&network) {
        let message = format!(
            "{path} must be the `name` of a [[network]] section of the configuration; there are: {}",
            known.join(", ")
        );
        return Err(ApiError::invalid("network_unknown", path, message));
    }
    Ok(Some(network.into()))
}

/// Lower-case letters, digits and `_`, as in `prepaid`.
pub fn product_type(fields: &mut Fields) -> Result<Option<Box<str>>, ApiError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    word(fields, "product_type", "prepaid", fits)
}

/// Letters, digits, `_` and `-`, as in `US`.
pub fn region(fields: &mut Fields) -> Result<Option<Box<str>>, ApiError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    word(fields, "region", "US", fits)
}

fn word(
    fields: &mut Fields,
    name: &str,
    example: &str,
    fits: impl Fn(u8) -> bool,
) -> Result<Option<Box<str>>, ApiError> {
    let path = fields.path(name);
    match fields.text(name, WORD_MAX)? {
        Some(word) if word.is_empty() || !word.bytes().all(fits) => {
            let message =
                format!("{path} must be one word of 1 to {WORD_MAX} characters, as in {example}");
            Err(ApiError::invalid("word_invalid", path, message))
        }
        word => Ok(word.map(Into::into)),
    }
}

/// What holds for a BIN of a program.
pub fn details_json(details: &BinDetails) -> Value {
    json!({
        "bin": details.bin.as_str(),
        "network": details.network,
        "region": details.region,
        "product_type": details.product_type,
    })
}

/// The BIN of its program with which a card's number begins. The number is opened only where the six digits that are shown
/// leave that open.
pub fn of_card(
    state: &ApiState,
    program: &Program,
    (id, first6): (CardId, u32),
    issued: &IssuedCard,
) -> Result<Bin, ApiError> {
    let shown = format!("{first6:06}");
    let mut fitting = program.bins().filter(|bin| bin.starts_with(&*shown));
    if let (Some(bin), None) = (fitting.next(), fitting.next()) {
        return Ok(*bin);
    }
    let pan = reveal::open_pan(state, id, issued)?;
    Ok(*program.bin_of(pan.digits()).unwrap_or(&program.bin))
}

/// Those of all programs that the caller sees, by their digits; from memory.
pub async fn many(
    State(gate): State<Gate>,
    caller: Caller,
    ListQuery(mut query): ListQuery,
) -> Result<Response, ApiError> {
    let state = gate.state()?;
    let program_id: Option<ProgramId> = query.id("program_id", ProgramId::PREFIX)?;
    // A name that no network has finds nothing.
    let network = network(&mut query, &[])?;
    let region = region(&mut query)?;
    let product_type = product_type(&mut query)?;
    let view = ask::view(&state).await?;
    let programs = view.programs.values();
    let programs = programs
        .filter(|program| program_id.is_none_or(|id| program.id == id))
        .filter(|program| caller.sees_program(program.id));
    let all = programs.flat_map(|program| {
        let bins = program.bins();
        bins.map(|bin| (program.details_of(bin), &**program))
    });
    let is = |wanted: &Option<Box<str>>, known: Option<&str>| {
        wanted.is_none() || wanted.as_deref() == known
    };
    let mut wanted: Vec<_> = all
        .filter(|(bin, _)| {
            is(&network, Some(bin.network))
                && is(&region, bin.region)
                && is(&product_type, bin.product_type)
        })
        .collect();
    wanted.sort_unstable_by_key(|(bin, program)| (bin.bin, program.id));
    let wanted = wanted.into_iter();
    list::page_of_memory(
        ListQuery(query),
        wanted.map(|(bin, program)| {
            let id = format!("{}:{}", bin.bin, program.id);
            (id.clone(), move || bin_json(id, &bin, program))
        }),
    )
}

fn bin_json(id: String, details: &BinDetails, program: &Program) -> Value {
    let mut bin = details_json(details);
    bin["id"] = id.into();
    bin["object"] = "bin".into();
    bin["program_id"] = program.id.to_string().into();
    bin["currency"] = program.currency.alpha().into();
    bin
}
