//! Messages of each dialect, and the facts that they come to.

use super::*;
use crate::engine::facts::{Channel, Country, EntryMode};
use crate::engine::programs::{Bin, Program};
use crate::engine::three_ds::{Authentication, Cryptogram, Exemption, ThreeDs};
use crate::iso8583::identity::NameKind;
use crate::iso8583::{Dialect, Encoder, Mti};
use crate::security::{Vault, VaultSettings};
use bytes::BytesMut;

const PAN: &str = "4111111111111111";
/// Of a token of that card.
const TOKEN: &str = "4111110000000013";
const EXPIRY: (u16, u8) = (2031, 12);

struct Bench {
    translator: Translator,
    view: RegistryView,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// A network of this dialect, and one issued card.
    fn new(dialect: &str) -> Bench {
        let folder = tempfile::TempDir::new().unwrap();
        let vault = Vault::open(folder.path(), &VaultSettings::default()).unwrap();
        let pan_index = PanIndex::new();
        let pan_hash = vault.pan_hasher().pan_hash(PAN.as_bytes());
        let route = CardRoute {
            card_id: 7,
            root_account_id: 9,
            expiry: Expiry::new(EXPIRY.0, EXPIRY.1).unwrap().0,
            token_id: None,
        };
        pan_index.insert(pan_hash, route);
        let token_hash = vault.pan_hasher().pan_hash(TOKEN.as_bytes());
        let of_token = CardRoute {
            token_id: std::num::NonZeroU64::new(70),
            expiry: 0,
            ..route
        };
        pan_index.insert(token_hash, of_token);
        let translator = Translator {
            map: DialectMap::compile(Arc::new(Dialect::builtin(dialect).unwrap())).unwrap(),
            network: ArrayString::from("visa").unwrap(),
            pan_hasher: vault.pan_hasher().clone(),
            match_key_hasher: vault.match_key_hasher().clone(),
            cvk: vault.cvk().clone(),
            pan_index: Arc::new(pan_index),
        };
        Bench {
            translator,
            view: RegistryView::default(),
            _folder: folder,
        }
    }

    /// The least that a purchase says, and `more`; a field in `more` with no text is left out.
    fn message(&self, mti: u16, more: &[(u8, &str)]) -> Result<Translated, Untranslatable> {
        let is_1993 = self.translator.map.dialect.version() == 1;
        let mut fields = std::collections::BTreeMap::from([
            (2, PAN),
            (3, "000000"),
            (4, "000000001250"),
            (7, "1124031500"),
            (11, "000042"),
            (49, "840"),
        ]);
        if is_1993 {
            fields.extend([(12, "261124031500"), (24, "100")]);
        } else {
            fields.extend([(12, "031500"), (13, "1124")]);
        }
        fields.extend(more.iter().copied());
        fields.retain(|_, text| !text.is_empty());
        let mut bytes = BytesMut::new();
        let mti = Mti::new(if is_1993 { mti + 1_000 } else { mti });
        let mut encoder = Encoder::new(&self.translator.map.dialect, &mut bytes, mti);
        for (field, text) in fields {
            encoder.text(field, text).unwrap();
        }
        encoder.finish();
        let message = Message::parse(&self.translator.map.dialect, &bytes).unwrap();
        self.translator.translate(&message, 1, &self.view)
    }

    fn authorize(&self, more: &[(u8, &str)]) -> Authorize {
        match self.message(100, more) {
            Ok(Translated::Shard {
                root: AccountId(9),
                action: Action::Authorize(authorize),
            }) => authorize,
            Err(error) => panic!("{error:?}"),
            Ok(_) => panic!("it went elsewhere"),
        }
    }

    fn reverse(&self, more: &[(u8, &str)]) -> Reverse {
        match self.message(400, more) {
            Ok(Translated::Shard {
                action: Action::Reverse(reverse),
                ..
            }) => reverse,
            Err(error) => panic!("{error:?}"),
            Ok(_) => panic!("it went elsewhere"),
        }
    }

    fn refusal(&self, more: &[(u8, &str)]) -> Option<Untranslatable> {
        self.message(100, more).err()
    }
}

#[test]
fn a_card_that_nobody_issued_may_be_of_any_bin_of_a_program() {
    let mut bench = Bench::new("iso8583-1987-ascii");
    let program = Program {
        bin: Bin::from("422222").unwrap(),
        further_bins: vec![Bin::from("55555555").unwrap()],
        ..Program::default()
    };
    bench.view.programs.insert(program.id, Arc::new(program));
    for (pan, known) in [
        ("4222222222222220", true),
        ("5555555555554444", true),
        ("5555551111111119", false),
    ] {
        match bench.message(100, &[(2, pan)]) {
            Ok(Translated::Registry(RegistryAction::AuthorizeUnknownCard {
                bin_known, ..
            })) => {
                assert_eq!(bin_known, known, "{pan}");
            }
            _ => panic!("{pan} went elsewhere"),
        }
    }
}

#[test]
fn merchant_and_place_are_where_each_dialect_has_them() {
    let iso = format!("{:22}{:16}DE", "Corner Shop", "Berlin");
    let visa = format!("{:25}{:13}DE", "Corner Shop", "Berlin");
    let mastercard = format!("{:22} {:13} DEU", "Corner Shop", "Berlin");
    let of_1993 = format!(
        "Corner Shop\\Main St 1\\Berlin\\{:10}{:3}276",
        "10115", "BE"
    );
    let chip_1993 = "510101510141";
    for (dialect, name, mcc, entry_mode) in [
        ("iso8583-1987-ascii", &iso, (18, "5411"), "051"),
        ("iso8583-1987-binary", &iso, (18, "5411"), "051"),
        ("iso8583-1993-ascii", &of_1993, (26, "5411"), chip_1993),
        ("iso8583-1993-binary", &of_1993, (26, "5411"), chip_1993),
        ("visa-base1", &visa, (18, "5411"), "0510"),
        ("mastercard-ebcdic", &mastercard, (18, "5411"), "051"),
    ] {
        let bench = Bench::new(dialect);
        let fields = [
            (19, "840"),
            (22, entry_mode),
            mcc,
            (42, "SHOP1"),
            (43, name),
        ];
        let authorize = bench.authorize(&fields);
        let merchant = &authorize.merchant;
        let told = (&*merchant.id, &*merchant.name, &*merchant.city);
        assert_eq!(told, ("SHOP1", "Corner Shop", "Berlin"), "{dialect}");
        assert_eq!(merchant.country.alpha2(), "DE", "{dialect}");
        assert_eq!(
            (merchant.mcc, merchant.country_is_acquirers),
            (5411, false),
            "{dialect}"
        );
        assert_eq!(authorize.entry_mode, EntryMode::Chip, "{dialect}");
        assert_eq!(authorize.channel, Channel::PointOfSale, "{dialect}");

        let nameless = bench.authorize(&[(19, "840")]).merchant;
        let told = (nameless.country.alpha2(), nameless.country_is_acquirers);
        assert_eq!(told, ("US", true), "{dialect}");
        let nowhere = bench.authorize(&[]).merchant;
        assert_eq!(
            (nowhere.country, nowhere.country_is_acquirers),
            (Country::UNKNOWN, false)
        );
    }
}

/// Whoever says that nobody is there is believed, though cash may be had there otherwise.
#[test]
fn a_payment_at_a_distance_is_one_whatever_the_category_of_the_merchant() {
    for (dialect, mcc, there, online) in [
        ("iso8583-1987-ascii", 18, "051", "812"),
        ("iso8583-1987-binary", 18, "051", "812"),
        ("iso8583-1993-ascii", 26, "510101510141", "510101S10141"),
        ("iso8583-1993-binary", 26, "510101510141", "510151510141"),
        ("visa-base1", 18, "0510", "1000"),
        ("mastercard-ebcdic", 18, "051", "812"),
    ] {
        let bench = Bench::new(dialect);
        let channel = |entry_mode, code| bench.authorize(&[(22, entry_mode), (mcc, code)]).channel;
        assert_eq!(channel(there, "6011"), Channel::Atm, "{dialect}");
        assert_eq!(channel(there, "6010"), Channel::PointOfSale, "{dialect}");
        for code in ["5411", "6010", "6011"] {
            let of = channel(online, code);
            assert_eq!(of, Channel::Ecommerce, "{dialect} {code}");
        }
    }
}

#[test]
fn in_1993_the_merchant_type_serves_where_the_business_code_is_missing() {
    let bench = Bench::new("iso8583-1993-ascii");
    assert_eq!(bench.authorize(&[(18, "7995")]).merchant.mcc, 7995);
    assert_eq!(
        bench.authorize(&[(18, "7995"), (26, "5411")]).merchant.mcc,
        5411
    );
}

#[test]
fn cvv2_is_checked_where_each_dialect_has_it() {
    for dialect in Dialect::builtin_names() {
        let bench = Bench::new(dialect);
        let pan = Pan::parse(PAN).unwrap();
        let right = bench.translator.cvk.cvv2(&pan, EXPIRY.0, EXPIRY.1);
        let wrong = if right.digits() == "000" {
            "001"
        } else {
            "000"
        };
        let check = |value: &str| {
            // Visa: bitmap with bit 10, then two indicators and four places in EBCDIC.
            let ebcdic: String = format!("11{value:>4}")
                .bytes()
                .map(|byte| {
                    if byte == b' ' {
                        "40".into()
                    } else {
                        format!("F{}", byte - b'0')
                    }
                })
                .collect();
            let field = match *dialect {
                "visa-base1" => (126, format!("0040000000000000{ebcdic}")),
                "mastercard-ebcdic" => (48, format!("R92{:02}{value}", value.len())),
                _ => (48, format!("92{:02}{value}", value.len())),
            };
            bench.authorize(&[(field.0, &field.1)]).verification.cvv
        };
        assert_eq!(check(right.digits()), Check::Match, "{dialect}");
        assert_eq!(check(wrong), Check::Mismatch, "{dialect}");
        assert_eq!(
            bench.authorize(&[]).verification.cvv,
            Check::Absent,
            "{dialect}"
        );
        if *dialect == "visa-base1" {
            assert_eq!(check(""), Check::Absent, "blank");
        }
    }
}

#[test]
fn the_kind_comes_from_processing_code_function_code_and_flags() {
    let old = Bench::new("iso8583-1987-ascii");
    assert_eq!(old.authorize(&[]).kind, Kind::Purchase);
    assert_eq!(old.authorize(&[(3, "010000")]).kind, Kind::CashWithdrawal);
    assert_eq!(old.authorize(&[(25, "06")]).kind, Kind::PreAuthorization);
    for (code, kind) in [
        ("020000", Kind::DebitAdjustment),
        ("210000", Kind::Deposit),
        ("220000", Kind::CreditAdjustment),
        ("400000", Kind::Other),
        ("920000", Kind::Other),
    ] {
        assert_eq!(old.authorize(&[(3, code)]).kind, kind, "{code}");
    }
    let new = Bench::new("iso8583-1993-ascii");
    for (function, kind) in [
        ("100", Kind::Purchase),
        ("101", Kind::PreAuthorization),
        ("106", Kind::Incremental),
        ("108", Kind::AccountVerification),
    ] {
        assert_eq!(new.authorize(&[(24, function)]).kind, kind, "{function}");
    }
    assert_eq!(
        new.authorize(&[(24, "101"), (3, "200000")]).kind,
        Kind::Refund
    );
}

#[test]
fn what_a_request_must_say_and_does_not_is_named() {
    for dialect in ["iso8583-1987-ascii", "iso8583-1993-binary"] {
        let bench = Bench::new(dialect);
        for field in [2, 3, 4, 11] {
            let refusal = bench.refusal(&[(field, "")]);
            assert_eq!(refusal, Some(Untranslatable::Field(field)), "{dialect}");
        }
        assert_eq!(
            bench.refusal(&[(49, "123")]),
            Some(Untranslatable::Field(49))
        );
        assert_eq!(
            bench.refusal(&[(14, "3113")]),
            Some(Untranslatable::Field(14))
        );
    }
    // Asking whether a card is good takes no amount.
    let bench = Bench::new("iso8583-1987-ascii");
    let verify = bench.authorize(&[(3, "330000"), (4, "")]);
    let told = (verify.kind, verify.amounts.transaction.amount_minor);
    assert_eq!(told, (Kind::AccountVerification, 0));
}

#[test]
fn the_card_and_its_expiry_may_come_from_the_track() {
    let bench = Bench::new("iso8583-1987-binary");
    let track = format!("{PAN}=31122010000000000");
    let authorize = bench.authorize(&[(2, ""), (35, &track)]);
    assert_eq!(authorize.card_id, CardId(7));
    assert_eq!(authorize.verification.expiry, Expiry::new(2031, 12));
    assert_eq!(authorize.repeat_key, bench.authorize(&[]).repeat_key);
    let no_separator = [(2, ""), (35, "4111111111111111")];
    assert_eq!(
        bench.refusal(&no_separator),
        Some(Untranslatable::Field(35))
    );
}

#[test]
fn amounts_have_their_currencies_in_digits_or_letters() {
    let bench = Bench::new("iso8583-1987-ascii");
    let money = |amount_minor, numeric| Money {
        amount_minor,
        currency: Currency(numeric),
    };
    let billed = [(49, "EUR"), (6, "000000001375"), (51, "840")];
    let amounts = bench.authorize(&billed).amounts;
    let told = (amounts.transaction, amounts.billing);
    assert_eq!(told, (money(1_250, 978), Some(money(1_375, 840))));
    let without_currency = bench.authorize(&[(6, "000000001375")]).amounts;
    assert_eq!(without_currency.billing, None);
    let most = bench.authorize(&[(4, "999999999999")]).amounts;
    assert_eq!(most.transaction.amount_minor, 999_999_999_999);
}

#[test]
fn the_identity_of_a_message_is_in_the_fields_that_the_dialect_names() {
    for dialect in ["iso8583-1987-ascii", "iso8583-1993-ascii", "visa-base1"] {
        let mut bench = Bench::new(dialect);
        let first = bench.authorize(&[]).repeat_key;
        assert_eq!(
            bench.authorize(&[(7, "1124031559")]).repeat_key,
            first,
            "{dialect}"
        );
        assert_eq!(
            bench.authorize(&[(4, "000000009999")]).repeat_key,
            first,
            "{dialect}"
        );
        let Ok(Translated::Shard {
            action: Action::Authorize(marked),
            ..
        }) = bench.message(101, &[])
        else {
            panic!("{dialect}");
        };
        assert_eq!(marked.repeat_key, first, "{dialect}");
        assert_ne!(bench.reverse(&[]).repeat_key, first, "{dialect}");
        for (field, text) in [
            (11, "000043"),
            (32, "12345"),
            (37, "632800000001"),
            (41, "TERM0001"),
        ] {
            let other = bench.authorize(&[(field, text)]).repeat_key;
            assert_ne!(other, first, "{dialect} DE{field}");
        }
        bench.translator.network = ArrayString::from("other").unwrap();
        assert_ne!(bench.authorize(&[]).repeat_key, first, "{dialect}");
    }
}

/// Which names a reversal has in common with the purchase of STAN 42 at 03:15:00, and which differ.
fn names_it(bench: &Bench, reversal: &[(u8, &str)]) -> (String, String) {
    let given = [(32, "12345"), (37, "632800000001"), (41, "TERM0001")];
    let of = |keys: &MatchKeys| {
        let names = keys.by_authority.map(|name| name.0);
        [names[0], names[1], names[2], keys.acquirer_id]
    };
    let original = of(&bench.authorize(&given).match_keys);
    let reverse = of(&bench.reverse(reversal).original_keys);
    let kinds = ["rrn", "sent", "local", "acquirer"];
    let (mut same, mut other) = (vec![], vec![]);
    for (place, kind) in kinds.into_iter().enumerate() {
        match (original[place], reverse[place]) {
            (0, _) | (_, 0) => {}
            (one, another) if one == another => same.push(kind),
            _ => other.push(kind),
        }
    }
    (same.join(" "), other.join(" "))
}

#[test]
fn a_reversal_names_its_original_by_what_it_says_of_it() {
    let bench = Bench::new("iso8583-1987-ascii");
    let named = |fields: &[(u8, &str)]| names_it(&bench, fields);
    let told = |same: &str, other: &str| (same.to_owned(), other.to_owned());
    let later = [(7, "1124040000"), (11, "000050"), (32, "12345")];
    let with = |more: &[(u8, &'static str)]| [&later[..], more].concat();
    let acquirer = "010000004211240315000000001234500000000000";
    let zeros = "010000004211240315000000000000000000000000";
    let other_acquirer = "010000004211240315000000009999900000000000";
    let other_stan = "010000004311240315000000001234500000000000";
    let no_time = "010000004200000000000000000000000000000000";
    let nothing = "000000000000000000000000000000000000000000";
    for (fields, same, other) in [
        (with(&[(90, acquirer)]), "sent local acquirer", ""),
        (with(&[(90, zeros)]), "sent local acquirer", ""),
        // Which acquirer it was, nobody can say; the RRN is none the worse for it.
        (
            with(&[(90, other_acquirer), (37, "632800000001")]),
            "rrn sent local",
            "",
        ),
        (with(&[(90, other_stan)]), "acquirer", "sent local"),
        (with(&[(90, no_time)]), "local acquirer", ""),
        (
            with(&[(90, acquirer), (37, "000000000000")]),
            "sent local acquirer",
            "",
        ),
        (
            with(&[(90, acquirer), (37, "632800000002")]),
            "sent local acquirer",
            "rrn",
        ),
        // The RRN alone, at another terminal or at none.
        (with(&[(37, "632800000001")]), "rrn acquirer", "local"),
        (
            with(&[(37, "632800000001"), (41, "TERM0002"), (12, "")]),
            "rrn acquirer",
            "sent",
        ),
        // Nothing known of the original but that it had the same STAN and local time: this message's
        // own time of transmission says nothing of it.
        (with(&[(90, nothing), (11, "000042")]), "local acquirer", ""),
        (with(&[(11, "000042"), (32, "")]), "local", ""),
        // Without a local time the time of transmission is all that is left.
        (
            with(&[(11, "000042"), (7, "1124031500"), (12, "")]),
            "sent acquirer",
            "",
        ),
    ] {
        assert_eq!(named(&fields), told(same, other), "{fields:?}");
    }
}

#[test]
fn in_1993_stan_and_local_time_are_one_name() {
    let bench = Bench::new("iso8583-1993-binary");
    let named = |fields: &[(u8, &str)]| names_it(&bench, &[fields, &[(24, "400")]].concat());
    let told = |same: &str, other: &str| (same.to_owned(), other.to_owned());
    let later = [(11, "000050"), (12, "261124040000"), (32, "12345")];
    let with = |de56: &'static str| [&later[..], &[(56, de56)]].concat();
    for (fields, same, other) in [
        (with("11000000422611240315000512345"), "sent acquirer", ""),
        (with("1100000042261124031500"), "sent acquirer", ""),
        (with("11000000432611240315000512345"), "acquirer", "sent"),
        (later.to_vec(), "acquirer", "sent"),
        // DE13 is a date of the card in 1993, and no part of the name.
        (vec![(13, "2412")], "sent", ""),
    ] {
        assert_eq!(named(&fields), told(same, other), "{fields:?}");
    }
}

#[test]
fn a_partial_reversal_says_what_stays() {
    let stays = |dialect: &str, fields: &[(u8, &str)]| {
        let reverse = Bench::new(dialect).reverse(fields);
        reverse
            .stays
            .map(|stays| (stays.amount_minor, stays.currency.0))
    };
    let actual = |amount: u64| format!("{amount:012}{:012}C00000000C00000000", 0);
    let of_1987 = |amount| stays("iso8583-1987-ascii", &[(95, &actual(amount))]);
    assert_eq!(of_1987(1_000), Some((1_000, 840)));
    assert_eq!(of_1987(0), None);
    assert_eq!(stays("visa-base1", &[(95, &actual(7))]), Some((7, 840)));
    // DE4 is what stays, DE30 what it was.
    let of_1993 = |amount: &str, original: &str| {
        let original = format!("{original:0>12}{:012}", 0);
        let fields = [(4, amount), (30, original.as_str()), (24, "401")];
        stays("iso8583-1993-ascii", &fields)
    };
    assert_eq!(of_1993("000000000400", "1250"), Some((400, 840)));
    assert_eq!(of_1993("000000000000", "1250"), None);
    assert_eq!(of_1993("000000001250", "1250"), None);
    assert_eq!(stays("iso8583-1993-ascii", &[(24, "400")]), None);
}

fn advise(bench: &Bench, mti: u16, more: &[(u8, &str)]) -> Advise {
    match bench.message(mti, more) {
        Ok(Translated::Shard {
            action: Action::Advise(advise),
            ..
        }) => advise,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("no advice"),
    }
}

#[test]
fn an_advice_says_what_was_decided_and_what_it_is_about() {
    for dialect in Dialect::builtin_names() {
        let bench = Bench::new(dialect);
        let is_1993 = bench.translator.map.dialect.version() == 1;
        let [approved, declined] = if is_1993 {
            ["000", "116"]
        } else {
            ["00", "51"]
        };
        for (mti, posts) in [(120, false), (121, false), (220, true), (221, true)] {
            let told = |code| {
                let advise = advise(&bench, mti, &[(39, code), (38, "AB12CD")]);
                let facts = (advise.was_declined, advise.is_final, advise.payment.posts);
                (facts, advise.approval_code)
            };
            let code = Some(ApprovalCode(*b"AB12CD"));
            assert_eq!(
                told(approved),
                ((false, true, posts), code),
                "{dialect} {mti}"
            );
            assert_eq!(
                told(declined),
                ((true, true, posts), code),
                "{dialect} {mti}"
            );
            assert_eq!(told(""), ((false, true, posts), code), "{dialect} {mti}");
        }
        // The advice of a request is about that one, and its repeat is known by another key.
        let request = bench.authorize(&[(37, "632800000001")]);
        let advice = advise(&bench, 120, &[(37, "632800000001")]);
        let names = request.match_keys.by_authority;
        let about = advice.payment.original_keys.by_authority;
        let rrn = names
            .iter()
            .position(|name| *name == about[0] || *name == about[1]);
        assert!(rrn.is_some(), "{dialect}");
        assert_ne!(request.repeat_key, advice.payment.repeat_key, "{dialect}");
        assert!(bench.authorize(&[]).original_keys == MatchKeys::default());
    }
}

#[test]
fn a_single_message_posts() {
    for dialect in Dialect::builtin_names() {
        let bench = Bench::new(dialect);
        let of = |mti| match bench.message(mti, &[]) {
            Ok(Translated::Shard {
                action: Action::Authorize(authorize),
                ..
            }) => authorize,
            _ => panic!("{dialect} {mti}"),
        };
        assert!(of(200).posts && !of(100).posts, "{dialect}");
        assert_eq!(of(200).repeat_key, of(201).repeat_key, "{dialect}");
        assert_ne!(of(200).repeat_key, of(100).repeat_key, "{dialect}");
    }
}

#[test]
fn an_increment_is_told_by_its_original_its_code_or_its_flag() {
    let de90 = "010000004211240315000000001234500000000000";
    let of_1987 = Bench::new("iso8583-1987-ascii");
    let first = of_1987.authorize(&[(32, "12345")]);
    let later = [(11, "000050"), (7, "1124040000"), (32, "12345"), (90, de90)];
    let increment = of_1987.authorize(&later);
    assert_eq!(increment.kind, Kind::Incremental);
    let (names, about) = (first.match_keys, increment.original_keys);
    assert_eq!(names.by_authority[1], about.by_authority[1]);
    // An advice that names its original gives it another amount, and what is posted is no increment.
    let amends = advise(&of_1987, 120, &later).payment;
    assert_eq!((amends.kind, amends.original_keys), (Kind::Purchase, about));
    assert_eq!(advise(&of_1987, 220, &later).payment.kind, Kind::Purchase);
    let of_1993 = Bench::new("iso8583-1993-ascii");
    let de56 = "11000000422611240315000512345";
    let increment = of_1993.authorize(&[(24, "106"), (11, "000050"), (56, de56)]);
    assert_eq!(increment.kind, Kind::Incremental);
    let first = of_1993.authorize(&[]);
    let (names, about) = (first.match_keys, increment.original_keys);
    assert_eq!(names.by_authority[1], about.by_authority[1]);
    assert_eq!(
        advise(&of_1993, 120, &[(24, "106")]).payment.kind,
        Kind::Incremental
    );
}

#[test]
fn the_approval_code_is_the_last_name_to_be_asked() {
    let bench = Bench::new("iso8583-1987-ascii");
    let authorize = bench.authorize(&[]);
    let given = ApprovalCode::of(authorize.authorization_id);
    let completion = advise(&bench, 220, &[(38, given.as_str()), (11, "000050")]);
    let (names, about) = (authorize.match_keys, completion.payment.original_keys);
    assert_eq!(names.by_authority[3], about.by_authority[3]);
    assert_ne!(
        names.by_authority[3],
        crate::engine::facts::MatchKey::UNSTATED
    );
    let other = advise(&bench, 220, &[(38, "ZZZZZZ")]).payment.original_keys;
    assert_ne!(names.by_authority[3], other.by_authority[3]);
}

/// Which kind of name is the first that a request and a later completion both state, and whether it is the same. With a
/// STAN and time of its own, a completion is a stranger, whatever approval code it states.
#[test]
fn when_an_approval_code_is_the_name_that_decides() {
    let original = |time: &str, dialect: &str| match dialect {
        "iso8583-1993-ascii" => format!("1100000042{time:0>12}00"),
        _ => format!("0100000042{time:0>10}{:022}", 0),
    };
    let decisive = |dialect: &str, more: &[(u8, &str)]| {
        let bench = Bench::new(dialect);
        let request = bench.authorize(&[(37, "632800000001")]);
        let given = ApprovalCode::of(request.authorization_id);
        let mut fields = vec![(38, given.as_str()), (11, "000050")];
        fields.extend(more);
        let about = advise(&bench, 220, &fields).payment.original_keys;
        let kinds = bench.translator.map.dialect.match_keys();
        let pairs = request.match_keys.by_authority.into_iter();
        let mut pairs = pairs.zip(about.by_authority).zip(kinds);
        let unstated = crate::engine::facts::MatchKey::UNSTATED;
        let found = pairs.find(|((own, named), _)| *own != unstated && *named != unstated);
        found.map(|((own, named), kind)| (*kind, own == named))
    };
    for dialect in ["iso8583-1987-ascii", "visa-base1", "mastercard-ebcdic"] {
        let de90 = original("", dialect);
        let (other_time, no_time) = ((12, "041500"), (12, ""));
        for (more, expected) in [
            (
                vec![(37, "632800000001"), other_time],
                (NameKind::Rrn, true),
            ),
            (
                vec![(37, "632800000002"), other_time],
                (NameKind::Rrn, false),
            ),
            (vec![other_time], (NameKind::Local, false)),
            (vec![other_time, (90, &de90)], (NameKind::Local, false)),
            (vec![no_time], (NameKind::Sent, false)),
            (vec![no_time, (7, "")], (NameKind::ApprovalCode, true)),
            (vec![no_time, (90, &de90)], (NameKind::ApprovalCode, true)),
        ] {
            assert_eq!(
                decisive(dialect, &more),
                Some(expected),
                "{dialect} {more:?}"
            );
        }
    }
    let dialect = "iso8583-1993-ascii";
    let de56 = original("", dialect);
    for (more, expected) in [
        (vec![(12, "261124041500")], (NameKind::Sent, false)),
        (vec![(56, &*de56)], (NameKind::ApprovalCode, true)),
    ] {
        assert_eq!(decisive(dialect, &more), Some(expected), "{more:?}");
    }
}

#[test]
fn a_card_number_in_the_merchants_name_or_place_is_masked() {
    let bench = Bench::new("iso8583-1987-ascii");
    let merchant = |id: &str, name: &str, city: &str| {
        let place = format!("{name:22}{city:16}DE");
        let merchant = bench.authorize(&[(42, id), (43, &place)]).merchant;
        [
            merchant.id.to_string(),
            merchant.name.to_string(),
            merchant.city.to_string(),
        ]
    };
    for (given, kept) in [
        (
            [
                "411111111111111",
                "PAID 4111111111111111",
                "4111-1111-111111",
            ],
            [
                "411111*****1111",
                "PAID 411111******1111",
                "4111-11**-**1111",
            ],
        ),
        // Not of this message, and beside other digits.
        (
            ["371449635398431", "CARD5 5555555555554444", "10115 Berlin"],
            ["371449635398431", "CARD5 555555******4444", "10115 Berlin"],
        ),
        // Across both.
        (
            ["SHOP1", "SHOP NUMBER 4111111111", "111111 Berlin"],
            ["SHOP1", "SHOP NUMBER 411111****", "**1111 Berlin"],
        ),
    ] {
        assert_eq!(merchant(given[0], given[1], given[2]), kept);
    }
}

#[test]
fn dates_are_looked_at_where_each_dialect_has_them() {
    let old = Bench::new("iso8583-1987-ascii");
    for (field, text) in [(7, "1324031500"), (12, "240000"), (13, "0230")] {
        assert_eq!(
            old.refusal(&[(field, text)]),
            Some(Untranslatable::Field(field))
        );
        assert_eq!(old.refusal(&[(field, "")]), None);
    }
    let new = Bench::new("iso8583-1993-ascii");
    assert_eq!(
        new.refusal(&[(12, "261324031500")]),
        Some(Untranslatable::Field(12))
    );
    // A date of the card there, YYMM.
    assert_eq!(new.refusal(&[(13, "3112")]), None);
}

#[test]
fn function_and_origin_are_both_understood() {
    let bench = Bench::new("iso8583-1987-ascii");
    for (mti, refusal) in [
        (100, None),
        (101, None),
        (400, None),
        (421, None),
        (102, Some(Untranslatable::Unsupported)),
        (105, Some(Untranslatable::Unsupported)),
        (402, Some(Untranslatable::Unsupported)),
        (106, Some(Untranslatable::MessageType)),
        (900, Some(Untranslatable::MessageType)),
    ] {
        assert_eq!(bench.message(mti, &[]).err(), refusal, "{mti:04}");
    }
}

/// What a message says of 3-D Secure, in a word or two.
fn said(bench: &Bench, fields: &[(u8, &str)]) -> String {
    let authorize = bench.authorize(fields);
    let ThreeDs {
        eci,
        authentication,
        cryptogram,
        exemption,
    } = authorize.three_ds;
    let mut words: Vec<String> = eci.iter().map(|eci| eci.to_string()).collect();
    words.extend((authentication != Authentication::Absent).then(|| authentication.name().into()));
    words.extend((cryptogram != Cryptogram::Absent).then(|| cryptogram.name().into()));
    words.extend((exemption != Exemption::None).then(|| exemption.name().into()));
    let merchant = authorize.initiated_by_merchant;
    words.extend(merchant.then(|| "by_merchant".into()));
    words.join(" ")
}

#[test]
fn three_d_secure_is_where_the_iso_dialects_have_it() {
    for dialect in [
        "iso8583-1987-ascii",
        "iso8583-1987-binary",
        "iso8583-1993-ascii",
        "iso8583-1993-binary",
    ] {
        let bench = Bench::new(dialect);
        for (de48, expected) in [
            ("", ""),
            ("610510000", ""),
            ("420205", "5 authenticated"),
            ("420202", "2 authenticated"),
            ("420206", "6 attempted"),
            ("420201", "1 attempted"),
            ("420207", "7 not_authenticated"),
            ("420200", "0 not_authenticated"),
            (
                "420205432800010cyAAAAAAAAAAAAAAAAAAAA=",
                "5 authenticated present",
            ),
            ("42020543280000000000000000000000000000", "5 authenticated"),
            ("4202054304ABCD45012", "5 authenticated valid"),
            ("4202064304ABCD45014", "6 attempted invalid"),
            ("4304ABCD45016", "present"),
            ("45010", ""),
            ("4202074601Y", "7 authenticated"),
            ("4202054601N", "5 failed"),
            ("4202054601R", "5 failed"),
            ("4601U", "not_authenticated"),
            ("470204", "low_value"),
            ("470202", "transaction_risk_analysis"),
            ("470203", "recurring"),
            ("470208", "trusted_beneficiary"),
            ("470201", "by_merchant"),
            ("2201M", "by_merchant"),
            ("2201C", ""),
        ] {
            assert_eq!(said(&bench, &[(48, de48)]), expected, "{dialect} {de48}");
        }
    }
}

#[test]
fn three_d_secure_is_where_visa_has_it() {
    let bench = Bench::new("visa-base1");
    let cavv = "0080000000000000000201A2B3C4D5E6F708192A3B4C5D6E7F8091A2B3";
    let zeros = "00800000000000000000000000000000000000000000000000000000";
    let recurring = "0008000000000000D9";
    let result = |code: &str| format!("{:13}{code}", "");
    for (fields, expected) in [
        (vec![(60, "000000000000")], "0"),
        (vec![(60, "000000000500")], "5 authenticated"),
        (vec![(60, "000000000600")], "6 attempted"),
        (vec![(60, "000000000700")], "7 not_authenticated"),
        (vec![(60, "000000000800")], "8 not_authenticated"),
        (
            vec![(60, "000000000500"), (126, cavv)],
            "5 authenticated present",
        ),
        (vec![(60, "000000000500"), (126, zeros)], "5 authenticated"),
        (vec![(126, cavv), (44, &result("2"))], "valid"),
        (vec![(126, cavv), (44, &result("8"))], "valid"),
        (vec![(126, cavv), (44, &result("A"))], "valid"),
        (vec![(126, cavv), (44, &result("1"))], "invalid"),
        (vec![(126, cavv), (44, &result("9"))], "invalid"),
        (vec![(126, cavv), (44, &result("0"))], "present"),
        (vec![(126, cavv), (44, &result("C"))], "present"),
        (vec![(126, cavv), (44, &result(" "))], "present"),
        (vec![(34, "4A00038701F1")], "low_value"),
        (vec![(34, "4A00038701F0")], ""),
        (vec![(34, "4A00038701F3")], ""),
        (vec![(34, "4A00038401F2")], "trusted_beneficiary"),
        (vec![(34, "4A00038801F1")], "secure_corporate"),
        (
            vec![(34, "4A00068701F08901F1")],
            "transaction_risk_analysis",
        ),
        (vec![(34, "4A00038A01F1")], "delegated_authentication"),
        // A credential that is stored with the cardholder's own payment, and one that is on file.
        (vec![(22, "8100"), (126, recurring)], ""),
        (vec![(22, "1000"), (126, recurring)], "by_merchant"),
        (vec![(22, "1000")], ""),
        (vec![(63, "2000003902")], "by_merchant"),
        (vec![(63, "2000002501")], ""),
    ] {
        assert_eq!(said(&bench, &fields), expected, "{fields:?}");
    }
}

#[test]
fn three_d_secure_is_where_mastercard_has_it() {
    let bench = Bench::new("mastercard-ebcdic");
    for (de48, expected) in [
        ("R", ""),
        ("T42070103210", "210 not_authenticated"),
        ("T42070103211", "211 attempted"),
        ("T42070103212", "212 authenticated"),
        ("T42070103242", "242 authenticated"),
        ("T42070103214", "214 not_authenticated"),
        (
            "T42070103216",
            "216 not_authenticated transaction_risk_analysis",
        ),
        ("T42070103217", "217 not_authenticated by_merchant"),
        ("T420701032124308kBAAABBB", "212 authenticated present"),
        (
            "T420701032124308kBAAABBB710405V ",
            "212 authenticated valid",
        ),
        (
            "T420701032124308kBAAABBB710405I ",
            "212 authenticated invalid",
        ),
        (
            "T420701032124308kBAAABBB710405K ",
            "212 authenticated present",
        ),
        ("T4308kBAAABBB710818C 05I ", "invalid"),
        ("T4308kBAAABBB710418I ", "present"),
        ("T2206010204", "low_value"),
        ("T2206010202", "transaction_risk_analysis"),
        ("T2206010203", "recurring"),
        ("T2206010201", "by_merchant"),
        ("T22080504M101", "by_merchant"),
        ("T22080504C101", ""),
    ] {
        assert_eq!(said(&bench, &[(48, de48)]), expected, "{de48}");
    }
}

/// The parts of a field as its dialect has them, written by hand from the layouts in the dialect files.
fn beside(dialect: &str, number: &str) -> (u8, String) {
    match dialect {
        // One tag of a data set: two bytes of length, then the tag with one byte of length and packed digits.
        "visa-base1" => {
            let digits = number.len() / 2;
            (123, format!("68{:04X}01{digits:02X}{number}", digits + 2))
        }
        // Sub-element 33 behind the transaction category code: indicator and number.
        "mastercard-ebcdic" => {
            let length = number.len();
            (
                48,
                format!("T33{:02}0101C02{length:02}{number}", 5 + 4 + length),
            )
        }
        _ => (48, format!("71{:02}{number}", number.len())),
    }
}

#[test]
fn every_dialect_names_a_token_in_place_of_the_card_and_beside_it() {
    for dialect in Dialect::builtin_names() {
        let bench = Bench::new(dialect);
        let cvv2_at = bench.translator.map.dialect.mappings().cvv2.clone();
        let plain = bench.authorize(&[]);
        assert_eq!(plain.token, NamedToken::Absent, "{dialect}");
        let in_place = bench.authorize(&[(2, TOKEN), (14, "3007")]);
        let token = NamedToken::InPlaceOfCard(TokenId(70));
        assert_eq!(
            (in_place.token, in_place.card_id),
            (token, CardId(7)),
            "{dialect}"
        );
        assert_eq!(
            in_place.verification.expiry,
            Expiry::new(2030, 7),
            "{dialect}"
        );
        let reverse = bench.reverse(&[(2, TOKEN)]);
        assert_eq!(
            (reverse.token, reverse.card_id),
            (token, CardId(7)),
            "{dialect}"
        );
        // Names lead to the original whatever number stands in DE2; the identity of a message is with its number.
        assert_eq!(in_place.match_keys, plain.match_keys, "{dialect}");
        assert_ne!(in_place.repeat_key, plain.repeat_key, "{dialect}");

        for (number, expected) in [
            (TOKEN, NamedToken::BesideCard(TokenId(70))),
            ("4111110000000021", NamedToken::Unknown),
            // The card's own number is no token's.
            (PAN, NamedToken::Unknown),
            ("0000000000000000", NamedToken::Absent),
        ] {
            let (field, text) = beside(dialect, number);
            let authorize = bench.authorize(&[(field, &text), (14, "3112")]);
            assert_eq!(authorize.token, expected, "{dialect} {number}");
            assert_eq!(authorize.card_id, CardId(7), "{dialect}");
        }
        assert!(cvv2_at.is_some(), "{dialect}");
    }
}

/// A field that holds other numbers too says whether it is a token's.
#[test]
fn what_is_not_marked_as_a_token_is_none() {
    let bench = Bench::new("mastercard-ebcdic");
    for (indicator, is_one) in [
        ("C", true),
        ("F", true),
        ("H", true),
        ("M", false),
        ("V", false),
    ] {
        let text = format!("T33250101{indicator}0216{TOKEN}");
        let named = bench.authorize(&[(48, &text)]).token;
        assert_eq!(named != NamedToken::Absent, is_one, "{indicator}");
    }
}

#[test]
fn beside_a_token_in_place_of_the_card_there_is_no_cvv2() {
    let bench = Bench::new("iso8583-1987-ascii");
    let cvv = |more: &[(u8, &str)]| bench.authorize(more).verification.cvv;
    assert_eq!(cvv(&[(48, "9203000")]), Check::Mismatch);
    assert_eq!(cvv(&[(48, "9203000"), (2, TOKEN)]), Check::Absent);
    let both = format!("7116{TOKEN}9203000");
    assert_eq!(cvv(&[(48, &both)]), Check::Mismatch, "it is the card's");
}
