//! What a message says: a payment, its names, and the steps of a day. What becomes of them does not live here.

use super::*;
use cardswitch::engine::reissue::ReissueReason;

/// How a message names an authorization; 0 where it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    pub rrn: u8,
    pub sent: u8,
    pub local: u8,
    pub acquirer: u8,
    /// Of a message, its own; of a reversal, that of the message that it says it reverses.
    pub stan: u8,
}

impl Names {
    pub fn all(name: u8) -> Names {
        Names {
            rrn: name,
            sent: name,
            local: name,
            acquirer: 1,
            stan: 0,
        }
    }

    pub fn keys(self) -> MatchKeys {
        let key = |name: u8, of: fn(&str) -> MatchKey| match name {
            0 => MatchKey::UNSTATED,
            name => of(&name.to_string()),
        };
        MatchKeys {
            by_authority: [
                key(self.rrn, rrn),
                key(self.sent, sent),
                key(self.local, local),
                MatchKey::UNSTATED,
                MatchKey::UNSTATED,
            ],
            acquirer_id: u64::from(self.acquirer),
            stan: u32::from(self.stan),
        }
    }

    /// How alike these are to others; `None` where they cannot be of one authorization. Each name is
    /// worth more than all below it together, and one that is not said half as much as the same one.
    pub fn alike(self, other: Names) -> Option<u32> {
        let both = |one, other| one > 0 && other > 0;
        let same = if both(self.rrn, other.rrn) {
            self.rrn == other.rrn
        } else if both(self.sent, other.sent) {
            self.sent == other.sent
        } else {
            both(self.local, other.local) && self.local == other.local
        };
        let differ = |one, other| both(one, other) && one != other;
        let strangers = differ(self.acquirer, other.acquirer) || differ(self.stan, other.stan);
        let worth = |one, other, worth| match both(one, other) {
            true if one == other => 2 * worth,
            true => 0,
            false => worth,
        };
        let worth = worth(self.rrn, other.rrn, 27)
            + worth(self.sent, other.sent, 9)
            + worth(self.local, other.local, 3)
            + worth(self.acquirer, other.acquirer, 1);
        (same && !strangers).then_some(worth)
    }

    /// Whether both say one of them the same.
    pub fn share(self, other: Names) -> bool {
        let pairs = [
            (self.rrn, other.rrn),
            (self.sent, other.sent),
            (self.local, other.local),
        ];
        pairs
            .into_iter()
            .any(|(one, other)| one > 0 && one == other)
    }

    /// How many it says.
    pub fn stated(self) -> usize {
        let names = [self.rrn, self.sent, self.local];
        names.into_iter().filter(|name| *name > 0).count()
    }
}

/// What a message says of a payment.
#[derive(Debug, Clone, Copy)]
pub struct Payment {
    pub card: u64,
    /// The identity of the message, by which a repeat of it is known.
    pub name: u8,
    pub names: Names,
    /// How it names the authorization that it is about.
    pub of: Names,
    pub amount: i64,
    pub mcc: u16,
    pub kind: Kind,
    pub in_part: bool,
    /// One of `PLACES`.
    pub place: u8,
    /// A financial message.
    pub posts: bool,
    /// One of the cases of `abroad`; the amount is in its currency.
    pub case: u8,
    pub token: ByToken,
    pub proof: Proof,
}

impl Payment {
    pub fn purchase(card: u64, name: u8, names: Names, amount: i64) -> Payment {
        Payment {
            card,
            name,
            names,
            of: names,
            amount,
            mcc: 5411,
            kind: Kind::Purchase,
            in_part: false,
            place: 0,
            posts: false,
            case: 0,
            token: ByToken::Nothing,
            proof: Proof::default(),
        }
    }

    pub fn is_credit(&self) -> bool {
        let kinds = [
            Kind::Refund,
            Kind::OriginalCredit,
            Kind::CreditAdjustment,
            Kind::Deposit,
        ];
        kinds.contains(&self.kind)
    }

    /// Whether the account must have the money.
    pub fn takes_money(&self) -> bool {
        !self.is_credit() && !self.asks_only()
    }

    /// The same, as one that is held.
    pub fn held(&self) -> Payment {
        Payment {
            posts: false,
            ..*self
        }
    }

    /// What tells a repeat from another message of the same identity.
    pub fn asks(&self) -> (i64, u8, Kind) {
        (self.amount, self.case, self.kind)
    }

    pub fn moves_nothing(&self) -> bool {
        self.asks_only() || self.kind == Kind::Other
    }

    pub fn asks_only(&self) -> bool {
        let kinds = [Kind::AccountVerification, Kind::BalanceInquiry];
        kinds.contains(&self.kind)
    }

    /// What it comes to in the account's currency; `None` where there is no rate.
    pub fn comes_to(&self) -> Option<i64> {
        abroad::comes_to(self.case, self.amount, self.is_credit())
    }

    /// What is kept of it by the program, of all or of a part.
    pub fn kept(&self, part: Option<i64>) -> Kept {
        abroad::kept(self.case, self.amount, part, self.is_credit())
    }

    pub fn can_be_in_part(&self) -> bool {
        let kinds = [Kind::Purchase, Kind::PreAuthorization, Kind::FuelDispenser];
        self.in_part && kinds.contains(&self.kind)
    }

    /// What posting it takes from the account, where so much is in its currency.
    pub fn charge(&self, account: i64, local: i64) -> Both {
        let sign = if self.is_credit() { -1 } else { 1 };
        match account {
            0 => Both::default(),
            _ => Both {
                account: sign * account,
                local: sign * local,
            },
        }
    }
}

#[derive(Debug, Clone)]
pub enum Step {
    Authorize(Payment),
    Advise {
        payment: Payment,
        was_declined: bool,
        is_final: bool,
    },
    Reverse {
        card: u64,
        name: u8,
        names: Names,
        amount: i64,
        /// What is to stay; 0 where all is reversed.
        stays: i64,
    },
    TopUp {
        id: u64,
        account: u64,
        amount: i64,
    },
    /// Each id is of the tree of the account that gives.
    Transfer {
        id: u64,
        from: u64,
        to: u64,
        amount: i64,
    },
    /// The next step of a transfer between trees.
    Carry,
    /// An account may go so far below zero from now on.
    CreditLine {
        account: u64,
        line: i64,
    },
    Status {
        card: u64,
        change: StatusChange,
    },
    AccountStatus {
        account: u64,
        change: AccountStatusChange,
    },
    Controls {
        card: u64,
        choice: usize,
    },
    /// A card in place of this one.
    Reissue {
        card: u64,
        reason: ReissueReason,
    },
    Wait {
        minutes: i64,
    },
    /// The time of some holds is over.
    Expire,
    /// The group of MCCs gets other contents, and the list of merchants.
    Group {
        contents: usize,
    },
    List {
        contents: usize,
    },
    /// It is known now who holds some cards.
    Verify {
        holder: u64,
    },
    /// Of `RULES`, by its place.
    Rule {
        rule: usize,
        change: RuleChange,
    },
    /// The request that was approved so many before the last one comes again.
    Repeat {
        back: usize,
    },
    /// The answer to the approval so many before the last one came too late for its network.
    Withhold {
        back: usize,
    },
    /// The hold of that approval ends by hand.
    Release {
        back: usize,
    },
    /// What the customer says of it.
    Customer {
        back: usize,
        says: Says,
    },
    /// Whether customers are asked, and up to how much is approved without an answer.
    Endpoint {
        asks: bool,
        up_to: Option<i64>,
    },
    OpenToken {
        token: u64,
        card: u64,
    },
    ChangeToken {
        token: u64,
        change: TokenChange,
    },
    /// Of `exceptions`, by its place.
    Exception {
        which: usize,
        change: ExceptionChange,
    },
}
