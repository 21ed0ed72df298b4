//! The fields of a message while it is put together: whole ones and parts of some, from places that a dialect names.

use crate::engine::facts::{Country, Merchant};
use crate::iso8583::field::{Content, Length};
use crate::iso8583::mapping::Location;
use crate::iso8583::structure::Structure;
use crate::iso8583::{Dialect, EncodeError, Encoder, Mti};
use bytes::BytesMut;
use std::collections::BTreeMap;

/// A code at a place.
pub type Setting = (Location, String);

#[derive(Debug, Clone, Default)]
pub struct Fields {
    whole: BTreeMap<u8, String>,
    /// By field: path and text, in the order in which they came.
    parts: BTreeMap<u8, Vec<(String, String)>>,
}

impl Fields {
    /// A whole field, as canonical text.
    pub fn put(&mut self, field: u8, text: &str) {
        self.whole.insert(field, text.to_owned());
    }

    pub fn set(&mut self, at: &Location, text: &str) {
        if at.path.is_empty() {
            return place(self.whole.entry(at.field).or_default(), at, text);
        }
        let parts = self.parts.entry(at.field).or_default();
        let known = parts.iter().position(|(path, _)| **path == *at.path);
        let known = known.unwrap_or_else(|| {
            parts.push((at.path.to_string(), String::new()));
            parts.len() - 1
        });
        place(&mut parts[known].1, at, text);
    }

    /// These fields with further codes; one that begins a whole field is filled up with zeros.
    pub fn with(&self, dialect: &Dialect, settings: &[Setting]) -> Fields {
        let mut fields = self.clone();
        for (at, code) in settings {
            fields.set(at, code);
            let layout = dialect.layout(at.field);
            let fixed = layout.filter(|layout| layout.length == Length::Fixed);
            if let (Some(layout), Some(text)) = (fixed, fields.whole.get_mut(&at.field)) {
                let width = usize::from(layout.max);
                *text = format!("{text:0<width$}");
            }
        }
        fields
    }

    /// Name, city and country, cut to their places.
    pub fn put_merchant(&mut self, dialect: &Dialect, merchant: &Merchant) {
        let mappings = dialect.mappings();
        let mut set = |at: &Location, text: &str| {
            let width = width_of(dialect, at).unwrap_or(text.len());
            let text = text.get(..width.min(text.len())).unwrap_or_default();
            if !text.trim().is_empty() {
                self.set(at, text);
            }
        };
        set(&mappings.merchant_name, &merchant.name);
        if let Some(at) = &mappings.merchant_city {
            set(at, &merchant.city);
        }
        let country = &merchant.country;
        let known = rust_iso3166::from_alpha2(country.alpha2());
        let Some(known) = known.filter(|_| *country != Country::UNKNOWN) else {
            return;
        };
        match &mappings.merchant_country {
            Some(at) if width_of(dialect, at) == Some(2) => set(at, known.alpha2),
            Some(at) => set(at, known.alpha3),
            None => {}
        }
        if dialect.layout(19).is_some() {
            self.put(19, &format!("{:03}", known.numeric));
        }
    }

    /// Where the entry mode is one of many positions, the others say nothing.
    pub fn put_blank_positions(&mut self, dialect: &Dialect) {
        let at = &dialect.mappings().entry_mode.at;
        let spec = dialect.field(at.field);
        let structure = spec.and_then(|spec| spec.structure.as_deref());
        let Some(Structure::Positional(parts)) = structure.filter(|_| !at.path.is_empty()) else {
            return;
        };
        let parts = parts.iter().map(|part| {
            let zeros = "0".repeat(usize::from(part.spec.layout.max));
            (part.key.to_string(), zeros)
        });
        self.parts.insert(at.field, parts.collect());
    }

    /// DE95: its first amount, and nothing in the others.
    pub fn put_replacement(&mut self, dialect: &Dialect, amount_minor: i64) {
        let spec = dialect.field(95);
        let structure = spec.and_then(|spec| spec.structure.as_deref());
        let Some(Structure::Positional(parts)) = structure else {
            return self.put(95, &format!("{amount_minor:012}{:030}", 0));
        };
        let parts = parts.iter().enumerate().map(|(at, part)| {
            let width = usize::from(part.spec.layout.max);
            let signed = part.spec.layout.content == Content::Xn;
            let text = match (at, signed) {
                (0, _) => format!("{amount_minor:0width$}"),
                (_, true) => format!("C{}", "0".repeat(width - 1)),
                (_, false) => "0".repeat(width),
            };
            (part.key.to_string(), text)
        });
        self.parts.insert(95, parts.collect());
    }

    pub fn encode(&self, dialect: &Dialect, mti: Mti) -> Result<BytesMut, EncodeError> {
        let mut out = BytesMut::new();
        let mut encoder = Encoder::new(dialect, &mut out, mti);
        for field in 2..=u8::MAX {
            if let Some(text) = self.whole.get(&field) {
                encoder.text(field, text)?;
            } else if let Some(parts) = self.parts.get(&field) {
                let parts: Vec<_> = parts
                    .iter()
                    .map(|(path, text)| (&**path, &**text))
                    .collect();
                encoder.parts(field, &parts)?;
            }
        }
        encoder.finish();
        Ok(out)
    }
}

/// Writes a text at its positions, with zeros in front where there is nothing yet.
fn place(whole: &mut String, at: &Location, text: &str) {
    let Some((first, _)) = at.positions else {
        text.clone_into(whole);
        return;
    };
    let (first, end) = (usize::from(first) - 1, usize::from(first) - 1 + text.len());
    while whole.len() < end {
        whole.push('0');
    }
    // What stands here is ASCII: codes of dialect files, and zeros.
    whole.replace_range(first..end, text);
}

/// Characters that a place has, where it is bounded.
fn width_of(dialect: &Dialect, at: &Location) -> Option<usize> {
    let mut spec = dialect.field(at.field)?;
    for key in at.path.split('.').filter(|key| !key.is_empty()) {
        spec = spec.structure.as_deref()?.part(key)?;
    }
    Some(usize::from(spec.layout.max))
}
