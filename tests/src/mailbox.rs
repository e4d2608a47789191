//! A mail server on loopback that keeps what it takes.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::wait;

/// The server.
#[derive(Debug)]
pub struct Mailbox {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Mailbox {
    /// Starts it on a free port; it ends with the process.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let mailbox = Self { address: listener.local_addr().expect("it is bound"), taken: Arc::default() };
        let taken = Arc::clone(&mailbox.taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A collector that is killed hangs up.
                serve(stream, &taken).ok();
            }
        });
        mailbox
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it has so many mails; all that it has.
    pub fn mails(&self, count: usize) -> Vec<String> {
        wait::until(&format!("{count} mails are taken"), 60, || {
            let taken = self.taken.lock().expect("nobody panicked").clone();
            if taken.len() >= count { Ok(taken) } else { Err(taken) }
        })
    }
}

fn serve(stream: TcpStream, taken: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut write = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    write.write_all(b"220 mail.example\r\n")?;
    while let Some(line) = lines.next() {
        let line = line?;
        let answer: &[u8] = match line.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => b"250-mail.example\r\n250 8BITMIME\r\n",
            "DATA" => {
                write.write_all(b"354 go on\r\n")?;
                let mut text = String::new();
                for line in lines.by_ref() {
                    let line = line?;
                    if line == "." {
                        break;
                    }
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    text.push('\n');
                }
                taken.lock().expect("nobody panicked").push(text);
                b"250 queued\r\n"
            }
            "QUIT" => return write.write_all(b"221 bye\r\n"),
            _ => b"250 ok\r\n",
        };
        write.write_all(answer)?;
    }
    Ok(())
}
