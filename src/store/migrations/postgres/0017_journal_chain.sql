-- The journal's chain hash at the position: it names all records up to there, so that tables of another end of the same
-- journal are told apart. Absent until the next batch.
ALTER TABLE projection ADD COLUMN chain TEXT;
