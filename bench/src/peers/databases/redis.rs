//! Redis, by a unix socket; the client is written here.

use crate::{
    Result,
    peers::{Batch, Piped, Place, Store},
    process::end_with_parent,
    scratch,
};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{net::UnixStream, process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

pub const PROGRAM: &str = "redis-server";

/// A server without a TCP port and without files, which ends when this is dropped.
struct Server(Child);

impl Server {
    /// Starts it on the core of this thread: on two cores each wake takes longer.
    fn start(folder: &Path, socket: &Path) -> Result<Self> {
        let mut command = Command::new(PROGRAM);
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.arg("--unixsocket").arg(socket).arg("--dir").arg(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: the closure makes one system call and takes no lock, as a process between fork
        // and exec must.
        #[allow(unsafe_code, reason = "the server must not outlive a killed run")]
        unsafe {
            command.pre_exec(|| {
                end_with_parent();
                Ok(())
            })
        };
        Ok(Self(command.spawn()?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // By its pid; it has nothing to save.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// A connection to a server of its own.
pub struct Redis {
    stream: BufReader<UnixStream>,
    /// Commands that are not sent yet, and their number.
    request: Vec<u8>,
    queued: usize,
    line: Vec<u8>,
    // The last, so that the connection is closed before.
    _server: Server,
}

impl Redis {
    fn connect(label: &str) -> Result<Self> {
        let folder = scratch::folder(label, Place::Memory)?;
        let socket = folder.join("socket");
        let mut server = Server::start(&folder, &socket)?;
        for _ in 0..500 {
            if let Ok(stream) = UnixStream::connect(&socket) {
                return Ok(Self {
                    stream: BufReader::with_capacity(1 << 16, stream),
                    request: Vec::new(),
                    queued: 0,
                    line: Vec::new(),
                    _server: server,
                });
            }
            if let Some(status) = server.0.try_wait()? {
                return Err(format!("{PROGRAM}: {status}").into());
            }
            sleep(Duration::from_millis(10));
        }
        Err(format!("{PROGRAM} does not listen on {}", socket.display()).into())
    }

    #[inline]
    fn part(&mut self, bytes: &[u8]) {
        _ = write!(self.request, "${}\r\n", bytes.len());
        self.request.extend_from_slice(bytes);
        self.request.extend_from_slice(b"\r\n");
    }

    /// Queues the head of a command of so many parts.
    #[inline]
    fn command(&mut self, parts: usize) {
        _ = write!(self.request, "*{parts}\r\n");
        self.queued += 1;
    }

    fn try_send(&mut self) -> Result<u64> {
        self.stream.get_ref().write_all(&self.request)?;
        self.request.clear();
        let mut sum = 0_u64;
        for _ in 0..std::mem::take(&mut self.queued) {
            sum = sum.wrapping_add(self.answer()?);
        }
        Ok(sum)
    }

    /// Returns the number in the next answer, or the sum of a list; 0 of `OK`.
    fn answer(&mut self) -> Result<u64> {
        self.line.clear();
        self.stream.read_until(b'\n', &mut self.line)?;
        let line = std::str::from_utf8(&self.line)?.trim_end();
        match line.split_at_checked(1) {
            Some(("+", _)) => Ok(0),
            Some(("$", "8")) => {
                let mut bytes = [0; 10];
                self.stream.read_exact(&mut bytes)?;
                Ok(u64::from_ne_bytes(bytes[..8].try_into()?))
            }
            Some(("*", length)) => {
                let mut sum = 0_u64;
                for _ in 0..length.parse()? {
                    sum = sum.wrapping_add(self.answer()?);
                }
                Ok(sum)
            }
            _ => Err(format!("Redis answers {line:?}").into()),
        }
    }
}

impl Store for Redis {
    const PEER: &'static str = "Redis";

    fn create(label: &str, _: usize, _: usize, _: Place) -> Result<Self> {
        Self::connect(label)
    }

    fn fill<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        for (name, number) in names.zip(0..) {
            self.queue_set(name, number);
            // More would fill the socket's buffers in both directions.
            if self.queued == 100 {
                self.try_send()?;
            }
        }
        self.try_send()?;
        Ok(())
    }

    #[inline]
    fn get(&mut self, name: &str) -> u64 {
        self.queue_get(name);
        self.send()
    }

    #[inline]
    fn set(&mut self, name: &str, value: u64) {
        self.queue_set(name, value);
        self.send();
    }
}

impl Piped for Redis {
    const PEER: &'static str = "Redis, pipeline of 100";

    #[inline]
    fn queue_get(&mut self, name: &str) {
        self.command(2);
        self.part(b"GET");
        self.part(name.as_bytes());
    }

    #[inline]
    fn queue_set(&mut self, name: &str, value: u64) {
        self.command(3);
        self.part(b"SET");
        self.part(name.as_bytes());
        self.part(&value.to_ne_bytes());
    }

    #[inline]
    fn send(&mut self) -> u64 {
        self.try_send().expect("answered")
    }
}

/// One command for all: both are atomic.
impl Batch for Redis {
    fn transaction(&mut self, names: &[&str], value: u64) {
        self.command(1 + 2 * names.len());
        self.part(b"MSET");
        for name in names {
            self.part(name.as_bytes());
            self.part(&value.to_ne_bytes());
        }
        self.send();
    }

    fn snapshot(&mut self, names: &[&str]) -> u64 {
        self.command(1 + names.len());
        self.part(b"MGET");
        for name in names {
            self.part(name.as_bytes());
        }
        self.send()
    }
}
