//! mapvar's asynchronous stream.

use crate::{Result, peers::Bell, scratch};
use mapvar::{Changes, Map, Var};
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

/// Wakes the thread of an executor that is as small as one can be: it polls, and parks.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on the thread of this waker.
#[inline]
fn finish<T>(waker: &Waker, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(result) => return result,
            Poll::Pending => thread::park(),
        }
    }
}

/// Two variables of a map; each side has a stream of the changes of its own.
pub struct Streamed {
    address: String,
    waker: Waker,
    sides: Vec<(Var<u32>, Changes)>,
}

impl Streamed {
    fn open(map: &Map, address: String) -> Result<Self> {
        let side =
            |name| -> Result<_> { Ok((map.var_or(name, 0_u32)?, map.watch(name)?.into_stream()?)) };
        let sides = vec![side("parent")?, side("child")?];
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        Ok(Self { address, waker, sides })
    }

    #[inline]
    fn ring(&self, side: usize, turn: u32) {
        self.sides[side].0.set(turn).expect("there");
    }

    #[inline]
    fn wait(&mut self, side: usize, turn: u32) {
        loop {
            let change = finish(&self.waker, self.sides[side].1.change());
            if change.and_then(|change| change.get::<u32>()).expect("there") == turn {
                return;
            }
        }
    }
}

impl Bell for Streamed {
    const PEER: &'static str = "stream";
    const WORD: &'static str = "stream";

    fn create(label: &str) -> Result<Self> {
        let address = scratch::name(label);
        let map = Map::options().name(&address).size(1 << 16).create()?;
        Self::open(&map, address)
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    fn attach(address: &str) -> Result<Self> {
        Self::open(&Map::open(address)?, address.to_owned())
    }

    #[inline]
    fn ring_and_wait(&mut self, turn: u32) {
        self.ring(1, turn);
        self.wait(0, turn);
    }

    #[inline]
    fn wait_and_ring(&mut self, turn: u32) {
        self.wait(1, turn);
        self.ring(0, turn);
    }
}
