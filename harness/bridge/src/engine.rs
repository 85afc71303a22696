//! What NATS does by itself, as the peer of the bridges: a client of its protocol that puts, and
//! watches a bucket. <https://docs.nats.io/reference/reference-protocols/nats-protocol>

use crate::server::BUCKET;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Puts that await their acknowledgement, at most. More make the server no faster.
const WINDOW: u64 = 512;

#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

/// A message without its headers.
#[derive(Debug)]
pub struct Message {
    pub subject: String,
    pub payload: Vec<u8>,
}

impl Client {
    pub fn connect(server: SocketAddr) -> io::Result<Self> {
        let writer = TcpStream::connect(server)?;
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { reader: BufReader::new(writer.try_clone()?), writer };
        client.writer.write_all(
            b"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB answer.> 1\r\nSUB news 2\r\n",
        )?;
        Ok(client)
    }

    /// Returns the next message; answers the server's pings meanwhile.
    pub fn next(&mut self) -> io::Result<Message> {
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut words = line.split_whitespace();
            let with_headers = match words.next() {
                Some("MSG") => false,
                Some("HMSG") => true,
                Some("PING") => {
                    self.writer.write_all(b"PONG\r\n")?;
                    continue;
                }
                Some("-ERR") => return Err(io::Error::other(line)),
                _ => continue,
            };
            let words: Vec<&str> = words.collect();
            let number = |from_end: usize| -> io::Result<usize> {
                let word = words.len().checked_sub(from_end).and_then(|at| words.get(at));
                word.and_then(|word| word.parse().ok()).ok_or_else(|| io::Error::other(&*line))
            };
            let all = number(1)?;
            let headers = if with_headers { number(2)? } else { 0 };
            let mut payload = vec![0; all + 2];
            self.reader.read_exact(&mut payload)?;
            payload.truncate(all);
            payload.drain(..headers.min(all));
            let subject = words.first().copied().unwrap_or_default().to_owned();
            return Ok(Message { subject, payload });
        }
    }

    /// Puts a value without awaiting its acknowledgement.
    pub fn put(&mut self, key: &str, value: u64) -> io::Result<()> {
        self.writer.write_all(put(key, value).as_bytes())
    }

    /// Puts for so long, with many puts in flight, and returns the acknowledged ones per second.
    pub fn put_for(&mut self, keys: &[String], time: Duration) -> io::Result<f64> {
        let (mut sent, mut acknowledged) = (0_u64, 0_u64);
        let began = Instant::now();
        while began.elapsed() < time {
            if sent - acknowledged <= WINDOW / 2 {
                let mut text = String::new();
                for _ in 0..WINDOW / 2 {
                    text += &put(&keys[sent as usize % keys.len()], sent);
                    sent += 1;
                }
                self.writer.write_all(text.as_bytes())?;
            }
            self.acknowledgement()?;
            acknowledged += 1;
        }
        let rate = acknowledged as f64 / began.elapsed().as_secs_f64();
        for _ in acknowledged..sent {
            self.acknowledgement()?;
        }
        Ok(rate)
    }

    fn acknowledgement(&mut self) -> io::Result<()> {
        let answer = self.next()?;
        let text = String::from_utf8_lossy(&answer.payload);
        if answer.subject.starts_with("answer.") && text.contains("\"seq\":") {
            return Ok(());
        }
        Err(io::Error::other(format!("no acknowledgement: {} {text}", answer.subject)))
    }

    /// Begins to watch the keys with this prefix: [`next`](Self::next) returns what they are, and
    /// then what they become.
    pub fn watch(&mut self, prefix: &str) -> io::Result<()> {
        let request = format!(
            "{{\"stream_name\":\"KV_{BUCKET}\",\"config\":{{\"deliver_subject\":\"news\",\
             \"deliver_policy\":\"last_per_subject\",\"filter_subject\":\"$KV.{BUCKET}.{prefix}.>\",\
             \"ack_policy\":\"none\",\"max_deliver\":1,\"mem_storage\":true,\"num_replicas\":1}}}}"
        );
        write!(
            self.writer,
            "PUB $JS.API.CONSUMER.CREATE.KV_{BUCKET} answer.watch {}\r\n{request}\r\n",
            request.len()
        )
    }

    /// Returns the next message of the watch.
    pub fn news(&mut self) -> io::Result<Message> {
        loop {
            let message = self.next()?;
            if message.subject != "answer.watch" {
                return Ok(message);
            }
            if message.payload.windows(7).any(|part| part == b"\"error\"") {
                return Err(io::Error::other(String::from_utf8_lossy(&message.payload)));
            }
        }
    }
}

fn put(key: &str, value: u64) -> String {
    let value = value.to_string();
    format!("PUB $KV.{BUCKET}.{key} answer.put {}\r\n{value}\r\n", value.len())
}
