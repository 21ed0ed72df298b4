-- The part that a network was told of a payment that was approved in part. `store rebuild` fills it for earlier rows.
ALTER TABLE authorizations ADD COLUMN approved_transaction_minor INTEGER;
