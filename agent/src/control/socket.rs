//! The socket of a running agent, and the client that asks it.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::{Answer, Request};

/// The socket's name in the data directory.
pub const FILE_NAME: &str = "control.sock";
/// Longest request line.
const REQUEST_BYTES_MAX: u64 = 64 << 10;
/// Longest answer.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Listens. A socket left over by a killed agent is replaced: the data directory's lock says that no other one runs.
pub fn listen(dir: &Path) -> io::Result<UnixListener> {
    let path = dir.join(FILE_NAME);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // The directory is private, so nobody gets in between these two steps.
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Reads the next request; `Ok(None)` when the client is done.
pub(crate) async fn read_request(stream: &mut BufReader<UnixStream>) -> io::Result<Option<Result<Request, String>>> {
    let mut line = String::new();
    let read = stream.take(REQUEST_BYTES_MAX).read_line(&mut line).await?;
    if read == 0 {
        return Ok(None);
    }
    if !line.ends_with('\n') {
        return Ok(Some(Err("the request is longer than 64 KiB or not ended by a newline".to_owned())));
    }
    Ok(Some(serde_json::from_str(&line).map_err(|error| format!("not a request: {error}"))))
}

/// Writes an answer as one line.
pub(crate) async fn write_answer(stream: &mut BufReader<UnixStream>, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.flush().await
}

/// Asks a running agent. `ConnectionRefused` and `NotFound` say that none runs.
pub async fn ask(dir: &Path, request: &Request) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(dir.join(FILE_NAME)).await?;
    let mut line = serde_json::to_vec(request).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = String::new();
    let read = BufReader::new(stream).take(ANSWER_BYTES_MAX).read_line(&mut answer).await?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    serde_json::from_str(&answer).map_err(io::Error::other)
}
