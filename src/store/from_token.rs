//! How records of tokens become rows, and what later ones change in them.

use super::batch::Batch;
use super::database::{RowChange, Value};
use super::from_record::{clean, digits};
use super::rows::{Sequence, TokenRow};
use crate::engine::command::{Action, Command};
use crate::engine::event::Event;
use crate::engine::ids::{CardId, TokenId};
use crate::engine::tokens::{OpenToken, Token, TokenStatus};

/// A token as memory has it, in the form of its row.
pub fn row_of(token: &Token) -> TokenRow {
    let device = token.device.as_ref();
    TokenRow {
        id: token.id,
        sequence: 0,
        card_id: token.card_id,
        wallet: clean(&token.wallet),
        device_type: device.and_then(|device| device.device_type.as_deref().map(clean)),
        device_name: device.and_then(|device| device.name.as_deref().map(clean)),
        status: token.status,
        first6: digits(token.first6),
        last4: digits(u32::from(token.last4)),
        exp_month: token.expiry.map(|expiry| expiry.month()),
        exp_year: token.expiry.map(|expiry| expiry.year()),
        created_at_ms: token.created_at,
    }
}

/// One that was opened; nothing for any other record.
pub fn opened(sequence: Sequence, command: &Command, event: &Event) -> Option<TokenRow> {
    let (Action::OpenToken(open), Event::TokenOpened { card_id, status }) =
        (&command.action, event)
    else {
        return None;
    };
    let OpenToken {
        token_id,
        first6,
        last4,
        expiry,
        wallet,
        device,
        ..
    } = (**open).clone();
    let row = row_of(&Token {
        id: token_id,
        card_id: *card_id,
        status: *status,
        first6,
        last4,
        expiry,
        wallet,
        device,
        created_at: command.at,
    });
    Some(TokenRow { sequence, ..row })
}

fn change(id: TokenId, column: &'static str, to: String) -> RowChange {
    RowChange {
        table: "tokens",
        id: id.to_string(),
        columns: vec![(column, Value::Text(to))],
    }
}

impl Batch {
    /// False where the event cannot come of the command.
    pub(super) fn token(&mut self, sequence: Sequence, command: &Command, event: &Event) -> bool {
        match (event, &command.action) {
            (Event::TokenStatusChanged { to, .. }, Action::ChangeTokenStatus(of)) => {
                self.set_token_status(of.token_id, *to);
            }
            _ => match opened(sequence, command, event) {
                Some(row) => self.tokens.push(row),
                None => return false,
            },
        }
        true
    }

    fn set_token_status(&mut self, id: TokenId, to: TokenStatus) {
        let status = to.name().to_owned();
        self.row_changes.push(change(id, "status", status));
    }

    /// With their card.
    pub(super) fn delete_tokens(&mut self, ids: &[TokenId]) {
        for id in ids {
            self.set_token_status(*id, TokenStatus::Deleted);
        }
    }

    /// To the card in the place of theirs.
    pub(super) fn move_tokens(&mut self, ids: &[TokenId], to: CardId) {
        let changes = ids.iter();
        let changes = changes.map(|id| change(*id, "card_id", to.to_string()));
        self.row_changes.extend(changes);
    }
}
