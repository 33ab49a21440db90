CREATE INDEX IF NOT EXISTS artifact_by_purl ON artifact (published ->> '$.purl');
CREATE INDEX IF NOT EXISTS artifact_by_file_name ON artifact (file_name);
