-- From version 1: a statement may be a withdrawal. A check cannot be changed in place, so the table is
-- made anew with the same rows.

ALTER TABLE statement RENAME TO statement_of_1;
CREATE TABLE statement (
    id             INTEGER PRIMARY KEY,
    rebuild_id     INTEGER NOT NULL REFERENCES rebuild (id),
    artifact_id    INTEGER NOT NULL REFERENCES artifact (id),
    kind           TEXT NOT NULL CHECK (kind IN ('verdict', 'provenance', 'build-record', 'withdrawn')),
    state          TEXT NOT NULL CHECK (state IN ('drafted', 'signed', 'logged', 'published')),
    -- JSON of Facts: what the signer composes the statement from, again, before it signs
    facts          TEXT NOT NULL,
    -- the statement's final bytes
    bytes          BLOB NOT NULL,
    sha256         TEXT NOT NULL,
    -- from `signed` on
    envelope       BLOB,
    envelope_sha256 TEXT,
    -- from `logged` on: the operator's own dense sequence, from 0
    entry          INTEGER UNIQUE,
    issued_on      INTEGER NOT NULL,
    UNIQUE (artifact_id, rebuild_id, kind)
) STRICT;
INSERT INTO statement SELECT * FROM statement_of_1;
DROP TABLE statement_of_1;
CREATE INDEX statement_by_envelope ON statement (envelope_sha256);
CREATE INDEX statement_pending ON statement (rebuild_id) WHERE state <> 'published';
PRAGMA user_version = 2;
