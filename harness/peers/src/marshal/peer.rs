//! Ruby, in a process of its own.

use std::{
    io::{self, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A Ruby process that runs `peer.rb`.
pub struct Peer {
    child: Child,
    to: Option<ChildStdin>,
    from: ChildStdout,
}

impl Peer {
    pub fn start() -> io::Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peer.rb");
        let mut child = Command::new("ruby")
            .args(["-W0", "--disable=gems", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let to = child.stdin.take();
        let from = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { child, to, from })
    }

    /// Sends one request; returns the dump, or the text of what Ruby raised.
    pub fn ask(&mut self, letter: u8, parts: &[&[u8]]) -> io::Result<Vec<u8>> {
        let to = self.to.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut request = vec![letter];
        for part in parts {
            request.extend((part.len() as u32).to_be_bytes());
            request.extend_from_slice(part);
        }
        to.write_all(&request)?;
        let mut len = [0; 4];
        self.from.read_exact(&mut len)?;
        let mut reply = vec![0; u32::from_be_bytes(len) as usize];
        self.from.read_exact(&mut reply)?;
        Ok(reply)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Ruby ends when its input ends.
        drop(self.to.take());
        let _ = self.child.wait();
    }
}
