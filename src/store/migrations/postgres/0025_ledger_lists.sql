-- Ledger entries of all accounts in one list: of which card and authorization each is, and its place among all of them as one
-- number. Contra legs are in no list, so they are in no index of one.
ALTER TABLE ledger_entries ADD COLUMN card_id TEXT COLLATE "C";
ALTER TABLE ledger_entries ADD COLUMN authorization_id TEXT COLLATE "C";
ALTER TABLE ledger_entries ADD COLUMN number BIGINT GENERATED ALWAYS AS (sequence * 100 + leg) STORED;
UPDATE ledger_entries SET
    card_id = (SELECT card_id FROM transactions WHERE transactions.id = ledger_entries.source_id),
    authorization_id = (SELECT authorization_id FROM transactions WHERE transactions.id = ledger_entries.source_id)
    WHERE source_type = 'transaction';
UPDATE ledger_entries SET
    card_id = (SELECT card_id FROM fees WHERE fees.id = ledger_entries.source_id),
    authorization_id = (SELECT CASE cause_type WHEN 'authorization' THEN cause_id
            WHEN 'transaction' THEN (SELECT authorization_id FROM transactions WHERE transactions.id = fees.cause_id) END
        FROM fees WHERE fees.id = ledger_entries.source_id)
    WHERE source_type = 'fee';

DROP INDEX ledger_entries_by_account;
DROP INDEX ledger_entries_by_source;
DROP INDEX ledger_entries_of_others;
CREATE INDEX ledger_entries_by_number ON ledger_entries (number) WHERE ledger_account = 'customer';
CREATE INDEX ledger_entries_by_account ON ledger_entries (account_id, number) WHERE ledger_account = 'customer';
CREATE INDEX ledger_entries_by_card ON ledger_entries (card_id, number) WHERE ledger_account = 'customer' AND card_id IS NOT NULL;
CREATE INDEX ledger_entries_by_authorization ON ledger_entries (authorization_id, number)
    WHERE ledger_account = 'customer' AND authorization_id IS NOT NULL;
CREATE INDEX ledger_entries_by_source ON ledger_entries (source_id, number) WHERE ledger_account = 'customer';
-- Almost all are of transactions.
CREATE INDEX ledger_entries_by_source_type ON ledger_entries (source_type, number)
    WHERE ledger_account = 'customer' AND source_type <> 'transaction';
CREATE INDEX ledger_entries_of_others ON ledger_entries (account_id, source_type, number)
    WHERE ledger_account = 'customer' AND source_type <> 'transaction';
