-- Ids are the API's own text; COLLATE "C" compares bytes, whatever the cluster's locale.
-- Amounts are minor units; times are milliseconds since 1970 in UTC; `sequence` is the journal's.
CREATE TABLE projection (
    singleton BIGINT PRIMARY KEY CHECK (singleton = 1),
    journal_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL
);

CREATE TABLE programs (
    id TEXT COLLATE "C" PRIMARY KEY,
    sequence BIGINT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    network TEXT NOT NULL,
    bin TEXT NOT NULL,
    currency TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);

CREATE TABLE accounts (
    id TEXT COLLATE "C" PRIMARY KEY,
    sequence BIGINT NOT NULL UNIQUE,
    root_id TEXT COLLATE "C" NOT NULL,
    parent_id TEXT COLLATE "C",
    program_id TEXT COLLATE "C" NOT NULL,
    name TEXT,
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    posted_minor BIGINT NOT NULL,
    held_minor BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX accounts_by_program ON accounts (program_id, sequence);
CREATE INDEX accounts_by_parent ON accounts (parent_id, sequence) WHERE parent_id IS NOT NULL;

CREATE TABLE cards (
    id TEXT COLLATE "C" PRIMARY KEY,
    sequence BIGINT NOT NULL UNIQUE,
    account_id TEXT COLLATE "C" NOT NULL,
    program_id TEXT COLLATE "C" NOT NULL,
    card_type TEXT NOT NULL,
    status TEXT NOT NULL,
    first6 TEXT NOT NULL,
    last4 TEXT NOT NULL,
    exp_month BIGINT NOT NULL,
    exp_year BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX cards_by_account ON cards (account_id, sequence);
CREATE INDEX cards_by_program ON cards (program_id, sequence);

CREATE TABLE card_links (
    card_id TEXT COLLATE "C" NOT NULL,
    program_id TEXT COLLATE "C" NOT NULL,
    link_type TEXT COLLATE "C" NOT NULL,
    link_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (card_id, program_id, link_type, link_id)
);
CREATE INDEX card_links_by_link ON card_links (link_type, link_id, card_id);

CREATE TABLE authorizations (
    sequence BIGINT PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    card_id TEXT COLLATE "C" NOT NULL,
    account_id TEXT COLLATE "C",
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
    entry_mode TEXT NOT NULL,
    channel TEXT NOT NULL,
    network TEXT NOT NULL,
    acquirer_id TEXT NOT NULL,
    terminal_id TEXT NOT NULL,
    rrn TEXT NOT NULL,
    stan BIGINT NOT NULL,
    status TEXT NOT NULL,
    result TEXT NOT NULL,
    reason TEXT,
    step TEXT,
    rule_id TEXT,
    approval_code TEXT,
    available_minor BIGINT NOT NULL,
    registry_version BIGINT NOT NULL,
    engine_version BIGINT NOT NULL,
    expires_at_ms BIGINT,
    created_at_ms BIGINT NOT NULL,
    trace BYTEA NOT NULL
);
CREATE INDEX authorizations_by_card ON authorizations (card_id, sequence);
CREATE INDEX authorizations_by_reason ON authorizations (reason, sequence) WHERE reason IS NOT NULL;
CREATE INDEX authorizations_reversed ON authorizations (sequence) WHERE status = 'reversed';
-- Summarized by VACUUM: with `autosummarize`, a fast COPY fills the server's log with refused requests.
CREATE INDEX authorizations_by_time ON authorizations USING brin (created_at_ms)
    WITH (pages_per_range = 32);

CREATE TABLE reversals (
    sequence BIGINT PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    card_id TEXT COLLATE "C" NOT NULL,
    authorization_id TEXT COLLATE "C",
    outcome TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    transaction_minor BIGINT NOT NULL,
    transaction_currency TEXT NOT NULL,
    network TEXT NOT NULL,
    acquirer_id TEXT NOT NULL,
    terminal_id TEXT NOT NULL,
    rrn TEXT NOT NULL,
    stan BIGINT NOT NULL,
    registry_version BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX reversals_by_authorization ON reversals (authorization_id)
    WHERE authorization_id IS NOT NULL;

CREATE TABLE top_ups (
    id TEXT COLLATE "C" PRIMARY KEY,
    sequence BIGINT NOT NULL UNIQUE,
    account_id TEXT COLLATE "C" NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    method TEXT NOT NULL,
    external_reference TEXT,
    status TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX top_ups_by_account ON top_ups (account_id, sequence);

CREATE TABLE ledger_entries (
    sequence BIGINT NOT NULL,
    leg BIGINT NOT NULL,
    account_id TEXT COLLATE "C" NOT NULL,
    ledger_account TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    source_type TEXT NOT NULL,
    source_id TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (sequence, leg)
);
CREATE INDEX ledger_entries_by_account ON ledger_entries (account_id, sequence, leg);
