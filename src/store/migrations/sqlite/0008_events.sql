-- What happened, for those who have subscribed to it: `number` is the record's place and its own among those of the
-- record. Rows of events, of their counts, of endpoints and of links' states come from the journal; deliveries do not,
-- and a rebuild leaves them as they are.
CREATE TABLE events (
    number INTEGER PRIMARY KEY,
    event_type TEXT NOT NULL,
    program_id TEXT,
    account_id TEXT,
    card_id TEXT,
    object_id TEXT NOT NULL,
    object_sequence INTEGER NOT NULL,
    place_json TEXT,
    data_json TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX events_by_type ON events (event_type, number);
CREATE INDEX events_by_card ON events (card_id, number) WHERE card_id IS NOT NULL;
CREATE INDEX events_by_account ON events (account_id, number) WHERE account_id IS NOT NULL;
CREATE INDEX events_by_object ON events (object_id, number);
CREATE INDEX events_by_time ON events (created_at_ms, number);

CREATE TABLE event_counts (
    object_id TEXT PRIMARY KEY,
    events INTEGER NOT NULL
) STRICT;

CREATE TABLE webhook_endpoints (
    id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    definition_json TEXT NOT NULL
) STRICT;

CREATE TABLE link_states (
    link_key TEXT PRIMARY KEY,
    status TEXT NOT NULL
) STRICT;

CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    webhook_endpoint_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    response_status INTEGER,
    response_body TEXT,
    error TEXT,
    duration_ms INTEGER NOT NULL,
    next_attempt_at_ms INTEGER,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX deliveries_by_endpoint ON deliveries (webhook_endpoint_id, id);
CREATE INDEX deliveries_by_event ON deliveries (event_id, id);
CREATE INDEX deliveries_by_outcome ON deliveries (outcome, id);
CREATE INDEX deliveries_by_time ON deliveries (created_at_ms);
