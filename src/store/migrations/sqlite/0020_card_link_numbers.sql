-- By which number traces name a link of a card.
ALTER TABLE card_links ADD COLUMN number TEXT NOT NULL DEFAULT 'link_0000000000000';
