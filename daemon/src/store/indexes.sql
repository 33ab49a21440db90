CREATE INDEX IF NOT EXISTS artifact_by_purl ON artifact (published ->> '$.purl');
CREATE INDEX IF NOT EXISTS artifact_by_file_name ON artifact (file_name);
CREATE INDEX IF NOT EXISTS artifact_deb ON artifact (id) WHERE substr(file_name, -4) = '.deb';
