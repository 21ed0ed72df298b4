-- Changes of linked objects that not all of their cards are told of yet, and when links changed.
ALTER TABLE link_states ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;

CREATE TABLE untold_link_changes (
    id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    program_id TEXT NOT NULL,
    link_type TEXT NOT NULL,
    link_id TEXT NOT NULL,
    status TEXT NOT NULL,
    after_card_id TEXT NOT NULL
) STRICT;
