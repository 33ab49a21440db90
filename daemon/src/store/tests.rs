//! What the store promises, against a database on disk.
