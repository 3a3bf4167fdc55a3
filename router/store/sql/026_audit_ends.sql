-- The ends of the audit trail's chain, under the key ring: without the key nobody can cut the chain, or write it anew.

ALTER TABLE audit_head ADD COLUMN sealed BLOB;  -- NULL until the first message after this step
