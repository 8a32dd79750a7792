-- The few deliveries that another one waits behind. What waits stands in no queue; this tells a card how many do,
-- without reading the deliveries of an integration. A finish changes it for those few only.
CREATE INDEX delivery_successor ON delivery (integration_id) WHERE successor_id IS NOT NULL;
