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
ALTER TABLE top_ups ADD COLUMN settled_minor BIGINT;
ALTER TABLE top_ups ADD COLUMN settled_currency TEXT COLLATE "C";
ALTER TABLE top_ups ADD COLUMN arrived_minor BIGINT;
ALTER TABLE top_ups ADD COLUMN arrived_currency TEXT COLLATE "C";
ALTER TABLE top_ups ADD COLUMN rest_minor BIGINT;
ALTER TABLE top_ups ADD COLUMN received_on TEXT COLLATE "C";
ALTER TABLE top_ups ADD COLUMN failure_reason TEXT;
ALTER TABLE top_ups ADD COLUMN ended_at_ms BIGINT;
CREATE INDEX top_ups_by_status ON top_ups (status, sequence);
CREATE INDEX top_ups_by_reference ON top_ups (external_reference, sequence);
