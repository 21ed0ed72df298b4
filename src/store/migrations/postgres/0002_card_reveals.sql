-- Who got to see a card number, when, and why.
CREATE TABLE card_reveals (
    sequence BIGINT PRIMARY KEY,
    card_id TEXT COLLATE "C" NOT NULL,
    reason TEXT NOT NULL,
    api_key_id TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX card_reveals_by_card ON card_reveals (card_id, sequence);
