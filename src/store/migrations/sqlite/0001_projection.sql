-- Ids are the API's own text. STRICT refuses a value of another type than its column's.
-- Amounts are minor units; times are milliseconds since 1970 in UTC; `sequence` is the journal's.
CREATE TABLE projection (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    journal_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE programs (
    id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL UNIQUE,
    name TEXT NOT NULL,
    network TEXT NOT NULL,
    bin TEXT NOT NULL,
    currency TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL UNIQUE,
    root_id TEXT NOT NULL,
    parent_id TEXT,
    program_id TEXT NOT NULL,
    name TEXT,
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    posted_minor INTEGER NOT NULL,
    held_minor INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX accounts_by_program ON accounts (program_id, sequence);
CREATE INDEX accounts_by_parent ON accounts (parent_id, sequence) WHERE parent_id IS NOT NULL;

CREATE TABLE cards (
    id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL UNIQUE,
    account_id TEXT NOT NULL,
    program_id TEXT NOT NULL,
    card_type TEXT NOT NULL,
    status TEXT NOT NULL,
    first6 TEXT NOT NULL,
    last4 TEXT NOT NULL,
    exp_month INTEGER NOT NULL,
    exp_year INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX cards_by_account ON cards (account_id, sequence);
CREATE INDEX cards_by_program ON cards (program_id, sequence);

CREATE TABLE card_links (
    card_id TEXT NOT NULL,
    program_id TEXT NOT NULL,
    link_type TEXT NOT NULL,
    link_id TEXT NOT NULL,
    PRIMARY KEY (card_id, program_id, link_type, link_id)
) STRICT;
CREATE INDEX card_links_by_link ON card_links (link_type, link_id, card_id);

CREATE TABLE authorizations (
    sequence INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    card_id TEXT NOT NULL,
    account_id TEXT,
    kind TEXT NOT NULL,
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    transaction_minor INTEGER NOT NULL,
    transaction_currency TEXT NOT NULL,
    merchant_id TEXT NOT NULL,
    merchant_name TEXT NOT NULL,
    merchant_city TEXT NOT NULL,
    merchant_country TEXT NOT NULL,
    mcc INTEGER NOT NULL,
    entry_mode TEXT NOT NULL,
    channel TEXT NOT NULL,
    network TEXT NOT NULL,
    acquirer_id TEXT NOT NULL,
    terminal_id TEXT NOT NULL,
    rrn TEXT NOT NULL,
    stan INTEGER NOT NULL,
    status TEXT NOT NULL,
    result TEXT NOT NULL,
    reason TEXT,
    step TEXT,
    rule_id TEXT,
    approval_code TEXT,
    available_minor INTEGER NOT NULL,
    registry_version INTEGER NOT NULL,
    engine_version INTEGER NOT NULL,
    expires_at_ms INTEGER,
    created_at_ms INTEGER NOT NULL,
    trace BLOB NOT NULL
) STRICT;
CREATE INDEX authorizations_by_card ON authorizations (card_id, sequence);
CREATE INDEX authorizations_by_reason ON authorizations (reason, sequence) WHERE reason IS NOT NULL;
CREATE INDEX authorizations_reversed ON authorizations (sequence) WHERE status = 'reversed';
CREATE INDEX authorizations_by_time ON authorizations (created_at_ms);

CREATE TABLE reversals (
    sequence INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    card_id TEXT NOT NULL,
    authorization_id TEXT,
    outcome TEXT NOT NULL,
    amount_minor INTEGER NOT NULL,
    transaction_minor INTEGER NOT NULL,
    transaction_currency TEXT NOT NULL,
    network TEXT NOT NULL,
    acquirer_id TEXT NOT NULL,
    terminal_id TEXT NOT NULL,
    rrn TEXT NOT NULL,
    stan INTEGER NOT NULL,
    registry_version INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX reversals_by_authorization ON reversals (authorization_id)
    WHERE authorization_id IS NOT NULL;

CREATE TABLE top_ups (
    id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL UNIQUE,
    account_id TEXT NOT NULL,
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    method TEXT NOT NULL,
    external_reference TEXT,
    status TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX top_ups_by_account ON top_ups (account_id, sequence);

CREATE TABLE ledger_entries (
    sequence INTEGER NOT NULL,
    leg INTEGER NOT NULL,
    account_id TEXT NOT NULL,
    ledger_account TEXT NOT NULL,
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    source_type TEXT NOT NULL,
    source_id TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (sequence, leg)
) STRICT;
CREATE INDEX ledger_entries_by_account ON ledger_entries (account_id, sequence, leg);
