-- Cards by the status that they are told with: by their expiry, and by the linked objects that are frozen or closed.
ALTER TABLE cards ADD COLUMN expiry TEXT GENERATED ALWAYS AS
    (CAST(exp_year AS TEXT) || '-' || substr('0' || CAST(exp_month AS TEXT), -2)) VIRTUAL;
CREATE INDEX cards_by_expiry ON cards (expiry, sequence);

-- Of a key (program, type, id): the program's id has 18 letters, and no type has a stroke.
ALTER TABLE link_states ADD COLUMN program_id TEXT GENERATED ALWAYS AS (substr(link_key, 1, 18)) VIRTUAL;
ALTER TABLE link_states ADD COLUMN link_type TEXT GENERATED ALWAYS AS
    (substr(link_key, 20, instr(substr(link_key, 20), '/') - 1)) VIRTUAL;
ALTER TABLE link_states ADD COLUMN link_id TEXT GENERATED ALWAYS AS
    (substr(link_key, 20 + instr(substr(link_key, 20), '/'))) VIRTUAL;
CREATE INDEX link_states_by_status ON link_states (status);

-- What was told of a payment. `store rebuild` fills it for earlier rows.
ALTER TABLE events ADD COLUMN authorization_id TEXT;
CREATE INDEX events_by_authorization ON events (authorization_id, number) WHERE authorization_id IS NOT NULL;

-- What the event of a call is about. Calls that were made before have none of it.
ALTER TABLE deliveries ADD COLUMN program_id TEXT;
ALTER TABLE deliveries ADD COLUMN account_id TEXT;
ALTER TABLE deliveries ADD COLUMN object_id TEXT;
ALTER TABLE deliveries ADD COLUMN authorization_id TEXT;
ALTER TABLE deliveries ADD COLUMN card_id TEXT;
ALTER TABLE deliveries ADD COLUMN place_id TEXT;
CREATE INDEX deliveries_by_program ON deliveries (program_id, id) WHERE program_id IS NOT NULL;
CREATE INDEX deliveries_by_account ON deliveries (account_id, id) WHERE account_id IS NOT NULL;
CREATE INDEX deliveries_by_object ON deliveries (object_id, id) WHERE object_id IS NOT NULL;
CREATE INDEX deliveries_by_authorization ON deliveries (authorization_id, id) WHERE authorization_id IS NOT NULL;
CREATE INDEX deliveries_by_card ON deliveries (card_id, id) WHERE card_id IS NOT NULL;
CREATE INDEX deliveries_by_place ON deliveries (place_id, id) WHERE place_id IS NOT NULL;

-- More of what cards, charges and writes are told with.
CREATE INDEX cards_by_first6 ON cards (first6, sequence);
CREATE INDEX fees_by_cause ON fees (cause_id, id);
CREATE INDEX fees_by_amount ON fees (currency, amount_minor, id);
DROP INDEX audit_log_by_request;
CREATE INDEX audit_log_by_request ON audit_log (request_id, sequence);
CREATE INDEX audit_log_by_outcome ON audit_log (outcome, sequence) WHERE outcome <> 'done';
