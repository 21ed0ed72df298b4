-- Tokens of wallets and merchants, and which of them a message named; how far the making and sending of a card is.
CREATE TABLE tokens (
    id TEXT COLLATE "C" PRIMARY KEY,
    sequence BIGINT NOT NULL UNIQUE,
    card_id TEXT COLLATE "C" NOT NULL,
    wallet TEXT COLLATE "C" NOT NULL,
    device_type TEXT COLLATE "C",
    device_name TEXT COLLATE "C",
    status TEXT COLLATE "C" NOT NULL,
    first6 TEXT COLLATE "C" NOT NULL,
    last4 TEXT COLLATE "C" NOT NULL,
    exp_month BIGINT,
    exp_year BIGINT,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX tokens_by_card ON tokens (card_id, sequence);
CREATE INDEX tokens_by_status ON tokens (status, sequence);
CREATE INDEX tokens_by_wallet ON tokens (wallet, sequence);
ALTER TABLE authorizations ADD COLUMN token_id TEXT COLLATE "C";
CREATE INDEX authorizations_by_token ON authorizations (token_id, sequence) WHERE token_id IS NOT NULL;
ALTER TABLE cards ADD COLUMN shipping_status TEXT COLLATE "C";
CREATE INDEX cards_by_shipping_status ON cards (shipping_status, sequence) WHERE shipping_status IS NOT NULL;
