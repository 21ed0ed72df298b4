-- Tokens of wallets and merchants, and which of them a message named; how far the making and sending of a card is.
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL UNIQUE,
    card_id TEXT NOT NULL,
    wallet TEXT NOT NULL,
    device_type TEXT,
    device_name TEXT,
    status TEXT NOT NULL,
    first6 TEXT NOT NULL,
    last4 TEXT NOT NULL,
    exp_month INTEGER,
    exp_year INTEGER,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX tokens_by_card ON tokens (card_id, sequence);
CREATE INDEX tokens_by_status ON tokens (status, sequence);
CREATE INDEX tokens_by_wallet ON tokens (wallet, sequence);
ALTER TABLE authorizations ADD COLUMN token_id TEXT;
CREATE INDEX authorizations_by_token ON authorizations (token_id, sequence) WHERE token_id IS NOT NULL;
ALTER TABLE cards ADD COLUMN shipping_status TEXT;
CREATE INDEX cards_by_shipping_status ON cards (shipping_status, sequence) WHERE shipping_status IS NOT NULL;
