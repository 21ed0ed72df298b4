-- What accounts were charged.
CREATE TABLE fees (
    id TEXT COLLATE "C" PRIMARY KEY,
    sequence BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    account_id TEXT COLLATE "C" NOT NULL,
    card_id TEXT COLLATE "C",
    program_id TEXT COLLATE "C" NOT NULL,
    fee_schedule_id TEXT COLLATE "C" NOT NULL,
    fee_schedule_version BIGINT NOT NULL,
    amount_minor BIGINT NOT NULL,
    fee_minor BIGINT NOT NULL,
    reseller_mark_up_minor BIGINT NOT NULL,
    basis_minor BIGINT,
    currency TEXT COLLATE "C" NOT NULL,
    month TEXT COLLATE "C",
    overdrawn BIGINT NOT NULL,
    cause_type TEXT COLLATE "C" NOT NULL,
    cause_id TEXT COLLATE "C" NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX fees_by_account ON fees (account_id, id);
CREATE INDEX fees_by_card ON fees (card_id, id);
CREATE INDEX fees_by_program ON fees (program_id, id);
CREATE INDEX fees_by_kind ON fees (kind, id);
