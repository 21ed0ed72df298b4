//! How a dialect file describes a field: reads `[defaults]` and the keys of `[field.N]`, and
//! refuses what cannot be encoded. What they mean on the wire is in `field`.

use super::{
    charset::CodePage,
    field::{
        Content, Count, Encoding, FieldSpec, Filler, Layout, Length, Mask, Pad, Plan,
        PrefixEncoding,
    },
    spec::{Section, SpecError, Value},
    structure::Structure,
};

/// What a dialect says once for all its fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    pub text: Encoding,
    pub numeric: Encoding,
    pub track: Encoding,
    pub signed: Encoding,
    pub binary: Encoding,
    pub prefix: PrefixEncoding,
    pub numeric_count: Count,
    pub count: Count,
    pub filler: Filler,
    pub page: CodePage,
}

const FILLERS: &[(&str, Filler)] = &[
    ("left-0", Filler::LeftZero),
    ("left-f", Filler::LeftF),
    ("right-0", Filler::RightZero),
    ("right-f", Filler::RightF),
];
const PAGES: &[(&str, CodePage)] = &[
    ("cp037", CodePage::Cp037),
    ("cp500", CodePage::Cp500),
    ("cp1047", CodePage::Cp1047),
];
const PREFIXES: &[(&str, PrefixEncoding)] = &[
    ("ascii", PrefixEncoding::Ascii),
    ("ebcdic", PrefixEncoding::Ebcdic),
    ("bcd", PrefixEncoding::Bcd),
    ("binary", PrefixEncoding::Binary),
];
const COUNTS: &[(&str, Count)] = &[("units", Count::Units), ("bytes", Count::Bytes)];
const CONTENTS: &[(&str, Content)] = &[
    ("n", Content::N),
    ("a", Content::A),
    ("an", Content::An),
    ("ans", Content::Ans),
    ("b", Content::B),
    ("z", Content::Z),
    ("x+n", Content::Xn),
];
const PADS: &[(&str, Pad)] = &[
    ("none", Pad::None),
    ("left-zero", Pad::LeftZero),
    ("left-space", Pad::LeftSpace),
    ("right-space", Pad::RightSpace),
];
const MASKS: &[(&str, Mask)] = &[
    ("show", Mask::Show),
    ("pan", Mask::Pan),
    ("hide", Mask::Hide),
];

/// Encoding words, with filler and code page filled in from elsewhere.
pub(super) fn encodings(filler: Filler, page: CodePage) -> [(&'static str, Encoding); 6] {
    [
        ("ascii", Encoding::Ascii),
        ("ebcdic", Encoding::Ebcdic(page)),
        ("bcd", Encoding::Bcd(filler)),
        ("raw", Encoding::Raw),
        ("hex", Encoding::Hex),
        ("ebcdic-hex", Encoding::EbcdicHex(page)),
    ]
}

impl Defaults {
    /// Reads `[defaults]`.
    pub fn read(mut section: Section) -> Result<Defaults, SpecError> {
        let filler = section
            .choice("filler", FILLERS)?
            .unwrap_or(Filler::LeftZero);
        let page = section
            .choice("code_page", PAGES)?
            .unwrap_or(CodePage::Cp037);
        let words = encodings(filler, page);
        let text = section.choice("text", &words)?.unwrap_or(Encoding::Ascii);
        let numeric = section.choice("numeric", &words)?.unwrap_or(text);
        let defaults = Defaults {
            text,
            numeric,
            track: section.choice("track", &words)?.unwrap_or(numeric),
            signed: section.choice("signed", &words)?.unwrap_or(numeric),
            binary: section.choice("binary", &words)?.unwrap_or(Encoding::Raw),
            prefix: section
                .choice("prefix", PREFIXES)?
                .unwrap_or(PrefixEncoding::Ascii),
            numeric_count: section
                .choice("numeric_count", COUNTS)?
                .unwrap_or(Count::Units),
            count: section.choice("count", COUNTS)?.unwrap_or(Count::Bytes),
            filler,
            page,
        };
        section.done()?;
        Ok(defaults)
    }
}

impl FieldSpec {
    /// Reads one field; `None` for one that a dialect takes away (`absent = true`). An `open` one
    /// may go without a length of its own.
    pub(super) fn read(
        mut section: Section,
        defaults: &Defaults,
        open: bool,
    ) -> Result<Option<FieldSpec>, SpecError> {
        if section.flag("absent")? == Some(true) {
            return Ok(None);
        }
        let (name, _) = section.required_text("name")?;
        let mask = section.choice("mask", MASKS)?.unwrap_or(Mask::Show);
        let layout = layout(&mut section, defaults, open)?;
        let structure = match section.section("structure")? {
            Some(inside) => Some(Box::new(Structure::read(inside, &layout, defaults)?)),
            None => None,
        };
        section.done()?;
        Ok(Some(FieldSpec {
            name: name.into(),
            layout,
            mask,
            structure,
        }))
    }
}

fn layout(section: &mut Section, defaults: &Defaults, open: bool) -> Result<Layout, SpecError> {
    let place = section.place.clone();
    let Some(content) = section.choice("content", CONTENTS)? else {
        return Err(place.error(format!("`{}` lacks the key `content`", section.path)));
    };
    let filler = section
        .choice("filler", FILLERS)?
        .unwrap_or(defaults.filler);
    let words = encodings(filler, defaults.page);
    let encoding = section
        .choice("encoding", &words)?
        .unwrap_or(match content {
            Content::N => defaults.numeric,
            Content::Z => defaults.track,
            Content::Xn => defaults.signed,
            Content::B => defaults.binary,
            Content::A | Content::An | Content::Ans => defaults.text,
        });
    let encoding = match encoding {
        Encoding::Bcd(_) => Encoding::Bcd(filler),
        other => other,
    };
    let (length, max) = length(section, open)?;
    let counts_digits = matches!(encoding, Encoding::Bcd(_));
    let layout = Layout {
        content,
        encoding,
        length,
        prefix: section
            .choice("prefix", PREFIXES)?
            .unwrap_or(defaults.prefix),
        count: section
            .choice("count", COUNTS)?
            .unwrap_or(if counts_digits {
                defaults.numeric_count
            } else {
                defaults.count
            }),
        min: match length {
            Length::Fixed => max,
            _ => section.number("min", 0..=i64::from(max))?.unwrap_or(0) as u16,
        },
        max,
        pad: section
            .choice("pad", PADS)?
            .unwrap_or(match (length, content) {
                (Length::Fixed, Content::N) => Pad::LeftZero,
                (Length::Fixed, Content::A | Content::An | Content::Ans) => Pad::RightSpace,
                _ => Pad::None,
            }),
        eight_bit: section.flag("eight_bit")?.unwrap_or(false),
        plan: Plan::default(),
    }
    .planned();
    check(&layout).map_err(|problem| place.error(format!("`{}`: {problem}", section.path)))?;
    Ok(layout)
}

/// `length = 6` is fixed; `length = "LL", max = 19` has a prefix.
fn length(section: &mut Section, open: bool) -> Result<(Length, u16), SpecError> {
    let place = section.place.clone();
    let path = section.path.clone();
    match section.take("length") {
        None if open => {
            let max = section.number("max", 1..=9999)?.unwrap_or(9999);
            Ok((Length::Open, max as u16))
        }
        None => Err(place.error(format!("`{path}` lacks the key `length`"))),
        Some(node) => match node.value {
            Value::Integer(fixed @ 1..=9999) => {
                // An overlay may turn a prefixed field into a fixed one: its `max` then goes too.
                section.take("max");
                section.take("min");
                Ok((Length::Fixed, fixed as u16))
            }
            Value::Text(word) if matches!(word.as_str(), "L" | "LL" | "LLL" | "LLLL") => {
                let max = section.number("max", 1..=9999)?;
                let missing = || place.error(format!("`{path}` lacks the key `max`"));
                Ok((
                    Length::Prefixed(word.len() as u8),
                    max.ok_or_else(missing)? as u16,
                ))
            }
            _ => Err(node.place.error(
                "`length` must be a number (fixed), or \"L\", \"LL\", \"LLL\" or \"LLLL\" \
                 (a prefix of that many digits)",
            )),
        },
    }
}

fn check(layout: &Layout) -> Result<(), String> {
    let fits = match (layout.content, layout.encoding) {
        (Content::B, Encoding::Raw | Encoding::Hex | Encoding::EbcdicHex(_)) => true,
        (Content::B, _) => false,
        (Content::N | Content::Z | Content::Xn, Encoding::Bcd(_)) => true,
        (_, Encoding::Ascii | Encoding::Ebcdic(_)) => true,
        _ => false,
    };
    if !fits {
        let (content, encoding) = (layout.content.name(), layout.encoding);
        return Err(format!(
            "content {content:?} cannot be encoded as {encoding:?}"
        ));
    }
    if matches!(
        (layout.content, layout.encoding),
        (Content::Xn, Encoding::Bcd(_))
    ) && layout.max.is_multiple_of(2)
    {
        return Err("a packed x+n field has a sign and an even number of digits".to_owned());
    }
    let longest = match layout.count {
        Count::Units => usize::from(layout.max),
        Count::Bytes => layout.wire_length(usize::from(layout.max)),
    };
    if longest > layout.prefix_capacity() {
        let capacity = layout.prefix_capacity();
        return Err(format!(
            "the length prefix holds at most {capacity}, `max` needs {longest}"
        ));
    }
    Ok(())
}
