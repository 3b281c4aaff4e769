-- The store, version 3: why a mutation was asked for, in the words of whoever asked. `reason` of version 2 says why it was refused.
ALTER TABLE audit RENAME COLUMN reason TO refusal;
ALTER TABLE audit ADD COLUMN reason TEXT NOT NULL DEFAULT '';
