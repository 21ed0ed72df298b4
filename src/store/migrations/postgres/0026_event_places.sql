-- The events of a link: those of its cards and of the accounts that are theirs alone, and those of the link itself, which are
-- of no card.
ALTER TABLE events ADD COLUMN place_id TEXT COLLATE "C" GENERATED ALWAYS AS (COALESCE(card_id, object_id)) STORED;
CREATE INDEX events_by_place ON events (place_id, number);
-- By which account a key sees it: of a payment the first one of its card.
ALTER TABLE events ADD COLUMN seen_at_account_id TEXT COLLATE "C";
UPDATE events SET seen_at_account_id = account_id;
CREATE INDEX events_by_seen_at ON events (seen_at_account_id, number) WHERE seen_at_account_id IS NOT NULL;
