-- What lists are asked for, each with an index: rows in the order of their records, so that a page is read from it.
ALTER TABLE projection ADD COLUMN behind_ms BIGINT NOT NULL DEFAULT 0;

-- The latest time of any record up to this one. Every so many records has a row, so that a span of time becomes one of
-- records without an index by time (see `times.rs`).
CREATE TABLE record_times (
    sequence BIGINT PRIMARY KEY,
    latest_ms BIGINT NOT NULL
);
CREATE INDEX record_times_by_time ON record_times (latest_ms, sequence);

ALTER TABLE cards ADD COLUMN cardholder_id TEXT COLLATE "C";
CREATE INDEX cards_by_cardholder ON cards (cardholder_id, sequence) WHERE cardholder_id IS NOT NULL;
CREATE INDEX cards_by_status ON cards (status, sequence);
CREATE INDEX cards_by_type ON cards (card_type, sequence);
CREATE INDEX cards_by_last4 ON cards (last4, sequence);

CREATE INDEX accounts_by_status ON accounts (status, sequence);
CREATE INDEX accounts_by_name ON accounts (name, sequence) WHERE name IS NOT NULL;
CREATE INDEX accounts_by_root ON accounts (root_id, sequence);

ALTER TABLE authorizations ADD COLUMN program_id TEXT COLLATE "C";
UPDATE authorizations SET program_id =
    (SELECT program_id FROM accounts WHERE accounts.id = authorizations.account_id);
DROP INDEX authorizations_reversed;
-- So that the names that begin alike stand together.
ALTER TABLE authorizations ALTER COLUMN merchant_name TYPE TEXT COLLATE "C";
DROP INDEX authorizations_by_time;
CREATE INDEX authorizations_by_program ON authorizations (program_id, sequence);
CREATE INDEX authorizations_by_account ON authorizations (account_id, sequence);
CREATE INDEX authorizations_by_status ON authorizations (status, sequence);
CREATE INDEX authorizations_by_result ON authorizations (result, sequence);
CREATE INDEX authorizations_by_step ON authorizations (step, sequence) WHERE step IS NOT NULL;
CREATE INDEX authorizations_by_kind ON authorizations (kind, sequence);
CREATE INDEX authorizations_by_message ON authorizations (message, sequence);
CREATE INDEX authorizations_by_merchant ON authorizations (merchant_id, sequence);
CREATE INDEX authorizations_by_merchant_name ON authorizations (merchant_name, sequence);
CREATE INDEX authorizations_by_mcc ON authorizations (mcc, sequence);
CREATE INDEX authorizations_by_country ON authorizations (merchant_country, sequence);
CREATE INDEX authorizations_by_stan ON authorizations (stan, sequence);
CREATE INDEX authorizations_by_rrn ON authorizations (rrn, sequence);
CREATE INDEX authorizations_by_approval_code ON authorizations (approval_code, sequence) WHERE approval_code IS NOT NULL;
CREATE INDEX authorizations_by_amount ON authorizations (currency, amount_minor, sequence);

ALTER TABLE transactions ADD COLUMN program_id TEXT COLLATE "C";
UPDATE transactions SET program_id =
    (SELECT program_id FROM accounts WHERE accounts.id = transactions.account_id);
DROP INDEX transactions_by_time;
ALTER TABLE transactions ALTER COLUMN merchant_name TYPE TEXT COLLATE "C";
CREATE INDEX transactions_by_program ON transactions (program_id, sequence);
CREATE INDEX transactions_by_type ON transactions (transaction_type, sequence);
CREATE INDEX transactions_by_kind ON transactions (kind, sequence);
CREATE INDEX transactions_by_merchant ON transactions (merchant_id, sequence);
CREATE INDEX transactions_by_merchant_name ON transactions (merchant_name, sequence);
CREATE INDEX transactions_by_mcc ON transactions (mcc, sequence);
CREATE INDEX transactions_by_country ON transactions (merchant_country, sequence);
CREATE INDEX transactions_by_stan ON transactions (stan, sequence);
CREATE INDEX transactions_by_rrn ON transactions (rrn, sequence);
CREATE INDEX transactions_by_amount ON transactions (currency, amount_minor, sequence);

CREATE INDEX top_ups_by_method ON top_ups (method, sequence);
CREATE INDEX top_ups_by_amount ON top_ups (currency, amount_minor, sequence);
CREATE INDEX transfers_by_amount ON transfers (currency, amount_minor, sequence);

CREATE INDEX ledger_entries_by_source ON ledger_entries (source_id, sequence, leg);
-- Almost all are of transactions.
CREATE INDEX ledger_entries_of_others ON ledger_entries (account_id, source_type, sequence, leg)
    WHERE source_type <> 'transaction';

CREATE INDEX events_by_program ON events (program_id, number) WHERE program_id IS NOT NULL;
DROP INDEX deliveries_by_time;
CREATE INDEX deliveries_by_time ON deliveries (created_at_ms, id);
CREATE INDEX deliveries_by_type ON deliveries (event_type, id);
