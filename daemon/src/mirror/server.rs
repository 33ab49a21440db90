//! The mirror's end of a connection: one request, one answer, closed. What it may mean is in
//! [`super::head`] and [`super::request`]; this file only moves bytes, within limits.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::head::{self, Head, MAX_HEAD, Refused};
use super::request::Request;
use super::session::{Kept, Session};

/// Connections that are served at once; more wait.
const CONNECTIONS: usize = 64;
/// Longest time for a head to arrive.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// Longest time for what a client still sends after its request.
const LINGER_TIME: Duration = Duration::from_secs(1);
/// Most bytes of that.
const LINGER_BYTES: u64 = 64 << 10;

/// Serves a listener for as long as it works.
pub(super) async fn serve(listener: TcpListener, session: Arc<Session>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // the semaphore is never closed, and a broken listener is a sandbox that has gone
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) if is_passing(&error) => continue,
            Err(_) => return,
        };
        let session = Arc::clone(&session);
        tokio::spawn(async move {
            // an error is the client's: it has gone, and needs no answer
            let _ = connection(stream, &session).await;
            drop(permit);
        });
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

async fn connection(mut stream: TcpStream, session: &Session) -> io::Result<()> {
    let admitted = session.admit();
    let head = timeout(HEAD_TIME, read_head(&mut stream)).await;
    let head = head.unwrap_or(Ok(Err(Refused(408))))?;
    let answer = match (admitted, head) {
        (Err(error), _) => Answer::status(error.status()),
        (Ok(()), Err(Refused(status))) => missed(session, format!("(refused: {status})"), status),
        (Ok(()), Ok(head)) => answer(session, &head).await,
    };
    answer.send(&mut stream).await?;
    stream.shutdown().await?;
    // closing with unread bytes would reset the connection under an answer that is still on its way
    let mut rest = stream.take(LINGER_BYTES);
    let _ = timeout(
        LINGER_TIME,
        tokio::io::copy(&mut rest, &mut tokio::io::sink()),
    )
    .await;
    Ok(())
}

/// Reads up to the empty line. Bytes behind it are a second request or a body, and there is neither.
async fn read_head(stream: &mut TcpStream) -> io::Result<Result<Head, Refused>> {
    let mut bytes = Vec::new();
    loop {
        let room = MAX_HEAD.saturating_sub(bytes.len());
        if room == 0 {
            return Ok(Err(Refused(431)));
        }
        let read = (&mut *stream)
            .take(room as u64)
            .read_buf(&mut bytes)
            .await?;
        match head::end_of_head(&bytes) {
            Some(end) if end < bytes.len() => return Ok(Err(Refused(400))),
            Some(_) => return Ok(head::parse(&bytes)),
            None if read == 0 => return Ok(Err(Refused(400))),
            None => {}
        }
    }
}

struct Answer {
    status: u16,
    kind: &'static str,
    length: u64,
    body: Content,
}

enum Content {
    None,
    Bytes(Vec<u8>),
    File(tokio::fs::File),
}

impl Answer {
    const fn status(status: u16) -> Self {
        Self {
            status,
            kind: "text/plain",
            length: 0,
            body: Content::None,
        }
    }

    async fn send(self, stream: &mut TcpStream) -> io::Result<()> {
        let Self {
            status,
            kind,
            length,
            body,
        } = self;
        // no date and no name of ours: the same request gets the same bytes
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
            reason(status)
        );
        stream.write_all(head.as_bytes()).await?;
        match body {
            Content::None => {}
            Content::Bytes(bytes) => stream.write_all(&bytes).await?,
            Content::File(file) => {
                tokio::io::copy(&mut file.take(length), stream).await?;
            }
        }
        stream.flush().await
    }
}

async fn answer(session: &Session, head: &Head) -> Answer {
    let request = match Request::from_path(&head.path) {
        Ok(request) => request,
        Err(error) => {
            let status = match error {
                super::request::NotARequest::Malformed => 400,
                super::request::NotARequest::Unknown => 404,
            };
            return missed(session, head.path.clone(), status);
        }
    };
    match session.serve(&request).await {
        Err(error) => Answer::status(error.status()),
        Ok(None) => missed(session, request.to_string(), 404),
        Ok(Some(kept)) => body(session, &request, head, kept)
            .await
            .unwrap_or_else(|_| Answer::status(502)), // a blob that was there a moment ago
    }
}

async fn body(
    session: &Session,
    request: &Request,
    head: &Head,
    kept: Kept,
) -> Result<Answer, crate::blobs::BlobError> {
    let shown = (request.registry().shown)(request.what(), head.accept.as_deref());
    let blobs = &session.cache.blobs;
    let (length, body) = match shown.render {
        None => {
            let file = tokio::fs::File::from_std(blobs.file(&kept.sha256)?);
            (kept.size_bytes, Content::File(file))
        }
        Some(render) => {
            let bytes = render(&blobs.bytes(&kept.sha256, kept.size_bytes)?)
                .map_err(|error| crate::blobs::BlobError::Input(io::Error::other(error)))?;
            (bytes.len() as u64, Content::Bytes(bytes))
        }
    };
    Ok(Answer {
        status: 200,
        kind: shown.media_type,
        length,
        body: if head.is_head { Content::None } else { body },
    })
}

fn missed(session: &Session, what: String, status: u16) -> Answer {
    match session.missed(what) {
        Ok(()) => Answer::status(status),
        Err(error) => Answer::status(error.status()),
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        404 => "Not Found",
        429 => "Too Many Requests",
        502 => "Bad Gateway",
        _ => "Refused",
    }
}
