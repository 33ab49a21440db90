//! For tests: a server of git's smart protocol over real repositories, and one that answers
//! whatever a test wants.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, Response};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use url::Url;

/// Which version of the protocol a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    V0,
    V2,
}

/// A running server; it ends with the test's runtime.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves the repositories in a folder through `git upload-pack`.
    pub(crate) async fn start(root: &Path, speaks: Speaks) -> Self {
        let root = root.to_owned();
        Self::answering(move |method, path, body| {
            let root = root.clone();
            async move { upload_pack(&root, speaks, &method, &path, body).await }
        })
        .await
    }

    /// Answers as a function of method, path with query, and body.
    pub(crate) async fn answering<F, A>(answer: F) -> Self
    where
        F: Fn(Method, String, Vec<u8>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let app = Router::new().fallback(move |request: Request| {
            let (answer, seen) = (answer.clone(), Arc::clone(&seen));
            async move {
                let (parts, body) = request.into_parts();
                let path = parts
                    .uri
                    .path_and_query()
                    .map_or("/", |p| p.as_str())
                    .to_owned();
                seen.lock()
                    .expect("no panic")
                    .push(format!("{} {path}", parts.method));
                let body = to_bytes(body, 1 << 20).await.expect("a short body");
                answer(parts.method, path, body.to_vec()).await
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, requests }
    }

    pub(crate) fn url(&self, name: &str) -> Url {
        Url::parse(&format!("http://{}/{name}", self.address)).expect("a URL")
    }

    /// The requests since the last call.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().expect("no panic"))
    }
}

/// An answer with a status, one header and a body.
pub(crate) fn answer(status: u16, header: (&str, &str), body: Vec<u8>) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(header.0, header.1)
        .body(body.into())
        .expect("valid")
}

async fn upload_pack(
    root: &Path,
    speaks: Speaks,
    method: &Method,
    path: &str,
    body: Vec<u8>,
) -> Response<Body> {
    let missing = || answer(404, ("x-test", "1"), Vec::new());
    let advertise = path.strip_suffix("/info/refs?service=git-upload-pack");
    let (name, extra, kind) = match (method, advertise, path.strip_suffix("/git-upload-pack")) {
        (&Method::GET, Some(name), _) => (name, &["--http-backend-info-refs"][..], "advertisement"),
        (&Method::POST, _, Some(name)) => (name, &[][..], "result"),
        _ => return missing(),
    };
    let folder = root.join(name.trim_start_matches('/'));
    if !folder.is_dir() {
        return missing();
    }
    let mut output = run(&folder, speaks, extra, body).await;
    if kind == "advertisement" {
        output = [b"001e# service=git-upload-pack\n0000", &output[..]].concat();
    }
    answer(
        200,
        (
            "content-type",
            &format!("application/x-git-upload-pack-{kind}"),
        ),
        output,
    )
}

async fn run(folder: &Path, speaks: Speaks, extra: &[&str], body: Vec<u8>) -> Vec<u8> {
    let protocol = match speaks {
        Speaks::V0 => "version=0",
        Speaks::V2 => "version=2",
    };
    let mut child = Command::new("git")
        .args(["upload-pack", "--stateless-rpc", "--strict"])
        .args(extra)
        .arg(folder.join(".git"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROTOCOL", protocol)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git is installed");
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    tokio::spawn(async move { stdin.write_all(&body).await });
    child.wait_with_output().await.expect("git ends").stdout
}
