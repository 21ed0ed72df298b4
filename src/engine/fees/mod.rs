//! What accounts pay for cards and what is done with them. `schedule` says what is charged for, `price` what that comes to,
//! `charge` makes one charge of it and posts it, `monthly` says which card owes a month. Each charge is a part of the event
//! that causes it; those on conversions are in the legs of the payment (see `conversion.rs`).

pub mod charge;
pub mod monthly;
pub mod price;
pub mod schedule;
