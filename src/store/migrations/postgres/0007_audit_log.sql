-- Who changed what over the interface. A caller without a key's id is the root key.
CREATE TABLE audit_log (
    sequence BIGINT PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    api_key_id TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    object_id TEXT COLLATE "C",
    program_id TEXT COLLATE "C",
    request_id TEXT NOT NULL,
    address TEXT,
    before_json TEXT,
    after_json TEXT,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX audit_log_by_key ON audit_log (api_key_id, sequence);
CREATE INDEX audit_log_by_object ON audit_log (object_id, sequence);
CREATE INDEX audit_log_by_program ON audit_log (program_id, sequence);
CREATE INDEX audit_log_by_action ON audit_log (action, sequence);
CREATE INDEX audit_log_by_time ON audit_log (created_at_ms, sequence);
