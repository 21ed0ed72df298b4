-- Programs that can be changed: their state, all of their BINs, what they are of.

ALTER TABLE programs ADD COLUMN status TEXT NOT NULL DEFAULT 'active';
ALTER TABLE programs ADD COLUMN bins TEXT NOT NULL DEFAULT '';
ALTER TABLE programs ADD COLUMN product_type TEXT;
ALTER TABLE programs ADD COLUMN region TEXT;
UPDATE programs SET bins = bin;
