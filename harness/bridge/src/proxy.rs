//! A proxy for TCP between a bridge and the server, which delays, stalls, cuts and half-opens
//! connections.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// What the proxy does with what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Pass,
    Delay(Duration),
    /// Nothing passes, but nothing is lost.
    Stall,
    /// Nothing passes to the bridge, while the server gets all.
    HalfOpen,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    mode: Mutex<Mode>,
    open: Mutex<Vec<TcpStream>>,
    over: AtomicBool,
}

/// A proxy; it ends on drop.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    pub fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server,
            mode: Mutex::new(Mode::Pass),
            open: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.over.load(Relaxed) {
                    break;
                }
                // If the server is down, the client's connection is closed at once.
                let _ = client.and_then(|client| Shared::join(&accepting, &client));
            }
        });
        Ok(Self { address, shared })
    }

    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Relaxed);
        self.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn join(shared: &Arc<Self>, client: &TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(shared.server)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.extend([client.try_clone()?, server.try_clone()?]);
        for (from, to, to_bridge) in [
            (client.try_clone()?, server.try_clone()?, false),
            (server.try_clone()?, client.try_clone()?, true),
        ] {
            let shared = Arc::clone(shared);
            thread::spawn(move || {
                let _ = shared.carry(&from, &to, to_bridge);
                let _ = to.shutdown(Shutdown::Both);
                let _ = from.shutdown(Shutdown::Both);
            });
        }
        Ok(())
    }

    fn carry(&self, mut from: &TcpStream, mut to: &TcpStream, to_bridge: bool) -> io::Result<()> {
        let mut buffer = [0; 8192];
        loop {
            let read = from.read(&mut buffer)?;
            if read == 0 || self.over.load(Relaxed) {
                return Ok(());
            }
            loop {
                let mode = *self.mode.lock().unwrap_or_else(PoisonError::into_inner);
                match mode {
                    Mode::Pass => break,
                    Mode::HalfOpen if !to_bridge => break,
                    Mode::Stall | Mode::HalfOpen => {}
                    Mode::Delay(time) => {
                        thread::sleep(time);
                        break;
                    }
                }
                if self.over.load(Relaxed) {
                    return Ok(());
                }
                thread::sleep(Duration::from_millis(5));
            }
            to.write_all(&buffer[..read])?;
        }
    }
}
