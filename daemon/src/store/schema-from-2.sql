-- From version 2: negative verdicts may be kept back.

CREATE TABLE hold (
    artifact_id    INTEGER NOT NULL REFERENCES artifact (id),
    rebuild_id     INTEGER NOT NULL REFERENCES rebuild (id),
    state          TEXT NOT NULL CHECK (state IN ('held', 'withheld', 'released', 'superseded')),
    until          INTEGER,
    notice_on      INTEGER,
    notice_tries   INTEGER NOT NULL DEFAULT 0,
    notice_problem TEXT,
    noticed_on     INTEGER,
    PRIMARY KEY (artifact_id, rebuild_id)
) STRICT;
PRAGMA user_version = 3;
