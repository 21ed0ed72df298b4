-- What was only told apart among other rows, and nothing found alone.
CREATE INDEX authorizations_by_stan ON authorizations (stan, sequence);
CREATE INDEX authorizations_by_approval_code ON authorizations (approval_code, sequence) WHERE approval_code IS NOT NULL;
CREATE INDEX transactions_by_stan ON transactions (stan, sequence);
-- Events of linked objects that are of no card, by the link that `place_json` is the text of.
ALTER TABLE events ALTER COLUMN place_json TYPE TEXT COLLATE "C";
CREATE INDEX events_of_links ON events (place_json, object_id) WHERE card_id IS NULL AND account_id IS NULL;
