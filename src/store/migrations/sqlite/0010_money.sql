-- Transfers between accounts; top-ups in two steps.
CREATE TABLE transfers (
    id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL UNIQUE,
    from_account_id TEXT NOT NULL,
    to_account_id TEXT NOT NULL,
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    return_reason TEXT,
    created_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER
) STRICT;
CREATE INDEX transfers_by_sender ON transfers (from_account_id, sequence);
CREATE INDEX transfers_by_receiver ON transfers (to_account_id, sequence);
CREATE INDEX transfers_by_status ON transfers (status, sequence);
ALTER TABLE top_ups ADD COLUMN settled_minor INTEGER;
ALTER TABLE top_ups ADD COLUMN settled_currency TEXT;
ALTER TABLE top_ups ADD COLUMN arrived_minor INTEGER;
ALTER TABLE top_ups ADD COLUMN arrived_currency TEXT;
ALTER TABLE top_ups ADD COLUMN rest_minor INTEGER;
ALTER TABLE top_ups ADD COLUMN received_on TEXT;
ALTER TABLE top_ups ADD COLUMN failure_reason TEXT;
ALTER TABLE top_ups ADD COLUMN ended_at_ms INTEGER;
CREATE INDEX top_ups_by_status ON top_ups (status, sequence);
CREATE INDEX top_ups_by_reference ON top_ups (external_reference, sequence);
