//! Card numbers that somebody wrote into free text: found, and masked before the text is kept. Fields
//! that are meant to hold one are the business of `pan`.

use arrayvec::{ArrayString, ArrayVec};
use std::ops::Range;

use super::Pan;

/// Fewest and most digits of a card number in free text; shorter ones are nearly extinct, and what
/// else has twelve digits is not.
const DIGITS: (usize, usize) = (13, 19);

/// First four digits, from and to, and the number of digits of the numbers under them, as the card
/// networks publish them. Without these ranges every tenth number of a customer's own, and every IMEI
/// and SIM card number, would count: they end in a check digit of the same kind.
const RANGES: &[(u32, u32, usize, usize)] = &[
    (1000, 1999, 15, 15),
    (2200, 2204, 16, 19),
    (2221, 2720, 16, 16),
    (3000, 3099, 14, 19),
    (3400, 3499, 15, 15),
    (3528, 3589, 16, 19),
    (3600, 3699, 14, 19),
    (3700, 3799, 15, 15),
    (3800, 3999, 14, 19),
    (4000, 4999, 13, 19),
    (5000, 5099, 13, 19),
    (5100, 5599, 16, 16),
    (5600, 5899, 13, 19),
    (6000, 6999, 13, 19),
    (7000, 7999, 16, 19),
    (8100, 8299, 16, 19),
    (9000, 9999, 16, 19),
];

/// The zeros of all decimal digits but ASCII's (category Nd of Unicode 14); the other nine follow each of them.
const ZEROS: &[char] = &[
    '\u{660}',
    '\u{6f0}',
    '\u{7c0}',
    '\u{966}',
    '\u{9e6}',
    '\u{a66}',
    '\u{ae6}',
    '\u{b66}',
    '\u{be6}',
    '\u{c66}',
    '\u{ce6}',
    '\u{d66}',
    '\u{de6}',
    '\u{e50}',
    '\u{ed0}',
    '\u{f20}',
    '\u{1040}',
    '\u{1090}',
    '\u{17e0}',
    '\u{1810}',
    '\u{1946}',
    '\u{19d0}',
    '\u{1a80}',
    '\u{1a90}',
    '\u{1b50}',
    '\u{1bb0}',
    '\u{1c40}',
    '\u{1c50}',
    '\u{a620}',
    '\u{a8d0}',
    '\u{a900}',
    '\u{a9d0}',
    '\u{a9f0}',
    '\u{aa50}',
    '\u{abf0}',
    '\u{ff10}',
    '\u{104a0}',
    '\u{10d30}',
    '\u{11066}',
    '\u{110f0}',
    '\u{11136}',
    '\u{111d0}',
    '\u{112f0}',
    '\u{11450}',
    '\u{114d0}',
    '\u{11650}',
    '\u{116c0}',
    '\u{11730}',
    '\u{118e0}',
    '\u{11950}',
    '\u{11c50}',
    '\u{11d50}',
    '\u{11da0}',
    '\u{16a60}',
    '\u{16ac0}',
    '\u{16b50}',
    '\u{1d7ce}',
    '\u{1d7d8}',
    '\u{1d7e2}',
    '\u{1d7ec}',
    '\u{1d7f6}',
    '\u{1e140}',
    '\u{1e2f0}',
    '\u{1e950}',
    '\u{1fbf0}',
];

/// Whether a text holds what looks like a card number: 13 to 19 digits of any script, single spaces, hyphens,
/// dots, slashes or underlines between them, in a range of card numbers and with the right check digit.
pub fn holds_pan(text: &str) -> bool {
    match text.is_ascii() {
        true => find_pan(text.as_bytes()).is_some(),
        false => find_pan(&Plain::of(text).bytes).is_some(),
    }
}

/// A text in ASCII, as far as numbers are concerned.
struct Plain {
    bytes: Vec<u8>,
    /// Where in the text each of them stands.
    places: Vec<usize>,
}

impl Plain {
    fn of(text: &str) -> Plain {
        let mut plain = Plain {
            bytes: Vec::with_capacity(text.len()),
            places: Vec::with_capacity(text.len()),
        };
        for (place, letter) in text
            .char_indices()
            .filter(|(_, letter)| !is_unseen(*letter))
        {
            plain.bytes.push(plain_letter(letter));
            plain.places.push(place);
        }
        plain
    }
}

fn plain_letter(letter: char) -> u8 {
    match letter {
        _ if letter.is_ascii() => letter as u8,
        _ if letter.is_whitespace() => b' ',
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}' => b'-',
        '\u{ff0e}' | '\u{b7}' => b'.',
        '\u{ff0f}' => b'/',
        '\u{ff3f}' => b'_',
        _ => digit(letter).map_or(u8::MAX, |digit| b'0' + digit),
    }
}

/// Takes no room where text is shown.
fn is_unseen(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

fn digit(letter: char) -> Option<u8> {
    if letter.is_ascii() {
        return letter.is_ascii_digit().then(|| letter as u8 - b'0');
    }
    let after = ZEROS.partition_point(|zero| *zero <= letter);
    let zero = ZEROS.get(after.checked_sub(1)?)?;
    u8::try_from(letter as u32 - *zero as u32)
        .ok()
        .filter(|digit| *digit < 10)
}

/// Masks what looks like a card number, and the number `own` wherever it stands, whole or cut short.
pub fn mask_pans<const N: usize>(text: &mut ArrayString<N>, own: &str) {
    mask(text, |bytes| {
        find_number(bytes, own.as_bytes()).or_else(|| find_pan(bytes))
    });
}

/// Masks the number `own` only: for ids, of which one in a hundred would look like a card number.
pub fn mask_number<const N: usize>(text: &mut ArrayString<N>, own: &str) {
    mask(text, |bytes| find_number(bytes, own.as_bytes()));
}

/// Leaves the first six and the last four digits of everything found.
fn mask<const N: usize>(text: &mut ArrayString<N>, find: impl Fn(&[u8]) -> Option<Range<usize>>) {
    let count = |text: &str| text.chars().filter_map(digit).count();
    if count(text) < DIGITS.0 {
        return;
    }
    // Every turn leaves fewer digits.
    loop {
        let plain = Plain::of(text);
        let Some(found) = find(&plain.bytes) else {
            return;
        };
        let place = |at: usize| plain.places.get(at).copied().unwrap_or(text.len());
        let found = place(found.start)..place(found.end);
        let digits = count(&text[found.clone()]);
        let (mut masked, mut seen) = (ArrayString::new(), 0);
        for (at, letter) in text.char_indices() {
            let is_digit = found.contains(&at) && digit(letter).is_some();
            seen += usize::from(is_digit);
            let shown = !is_digit || seen <= 6 || seen > digits - 4;
            masked.push(if shown { letter } else { '*' });
        }
        *text = masked;
    }
}

fn is_separator(byte: &u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'/' | b'_')
}

/// Where the digits of `number`, or thirteen and more of its first ones, follow one another.
fn find_number(bytes: &[u8], number: &[u8]) -> Option<Range<usize>> {
    let ends = |start: usize| {
        let (mut at, mut end, mut count) = (start, start, 0);
        while count < number.len() && bytes.get(at) == Some(&number[count]) {
            count += 1;
            end = at + 1;
            at = end + usize::from(bytes.get(end).is_some_and(is_separator));
        }
        (count >= DIGITS.0).then_some(start..end)
    };
    (0..bytes.len()).find_map(ends)
}

/// The first card number that begins and ends where digits do.
fn find_pan(bytes: &[u8]) -> Option<Range<usize>> {
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let starts = (0..bytes.len()).filter(|at| is_digit(*at) && (*at == 0 || !is_digit(at - 1)));
    starts.into_iter().find_map(|start| {
        let (mut digits, mut at, mut found) = (ArrayVec::<u8, { DIGITS.1 }>::new(), start, None);
        while is_digit(at) && digits.try_push(bytes[at]).is_ok() {
            at += 1;
            if is_digit(at) {
                continue;
            }
            if is_pan(&digits) {
                found = Some(start..at);
            }
            at += usize::from(bytes.get(at).is_some_and(is_separator));
        }
        found
    })
}

fn is_pan(digits: &[u8]) -> bool {
    if digits.len() < DIGITS.0 {
        return false;
    }
    let first4 = digits[..4]
        .iter()
        .fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
    let in_range = RANGES.iter().any(|(from, to, fewest, most)| {
        (*from..=*to).contains(&first4) && (*fewest..=*most).contains(&digits.len())
    });
    in_range && std::str::from_utf8(digits).is_ok_and(|digits| Pan::parse(digits).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VISA: &str = "4111111111111111";

    #[test]
    fn card_numbers_are_found_in_text() {
        for text in [
            VISA,
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4111.1111.1111.1111",
            "my card 4111111111111111, please",
            "24 4111111111111111",
            "4111111111111111-12",
            "pan:5555555555554444",
            "371449635398431",
            "3714 496353 98431",
            "Zürich 4761739001010119",
            "４１１１１１１１１１１１１１１１",
            "４１１１ 1111－1111\u{a0}1111",
            "٤١١١ ١١١١ ١١١١ ١١١١",
            "𝟜𝟙𝟙𝟙𝟙𝟙𝟙𝟙𝟙𝟙𝟙𝟙𝟙𝟙𝟙𝟙",
            "4111\u{200b}1111\u{2060}1111\u{2011}1111",
        ] {
            assert!(holds_pan(text), "{text}");
        }
    }

    #[test]
    fn numbers_that_are_no_card_numbers_are_left_alone() {
        for text in [
            "",
            "master",
            "4111111111111112",
            "41111111111111111111111",
            "4111  1111  1111  1111",
            "+49 30 901820 12",
            // An IMEI, a SIM card number, a snowflake id, IBANs: the first two pass the check.
            "356938035643809",
            "8944500102198304826",
            "175928847299117063",
            "DE89 3704 0044 0532 0130 00",
            "NO93 8601 1117 947",
            "2024-11-24 10:15:00",
            "４１１１１１１１１１１１１１１２",
            "①②③④⑤⑥⑦⑧⑨⑩",
            "四一一一一一一一一一一一一一一一",
        ] {
            assert!(!holds_pan(text), "{text}");
        }
    }

    fn masked(text: &str, own: &str) -> String {
        let mut text = ArrayString::<64>::from(text).unwrap();
        mask_pans(&mut text, own);
        text.to_string()
    }

    #[test]
    fn masking_leaves_the_first_six_and_the_last_four() {
        for (text, expected) in [
            ("Corner Shop", "Corner Shop"),
            ("CARD 4111111111111111", "CARD 411111******1111"),
            ("4111-1111 1111-1111 é", "4111-11** ****-1111 é"),
            (
                "5555555555554444,371449635398431",
                "555555******4444,371449*****8431",
            ),
            ("order 4111111111111112", "order 4111111111111112"),
            (
                "é 4111\u{2011}11111111 1111 é",
                "é 4111\u{2011}11****** 1111 é",
            ),
        ] {
            assert_eq!(masked(text, "2200000000000000"), expected);
        }
    }

    #[test]
    fn digits_of_other_scripts_are_masked_too() {
        let (four, one) = ("\u{ff14}", "\u{ff11}");
        let number = format!("{four}{}", one.repeat(15));
        let expected = format!("{four}{}******{}", one.repeat(5), one.repeat(4));
        assert_eq!(masked(&number, ""), expected);
        let digits: Vec<_> = ZEROS.iter().map(|zero| digit(*zero)).collect();
        assert_eq!(digits, vec![Some(0); ZEROS.len()]);
        assert!(ZEROS.is_sorted());
        let around = ['\u{65f}', '\u{669}', '\u{66a}', '\u{ff19}', '\u{ff1a}'];
        assert_eq!(around.map(digit), [None, Some(9), None, Some(9), None]);
    }

    #[test]
    fn the_messages_own_number_is_masked_wherever_it_stands() {
        // In no range of a card network, and without a right check digit.
        let own = "0000123456789012";
        for (text, expected) in [
            ("0000123456789012", "000012******9012"),
            ("xx990000123456789012991231", "xx99000012******9012991231"),
            ("0000-1234-5678-9012", "0000-12**-****-9012"),
            // All but its check digit.
            ("000012345678901", "000012*****8901"),
            ("000012345678", "000012345678"),
        ] {
            assert_eq!(masked(text, own), expected);
        }
        let mut id = ArrayString::<15>::from("411111111111111").unwrap();
        mask_number(&mut id, own);
        assert_eq!(&*id, "411111111111111");
        mask_number(&mut id, VISA);
        assert_eq!(&*id, "411111*****1111");
    }

    proptest! {
        #[test]
        fn whatever_stands_around_it_no_number_is_left(
            before in r"[^\p{Nd} -]{0,8}", after in r"[^\p{Nd} -]{0,8}", own in "[0-9]{0,19}",
        ) {
            let text = format!("{before}{VISA}{after}");
            prop_assert!(holds_pan(&text));
            let mut masked = ArrayString::<96>::from(&text).unwrap();
            mask_pans(&mut masked, &own);
            prop_assert!(!masked.contains(VISA) && !holds_pan(&masked));
            prop_assert_eq!(masked.len(), text.len());
        }

        #[test]
        fn any_text_is_taken(text in "\\PC{0,40}", own in "[0-9]{0,19}") {
            let mut masked = ArrayString::<160>::from(&text).unwrap();
            mask_pans(&mut masked, &own);
            mask_number(&mut masked, &own);
            prop_assert_eq!(masked.len(), text.len());
        }
    }
}
