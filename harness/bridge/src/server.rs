//! The real server, on loopback, at a port of its own.

use crate::children::Running;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The bucket of the bridges.
pub const BUCKET: &str = "sim";
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns an address on loopback that is free now.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A server with its store.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    pub address: SocketAddr,
    monitor: SocketAddr,
    store: PathBuf,
    log: PathBuf,
    /// A file with users.
    configuration: Option<PathBuf>,
    running: Option<Running>,
}

impl Server {
    /// Starts a server. Its bucket is in files, so that a killed server can find it again.
    pub fn start(program: &Path, folder: &Path) -> io::Result<Self> {
        let mut server = Self::new(program, folder, None)?;
        server.run()?;
        server.make_bucket()?;
        Ok(server)
    }

    /// Starts a server with this configuration, and without a bucket.
    pub fn start_with(program: &Path, folder: &Path, configuration: &Path) -> io::Result<Self> {
        let mut server = Self::new(program, folder, Some(configuration.into()))?;
        server.run()?;
        Ok(server)
    }

    fn new(program: &Path, folder: &Path, configuration: Option<PathBuf>) -> io::Result<Self> {
        Ok(Self {
            program: program.into(),
            address: free_address()?,
            monitor: free_address()?,
            store: folder.join("store-0"),
            log: folder.join("server.log"),
            configuration,
            running: None,
        })
    }

    /// Starts it again with what is in its store.
    pub fn run(&mut self) -> io::Result<()> {
        let began = Instant::now();
        let log = || File::options().append(true).create(true).open(&self.log);
        let mut command = Command::new(&self.program);
        command.args(["-js", "-a", "127.0.0.1", "-p", &self.address.port().to_string()]);
        command.args(["-m", &self.monitor.port().to_string(), "-sd"]).arg(&self.store);
        if let Some(file) = &self.configuration {
            command.arg("-c").arg(file);
        }
        command.stdin(Stdio::null()).stdout(log()?).stderr(log()?);
        let running = Running::start(&mut command)?;
        while TcpStream::connect(self.address).is_err() || self.consumers().is_err() {
            if began.elapsed() > PATIENCE || running.has_ended() {
                let log = self.log.display();
                return Err(io::Error::other(format!("the server does not start; {log}")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.running = Some(running);
        Ok(())
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Its next start finds nothing.
    pub fn lose_store(&mut self, number: u64) {
        self.store.set_file_name(format!("store-{number}"));
    }

    /// Its next start is of another version.
    pub fn change_program(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    pub fn has_ended(&self) -> bool {
        self.running.as_ref().is_none_or(Running::has_ended)
    }

    /// Returns how many consumers the server has.
    pub fn consumers(&self) -> io::Result<u64> {
        let mut stream = TcpStream::connect(self.monitor)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET /jsz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let number = answer.split("\"consumers\":").nth(1).and_then(|rest| {
            rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        });
        number.ok_or_else(|| io::Error::other("the server does not say how many consumers it has"))
    }

    fn make_bucket(&self) -> io::Result<()> {
        let config = format!(
            "{{\"name\":\"KV_{BUCKET}\",\"subjects\":[\"$KV.{BUCKET}.>\"],\
             \"max_msgs_per_subject\":1,\"discard\":\"new\",\"storage\":\"file\",\
             \"retention\":\"limits\",\"num_replicas\":1,\"max_consumers\":-1,\"max_msgs\":-1,\
             \"max_bytes\":-1,\"allow_rollup_hdrs\":true,\"deny_delete\":true,\
             \"allow_direct\":true}}"
        );
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\n\
             PUB $JS.API.STREAM.CREATE.KV_{BUCKET} answer {}\r\n{config}\r\n",
            config.len()
        )?;
        for line in BufReader::new(stream).lines() {
            let line = line?;
            if line.starts_with('{') {
                let made = !line.contains("\"error\"");
                return if made { Ok(()) } else { Err(io::Error::other(line)) };
            }
        }
        Err(io::Error::other("the server makes no bucket"))
    }
}
