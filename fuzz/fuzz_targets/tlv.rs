//! Any bytes as elements of any width, and as BER-TLV: elements stay inside the bytes, in their order,
//! and the walk ends.
#![no_main]

use cardswitch::iso8583::{
    charset::CodePage,
    structure::Width,
    tlv::{BerElements, TlvElements, TlvError},
};
use libfuzzer_sys::fuzz_target;

fn width(kind: u8, count: u8) -> Width {
    let count = usize::from(count % 8);
    match kind % 4 {
        0 => Width::Ascii(count + 1),
        1 => Width::Ebcdic(count + 1, CodePage::Cp037),
        2 => Width::Binary(count % 4 + 1),
        _ => Width::Bcd(count % 4 + 1),
    }
}

fuzz_target!(|input: ([u8; 4], &[u8])| {
    let ([tag, tag_count, length, length_count], bytes) = input;
    let (tag, length) = (width(tag, tag_count), width(length, length_count));
    let elements = TlvElements::new(bytes, tag, length);
    walk(bytes, elements.map(|element| element.map(|e| e.value)));
    let elements = BerElements::new(bytes);
    walk(bytes, elements.map(|element| element.map(|e| e.value)));
});

fn walk<'a>(bytes: &'a [u8], elements: impl Iterator<Item = Result<&'a [u8], TlvError>>) {
    let mut taken = 0;
    for element in elements {
        match element {
            Ok(value) => taken += value.len() + 1,
            Err(error) => assert!(error.offset < bytes.len()),
        }
    }
    assert!(taken <= bytes.len());
}
