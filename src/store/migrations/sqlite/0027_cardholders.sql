-- Who holds cards.
CREATE TABLE cardholders (
    id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL UNIQUE,
    program_id TEXT NOT NULL,
    name TEXT,
    home_country TEXT NOT NULL,
    verified INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX cardholders_by_program ON cardholders (program_id, sequence);
CREATE INDEX cardholders_by_home_country ON cardholders (home_country, sequence);
CREATE INDEX cardholders_by_verified ON cardholders (verified, sequence);
