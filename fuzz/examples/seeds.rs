//! Writes messages to begin from into the corpus folder of each dialect's target: an ordinary purchase,
//! every field of the dialect, and every third one. Run it in `fuzz/`: `cargo run --example seeds`.

use std::{fs, io, path::Path};

use bytes::BytesMut;
use cardswitch::iso8583::{
    Dialect, Encoder, Mti,
    field::{Content, Layout, Length},
};

const PURCHASE: &[u8] = &[2, 3, 4, 7, 11, 12, 14, 18, 22, 25, 32, 37, 41, 42, 43, 49];

fn main() -> io::Result<()> {
    for name in Dialect::builtin_names() {
        let dialect = Dialect::builtin(name).expect("the names are those of builtin dialects");
        let folder = Path::new("corpus").join(name.replace('-', "_"));
        fs::create_dir_all(&folder)?;
        let all: Vec<u8> = (2..=192)
            .filter(|field| dialect.field(*field).is_some())
            .collect();
        let third = |rest| {
            all.iter()
                .copied()
                .filter(move |field| field % 3 == rest)
                .collect()
        };
        let seeds: [(&str, Vec<u8>); 5] = [
            ("purchase", PURCHASE.to_vec()),
            ("third-0", third(0)),
            ("third-1", third(1)),
            ("third-2", third(2)),
            ("all", all.clone()),
        ];
        for (seed, fields) in seeds {
            fs::write(folder.join(seed), message(&dialect, &fields))?;
        }
    }
    Ok(())
}

fn message(dialect: &Dialect, fields: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    let mti = Mti::new(u16::from(dialect.version()) * 1000 + 100);
    let mut encoder = Encoder::new(dialect, &mut out, mti);
    for field in fields {
        let spec = dialect.field(*field).expect("a field of this dialect");
        let fitting = encoder.text(*field, &value(&spec.layout));
        fitting.expect("a value made for its layout");
    }
    encoder.finish();
    out
}

/// Canonical text that fits the layout.
fn value(layout: &Layout) -> String {
    let units = match layout.length {
        Length::Fixed => layout.max,
        _ => layout.max.min(layout.min.max(8)),
    };
    let units = usize::from(units);
    match layout.content {
        Content::N | Content::Z => "1".repeat(units),
        Content::A | Content::An | Content::Ans => "A".repeat(units),
        Content::B => "00".repeat(units),
        Content::Xn => format!("C{}", "1".repeat(units - 1)),
    }
}
