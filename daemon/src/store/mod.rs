//! What the daemon remembers: one SQLite database, its rows and their states.
//!
//! Writes are durable once a function returns (WAL, synchronous=FULL). One daemon per data folder:
//! [`Store::open`] takes a lock that ends with the process. The store decides nothing, fetches
//! nothing, and never changes a statement's bytes.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

mod about;
pub(crate) mod candidates;
mod debs;
pub(crate) mod holds;
pub(crate) mod queue;
pub(crate) mod releases;
pub(crate) mod statements;
mod status;
pub(crate) mod views;
mod ways;

/// A transaction that holds the write lock.
type Transaction = sqlx::Transaction<'static, sqlx::Sqlite>;

const SCHEMA: &str = include_str!("schema.sql");
const FROM_1: &str = include_str!("schema-from-1.sql");
const FROM_2: &str = include_str!("schema-from-2.sql");
/// Only make reading quicker, so that no other version of this program has to know of them.
const INDEXES: &str = include_str!("indexes.sql");
const CANDIDATES: &str = include_str!("candidates.sql");
const SCHEMA_VERSION: i64 = 3;
/// The folder of envelopes, bundles and links in a data folder.
pub(crate) const ATTESTATIONS: &str = "attestations";

/// Why the store could not do what was asked. Always a fault of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The database refused.
    #[error("using the database")]
    Sql(#[from] sqlx::Error),
    /// The data folder or a file in it cannot be used.
    #[error("using {}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another daemon runs on this folder.
    #[error(
        "the data folder {} is in use by another countersign process; stop it, or name another folder with the key `data`",
        path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The database is of another version of this program.
    #[error("the database {} has schema version {found}; this program reads {SCHEMA_VERSION}", path.display())]
    Schema {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// A column holds what no version of this program has written.
    #[error("the database holds a {what} that cannot be read")]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The open store.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pool: SqlitePool,
    // files that stand beside published envelopes; written by [`crate::pipeline::issue`]
    attestations: PathBuf,
    // held for as long as any clone lives
    _lock: Option<std::sync::Arc<File>>,
}

impl Store {
    /// Opens the database in a folder, made on first use, and takes its lock.
    ///
    /// # Errors
    /// When another process has it, or the disk refuses.
    pub(crate) async fn open(folder: &Path) -> Result<Self, StoreError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { path, source }
        };
        std::fs::create_dir_all(folder).map_err(io(folder))?;
        let lock_path = folder.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse {
                    path: folder.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(StoreError::Io {
                    path: lock_path,
                    source,
                });
            }
        }
        let path = folder.join("countersign.db");
        let pool = connect(&path, true).await?;
        let store = Self {
            pool,
            attestations: folder.join(ATTESTATIONS),
            _lock: Some(std::sync::Arc::new(lock)),
        };
        store.make_schema(&path).await?;
        store.change_schema(INDEXES).await?;
        store.change_schema(CANDIDATES).await?;
        Ok(store)
    }

    /// Opens an existing database to use it beside a running daemon; `None` where there is none yet.
    ///
    /// # Errors
    /// When it is of another version or the disk refuses.
    pub(crate) async fn open_beside(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = folder.join("countersign.db");
        if !path.exists() {
            return Ok(None);
        }
        let store = Self {
            pool: connect(&path, false).await?,
            attestations: folder.join(ATTESTATIONS),
            _lock: None,
        };
        match store.schema_version().await? {
            SCHEMA_VERSION => Ok(Some(store)),
            0 => Ok(None),
            found => Err(StoreError::Schema { path, found }),
        }
    }

    /// Begins a transaction that writes: it waits for its turn here. One that reads first and then
    /// finds that somebody else wrote would fail instead.
    async fn begin(&self) -> Result<Transaction, StoreError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn schema_version(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&self.pool)
            .await?)
    }

    async fn make_schema(&self, path: &Path) -> Result<(), StoreError> {
        match self.schema_version().await? {
            SCHEMA_VERSION => Ok(()),
            0 => self.change_schema(SCHEMA).await,
            1 => {
                self.change_schema(FROM_1).await?;
                self.change_schema(FROM_2).await
            }
            2 => self.change_schema(FROM_2).await,
            found => Err(StoreError::Schema {
                path: path.to_owned(),
                found,
            }),
        }
    }

    /// All of it or nothing.
    async fn change_schema(&self, sql: &'static str) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::raw_sql(sql).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// A remembered setting, such as a registry endpoint that was asked for once.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT value FROM setting WHERE name = ?")
                .bind(name)
                .fetch_optional(&self.pool)
                .await?,
        )
    }

    /// Remembers a setting.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn set_setting(&self, name: &str, value: &str) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO setting (name, value) VALUES (?, ?)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(name)
        .bind(value)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

async fn connect(path: &Path, create: bool) -> Result<SqlitePool, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10));
    Ok(SqlitePoolOptions::new()
        .max_connections(4)
        .connect_with(options)
        .await?)
}

/// Reads a JSON column that this program has written.
fn from_json<T: serde::de::DeserializeOwned>(
    text: &str,
    what: &'static str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Corrupt {
        what,
        source: source.into(),
    })
}

/// Says that a column holds a word that does not fit there.
fn corrupt(what: &'static str, word: &str) -> StoreError {
    StoreError::Corrupt {
        what,
        source: format!("{word:?} does not fit").into(),
    }
}

/// Writes a JSON column.
fn to_json<T: serde::Serialize>(value: &T, what: &'static str) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Corrupt {
        what,
        source: source.into(),
    })
}

/// Reads a text column into a type that checks itself.
fn parsed<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, StoreError>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|source: T::Err| StoreError::Corrupt {
        what,
        source: source.into(),
    })
}

#[cfg(test)]
mod hold_tests;
#[cfg(test)]
mod tests;
