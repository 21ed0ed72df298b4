-- What accounts were charged.
CREATE TABLE fees (
    id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    kind TEXT NOT NULL,
    account_id TEXT NOT NULL,
    card_id TEXT,
    program_id TEXT NOT NULL,
    fee_schedule_id TEXT NOT NULL,
    fee_schedule_version INTEGER NOT NULL,
    amount_minor INTEGER NOT NULL,
    fee_minor INTEGER NOT NULL,
    reseller_mark_up_minor INTEGER NOT NULL,
    basis_minor INTEGER,
    currency TEXT NOT NULL,
    month TEXT,
    overdrawn INTEGER NOT NULL,
    cause_type TEXT NOT NULL,
    cause_id TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX fees_by_account ON fees (account_id, id);
CREATE INDEX fees_by_card ON fees (card_id, id);
CREATE INDEX fees_by_program ON fees (program_id, id);
CREATE INDEX fees_by_kind ON fees (kind, id);
