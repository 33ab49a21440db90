-- Candidates that projects asked for. Another version of this program has not to know of it: the rebuilds
-- are rows like others, and without this table they are about what was published.
CREATE TABLE IF NOT EXISTS candidate (
    -- digest of what is asked for, whoever asks and whenever
    id             TEXT PRIMARY KEY,
    source_uri     TEXT NOT NULL,
    tag            TEXT NOT NULL,
    -- JSON of a list of CandidateArtifact
    artifacts      TEXT NOT NULL,
    asked_on       INTEGER NOT NULL,
    -- once the tag was seen
    rebuild_id     INTEGER REFERENCES rebuild (id)
) STRICT;
CREATE INDEX IF NOT EXISTS candidate_by_rebuild ON candidate (rebuild_id);
CREATE INDEX IF NOT EXISTS candidate_waiting ON candidate (source_uri, tag) WHERE rebuild_id IS NULL;
