-- Of a program: what is said of single BINs (JSON: a list of objects, in which `null` is the program's own), and the account on
-- which cards draw that are ordered for it without one.

ALTER TABLE programs ADD COLUMN bin_facts TEXT NOT NULL DEFAULT '[]';
ALTER TABLE programs ADD COLUMN master_account_id TEXT;
