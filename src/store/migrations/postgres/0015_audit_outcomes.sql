-- How a request ended, and its row by its id: what is known of it later takes the place of what was known before.
ALTER TABLE audit_log ADD COLUMN outcome TEXT COLLATE "C" NOT NULL DEFAULT 'done';
ALTER TABLE audit_log ADD COLUMN error_code TEXT COLLATE "C";
CREATE INDEX audit_log_by_request ON audit_log (request_id);
