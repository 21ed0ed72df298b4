//! The messages that the tests send, in the words of each dialect.

use super::VISA;
use super::client::Language;
use std::collections::BTreeMap;

pub type Fields = Vec<(u8, String)>;

/// What tells one authorization from another.
#[derive(Clone, Copy)]
pub struct Purchase {
    pub pan: &'static str,
    pub stan: u32,
    pub amount_minor: u64,
}

impl Purchase {
    pub fn of(stan: u32, amount_minor: u64) -> Purchase {
        Purchase {
            pan: VISA,
            stan,
            amount_minor,
        }
    }

    fn rrn(&self) -> String {
        format!("6328{:08}", self.stan)
    }
}

/// By what a reversal names its original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// DE90 or DE56 only.
    OriginalData,
    /// DE37 only.
    Rrn,
    /// The original's own STAN and local time only.
    StanAndLocalTime,
}

impl Language {
    pub fn is_1993(&self) -> bool {
        self.dialect.version() == 1
    }

    /// MTI of this dialect for one of 1987.
    pub fn mti(&self, of_1987: u16) -> u16 {
        match (self.is_1993(), of_1987) {
            (false, mti) => mti,
            (true, 800) => 1804,
            (true, 810) => 1814,
            (true, mti) => mti + 1_000,
        }
    }

    /// Code of this dialect in DE39 for one of 1987.
    pub fn code(&self, of_1987: &'static str) -> &'static str {
        match (self.is_1993(), of_1987) {
            (false, code) => code,
            (true, "00") => "000",
            (true, "10") => "002",
            (true, "51") => "116",
            (true, "94") => "913",
            (true, other) => panic!("no code for {other}"),
        }
    }

    pub fn authorization(&self, purchase: Purchase) -> Fields {
        let name = self.dialect.name();
        let (time, date) = local_time(purchase.stan);
        let mut fields = vec![
            (2, purchase.pan.into()),
            (3, "000000".into()),
            (4, format!("{:012}", purchase.amount_minor)),
            (7, format!("1124{time}")),
            (11, format!("{:06}", purchase.stan)),
        ];
        if self.is_1993() {
            fields.extend([
                (12, format!("26{date}{time}")),
                (14, "3112".into()),
                (22, "510101510141".into()),
                (24, "100".into()),
                (26, "5411".into()),
            ]);
        } else {
            let entry_mode = if name == "visa-base1" { "0510" } else { "051" };
            fields.extend([
                (12, time),
                (13, date),
                (14, "3112".into()),
                (18, "5411".into()),
                (22, entry_mode.into()),
            ]);
        }
        fields.extend([
            (32, "12345".into()),
            (37, purchase.rrn()),
            (41, "TERM0001".into()),
            (42, "MERCHANT0000001".into()),
            (43, self.merchant()),
            (49, "840".into()),
        ]);
        fields
    }

    /// The field by which a terminal says that it can take a part of what it asks for.
    pub fn partial_approval_supported(&self) -> (u8, &'static str) {
        match self.dialect.name() {
            "visa-base1" => (60, "000000000001"),
            "mastercard-ebcdic" => (48, "R610510000"),
            _ => (48, "610510000"),
        }
    }

    /// What makes a purchase one of electronic commerce, and what it says of 3-D Secure: nothing,
    /// `attempted`, `authenticated`, an `invalid` cryptogram, the exemption `low_value`, or that it is the
    /// `merchant`'s own.
    pub fn bought_online(&self, said: &str) -> Fields {
        match self.dialect.name() {
            "visa-base1" => online_at_visa(said),
            "mastercard-ebcdic" => {
                let de48 = match said {
                    "attempted" => "T420701032114308kEAAABBB",
                    "authenticated" => "T420701032124308kBAAABBB",
                    "invalid" => "T420701032124308kBAAABBB710405I ",
                    "low_value" => "T220601020442070103210",
                    "merchant" => "T22080504M10142070103210",
                    _ => "T42070103210",
                };
                vec![(22, "812".into()), (48, de48.into())]
            }
            _ => {
                let de48 = match said {
                    "attempted" => "4202064304ABCD",
                    "authenticated" => "4202054304ABCD45012",
                    "invalid" => "4202054304ABCD45011",
                    "low_value" => "420207470204",
                    "merchant" => "4202072201M",
                    _ => "420207",
                };
                let entry_mode = if self.is_1993() {
                    "510150R10141"
                } else {
                    "810"
                };
                vec![(22, entry_mode.into()), (48, de48.into())]
            }
        }
    }

    /// DE43 of a shop in Germany.
    pub fn merchant(&self) -> String {
        match self.dialect.name() {
            "visa-base1" => format!("{:25}{:13}DE", "Corner Shop", "Berlin"),
            "mastercard-ebcdic" => format!("{:22} {:13} DEU", "Corner Shop", "Berlin"),
            _ if self.is_1993() => format!(
                "Corner Shop\\Main Street 1\\Berlin\\{:10}{:3}DEU",
                "10115", "BE"
            ),
            _ => format!("{:22}{:16}DE", "Corner Shop", "Berlin"),
        }
    }

    /// A reversal of `purchase` with a STAN and a time of its own.
    pub fn reversal(&self, purchase: Purchase, stan: u32, naming: Naming) -> Fields {
        let by_local_time = naming == Naming::StanAndLocalTime;
        let own_stan = if by_local_time { purchase.stan } else { stan };
        let (own_time, _) = local_time(stan);
        let (time, date) = local_time(own_stan);
        let mut fields = vec![
            (2, purchase.pan.to_owned()),
            (3, "000000".into()),
            (4, format!("{:012}", purchase.amount_minor)),
            (7, format!("1125{own_time}")),
            (11, format!("{own_stan:06}")),
        ];
        if self.is_1993() {
            fields.push((12, format!("26{date}{time}")));
            fields.extend([(24, "400".into()), (25, "4000".into())]);
        } else {
            fields.extend([(12, time), (13, date)]);
        }
        fields.push((32, "12345".into()));
        if naming == Naming::Rrn {
            fields.push((37, purchase.rrn()));
        }
        fields.extend([(41, "TERM0001".into()), (49, "840".into())]);
        if naming == Naming::OriginalData {
            fields.push(self.original_data(purchase));
        }
        fields
    }

    /// The message names `original` in its original data elements, and no longer has an RRN of its own.
    pub fn about(&self, mut message: Fields, original: Purchase) -> Fields {
        message.retain(|(field, _)| *field != 37);
        message.push(self.original_data(original));
        message
    }

    fn original_data(&self, original: Purchase) -> (u8, String) {
        let (time, date) = local_time(original.stan);
        let stan = original.stan;
        match self.is_1993() {
            true => (56, format!("1100{stan:06}26{date}{time}0512345")),
            false => (90, format!("0100{stan:06}1124{time}{:011}{:011}", 12345, 0)),
        }
    }

    /// What makes a request an increment, where the original data elements alone do not.
    pub fn increment(&self, mut message: Fields) -> Fields {
        match self.dialect.name() {
            "visa-base1" => message.push((63, "2000003900".into())),
            _ if self.is_1993() => {
                message.retain(|(field, _)| *field != 24);
                message.push((24, "106".into()));
            }
            _ => {}
        }
        message
    }

    /// The field by which an advice says that more will follow; none in dialects that cannot.
    pub fn not_final(&self) -> Vec<(u8, &'static str)> {
        match self.dialect.name() {
            "visa-base1" => vec![],
            "mastercard-ebcdic" => vec![(48, "R610500000")],
            _ => vec![(48, "610500000")],
        }
    }

    /// A reversal after which so much stays of what stood at `stood_at_minor`.
    pub fn partial_reversal(
        &self,
        original: Purchase,
        stan: u32,
        stays_minor: u64,
        stood_at_minor: u64,
    ) -> Fields {
        let mut fields = self.reversal(original, stan, Naming::OriginalData);
        if self.is_1993() {
            fields.retain(|(field, _)| ![4, 24].contains(field));
            fields.extend([
                (4, format!("{stays_minor:012}")),
                (24, "401".into()),
                (30, format!("{stood_at_minor:012}{:012}", 0)),
            ]);
        } else {
            let rest = match self.dialect.name() {
                "mastercard-ebcdic" => "0".repeat(30),
                _ => format!("{:012}C00000000C00000000", 0),
            };
            fields.push((95, format!("{stays_minor:012}{rest}")));
        }
        fields
    }

    /// A network management request: function by its name in the dialect file.
    pub fn management(&self, function: &str, stan: u32) -> Fields {
        let code = self.dialect.network_management_code(function).unwrap();
        let mut fields = vec![(7, "1124031500".into()), (11, format!("{stan:06}"))];
        if self.is_1993() {
            fields.push((12, "261124031500".into()));
        }
        fields.push((self.dialect.network_management_field(), code.into()));
        fields
    }
}

/// As [`Language::bought_online`] says.
fn online_at_visa(said: &str) -> Fields {
    let eci = match said {
        "attempted" => "06",
        "authenticated" | "invalid" => "05",
        _ => "07",
    };
    let entry_mode = if said == "merchant" { "1000" } else { "8100" };
    let cavv = "0080000000000000000201A2B3C4D5E6F708192A3B4C5D6E7F8091A2B3";
    let mut fields = vec![(22, entry_mode.into())];
    match said {
        "low_value" => fields.push((34, "4A00038701F1".into())),
        "invalid" => fields.push((44, format!("{:13}1", ""))),
        _ => {}
    }
    fields.push((60, format!("00000000{eci}00")));
    match said {
        // F126.13.
        "merchant" => fields.push((126, "0008000000000000C3".into())),
        "attempted" | "authenticated" | "invalid" => fields.push((126, cavv.into())),
        _ => {}
    }
    fields
}

/// Time and date of a terminal, another for each STAN.
fn local_time(stan: u32) -> (String, String) {
    let (hour, minute, second) = (stan / 3_600 % 24, stan / 60 % 60, stan % 60);
    (format!("{hour:02}{minute:02}{second:02}"), "1124".into())
}

/// These fields with others in their place or beside them, in order.
pub fn with(fields: Fields, others: &[(u8, &str)]) -> Fields {
    let mut all: BTreeMap<u8, String> = fields.into_iter().collect();
    all.extend(others.iter().map(|(field, text)| (*field, (*text).into())));
    all.into_iter().collect()
}

/// Borrowed, as [`Client::send`](super::Client::send) takes them.
pub fn borrowed(fields: &Fields) -> Vec<(u8, &str)> {
    fields
        .iter()
        .map(|(field, text)| (*field, &**text))
        .collect()
}
