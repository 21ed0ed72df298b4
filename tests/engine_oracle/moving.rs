//! Money that is moved between accounts: what is in transit, and where it went.

use super::*;

/// A transfer that was debited.
#[derive(Debug, Clone, Copy)]
pub struct Debited {
    pub place: usize,
    pub id: u64,
    pub from: u64,
    pub to: u64,
    pub amount: i64,
}

impl Debited {
    fn is_within_a_tree(&self) -> bool {
        root_of_account(self.from) == root_of_account(self.to)
    }
}

impl View<'_> {
    fn debited(&self) -> impl Iterator<Item = Debited> {
        let past = self.past.iter().enumerate();
        past.filter_map(|(place, past)| match (&past.step, &past.came) {
            (
                Step::Transfer {
                    id,
                    from,
                    to,
                    amount,
                },
                Came::Moved(_),
            ) => Some(Debited {
                place,
                id: *id,
                from: *from,
                to: *to,
                amount: *amount,
            }),
            _ => None,
        })
    }

    /// The steps that followed: when, and whether the money had found its way.
    fn carried(&self, transfer: &Debited) -> Vec<(Timestamp, bool)> {
        let later = self.past[transfer.place..].iter();
        let own = later.filter_map(|past| match &past.came {
            Came::Carried { id, status } if *id == transfer.id => {
                Some((past.at, *status == TransferStatus::Settled))
            }
            _ => None,
        });
        own.take(2).collect()
    }

    /// When it was over.
    fn moved_at(&self, transfer: &Debited) -> Option<Timestamp> {
        match transfer.is_within_a_tree() {
            true => Some(self.past[transfer.place].at),
            false => self.carried(transfer).get(1).map(|(at, _)| *at),
        }
    }

    /// What transfers brought to an account, or took of it.
    pub fn moved(&self, account: u64) -> i64 {
        let of_one = |transfer: Debited| {
            let carried = self.carried(&transfer);
            let arrived = transfer.is_within_a_tree() || carried.first().is_some_and(|(_, is)| *is);
            let came_back = carried.get(1).is_some_and(|(_, settled)| !settled);
            let taken = i64::from(transfer.from == account) * i64::from(!came_back);
            let brought = i64::from(transfer.to == account) * i64::from(arrived);
            (brought - taken) * transfer.amount
        };
        self.debited().map(of_one).sum()
    }

    /// A closed account stays as it is.
    pub fn set_credit_line(&self, account: u64) -> Came {
        match self.account_state(account) {
            AccountStatusChange::Close => Came::Refused,
            _ => Came::Done,
        }
    }

    /// How far an account may go below zero.
    pub fn credit_line(&self, account: u64) -> i64 {
        let set = self.past.iter().rev().find_map(|past| match &past.step {
            Step::CreditLine { account: of, line } if *of == account && past.came == Came::Done => {
                Some(*line)
            }
            _ => None,
        });
        set.unwrap_or(0)
    }

    /// What has left an account and may come back.
    pub fn in_transit(&self, account: u64) -> i64 {
        let own = self.debited().filter(|transfer| transfer.from == account);
        let open = own.filter(|transfer| self.moved_at(transfer).is_none());
        open.map(|transfer| transfer.amount).sum()
    }

    pub fn transfer(&self, id: u64, (from, to): (u64, u64), amount: i64) -> Came {
        let known = self.debited().filter(|transfer| transfer.id == id);
        let live = known.filter(|transfer| {
            let at = self.moved_at(transfer);
            at.is_none_or(|at| at.plus_ms(REVERSAL_MS) > self.at)
        });
        if let Some(known) = live.last() {
            return match (known.from, known.to, known.amount) == (from, to, amount) {
                true => Came::AlreadyDone,
                false => Came::Refused,
            };
        }
        let is_free = |account| self.account_state(account) == AccountStatusChange::Unfreeze;
        let may_give = line_of(from).into_iter().all(is_free);
        let is_within = root_of_account(from) == root_of_account(to);
        let is_closed = self.account_state(to) == AccountStatusChange::Close;
        let is_wrong = from == to || amount <= 0 || amount > self.available(from);
        if !may_give || is_wrong || is_within && is_closed {
            return Came::Refused;
        }
        Came::Moved(match is_within {
            true => TransferStatus::Settled,
            false => TransferStatus::InTransit,
        })
    }

    /// The next step of the transfer with the lowest number that waits for one.
    pub fn carry(&self) -> Came {
        let open = self
            .debited()
            .filter(|transfer| self.moved_at(transfer).is_none());
        let Some(next) = open.min_by_key(|transfer| transfer.id) else {
            return Came::Done;
        };
        let is_closed = self.account_state(next.to) == AccountStatusChange::Close;
        let settled = match self.carried(&next).first() {
            Some((_, settled)) => *settled,
            None => !is_closed,
        };
        Came::Carried {
            id: next.id,
            status: match settled {
                true => TransferStatus::Settled,
                false => TransferStatus::Returned,
            },
        }
    }
}

impl Engine {
    pub fn carry(&mut self) -> Came {
        let pending = &self.switch.world.pending_transfers;
        let Some(id) = pending.keys().next().copied() else {
            return Came::Done;
        };
        match self.switch.carry() {
            Some(Outcome::Event(Event::Transferred(transferred))) => Came::Carried {
                id: id.0,
                status: transferred.status,
            },
            other => panic!("a step of transfer {id} was not carried out: {other:?}"),
        }
    }
}

/// Within a tree and between trees, a few under the same number.
pub fn any_transfer() -> impl Strategy<Value = Step> {
    let amount = prop_oneof![1 => Just(0i64), 20 => 1i64..900];
    let any = (0u64..8, any_account(), any_account(), amount, any::<bool>());
    any.prop_map(|(id, from, to, amount, is_usual)| {
        // The same again now and then.
        let (from, to, amount) = match is_usual {
            true => (1 + id % TREES, 1 + id % 3 + 20, 5 + 20 * id as i64),
            false => (from, to, amount),
        };
        let id = id * 10 + root_of_account(from);
        Step::Transfer {
            id,
            from,
            to,
            amount,
        }
    })
}

/// What the random days are worth for it.
#[test]
fn random_days_come_to_every_end_of_a_transfer() {
    let mut runner = TestRunner::deterministic();
    let mut found = std::collections::BTreeSet::new();
    for _ in 0..150 {
        let steps = any_steps().new_tree(&mut runner).unwrap().current();
        let mut engine = Engine::new(1);
        for step in &steps {
            let came = engine.step(step);
            let what = match (step, &came) {
                (Step::Transfer { .. }, came) => format!("transfer {came:?}"),
                (Step::Carry, Came::Carried { status, .. }) => format!("carried {status:?}"),
                _ => continue,
            };
            found.insert(what);
        }
    }
    for what in [
        "transfer Moved(Settled)",
        "transfer Moved(InTransit)",
        "transfer AlreadyDone",
        "transfer Refused",
        "carried Settled",
    ] {
        assert!(found.contains(what), "{what} is not among {found:?}");
    }
}

/// The random days seldom close an account while money is on its way to it.
#[test]
fn what_is_on_its_way_to_an_account_that_is_closed_comes_back_as_the_naive_one_says() {
    let close = Step::AccountStatus {
        account: 22,
        change: AccountStatusChange::Close,
    };
    let transfer = |id, to, amount| Step::Transfer {
        id,
        from: 1,
        to,
        amount,
    };
    let steps = [
        Step::TopUp {
            id: 1,
            account: 1,
            amount: 500,
        },
        transfer(11, 22, 300),
        transfer(21, 3, 150),
        close.clone(),
        Step::Carry,
        Step::Carry,
        Step::Carry,
        Step::Carry,
        transfer(31, 22, 10),
        Step::Carry,
        Step::Carry,
    ];
    let mut engine = Engine::new(2);
    let came: Vec<_> = steps.iter().map(|step| engine.step(step)).collect();
    let returned = Came::Carried {
        id: 11,
        status: TransferStatus::Returned,
    };
    assert_eq!(
        came.iter().filter(|came| **came == returned).count(),
        2,
        "{came:?}"
    );
    run_both(&steps, 2);
}
