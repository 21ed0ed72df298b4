-- Changes of linked objects that not all of their cards are told of yet, and when links changed.
ALTER TABLE link_states ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0;

CREATE TABLE untold_link_changes (
    id TEXT COLLATE "C" PRIMARY KEY,
    sequence BIGINT NOT NULL,
    program_id TEXT COLLATE "C" NOT NULL,
    link_type TEXT COLLATE "C" NOT NULL,
    link_id TEXT COLLATE "C" NOT NULL,
    status TEXT NOT NULL,
    after_card_id TEXT COLLATE "C" NOT NULL
);
