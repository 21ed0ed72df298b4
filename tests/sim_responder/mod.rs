//! A small issuer for the simulator's tests: decides over a handful of cards and keeps first answers,
//! or misbehaves in one way on purpose. Shared by the `sim_*` tests.

#![allow(dead_code)]

use std::{collections::HashMap, sync::Arc};

use bytes::BytesMut;
use cardswitch::{
    iso8583::{
        Dialect, Encoder, Frame, FrameCodec, Framing, Header, Message, mapping::OriginalData,
    },
    sim::{Profile, SimCard},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the responder does wrong, to the seventh payment that it would have answered right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    UnknownCode,
    ApprovesFrozen,
    RefusesGoodCard,
    DropsField37,
    WrongMirroredField,
    NoResponseCode,
    NoApprovalCode,
    ApprovalCodeOnDecline,
    AnswersTwice,
    NeverAnswers,
    GarbageMessage,
    GarbageFrame,
    WrongMti,
    ForgetsFirstAnswers,
    RefusesReversals,
    RefusesAdvices,
    Closes,
}

pub const TEST_PANS: [&str; 5] = [
    "4111111111111111",
    "4761739001010119",
    "5555555555554444",
    "5413330089604111",
    "371449635398431",
];

pub const PROFILES: [Profile; 5] = [
    Profile::Ok,
    Profile::Ok,
    Profile::Frozen,
    Profile::MccBlock,
    Profile::TransactionLimit,
];

pub fn cards() -> Vec<SimCard> {
    let cards = TEST_PANS
        .iter()
        .zip(PROFILES)
        .map(|(pan, profile)| SimCard {
            pan: pan.parse().unwrap(),
            exp_month: 12,
            exp_year: 2029,
            cvv2: Some("123".parse().unwrap()),
            currency: "USD".parse().unwrap(),
            profile,
        });
    cards.collect()
}

pub fn codec(framing: Framing, header: Header) -> FrameCodec {
    FrameCodec {
        framing,
        header,
        max_frame_len: 4096,
    }
}

/// Starts a responder; gives its address.
pub async fn start(dialect: Arc<Dialect>, codec: FrameCodec, fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let issuer = Issuer {
                dialect: dialect.clone(),
                codec,
                fault,
                first_answers: HashMap::new(),
                reversed: Vec::new(),
                decided: 0,
            };
            tokio::spawn(issuer.serve(stream));
        }
    });
    address
}

struct Issuer {
    dialect: Arc<Dialect>,
    codec: FrameCodec,
    fault: Fault,
    first_answers: HashMap<String, (String, Option<String>)>,
    /// Card and RRN, and the STAN and time of the original, where it was named.
    reversed: Vec<(String, Option<String>)>,
    decided: u32,
}

impl Issuer {
    async fn serve(mut self, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
        loop {
            match stream.read_buf(&mut input).await {
                Ok(read) if read > 0 => {}
                _ => return,
            }
            loop {
                match self.codec.cut(&mut input) {
                    Ok(Some(Frame::Message { header, body })) => {
                        if !self.answer(&header, &body, &mut output) {
                            return;
                        }
                    }
                    Ok(Some(Frame::KeepAlive)) => {}
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
            if stream.write_all_buf(&mut output).await.is_err() {
                return;
            }
        }
    }

    fn answer(&mut self, header: &[u8], body: &[u8], out: &mut BytesMut) -> bool {
        let dialect = self.dialect.clone();
        let Ok(request) = Message::parse(&dialect, body) else {
            return true;
        };
        if request.mti().response().is_none() {
            return true;
        }
        let (code, approval) = match request.mti().class() {
            1 | 2 if request.mti().function() == 2 => (self.advised(), None),
            1 | 2 => self.decide(&request),
            4 => self.reverse(&request),
            _ => (self.code("network_management_accepted"), None),
        };
        let payment = matches!(request.mti().class(), 1 | 2);
        self.decided += u32::from(payment);
        let fault = match payment && self.decided == 7 {
            true => self.fault,
            false => Fault::None,
        };
        let header = self.codec.header.answer(header);
        match fault {
            Fault::NeverAnswers => return true,
            Fault::Closes => return false,
            Fault::GarbageFrame => {
                out.extend_from_slice(&[0xff; 64]);
                return true;
            }
            _ => {}
        }
        for _ in 0..1 + u32::from(fault == Fault::AnswersTwice) {
            let open = self.codec.begin_frame(out, &header);
            if fault == Fault::GarbageMessage {
                out.extend_from_slice(b"no ISO 8583 message at all");
            } else {
                self.write(&request, &code, approval.as_deref(), fault, out);
            }
            self.codec.end_frame(out, open).unwrap();
        }
        true
    }

    fn write(
        &self,
        request: &Message<'_>,
        code: &str,
        approval: Option<&str>,
        fault: Fault,
        out: &mut BytesMut,
    ) {
        let approved = ["approved", "partially_approved"].map(|reason| self.code(reason));
        let is_approved = approved.iter().any(|known| *known == code);
        let mut mti = request.mti().response().unwrap();
        if fault == Fault::WrongMti {
            mti = cardswitch::iso8583::Mti::new(mti.number() + 20);
        }
        let mut encoder = Encoder::new(&self.dialect, out, mti);
        let mirrored = self.dialect.mirrored_fields(request.mti().class());
        let mut fields: Vec<u8> = mirrored.iter().copied().chain([38, 39]).collect();
        fields.sort_unstable();
        for field in fields {
            match (field, fault) {
                (37, Fault::DropsField37) | (39, Fault::NoResponseCode) => {}
                (42, Fault::WrongMirroredField) => drop(encoder.text(42, "OTHER").unwrap()),
                (38, Fault::ApprovalCodeOnDecline) if !is_approved => {
                    encoder.text(38, "ABC123").unwrap();
                }
                (38, Fault::NoApprovalCode) => {}
                (38, _) => drop(approval.map(|approval| encoder.text(38, approval).map(drop))),
                (39, Fault::UnknownCode) => drop(encoder.text(39, "9Z").unwrap()),
                (39, _) => drop(encoder.text(39, code).unwrap()),
                _ => drop(encoder.mirror(request, field).unwrap()),
            }
        }
        encoder.finish();
    }

    fn code(&self, reason: &str) -> String {
        self.dialect.response_code(reason).unwrap().to_owned()
    }

    fn key(request: &Message<'_>) -> String {
        let text = |field| request.text::<19>(field).unwrap_or_default();
        format!("{}/{}", text(2), text(37))
    }

    /// STAN and time of a message, as a reversal would name them.
    fn sent(&self, request: &Message<'_>) -> String {
        let field = match self.dialect.mappings().original_data {
            OriginalData::De90 => 7,
            OriginalData::De56 => 12,
        };
        let text = |field| request.text::<12>(field).unwrap_or_default();
        format!("{}{}", text(11), text(field))
    }

    fn decide(&mut self, request: &Message<'_>) -> (String, Option<String>) {
        let key = Issuer::key(request);
        if self.fault != Fault::ForgetsFirstAnswers
            && let Some(first) = self.first_answers.get(&key)
        {
            return first.clone();
        }
        let reason = self.reason(request, &key);
        let approval =
            (reason == "approved").then(|| format!("{:06}", self.first_answers.len() + 1));
        let answer = (self.code(reason), approval);
        self.first_answers.insert(key, answer.clone());
        if self.fault == Fault::ForgetsFirstAnswers {
            let count = self.first_answers.len();
            self.first_answers.insert(count.to_string(), answer.clone());
        }
        answer
    }

    fn reason(&self, request: &Message<'_>, key: &str) -> &'static str {
        let pan = request.text::<19>(2).unwrap();
        let own = self.sent(request);
        let mut reversed = self.reversed.iter();
        if reversed.any(|(of, named)| of == key && named.as_ref().is_none_or(|named| *named == own))
        {
            return "reversed_before_original";
        }
        let Some(at) = TEST_PANS.iter().position(|known| **known == *pan) else {
            return "card_not_found";
        };
        let mcc_field = if self.dialect.version() == 0 { 18 } else { 26 };
        let cvv2 = self.dialect.mappings().cvv2.as_ref();
        let cvv2 = cvv2.and_then(|at| request.locate::<4>(at));
        match PROFILES[at] {
            Profile::Ok if self.fault == Fault::RefusesGoodCard => "card_not_found",
            Profile::Frozen if self.fault != Fault::ApprovesFrozen => "card_frozen",
            _ if request.digits(14) != Some(2912) => "expiry_mismatch",
            _ if cvv2.is_some_and(|cvv2| &*cvv2 != "123") => "cvv_mismatch",
            Profile::MccBlock if request.digits(mcc_field) == Some(7995) => "mcc_blocked",
            Profile::TransactionLimit if request.digits(4) > Some(5_000) => {
                "per_transaction_limit_exceeded"
            }
            _ => "approved",
        }
    }

    fn advised(&self) -> String {
        match self.fault {
            Fault::RefusesAdvices => self.code("insufficient_funds"),
            _ => self.code("advice_accepted"),
        }
    }

    fn reverse(&mut self, request: &Message<'_>) -> (String, Option<String>) {
        if self.fault == Fault::RefusesReversals {
            return (self.code("original_not_found"), None);
        }
        let named = match self.dialect.mappings().original_data {
            OriginalData::De90 => request.text::<64>(90).map(|text| text[4..20].to_owned()),
            OriginalData::De56 => request.text::<64>(56).map(|text| text[4..22].to_owned()),
        };
        self.reversed.push((Issuer::key(request), named));
        (self.code("reversal_accepted"), None)
    }
}
