-- Why a card is blocked or closed, where that was said. `store rebuild` fills it for earlier rows.
ALTER TABLE cards ADD COLUMN status_reason TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX cards_by_status_reason ON cards (status_reason, sequence) WHERE status_reason <> '';
