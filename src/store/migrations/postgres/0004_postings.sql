-- What messages post, and what later messages make of an authorization.
ALTER TABLE authorizations ADD COLUMN posted_minor BIGINT NOT NULL DEFAULT 0;
ALTER TABLE authorizations ADD COLUMN message TEXT NOT NULL DEFAULT 'request';
ALTER TABLE authorizations ADD COLUMN original_authorization_id TEXT COLLATE "C";
ALTER TABLE authorizations ADD COLUMN flags TEXT NOT NULL DEFAULT '';
ALTER TABLE authorizations ADD COLUMN breach_reason TEXT;
CREATE INDEX authorizations_by_original ON authorizations (original_authorization_id)
    WHERE original_authorization_id IS NOT NULL;

ALTER TABLE reversals RENAME COLUMN amount_minor TO released_minor;
ALTER TABLE reversals ADD COLUMN returned_minor BIGINT NOT NULL DEFAULT 0;
ALTER TABLE reversals ADD COLUMN what TEXT;
ALTER TABLE reversals ADD COLUMN flags TEXT NOT NULL DEFAULT '';
UPDATE reversals SET outcome = 'undone', what = 'whole' WHERE outcome = 'released';

CREATE TABLE transactions (
    sequence BIGINT PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    authorization_id TEXT COLLATE "C" NOT NULL,
    card_id TEXT COLLATE "C" NOT NULL,
    account_id TEXT COLLATE "C" NOT NULL,
    transaction_type TEXT NOT NULL,
    kind TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    transaction_minor BIGINT NOT NULL,
    transaction_currency TEXT NOT NULL,
    merchant_id TEXT NOT NULL,
    merchant_name TEXT NOT NULL,
    merchant_city TEXT NOT NULL,
    merchant_country TEXT NOT NULL,
    mcc BIGINT NOT NULL,
    network TEXT NOT NULL,
    acquirer_id TEXT NOT NULL,
    terminal_id TEXT NOT NULL,
    rrn TEXT NOT NULL,
    stan BIGINT NOT NULL,
    flags TEXT NOT NULL,
    network_minor BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX transactions_by_account ON transactions (account_id, sequence);
CREATE INDEX transactions_by_card ON transactions (card_id, sequence);
CREATE INDEX transactions_by_authorization ON transactions (authorization_id, sequence);
CREATE INDEX transactions_by_time ON transactions USING brin (created_at_ms)
    WITH (pages_per_range = 32);

-- So that it can be compared with the ids that it holds.
ALTER TABLE ledger_entries ALTER COLUMN source_id TYPE TEXT COLLATE "C";
