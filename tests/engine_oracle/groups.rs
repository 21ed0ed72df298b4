//! Cardholders, a group of MCCs and a list of merchants: how the engine is given them, and what they come to by the
//! list of what happened.

use super::*;
use cardswitch::engine::groups::{BuiltinMccGroup, MccGroup, MccGroupRef, SharedMerchantList};

/// Of the first cards of tree 1, at home in the United States, and of tree 2, in Germany. Nobody is the holder of others.
const HOLDERS: [(u64, &str); 2] = [(1, "US"), (2, "DE")];

pub const GROUP: MccGroupId = MccGroupId(71);
pub const LIST: MerchantListId = MerchantListId(72);

/// What is in the group, by the number that a step names; before any step there is no such group.
pub const GROUP_CONTENTS: [&[u16]; 4] = [&[7995], &[7995, 5411], &[], &[5411]];

/// How many contents of the list there are.
pub const LIST_CONTENTS: usize = 4;

fn list_entries(contents: usize) -> Vec<MerchantEntry> {
    let id = |id: &str, acquirer_id: Option<&str>| MerchantEntry::Id {
        id: id.into(),
        acquirer_id: acquirer_id.map(Into::into),
    };
    let name = |pattern: &str| MerchantEntry::Name(pattern.into());
    match contents {
        0 => vec![id("M1", None)],
        1 => vec![name("*mktplace"), id("M2", Some("0412345"))],
        2 => vec![],
        _ => vec![id("M3", Some("8")), id("M1", Some("7")), name("hot*l")],
    }
}

/// The same, merchant by merchant.
fn is_listed(contents: usize, place: Place) -> bool {
    match contents {
        0 => place.merchant_id == "M1",
        1 => ["AMAZON MKTPLACE", "BANK"].contains(&place.merchant_name),
        2 => false,
        _ => place.merchant_name == "HOTEL",
    }
}

/// A limit and a list that name the group, and groups that come with the program.
pub fn grouped(choice: usize) -> Controls {
    let own = MccGroupRef::Own(GROUP);
    let list = |mode, codes| Some(List::new(ControlId(9), mode, codes));
    let of_group = LimitFilter {
        mcc_groups: vec![own],
        ..LimitFilter::default()
    };
    match choice {
        10 => Controls {
            mcc: list(ListMode::Block, vec![]),
            mcc_groups: vec![own, MccGroupRef::Builtin(BuiltinMccGroup::Gambling)],
            home_country_only: true,
            ..Controls::default()
        },
        11 => Controls {
            mcc: list(ListMode::Allow, vec![6012]),
            mcc_groups: vec![own, MccGroupRef::Builtin(BuiltinMccGroup::Groceries)],
            merchants: Some(MerchantList {
                id: ControlId(34),
                mode: ListMode::Block,
                entries: vec![MerchantEntry::Shared(LIST)],
            }),
            ..limits([filtered(
                limit(26, Window::Day, Some(300), Some(4)),
                of_group,
            )])
        },
        _ => limits([
            until_verified(limit(24, Window::Day, Some(150), Some(3))),
            filtered(
                limit(25, ROLLING_DAY, Some(400), None),
                LimitFilter {
                    merchant_lists: vec![LIST],
                    merchant_ids: vec!["M3".into()],
                    ..LimitFilter::default()
                },
            ),
            filtered(
                limit(27, Window::Month, Some(90), None),
                LimitFilter {
                    until_verified: true,
                    ..of_group
                },
            ),
        ]),
    }
}

pub fn until_verified(limit: Limit) -> Limit {
    let filter = LimitFilter {
        until_verified: true,
        ..LimitFilter::default()
    };
    filtered(limit, filter)
}

pub fn holder_of(card: u64) -> Option<(u64, &'static str)> {
    let tree = root_of_account(account_of_card(card));
    let mut holders = HOLDERS.into_iter();
    holders.find(|(of, _)| *of == tree && card % 10 == 1)
}

pub fn cardholder_id(holder: u64) -> CardholderId {
    CardholderId(80 + holder)
}

pub fn any_group_change() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..GROUP_CONTENTS.len()).prop_map(|contents| Step::Group { contents }),
        2 => (0..LIST_CONTENTS).prop_map(|contents| Step::List { contents }),
        1 => (1..=HOLDERS.len() as u64).prop_map(|holder| Step::Verify { holder }),
    ]
}

impl Engine {
    pub fn create_cardholders(switch: &mut Switch) {
        for (holder, home) in HOLDERS {
            switch.cardholder(cardholder_id(holder).0, home, false);
        }
    }

    pub fn change_group(&mut self, step: &Step) -> Came {
        let switch = &mut self.switch;
        let (name, at) = ("group", switch.at);
        let groups = &switch.world.registry.view.groups;
        let outcome = match step {
            Step::Group { contents } => {
                let codes = GROUP_CONTENTS[*contents].to_vec();
                let group = Box::new(MccGroup::new(GROUP, name.into(), codes, at));
                let is_known = groups.mcc_groups.contains_key(&GROUP);
                switch.registry(match is_known {
                    true => RegistryAction::ChangeMccGroup(group),
                    false => RegistryAction::CreateMccGroup(group),
                })
            }
            Step::List { contents } => {
                let entries = list_entries(*contents);
                let list = Box::new(SharedMerchantList::new(LIST, name.into(), entries, at));
                let is_known = groups.merchant_lists.contains_key(&LIST);
                switch.registry(match is_known {
                    true => RegistryAction::ChangeMerchantList(list),
                    false => RegistryAction::CreateMerchantList(list),
                })
            }
            Step::Verify { holder } => switch.verify(cardholder_id(*holder).0),
            step => unreachable!("{step:?} changes no group"),
        };
        match outcome {
            RegistryOutcome::Event(_) => Came::Done,
            _ => Came::Refused,
        }
    }
}

impl View<'_> {
    pub fn verify(&self, holder: u64) -> Came {
        match self.is_holder_verified(holder, self.here()) {
            true => Came::Refused,
            false => Came::Done,
        }
    }

    fn is_holder_verified(&self, holder: u64, before: usize) -> bool {
        let mut past = self.past[..before].iter();
        past.any(|past| matches!(past.step, Step::Verify { holder: of } if of == holder))
    }

    /// As it was before this place of the past.
    fn is_verified(&self, card: u64, before: usize) -> bool {
        holder_of(card).is_some_and(|(holder, _)| self.is_holder_verified(holder, before))
    }

    fn group_has(&self, mcc: u16, before: usize) -> bool {
        let contents = self.past[..before]
            .iter()
            .rev()
            .find_map(|past| match past.step {
                Step::Group { contents } => Some(contents),
                _ => None,
            });
        contents.is_some_and(|contents| GROUP_CONTENTS[contents].contains(&mcc))
    }

    fn list_has(&self, place: Place, before: usize) -> bool {
        let contents = self.past[..before]
            .iter()
            .rev()
            .find_map(|past| match past.step {
                Step::List { contents } => Some(contents),
                _ => None,
            });
        contents.is_some_and(|contents| is_listed(contents, place))
    }

    /// Whether a limit counts a payment of this place of the past: by the groups and the holder of then.
    pub fn counts(&self, limit: &Limit, payment: &Payment, before: usize) -> bool {
        let place = PLACES[usize::from(payment.place)];
        let abroad = ["DE", "FR"].contains(&place.country)
            && [Channel::Atm, Channel::PointOfSale].contains(&place.channel);
        let is_verified = || self.is_verified(payment.card, before);
        let in_group = || self.group_has(payment.mcc, before);
        match limit.id.0 {
            21 => payment.kind == Kind::CashWithdrawal,
            22 => abroad,
            24 | 62 => !is_verified(),
            25 => place.merchant_id == "M3" || self.list_has(place, before),
            26 => in_group(),
            27 => in_group() && !is_verified(),
            _ => {
                assert!(limit.filter.is_none() && payment.mcc > 0);
                true
            }
        }
    }

    /// What the lists of MCCs say, that of a card's choice 3, 10 or 11.
    pub fn mcc(&self, card: u64, mcc: u16) -> Option<DeclineReason> {
        let own = self.controls(card);
        let list = own.mcc?;
        let in_own =
            own.mcc_groups.contains(&MccGroupRef::Own(GROUP)) && self.group_has(mcc, self.here());
        match list.mode {
            ListMode::Block => {
                // Of a block list, gambling is a code, or a group.
                (mcc == 7995 || in_own).then_some(DeclineReason::MccBlocked)
            }
            // Groceries are a group.
            ListMode::Allow => (mcc != 5411 && !in_own).then_some(DeclineReason::MccNotAllowed),
        }
    }

    /// Where its holder is not at home, and where the merchant is on a list.
    pub fn not_at_home(&self, card: u64, place: Place) -> bool {
        let home = holder_of(card).map(|(_, home)| home);
        self.controls(card).home_country_only && home != Some(place.country)
    }

    pub fn is_at_listed_merchant(&self, place: Place) -> bool {
        self.list_has(place, self.here())
    }
}
