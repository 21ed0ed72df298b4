//! What is said is read back, in every dialect.

use super::*;
use crate::engine::facts::Country;
use crate::engine::three_ds::{Authentication, Cryptogram, Exemption};
use crate::iso8583::{Dialect, Message};
use std::sync::{Arc, LazyLock};

/// Of every dialect, compiled once.
static MAPS: LazyLock<Vec<DialectMap>> = LazyLock::new(|| {
    let names = Dialect::builtin_names().iter();
    let dialects = names.map(|name| Arc::new(Dialect::builtin(name).unwrap()));
    dialects.map(|d| DialectMap::compile(d).unwrap()).collect()
});

fn map(name: &str) -> &'static DialectMap {
    let mut maps = MAPS.iter();
    maps.find(|map| map.dialect.name() == name).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// An online purchase, as it comes by default.
fn purchase() -> Outgoing {
    let pan = Pan::parse("4111111111111111").unwrap();
    Outgoing {
        message_type: MessageType::Request,
        is_repeat: false,
        kind: Kind::Purchase,
        pan,
        expiry: Expiry::new(2029, 3),
        cvv2: Some("123".parse().unwrap()),
        amount: Money {
            amount_minor: 1_250,
            currency: Currency(840),
        },
        billing: None,
        merchant: Merchant {
            id: "M1".parse().unwrap(),
            name: "SHOP OF A RATHER LONG NAME THAT IS CUT".parse().unwrap(),
            city: "RIO".parse().unwrap(),
            country: Country::from_alpha2("BR").unwrap(),
            country_is_acquirers: false,
            mcc: 5411,
        },
        acquirer_id: "412345".parse().unwrap(),
        terminal_id: "T1".parse().unwrap(),
        entry_mode: EntryMode::Ecommerce,
        channel: Some(Channel::Ecommerce),
        partial_approval_supported: false,
        initiated_by_merchant: false,
        is_final: true,
        three_ds: ThreeDs::default(),
        stand_in: None,
        approval_code: None,
        original: None,
        stays: None,
        token: None,
        names: Names {
            stan: 42,
            rrn: "0ABC12345678".parse().unwrap(),
            sent_at: at("2026-11-28T20:00:01Z"),
            local_at: at("2026-11-28T20:00:01Z"),
        },
    }
}

/// In each dialect, whether a change of the purchase can be said there.
fn said_in(change: impl Fn(&mut Outgoing)) -> Vec<&'static str> {
    let said = |name: &&&'static str| {
        let mut outgoing = purchase();
        change(&mut outgoing);
        outgoing.encode(map(name)).is_ok()
    };
    Dialect::builtin_names()
        .iter()
        .filter(said)
        .copied()
        .collect()
}

fn of_request(outgoing: &mut Outgoing) {
    outgoing.original = Some(Original {
        message_type: MessageType::Request,
        stan: 41,
        sent_at: Some(at("2026-11-28T19:00:00Z")),
        acquirer_id: 412_345,
    });
}

#[test]
fn every_dialect_says_every_kind_and_message() {
    let all = Dialect::builtin_names();
    for (kind, name) in Kind::ALL {
        let said = said_in(|outgoing| {
            outgoing.kind = *kind;
            if *kind == Kind::Incremental {
                of_request(outgoing);
            }
        });
        match kind {
            Kind::Other => assert!(said.is_empty()),
            _ => assert_eq!(said, all, "{name}"),
        }
    }
    for message_type in [
        MessageType::FinancialRequest,
        MessageType::Advice,
        MessageType::FinancialAdvice,
        MessageType::Reversal,
        MessageType::ReversalAdvice,
    ] {
        let said = said_in(|outgoing| {
            outgoing.message_type = message_type;
            of_request(outgoing);
            outgoing.stays = message_type.is_reversal().then_some(Stays {
                stays_minor: 500,
                stood_at_minor: 1_250,
            });
        });
        assert_eq!(said, all, "{message_type:?}");
    }
}

#[test]
fn the_fields_are_those_of_the_standard() {
    for name in Dialect::builtin_names() {
        let map = map(name);
        let mut outgoing = purchase();
        outgoing.message_type = MessageType::Reversal;
        of_request(&mut outgoing);
        let bytes = outgoing.encode(map).unwrap();
        let message = Message::parse(&map.dialect, &bytes).unwrap();
        let text = |field| message.text::<64>(field).unwrap_or_default();
        let is_1993 = map.dialect.version() == 1;
        let (local, original) = match is_1993 {
            true => ("261128200001", "110000004126112819000006412345"),
            false => ("200001", "010000004111281900000000041234500000000000"),
        };
        assert_eq!(
            message.mti().to_string(),
            if is_1993 { "1400" } else { "0400" }
        );
        assert_eq!(
            text(if is_1993 { 56 } else { 90 }).as_str(),
            original,
            "{name}"
        );
        for (field, expected) in [
            (2, "4111111111111111"),
            (4, "000000001250"),
            (7, "1128200001"),
            (11, "000042"),
            (12, local),
            (14, "2903"),
            (32, "412345"),
            (37, "0ABC12345678"),
            (49, "840"),
        ] {
            assert_eq!(text(field).trim(), expected, "{name} DE{field}");
        }
        let cvv2 = map.dialect.mappings().cvv2.clone().unwrap();
        assert_eq!(message.locate::<4>(&cvv2).unwrap().trim(), "123", "{name}");
        let said = crate::network::merchant::merchant(&message, "");
        assert!(
            said.name.starts_with("SHOP OF A RATHER"),
            "{name}: {}",
            said.name
        );
        assert_eq!(
            (said.city.trim(), said.country.alpha2()),
            ("RIO", "BR"),
            "{name}"
        );
    }
}

/// What no dialect can say is refused, and never left out: `encode` reads back what it wrote.
#[test]
fn each_dialect_says_what_it_has_a_place_for() {
    const ISO: [&str; 4] = [
        "iso8583-1987-ascii",
        "iso8583-1987-binary",
        "iso8583-1993-ascii",
        "iso8583-1993-binary",
    ];
    let all = Dialect::builtin_names();
    let but_visa: Vec<_> = all
        .iter()
        .filter(|name| **name != "visa-base1")
        .copied()
        .collect();
    for (authentication, name) in Authentication::ALL {
        let said = said_in(|outgoing| outgoing.three_ds.authentication = *authentication);
        match authentication {
            Authentication::Failed => assert_eq!(said, ISO, "{name}"),
            _ => assert_eq!(said, all, "{name}"),
        }
    }
    for (cryptogram, name) in Cryptogram::ALL {
        let said = said_in(|outgoing| {
            outgoing.three_ds.authentication = Authentication::Authenticated;
            outgoing.three_ds.cryptogram = *cryptogram;
        });
        assert_eq!(said, all, "{name}");
    }
    for (exemption, name) in Exemption::ALL {
        let said = said_in(|outgoing| outgoing.three_ds.exemption = *exemption);
        assert!(said.len() >= 4, "{name}: {said:?}");
    }
    let said = said_in(|outgoing| {
        outgoing.initiated_by_merchant = true;
        outgoing.entry_mode = EntryMode::CredentialOnFile;
    });
    assert_eq!(said, all, "merchant_initiated");
    assert_eq!(
        said_in(|outgoing| outgoing.partial_approval_supported = true),
        all
    );
    let said = said_in(|outgoing| {
        outgoing.message_type = MessageType::FinancialAdvice;
        outgoing.is_final = false;
    });
    assert_eq!(said, but_visa, "more to come");
    for mode in [
        EntryMode::Chip,
        EntryMode::Contactless,
        EntryMode::MagneticStripe,
        EntryMode::Manual,
    ] {
        let said = said_in(|outgoing| {
            outgoing.entry_mode = mode;
            outgoing.channel = Some(Channel::PointOfSale);
        });
        assert_eq!(said, all, "{mode:?}");
    }
    let said = said_in(|outgoing| {
        outgoing.channel = Some(Channel::Atm);
        outgoing.merchant.mcc = 6011;
        outgoing.entry_mode = EntryMode::Chip;
    });
    assert_eq!(said, all, "atm");
    // An ATM has an MCC of its own, for which 1993 has a second place.
    let said = said_in(|outgoing| {
        outgoing.channel = Some(Channel::Atm);
        outgoing.entry_mode = EntryMode::Chip;
    });
    assert_eq!(said, ISO[2..]);
    // Nobody is at one online.
    let said = said_in(|outgoing| outgoing.channel = Some(Channel::Atm));
    assert!(said.is_empty(), "{said:?}");
}
