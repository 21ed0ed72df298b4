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
