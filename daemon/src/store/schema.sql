-- The embedded store. Times are seconds since 1970; digests and object names are lower-case hex;
-- JSON columns hold values of the crate `countersign-builder` or `countersign-attest` as serde writes
-- them. Rows of `statement` hold bytes that are final: nothing in them is ever updated but the state
-- and what the next state adds.

CREATE TABLE repository (
    source_uri     TEXT PRIMARY KEY,
    next_poll_on   INTEGER NOT NULL,
    last_poll_on   INTEGER,
    failures       INTEGER NOT NULL DEFAULT 0,
    problem        TEXT
) STRICT;

CREATE TABLE release (
    id             INTEGER PRIMARY KEY,
    source_uri     TEXT NOT NULL,
    tag            TEXT NOT NULL,
    advertised_oid TEXT NOT NULL,
    -- the object that the tag named before, until an operator acknowledges the change
    moved_from     TEXT,
    first_seen_on  INTEGER NOT NULL,
    -- JSON of Release, once the tag was resolved
    resolved       TEXT,
    UNIQUE (source_uri, tag)
) STRICT;

CREATE TABLE artifact (
    id             INTEGER PRIMARY KEY,
    release_id     INTEGER NOT NULL REFERENCES release (id),
    file_name      TEXT NOT NULL,
    sha256         TEXT NOT NULL,
    sha512         TEXT,
    -- JSON of Published
    published      TEXT NOT NULL,
    UNIQUE (release_id, file_name, sha256)
) STRICT;
CREATE INDEX artifact_by_sha256 ON artifact (sha256);
CREATE INDEX artifact_by_sha512 ON artifact (sha512);

CREATE TABLE rebuild (
    id             INTEGER PRIMARY KEY,
    release_id     INTEGER NOT NULL REFERENCES release (id),
    -- skipped: known and not to be built unless an operator asks
    state          TEXT NOT NULL CHECK (state IN ('queued', 'running', 'judged', 'done', 'skipped', 'cancelled')),
    attempt        INTEGER NOT NULL DEFAULT 0,
    run_on         INTEGER NOT NULL,
    lease_until    INTEGER,
    problem        TEXT,
    finished_on    INTEGER
) STRICT;
CREATE INDEX rebuild_due ON rebuild (state, run_on);
CREATE INDEX rebuild_by_release ON rebuild (release_id);

-- What a rebuild found for one artifact: JSON of the pipeline's ArtifactResult.
CREATE TABLE finding (
    rebuild_id     INTEGER NOT NULL REFERENCES rebuild (id),
    artifact_id    INTEGER NOT NULL REFERENCES artifact (id),
    result         TEXT NOT NULL,
    PRIMARY KEY (rebuild_id, artifact_id)
) STRICT;

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
CREATE INDEX statement_by_envelope ON statement (envelope_sha256);
-- few rows at any time; by artifact, the unique index serves
CREATE INDEX statement_pending ON statement (rebuild_id) WHERE state <> 'published';

-- A negative verdict that is kept back. Until it is released nothing of its statements is signed, and
-- nothing of what its rebuild found is served.
CREATE TABLE hold (
    artifact_id    INTEGER NOT NULL REFERENCES artifact (id),
    rebuild_id     INTEGER NOT NULL REFERENCES rebuild (id),
    -- held: until `until`, then released; withheld and superseded: for good
    state          TEXT NOT NULL CHECK (state IN ('held', 'withheld', 'released', 'superseded')),
    until          INTEGER,
    -- while a notice to the project is due: when it is tried next
    notice_on      INTEGER,
    notice_tries   INTEGER NOT NULL DEFAULT 0,
    -- why the last try failed
    notice_problem TEXT,
    noticed_on     INTEGER,
    PRIMARY KEY (artifact_id, rebuild_id)
) STRICT;

CREATE TABLE plan (
    sha256         TEXT PRIMARY KEY,
    bytes          BLOB NOT NULL
) STRICT;

CREATE TABLE event (
    id             INTEGER PRIMARY KEY,
    happened_on    INTEGER NOT NULL,
    release_id     INTEGER REFERENCES release (id),
    kind           TEXT NOT NULL,
    message        TEXT NOT NULL
) STRICT;
CREATE INDEX event_by_release ON event (release_id);

CREATE TABLE setting (
    name           TEXT PRIMARY KEY,
    value          TEXT NOT NULL
) STRICT;

PRAGMA user_version = 3;
