-- From which parts of what a limit allows on it is told of, of a program: percents, with spaces between them.

ALTER TABLE programs ADD COLUMN limit_threshold_percents TEXT NOT NULL DEFAULT '80';
