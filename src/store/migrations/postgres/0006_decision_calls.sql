-- What came of asking the customer about an authorization, where it was asked.
ALTER TABLE authorizations ADD COLUMN decision_call_outcome TEXT;
ALTER TABLE authorizations ADD COLUMN decision_call_ms BIGINT;
ALTER TABLE authorizations ADD COLUMN decision_call_fallback_used BIGINT;
