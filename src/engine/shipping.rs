//! Making a physical card and bringing it to its holder, as whoever does that tells: states, and which may follow which. A
//! card that is made by somebody who tells nothing has none of this.

use super::command::Command;
use super::decide::Outcome;
use super::event::{Event, Refusal};
use super::facts::Country;
use super::ids::CardId;
use super::state::{Card, State};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

macro_rules! shipping_statuses {
    ($($name:ident = $text:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum ShippingStatus { $($name,)* }

        impl ShippingStatus {
            pub const NAMED: &'static [(ShippingStatus, &'static str)] =
                &[$((ShippingStatus::$name, $text),)*];

            pub fn name(self) -> &'static str {
                match self { $(ShippingStatus::$name => $text,)* }
            }

            pub fn from_name(name: &str) -> Option<ShippingStatus> {
                match name { $($text => Some(ShippingStatus::$name),)* _ => None }
            }
        }
    };
}

shipping_statuses! {
    Ordered = "ordered",
    InProduction = "in_production",
    Produced = "produced",
    Shipped = "shipped",
    Delivered = "delivered",
    // Came back; it may be sent again.
    Returned = "returned",
    // It will not come: spoilt, or lost on its way.
    Failed = "failed",
    Cancelled = "cancelled",
}

impl ShippingStatus {
    /// What may come after it. Steps that nobody told may be left out.
    fn next(self) -> &'static [ShippingStatus] {
        use ShippingStatus::*;
        match self {
            Ordered => &[InProduction, Produced, Shipped, Failed, Cancelled],
            InProduction => &[Produced, Shipped, Failed, Cancelled],
            Produced => &[Shipped, Failed, Cancelled],
            Shipped => &[Delivered, Returned, Failed],
            Returned => &[Shipped, Failed],
            Delivered | Failed | Cancelled => &[],
        }
    }

    /// What may come after it, for people.
    pub fn next_names(self) -> String {
        let names: Vec<&str> = self.next().iter().map(|status| status.name()).collect();
        match names.is_empty() {
            true => "nothing".to_owned(),
            false => names.join(", "),
        }
    }

    /// Nothing has left yet: it can still be stopped.
    fn is_cancellable(self) -> bool {
        self.next().contains(&ShippingStatus::Cancelled)
    }

    /// Its holder has the card, or may have it.
    fn is_on_its_way(self) -> bool {
        matches!(self, ShippingStatus::Shipped | ShippingStatus::Delivered)
    }
}

/// Where a card goes to. Of a person, and so in no log and no event.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShippingAddress {
    pub name: Box<str>,
    pub line1: Box<str>,
    pub line2: Option<Box<str>>,
    pub city: Box<str>,
    pub region: Option<Box<str>>,
    pub postal_code: Box<str>,
    pub country: Country,
    /// E.164.
    pub phone: Option<Box<str>>,
}

impl std::fmt::Debug for ShippingAddress {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ShippingAddress").finish_non_exhaustive()
    }
}

/// A card that is to be made and sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShippingOrder {
    pub address: ShippingAddress,
    /// `standard`, `express` and the like.
    pub method: Box<str>,
}

/// Of a parcel that is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    pub carrier: Option<Box<str>>,
    pub tracking_number: Option<Box<str>>,
    /// A day, as in `2026-12-01`.
    pub eta: Option<Box<str>>,
}

/// How far a card is that is made and sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipping {
    pub order: ShippingOrder,
    pub status: ShippingStatus,
    pub parcel: Parcel,
    pub changed_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeShipping {
    pub card_id: CardId,
    pub to: ShippingStatus,
    /// Of what is shipped; what it does not say is not known any more.
    pub parcel: Parcel,
}

pub(super) fn ordered(order: Option<&ShippingOrder>, at: Timestamp) -> Option<Box<Shipping>> {
    let order = order?.clone();
    Some(Box::new(Shipping {
        order,
        status: ShippingStatus::Ordered,
        parcel: Parcel::default(),
        changed_at: at,
    }))
}

pub(super) fn decide(state: &State, command: &Command, change: &ChangeShipping) -> Outcome {
    let card_id = change.card_id;
    let Some(card) = state.card_of_tree(command.root, card_id) else {
        return Outcome::Refused(Refusal::CardNotFound(card_id));
    };
    let Some(shipping) = &card.shipping else {
        return Outcome::Refused(Refusal::NothingToShip);
    };
    let (from, to) = (shipping.status, change.to);
    let says_more = to == ShippingStatus::Shipped && change.parcel != shipping.parcel;
    match from.next().contains(&to) {
        false if from != to => Outcome::Refused(Refusal::ShippingStatusForbids(from)),
        false if !says_more => Outcome::AlreadyDone,
        _ => Outcome::Event(Event::ShippingChanged { from, to }),
    }
}

pub(super) fn apply(state: &mut State, command: &Command, change: &ChangeShipping) {
    let card = state.card_mut(change.card_id);
    if let Some(shipping) = card.and_then(|card| card.shipping.as_mut()) {
        shipping.status = change.to;
        shipping.changed_at = command.at;
        if change.to == ShippingStatus::Shipped {
            shipping.parcel = change.parcel.clone();
        }
    }
}

impl Card {
    /// Why it cannot be activated: nobody has it yet.
    pub(super) fn not_shipped(&self) -> Option<ShippingStatus> {
        let status = self.shipping.as_ref()?.status;
        (!status.is_on_its_way()).then_some(status)
    }

    /// Whether nobody is to make it any more, once it is closed.
    pub(super) fn has_cancellable_shipping(&self) -> bool {
        let shipping = self.shipping.as_ref();
        shipping.is_some_and(|shipping| shipping.status.is_cancellable())
    }

    pub(super) fn cancel_shipping(&mut self, at: Timestamp) {
        if let Some(shipping) = &mut self.shipping {
            shipping.status = ShippingStatus::Cancelled;
            shipping.changed_at = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of moves, written out once more: rows are what a card stands at, columns what it is to become.
    #[test]
    fn every_move_is_allowed_or_not() {
        let table = [
            ("ordered", "in_production produced shipped failed cancelled"),
            ("in_production", "produced shipped failed cancelled"),
            ("produced", "shipped failed cancelled"),
            ("shipped", "delivered returned failed"),
            ("returned", "shipped failed"),
            ("delivered", ""),
            ("failed", ""),
            ("cancelled", ""),
        ];
        assert_eq!(table.len(), ShippingStatus::NAMED.len());
        for (from, allowed) in table {
            let next = ShippingStatus::from_name(from).unwrap().next();
            let names: Vec<_> = next.iter().map(|status| status.name()).collect();
            assert_eq!(names.join(" "), allowed, "{from}");
        }
    }

    #[test]
    fn an_address_is_not_printed() {
        let address = ShippingAddress {
            name: "Ann Example".into(),
            line1: "Main St 1".into(),
            line2: None,
            city: "Berlin".into(),
            region: None,
            postal_code: "10115".into(),
            country: Country(*b"DE"),
            phone: Some("+4930123456".into()),
        };
        let shown = format!("{address:?}");
        assert_eq!(shown, "ShippingAddress { .. }");
    }
}
