-- Money of an account that was opened for a card (`funding: own`) is found by that card, and payments by the exceptions that let them pass.

ALTER TABLE accounts ADD COLUMN card_id TEXT COLLATE "C";
-- The id of such an account is the next one after that of its card: the numbers that their last letters are follow each other.
UPDATE accounts SET card_id = (SELECT cards.id FROM cards WHERE cards.account_id = accounts.id
        AND substr(cards.id, 6, 9) = substr(accounts.id, 6, 9)
        AND strpos('0123456789abcdefghjkmnpqrstvwxyz', substr(accounts.id, 18, 1))
            + 32 * strpos('0123456789abcdefghjkmnpqrstvwxyz', substr(accounts.id, 17, 1))
            + 1024 * strpos('0123456789abcdefghjkmnpqrstvwxyz', substr(accounts.id, 16, 1))
            + 32768 * strpos('0123456789abcdefghjkmnpqrstvwxyz', substr(accounts.id, 15, 1))
            = 1 + strpos('0123456789abcdefghjkmnpqrstvwxyz', substr(cards.id, 18, 1))
            + 32 * strpos('0123456789abcdefghjkmnpqrstvwxyz', substr(cards.id, 17, 1))
            + 1024 * strpos('0123456789abcdefghjkmnpqrstvwxyz', substr(cards.id, 16, 1))
            + 32768 * strpos('0123456789abcdefghjkmnpqrstvwxyz', substr(cards.id, 15, 1)))
    WHERE parent_id IS NOT NULL;
CREATE INDEX accounts_by_card ON accounts (card_id, sequence) WHERE card_id IS NOT NULL;
CREATE INDEX accounts_by_currency ON accounts (currency, sequence);

UPDATE ledger_entries SET card_id = (SELECT accounts.card_id FROM accounts WHERE accounts.id = ledger_entries.account_id)
    WHERE card_id IS NULL AND ledger_account = 'customer';
UPDATE fees SET card_id = (SELECT accounts.card_id FROM accounts WHERE accounts.id = fees.account_id) WHERE card_id IS NULL;

CREATE INDEX authorizations_by_rule ON authorizations (rule_id, sequence) WHERE rule_id IS NOT NULL;

-- `store rebuild` fills it for earlier payments.
CREATE TABLE exception_uses (
    exception_id TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    authorization_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (exception_id, sequence)
);
CREATE INDEX exception_uses_by_authorization ON exception_uses (authorization_id);
