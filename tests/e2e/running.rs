//! A `countersign daemon` that runs beside a test, and how a test looks at it. Not a promise itself.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take here before the test fails.
const PATIENCE: Duration = Duration::from_secs(600);

/// A daemon; killed when the value is dropped.
pub(crate) struct Daemon {
    child: Child,
    address: SocketAddr,
}

impl Daemon {
    /// Starts a command that serves at an address, and waits until it does.
    pub(crate) fn start(command: &mut Command, address: SocketAddr) -> Self {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a daemon");
        let daemon = Self { child, address };
        until("the daemon serves", || TcpStream::connect(address).ok());
        daemon
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The whole answer to a GET, with its head.
    pub(crate) fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        String::from_utf8(answer).expect("text")
    }

    /// The releases, as the API has them.
    pub(crate) fn releases(&self) -> Vec<serde_json::Value> {
        let answer = self.page("/api/v1/releases");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        let body: serde_json::Value = serde_json::from_str(body).expect(&answer);
        body["releases"].as_array().expect(&answer).clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // errors only say that it is dead already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of loopback that is free.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
}

/// Looks again and again until there is something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        sleep(Duration::from_millis(1));
    }
}

/// The processes whose arguments hold a text.
pub(crate) fn processes_with(text: &str) -> Vec<u32> {
    let folders = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = folders.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| arguments(*pid).contains(text))
        .collect()
}

/// The arguments of a process, separated by spaces; empty where it is gone.
pub(crate) fn arguments(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}
