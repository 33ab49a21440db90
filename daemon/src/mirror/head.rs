//! The head of an HTTP/1 request, read strictly: what is unusual is refused, never guessed at.
//!
//! A connection carries one request without a body, so that there is nothing to smuggle and nothing to
//! get out of step. Bytes here are a stranger's.

/// Longest head in bytes.
pub(super) const MAX_HEAD: usize = 8 << 10;
/// Longest target of a request line.
const MAX_TARGET: usize = 1024;
/// Most header lines.
const MAX_HEADERS: usize = 64;

/// A request that may be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// Whether the answer's body is left out.
    pub(super) is_head: bool,
    /// The path, in origin form; its grammar is for another to check.
    pub(super) path: String,
    /// The `Accept` headers, joined.
    pub(super) accept: Option<String>,
}

/// A status with which a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused(pub(super) u16);

/// Where the head ends, with the empty line, in what has come so far.
pub(super) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// Reads a head that ends with its empty line.
pub(super) fn parse(bytes: &[u8]) -> Result<Head, Refused> {
    let bad = Refused(400);
    let text = std::str::from_utf8(bytes).map_err(|_| bad)?;
    let text = text.strip_suffix("\r\n\r\n").ok_or(bad)?;
    let mut lines = text.split("\r\n");
    let (is_head, path) = request_line(lines.next().ok_or(bad)?)?;
    let mut head = Head {
        is_head,
        path: path.to_owned(),
        accept: None,
    };
    let (mut hosts, mut count) = (0, 0);
    for line in lines {
        count += 1;
        let (name, value) = line.split_once(':').ok_or(bad)?;
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        // a folded line starts with a space, which no name has; a bare CR or LF is a control
        if name.is_empty() || !name.chars().all(token) || count > MAX_HEADERS {
            return Err(bad);
        }
        if value.contains(|c: char| c.is_control() && c != '\t') {
            return Err(bad);
        }
        let value = value.trim_matches([' ', '\t']);
        match name.to_ascii_lowercase().as_str() {
            "host" if matches!(value, "mirror" | "mirror:80") => hosts += 1,
            "host" => return Err(Refused(421)),
            // an upgrade is a wish, and goes unheard: cargo's client always has one
            "transfer-encoding" | "trailer" => return Err(bad),
            "content-length" if value != "0" => return Err(Refused(413)),
            "expect" => return Err(Refused(417)),
            "accept" => match &mut head.accept {
                Some(accept) => {
                    accept.push(',');
                    accept.push_str(value);
                }
                accept @ None => *accept = Some(value.to_owned()),
            },
            _ => {}
        }
    }
    if hosts == 1 { Ok(head) } else { Err(bad) }
}

fn request_line(line: &str) -> Result<(bool, &str), Refused> {
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = *parts.as_slice() else {
        return Err(Refused(400));
    };
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(Refused(505));
    }
    let is_head = match method {
        "GET" => false,
        "HEAD" => true,
        _ => return Err(Refused(405)),
    };
    if target.len() > MAX_TARGET {
        return Err(Refused(414));
    }
    // no absolute form, no `*`, and no second slash that some would read as a host
    if !target.starts_with('/') || target.starts_with("//") {
        return Err(Refused(400));
    }
    Ok((is_head, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_request_is_read() {
        let head = parse(
            b"GET /pypi/simple/a/ HTTP/1.1\r\nhost: mirror\r\nACCEPT: x\r\nAccept:\ty \r\nContent-Length: 0\r\n\r\n",
        );
        let expected = Head {
            is_head: false,
            path: "/pypi/simple/a/".into(),
            accept: Some("x,y".into()),
        };
        assert_eq!(head, Ok(expected));
        let head = parse(b"HEAD /a HTTP/1.0\r\nHost: mirror:80\r\n\r\n").unwrap();
        assert!(head.is_head && head.accept.is_none());
    }

    #[test]
    fn everything_unusual_is_refused() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: mirror\r\n\r\n", "a".repeat(1024));
        let many = format!(
            "GET / HTTP/1.1\r\nHost: mirror\r\n{}\r\n",
            "a: b\r\n".repeat(64)
        );
        for (request, status) in [
            ("", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\nHost: mirror\n\n", 400),
            ("GET  / HTTP/1.1\r\nHost: mirror\r\n\r\n", 400),
            ("GET /a b HTTP/1.1\r\nHost: mirror\r\n\r\n", 400),
            ("GET http://mirror/ HTTP/1.1\r\nHost: mirror\r\n\r\n", 400),
            ("GET //other/x HTTP/1.1\r\nHost: mirror\r\n\r\n", 400),
            ("GET * HTTP/1.1\r\nHost: mirror\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: mirror\r\n\r\n", 505),
            ("POST / HTTP/1.1\r\nHost: mirror\r\n\r\n", 405),
            ("CONNECT other:443 HTTP/1.1\r\nHost: mirror\r\n\r\n", 405),
            ("get / HTTP/1.1\r\nHost: mirror\r\n\r\n", 405),
            (
                "GET / HTTP/1.1\r\nHost: mirror\r\nHost: mirror\r\n\r\n",
                400,
            ),
            ("GET / HTTP/1.1\r\nHost: other.example\r\n\r\n", 421),
            (
                "GET / HTTP/1.1\r\nHost: mirror\r\nContent-Length: 5\r\n\r\n",
                413,
            ),
            (
                "GET / HTTP/1.1\r\nHost: mirror\r\nContent-Length: +0\r\n\r\n",
                413,
            ),
            (
                "GET / HTTP/1.1\r\nHost: mirror\r\nTransfer-Encoding: chunked\r\n\r\n",
                400,
            ),
            (
                "GET / HTTP/1.1\r\nHost: mirror\r\nTransfer-Encoding : chunked\r\n\r\n",
                400,
            ),
            ("GET / HTTP/1.1\r\nHost: mirror\r\nX: a\r\n b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: mirror\r\nX: a\rb\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: mirror\r\nX: a\nY: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: mirror\r\nX\r\n\r\n", 400),
            (
                "GET / HTTP/1.1\r\nHost: mirror\r\nExpect: 100-continue\r\n\r\n",
                417,
            ),
            (&long, 414),
            (&many, 400),
        ] {
            assert_eq!(
                parse(request.as_bytes()),
                Err(Refused(status)),
                "{request:?}"
            );
        }
        assert_eq!(
            parse(b"GET /\xff HTTP/1.1\r\nHost: mirror\r\n\r\n"),
            Err(Refused(400))
        );
        assert_eq!(end_of_head(b"GET / HTTP/1.1\r\n\r"), None);
        assert_eq!(end_of_head(b"a\r\n\r\nb"), Some(5));
    }
}
