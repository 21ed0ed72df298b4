-- The card in whose place a card was issued.
ALTER TABLE cards ADD COLUMN replacement_for TEXT COLLATE "C";
CREATE INDEX cards_by_replacement_for ON cards (replacement_for, sequence) WHERE replacement_for IS NOT NULL;
