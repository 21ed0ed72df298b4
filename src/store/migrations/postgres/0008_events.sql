-- What happened, for those who have subscribed to it: `number` is the record's place and its own among those of the
-- record. Rows of events, of their counts, of endpoints and of links' states come from the journal; deliveries do not,
-- and a rebuild leaves them as they are.
CREATE TABLE events (
    number BIGINT PRIMARY KEY,
    event_type TEXT COLLATE "C" NOT NULL,
    program_id TEXT COLLATE "C",
    account_id TEXT COLLATE "C",
    card_id TEXT COLLATE "C",
    object_id TEXT COLLATE "C" NOT NULL,
    object_sequence BIGINT NOT NULL,
    place_json TEXT,
    data_json TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX events_by_type ON events (event_type, number);
CREATE INDEX events_by_card ON events (card_id, number) WHERE card_id IS NOT NULL;
CREATE INDEX events_by_account ON events (account_id, number) WHERE account_id IS NOT NULL;
CREATE INDEX events_by_object ON events (object_id, number);
CREATE INDEX events_by_time ON events (created_at_ms, number);

CREATE TABLE event_counts (
    object_id TEXT COLLATE "C" PRIMARY KEY,
    events BIGINT NOT NULL
);

CREATE TABLE webhook_endpoints (
    id TEXT COLLATE "C" PRIMARY KEY,
    sequence BIGINT NOT NULL,
    definition_json TEXT NOT NULL
);

CREATE TABLE link_states (
    link_key TEXT COLLATE "C" PRIMARY KEY,
    status TEXT NOT NULL
);

CREATE TABLE deliveries (
    id TEXT COLLATE "C" PRIMARY KEY,
    event_id TEXT COLLATE "C" NOT NULL,
    event_type TEXT COLLATE "C" NOT NULL,
    webhook_endpoint_id TEXT COLLATE "C" NOT NULL,
    attempt BIGINT NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    response_status BIGINT,
    response_body TEXT,
    error TEXT,
    duration_ms BIGINT NOT NULL,
    next_attempt_at_ms BIGINT,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX deliveries_by_endpoint ON deliveries (webhook_endpoint_id, id);
CREATE INDEX deliveries_by_event ON deliveries (event_id, id);
CREATE INDEX deliveries_by_outcome ON deliveries (outcome, id);
CREATE INDEX deliveries_by_time ON deliveries (created_at_ms);
