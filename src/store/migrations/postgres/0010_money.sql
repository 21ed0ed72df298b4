-- Transfers between accounts; top-ups in two steps.
CREATE TABLE transfers (
    id TEXT COLLATE "C" PRIMARY KEY,
    sequence BIGINT NOT NULL UNIQUE,
    from_account_id TEXT COLLATE "C" NOT NULL,
    to_account_id TEXT COLLATE "C" NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    return_reason TEXT COLLATE "C",
    created_at_ms BIGINT NOT NULL,
    ended_at_ms BIGINT
);
CREATE INDEX transfers_by_sender ON transfers (from_account_id, sequence);
CREATE INDEX transfers_by_receiver ON transfers (to_account_id, sequence);
CREATE INDEX transfers_by_status ON transfers (status, sequence);
