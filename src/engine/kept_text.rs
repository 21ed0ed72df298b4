//! A text that is kept for a while and seldom read: a long one is compressed (LZ4, block format with the length before it).

use lz4_flex::block::{compress_prepend_size, decompress_size_prepended};
use serde::{Deserialize, Serialize};

/// A shorter one is kept as it is.
const COMPRESSED_FROM_BYTES: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeptText {
    Plain(Box<str>),
    Lz4(Box<[u8]>),
}

impl KeptText {
    pub fn of(text: &str) -> KeptText {
        if text.len() >= COMPRESSED_FROM_BYTES {
            let compressed = compress_prepend_size(text.as_bytes());
            if compressed.len() < text.len() {
                return KeptText::Lz4(compressed.into());
            }
        }
        KeptText::Plain(text.into())
    }

    pub fn bytes(&self) -> u64 {
        match self {
            KeptText::Plain(text) => text.len() as u64,
            KeptText::Lz4(compressed) => compressed.len() as u64,
        }
    }

    /// As it was; nothing where it is damaged.
    pub fn text(&self) -> Option<String> {
        match self {
            KeptText::Plain(text) => Some(text.to_string()),
            KeptText::Lz4(compressed) => {
                let bytes = decompress_size_prepended(compressed).ok()?;
                String::from_utf8(bytes).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_comes_back(part in ".{0,40}", times in 0usize..100) {
            let text = part.repeat(times);
            let kept = KeptText::of(&text);
            prop_assert!(kept.bytes() <= text.len() as u64);
            prop_assert_eq!(kept.text(), Some(text));
        }

        #[test]
        fn damage_is_no_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            // No longer than what a body may be.
            if let Some(length) = bytes.get_mut(3) {
                *length = 0;
            }
            let _ = KeptText::Lz4(bytes.into()).text();
        }
    }

    #[test]
    fn a_long_answer_takes_less() {
        let text = r#"{"id":"lim_0h2","window":"day","amount":5}"#.repeat(100);
        assert!(KeptText::of(&text).bytes() < text.len() as u64 / 10);
    }
}
