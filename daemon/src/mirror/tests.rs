//! The door under attack: a mirror on loopback, a registry behind it, and raw bytes from the build.

use std::sync::Arc;

use countersign_attest::digest::Sha256;
use countersign_fixtures::archives::gzip;
use countersign_fixtures::registries::{Answer as Upstream, Registry};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::request::Request;
use super::session::{Session, Source};
use super::upstream::Registries;
use super::*;

mod filters;
mod npm;
mod requests;
mod runs;
mod upstreams;

const OLD: Option<&str> = Some("2024-05-01T00:00:00Z");
const NEW: Option<&str> = Some("2024-07-01T00:00:00Z");

/// A mirror that serves, and what is around it.
struct Door {
    registry: Registry,
    cache: TempDir,
    session: Arc<Session>,
    address: std::net::SocketAddr,
}

struct Response {
    status: u16,
    head: String,
    body: Vec<u8>,
}

fn registry() -> Registry {
    let registry = Registry::start().unwrap();
    registry.publish_crate("depend", "1.0.0", b"crate one", OLD);
    registry.publish_crate("depend", "2.0.0", b"crate two", NEW);
    registry.publish_pypi("depend", "depend-1.0.tar.gz", b"python one", OLD);
    registry.publish_pypi("depend", "depend-2.0.tar.gz", b"python two", NEW);
    registry
}

fn upstreams(registry: &Registry) -> Upstreams {
    Upstreams {
        as_of: "2024-06-01T00:00:00Z".parse().unwrap(),
        endpoints: BTreeMap::from([
            ("cargo".into(), registry.cargo_index()),
            ("npm".into(), registry.url()),
            ("pypi".into(), registry.pypi_index()),
        ]),
        allowed_hosts: Vec::new(),
        allow_http: true,
        under_test: UnderTest::default(),
    }
}

fn source(upstreams: &Upstreams) -> Source {
    Source::Registries(Box::new(Registries::new(upstreams, Vec::new()).unwrap()))
}

impl Door {
    async fn open() -> Self {
        Self::with(registry(), |_, _| ()).await
    }

    async fn with(registry: Registry, change: impl FnOnce(&mut Upstreams, &mut Budgets)) -> Self {
        let (mut upstreams, mut budgets) = (upstreams(&registry), Budgets::default());
        change(&mut upstreams, &mut budgets);
        Self::over(
            registry,
            source(&upstreams),
            budgets,
            tempfile::tempdir().unwrap(),
        )
        .await
    }

    async fn over(registry: Registry, source: Source, budgets: Budgets, cache: TempDir) -> Self {
        let session = Arc::new(Session::new(source, budgets, cache.path()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(server::serve(listener, Arc::clone(&session)));
        Self {
            registry,
            cache,
            session,
            address,
        }
    }

    /// Sends bytes, and reads until the mirror closes.
    async fn raw(&self, bytes: &[u8]) -> Response {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        let end = head::end_of_head(&all).expect("an answer with a head");
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        Response {
            status: head[9..12].parse().unwrap(),
            head,
            body: all[end..].to_vec(),
        }
    }

    async fn get(&self, path: &str) -> Response {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: mirror\r\n\r\n").as_bytes())
            .await
    }

    fn report(&self) -> Report {
        self.session.report()
    }

    fn requests(&self) -> Vec<String> {
        self.report()
            .inputs
            .into_iter()
            .map(|i| i.request)
            .collect()
    }

    fn trouble(&self) -> TroubleKind {
        self.report().trouble.expect("trouble").kind
    }
}
