-- Who got to see a card number, when, and why.
CREATE TABLE card_reveals (
    sequence INTEGER PRIMARY KEY,
    card_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    api_key_id TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX card_reveals_by_card ON card_reveals (card_id, sequence);
