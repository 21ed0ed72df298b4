//! The merchant as a message names it: id, name, city, country, category. Without any card number that
//! somebody wrote into these.

use crate::engine::facts::{Country, Merchant};
use crate::iso8583::Message;
use crate::security::{mask_number, mask_pans};
use arrayvec::ArrayString;

/// `own` is the number of the card that the message is about.
pub fn merchant(message: &Message, own: &str) -> Merchant {
    let named_at = message.dialect().mappings().merchant_country.as_ref();
    let named = named_at.and_then(|at| message.locate::<3>(at));
    let named = named.and_then(|text| country(&text));
    let acquirers = || message.text::<3>(19).and_then(|text| country(&text));
    let mut id = message.text(42).unwrap_or_default();
    // Of numeric merchant ids every tenth has the check digit of a card number.
    mask_number(&mut id, own);
    let (name, city) = name_and_city(message, own);
    Merchant {
        id,
        name,
        city,
        country: named.or_else(acquirers).unwrap_or(Country::UNKNOWN),
        country_is_acquirers: named.is_none() && message.has(19),
        mcc: category(message).unwrap_or(0) as u16,
    }
}

/// Without a card number in either of them or across both.
fn name_and_city(message: &Message, own: &str) -> (ArrayString<40>, ArrayString<16>) {
    let mappings = message.dialect().mappings();
    let mut name: ArrayString<40> = message.locate(&mappings.merchant_name).unwrap_or_default();
    let city = mappings.merchant_city.as_ref();
    let mut city: ArrayString<16> = city.and_then(|at| message.locate(at)).unwrap_or_default();
    mask_pans(&mut name, own);
    mask_pans(&mut city, own);
    let is_digit = |letter: char| letter.is_ascii_digit();
    if !(name.ends_with(is_digit) && city.starts_with(is_digit)) {
        return (name, city);
    }
    let mut both = ArrayString::<56>::new();
    both.push_str(&name);
    both.push_str(&city);
    mask_pans(&mut both, own);
    // Masking changes no length, so that both fit where they were.
    let (name, city) = both.split_at(name.len());
    (
        ArrayString::from(name).unwrap_or_default(),
        ArrayString::from(city).unwrap_or_default(),
    )
}

/// Four digits in DE18; in 1993 the card acceptor's business is in DE26.
fn category(message: &Message) -> Option<u64> {
    let is_1993 = message.dialect().version() == 1;
    let business = is_1993.then(|| message.digits(26)).flatten();
    business.or_else(|| message.digits(18))
}

/// ISO 3166 as two or three letters or three digits.
fn country(text: &str) -> Option<Country> {
    let mut letters = ArrayString::<3>::from(text).ok()?;
    letters.make_ascii_uppercase();
    let known = match (text.len(), text.parse::<u16>()) {
        (3, Ok(numeric)) => rust_iso3166::from_numeric(numeric),
        (3, Err(_)) => rust_iso3166::from_alpha3(&letters),
        (2, Err(_)) => rust_iso3166::from_alpha2(&letters),
        _ => None,
    };
    Country::from_alpha2(known?.alpha2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_known_in_small_letters_too() {
        assert_eq!(country("br"), Country::from_alpha2("BR"));
        assert_eq!(country("bra"), Country::from_alpha2("BR"));
        assert_eq!(country("076"), Country::from_alpha2("BR"));
        assert_eq!(country("b"), None);
    }
}
