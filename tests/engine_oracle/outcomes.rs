//! What can come of a step, and what the network hears of it.

use super::*;

#[derive(Debug, Clone, PartialEq)]
pub enum Came {
    Approved {
        available: i64,
    },
    /// By an increment of the authorization at this place in the past.
    Increased {
        of: usize,
        available: i64,
    },
    /// For as much of it as there was money for, and what that comes to.
    Partial {
        approved: i64,
        taken: i64,
        available: i64,
    },
    Balances {
        posted: i64,
        available: i64,
    },
    Declined(DeclineReason),
    Advised(Advice),
    Undone(Undoing),
    First(Heard),
    Unknown,
    AlreadyReversed,
    Duplicate,
    Moved(TransferStatus),
    /// A step of the transfer with this number.
    Carried {
        id: u64,
        status: TransferStatus,
    },
    Done,
    AlreadyDone,
    Refused,
    /// Which ended, in order.
    Expired(Vec<usize>),
    /// By hand.
    Released {
        of: usize,
        amount: i64,
        standing: Standing,
    },
    /// Approved as far as we are concerned, all or a part of it; so much is held until its customer has decided.
    Waiting {
        part: Option<i64>,
        taken: i64,
        available: i64,
    },
    /// An approval that its network did not get; nothing, where nothing of it was left.
    Withheld(Option<Undoing>),
    Resolved(Resolution),
    NothingWaits,
    /// Time was over for what waited, in order.
    TimedOut(Vec<Resolution>),
}

/// What a customer, or its silence, made of an authorization.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    pub of: usize,
    /// What is held no more, and what was posted.
    pub released: i64,
    pub posted: i64,
    pub by_fallback: bool,
    pub heard: Heard,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    pub what: What,
    pub available: i64,
    pub flags: Vec<&'static str>,
    pub breach: Option<DeclineReason>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Recorded,
    Placed {
        held: i64,
    },
    ForcePosted {
        charged: i64,
    },
    Amended {
        of: usize,
        before: i64,
        after: i64,
        standing: Standing,
    },
    Completed {
        of: usize,
        charged: i64,
        released: i64,
        standing: Standing,
    },
}

/// What a reversal took back.
#[derive(Debug, Clone, PartialEq)]
pub struct Undoing {
    pub of: usize,
    pub what: Undid,
    pub released: i64,
    pub returned: i64,
    pub standing: Standing,
    pub flags: Vec<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Undid {
    Whole,
    Above,
    Part,
}

/// What the network hears, and hears again.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    Approved {
        available: i64,
    },
    Partial {
        approved: i64,
    },
    Balances {
        posted: i64,
        available: i64,
    },
    Declined(DeclineReason),
    Accepted,
    Recorded,
    Unknown,
    /// Nothing yet.
    Waiting,
}

impl Heard {
    pub fn is_approval(&self) -> bool {
        matches!(
            self,
            Heard::Approved { .. } | Heard::Partial { .. } | Heard::Balances { .. }
        )
    }
}

/// What the network heard of it, whatever it did.
pub fn heard(came: &Came) -> Heard {
    match came {
        Came::Approved { available } | Came::Increased { available, .. } => Heard::Approved {
            available: *available,
        },
        Came::Partial { approved, .. } => Heard::Partial {
            approved: *approved,
        },
        Came::Balances { posted, available } => Heard::Balances {
            posted: *posted,
            available: *available,
        },
        Came::Declined(reason) => Heard::Declined(*reason),
        Came::Advised(advice) => match advice.what {
            What::Recorded => Heard::Recorded,
            _ => Heard::Accepted,
        },
        Came::Undone(_) | Came::AlreadyReversed => Heard::Accepted,
        Came::Unknown => Heard::Unknown,
        Came::Waiting { .. } => Heard::Waiting,
        other => unreachable!("the network does not hear of {other:?}"),
    }
}
