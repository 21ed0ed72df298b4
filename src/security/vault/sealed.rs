//! The bytes of a sealed PAN. Which key to use is the vault's business.

use std::fmt;

use aes_gcm::{AeadInOut, Aes256Gcm};
use arrayvec::ArrayVec;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use super::{VaultError, random};
use crate::security::Pan;

/// Largest sealed PAN, of this form or a later one.
const CAPACITY: usize = 48;

/// Form, data key id (little-endian), nonce, packed digits, tag: 43 bytes.
const FORM: u8 = 1;
const KEY_ID: std::ops::Range<usize> = 1..5;
const NONCE: std::ops::Range<usize> = 5..17;
const DIGITS: std::ops::Range<usize> = 17..27;
const TAG: std::ops::Range<usize> = 27..43;

/// An encrypted PAN as the journal keeps it: opaque, 43 bytes, bound to one card id.
///
/// Serializes as bytes. The length says nothing about the length of the PAN.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SealedPan(ArrayVec<u8, CAPACITY>);

impl SealedPan {
    /// The id of the data key that sealed it, or `None` if the bytes have no known form.
    pub fn key_id(&self) -> Option<u32> {
        if self.0.len() != TAG.end || self.0[0] != FORM {
            return None;
        }
        let id = self.0[KEY_ID].try_into().expect("four bytes");
        Some(u32::from_le_bytes(id))
    }

    /// The bytes, for storage.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

pub(super) fn seal(
    cipher: &Aes256Gcm,
    key_id: u32,
    pan: &Pan,
    card_id: u64,
) -> Result<SealedPan, VaultError> {
    let nonce = random::<12>()?;
    let mut bytes = ArrayVec::from([0; CAPACITY]);
    bytes.truncate(TAG.end);
    bytes[0] = FORM;
    bytes[KEY_ID].copy_from_slice(&key_id.to_le_bytes());
    bytes[NONCE].copy_from_slice(&*nonce);
    let context = context(key_id, card_id);
    let mut digits = pack(pan);
    let tag = cipher
        .encrypt_inout_detached(&(*nonce).into(), &context, digits.as_mut_slice().into())
        .expect("ten bytes are far below the limit of GCM");
    bytes[DIGITS].copy_from_slice(&*digits);
    bytes[TAG].copy_from_slice(&tag);
    Ok(SealedPan(bytes))
}

/// The caller has found the cipher by `sealed.key_id()`.
pub(super) fn open(
    cipher: &Aes256Gcm,
    sealed: &SealedPan,
    card_id: u64,
) -> Result<Pan, VaultError> {
    let not_opened = VaultError::PanNotOpened { card_id };
    let Some(key_id) = sealed.key_id() else {
        return Err(not_opened);
    };
    let nonce: [u8; 12] = sealed.0[NONCE].try_into().expect("twelve bytes");
    let tag: [u8; 16] = sealed.0[TAG].try_into().expect("sixteen bytes");
    let mut digits = Zeroizing::new([0; 10]);
    digits.copy_from_slice(&sealed.0[DIGITS]);
    let context = context(key_id, card_id);
    let opened = cipher.decrypt_inout_detached(
        &nonce.into(),
        &context,
        digits.as_mut_slice().into(),
        &tag.into(),
    );
    match opened {
        Ok(()) => unpack(&digits).ok_or(not_opened),
        Err(_) => Err(not_opened),
    }
}

/// What a sealed PAN is bound to: its form, its key and its card.
fn context(key_id: u32, card_id: u64) -> [u8; 13] {
    let mut context = [FORM; 13];
    context[1..5].copy_from_slice(&key_id.to_le_bytes());
    context[5..].copy_from_slice(&card_id.to_le_bytes());
    context
}

/// Two digits to a byte, filled up with `F` to twenty.
fn pack(pan: &Pan) -> Zeroizing<[u8; 10]> {
    let mut packed = Zeroizing::new([0xff; 10]);
    for (at, ascii) in pan.digits().bytes().enumerate() {
        let (digit, byte) = (ascii - b'0', &mut packed[at / 2]);
        *byte = match at % 2 {
            0 => digit << 4 | 0x0f,
            _ => *byte & 0xf0 | digit,
        };
    }
    packed
}

fn unpack(packed: &[u8; 10]) -> Option<Pan> {
    let mut text = Zeroizing::new([0u8; 20]);
    let nibbles = packed.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let mut length = 0;
    for digit in nibbles.take_while(|nibble| *nibble < 10) {
        text[length] = b'0' + digit;
        length += 1;
    }
    let text = std::str::from_utf8(&text[..length]).ok()?;
    Pan::parse(text).ok()
}

impl fmt::Debug for SealedPan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SealedPan(..)")
    }
}

impl Serialize for SealedPan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for SealedPan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SealedPan, D::Error> {
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

struct BytesVisitor;

impl<'de> de::Visitor<'de> for BytesVisitor {
    type Value = SealedPan;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "at most {CAPACITY} bytes of a sealed PAN")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<SealedPan, E> {
        let bytes = ArrayVec::try_from(bytes);
        bytes
            .map(SealedPan)
            .map_err(|_| E::custom(format_args!("more than {CAPACITY} bytes of a sealed PAN")))
    }

    /// Formats without a byte string of their own (JSON) give a list of numbers.
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<SealedPan, A::Error> {
        let mut bytes = ArrayVec::new();
        while let Some(byte) = list.next_element()? {
            if bytes.try_push(byte).is_err() {
                return Err(de::Error::invalid_length(CAPACITY + 1, &self));
            }
        }
        Ok(SealedPan(bytes))
    }
}
