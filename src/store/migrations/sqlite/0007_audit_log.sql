-- Who changed what over the interface. A caller without a key's id is the root key.
CREATE TABLE audit_log (
    sequence INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    api_key_id TEXT NOT NULL,
    action TEXT NOT NULL,
    object_id TEXT,
    program_id TEXT,
    request_id TEXT NOT NULL,
    address TEXT,
    before_json TEXT,
    after_json TEXT,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_log_by_key ON audit_log (api_key_id, sequence);
CREATE INDEX audit_log_by_object ON audit_log (object_id, sequence);
CREATE INDEX audit_log_by_program ON audit_log (program_id, sequence);
CREATE INDEX audit_log_by_action ON audit_log (action, sequence);
CREATE INDEX audit_log_by_time ON audit_log (created_at_ms, sequence);
