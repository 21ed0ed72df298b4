-- What lists are asked for, each with an index: rows in the order of their records, so that a page is read from it. An
-- index of SQLite has the row's own key, the sequence here, behind its columns.
ALTER TABLE projection ADD COLUMN behind_ms INTEGER NOT NULL DEFAULT 0;

-- The latest time of any record up to this one. Every so many records has a row, so that a span of time becomes one of
-- records without an index by time (see `times.rs`).
CREATE TABLE record_times (
    sequence INTEGER PRIMARY KEY,
    latest_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX record_times_by_time ON record_times (latest_ms);

ALTER TABLE cards ADD COLUMN cardholder_id TEXT;
CREATE INDEX cards_by_cardholder ON cards (cardholder_id, sequence) WHERE cardholder_id IS NOT NULL;
CREATE INDEX cards_by_status ON cards (status, sequence);
CREATE INDEX cards_by_type ON cards (card_type, sequence);
CREATE INDEX cards_by_last4 ON cards (last4, sequence);

CREATE INDEX accounts_by_status ON accounts (status, sequence);
CREATE INDEX accounts_by_name ON accounts (name, sequence) WHERE name IS NOT NULL;
CREATE INDEX accounts_by_root ON accounts (root_id, sequence);

-- The names that merchants were ever told by, for who looks for one by how it begins.
CREATE TABLE merchant_names (
    merchant_name TEXT NOT NULL,
    merchant_id TEXT NOT NULL,
    PRIMARY KEY (merchant_name, merchant_id)
) STRICT;
INSERT INTO merchant_names SELECT DISTINCT merchant_name, merchant_id FROM authorizations
    UNION SELECT DISTINCT merchant_name, merchant_id FROM transactions;

-- Amounts by currency, first two characters and length: few values, so that an index by them costs little, and those that
-- a span of amounts is in can be said. What nearly all rows have is in no index: it is found without one.
DROP INDEX authorizations_reversed;
ALTER TABLE authorizations ADD COLUMN program_id TEXT;
UPDATE authorizations SET program_id =
    (SELECT program_id FROM accounts WHERE accounts.id = authorizations.account_id);
ALTER TABLE authorizations ADD COLUMN amount_bucket TEXT GENERATED ALWAYS AS (currency || ' ' || substr(CAST(amount_minor AS TEXT), 1, 2) || '/' ||
    CAST(length(CAST(amount_minor AS TEXT)) AS TEXT)) VIRTUAL;
DROP INDEX authorizations_by_time;
CREATE INDEX authorizations_by_program ON authorizations (program_id);
CREATE INDEX authorizations_by_account ON authorizations (account_id);
CREATE INDEX authorizations_by_status ON authorizations (status);
CREATE INDEX authorizations_by_result ON authorizations (result) WHERE result <> 'approved';
CREATE INDEX authorizations_by_step ON authorizations (step) WHERE step IS NOT NULL;
CREATE INDEX authorizations_by_kind ON authorizations (kind) WHERE kind <> 'purchase';
CREATE INDEX authorizations_by_message ON authorizations (message) WHERE message <> 'request';
CREATE INDEX authorizations_by_merchant ON authorizations (merchant_id);
CREATE INDEX authorizations_by_mcc ON authorizations (mcc);
CREATE INDEX authorizations_by_country ON authorizations (merchant_country);
CREATE INDEX authorizations_by_rrn ON authorizations (rrn);
CREATE INDEX authorizations_by_amount ON authorizations (amount_bucket);

ALTER TABLE transactions ADD COLUMN program_id TEXT;
UPDATE transactions SET program_id =
    (SELECT program_id FROM accounts WHERE accounts.id = transactions.account_id);
ALTER TABLE transactions ADD COLUMN amount_bucket TEXT GENERATED ALWAYS AS (currency || ' ' || substr(CAST(amount_minor AS TEXT), 1, 2) || '/' ||
    CAST(length(CAST(amount_minor AS TEXT)) AS TEXT)) VIRTUAL;
DROP INDEX transactions_by_time;
CREATE INDEX transactions_by_program ON transactions (program_id);
CREATE INDEX transactions_by_type ON transactions (transaction_type) WHERE transaction_type <> 'payment';
CREATE INDEX transactions_by_kind ON transactions (kind) WHERE kind <> 'purchase';
CREATE INDEX transactions_by_merchant ON transactions (merchant_id);
CREATE INDEX transactions_by_mcc ON transactions (mcc);
CREATE INDEX transactions_by_country ON transactions (merchant_country);
CREATE INDEX transactions_by_rrn ON transactions (rrn);
CREATE INDEX transactions_by_amount ON transactions (amount_bucket);

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
