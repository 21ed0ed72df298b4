-- The events of a link: those of its cards and of the accounts that are theirs alone, and those of the link itself, which are
-- of no card.
ALTER TABLE events ADD COLUMN place_id TEXT COLLATE "C" GENERATED ALWAYS AS (COALESCE(card_id, object_id)) STORED;
CREATE INDEX events_by_place ON events (place_id, number);
