-- A company's leads in the order in which they came: its list, its searches, the dry runs of its flows and its last day
-- read these alone. The index of everybody's, which begins with the time, gives them among all others.
CREATE INDEX lead_company_received ON lead (company_id, received_at, id);
