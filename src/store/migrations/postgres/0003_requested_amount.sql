-- What was asked, where a part of it was approved.
ALTER TABLE authorizations ADD COLUMN requested_minor BIGINT NOT NULL DEFAULT 0;
UPDATE authorizations SET requested_minor = amount_minor;
