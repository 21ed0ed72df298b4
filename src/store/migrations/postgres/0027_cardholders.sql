-- Who holds cards.
CREATE TABLE cardholders (
    id TEXT COLLATE "C" PRIMARY KEY,
    sequence BIGINT NOT NULL UNIQUE,
    program_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C",
    home_country TEXT COLLATE "C" NOT NULL,
    verified BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX cardholders_by_program ON cardholders (program_id, sequence);
CREATE INDEX cardholders_by_home_country ON cardholders (home_country, sequence);
CREATE INDEX cardholders_by_verified ON cardholders (verified, sequence);
