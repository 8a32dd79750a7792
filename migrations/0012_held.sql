-- Held deliveries are found beside any number of dead ones.

CREATE INDEX undelivered_held ON undelivered (integration_id, company_id, delivery_id) WHERE state = 'held';
