//! A question to whoever sits at the terminal, whose answer does not show. It touches no other
//! descriptor of the process.

use std::fs::File;
use std::io::{self, Read, Write};

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

/// Longest answer in bytes.
const MAX_BYTES: usize = 1024;

/// Asks at the controlling terminal and reads one line, without its end, that is not shown.
///
/// # Errors
/// When there is no terminal, nobody answers, or the answer is too long.
pub fn ask_unseen(prompt: &str) -> io::Result<Vec<u8>> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let shown = tcgetattr(&terminal)?;
    let mut unseen = shown.clone();
    unseen.local_flags.remove(LocalFlags::ECHO);
    unseen.local_flags.insert(LocalFlags::ECHONL);
    terminal.write_all(prompt.as_bytes())?;
    tcsetattr(&terminal, SetArg::TCSANOW, &unseen)?;
    let answer = line(&mut terminal);
    tcsetattr(&terminal, SetArg::TCSANOW, &shown)?;
    answer
}

fn line(terminal: &mut File) -> io::Result<Vec<u8>> {
    let mut answer = Vec::with_capacity(MAX_BYTES); // never moved, so that no copy stays behind
    let mut byte = [0];
    while answer.len() < MAX_BYTES {
        if terminal.read(&mut byte)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if byte == *b"\n" {
            return Ok(answer);
        }
        answer.extend(byte);
    }
    Err(io::Error::other("an answer of more than 1024 bytes"))
}
