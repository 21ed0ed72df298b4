-- How the amount of an authorization came into the currency of its account, where it was in another one.
ALTER TABLE authorizations ADD COLUMN network_minor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE authorizations ADD COLUMN rate_source TEXT;
ALTER TABLE authorizations ADD COLUMN rate_from_currency TEXT;
ALTER TABLE authorizations ADD COLUMN rate TEXT;
ALTER TABLE authorizations ADD COLUMN rate_version INTEGER;
ALTER TABLE authorizations ADD COLUMN mark_up_basis_points INTEGER NOT NULL DEFAULT 0;
ALTER TABLE authorizations ADD COLUMN mark_up_minor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE authorizations ADD COLUMN rounding_minor INTEGER NOT NULL DEFAULT 0;
UPDATE authorizations SET network_minor = amount_minor;
