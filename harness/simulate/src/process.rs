//! Processes as futures: straight-line code that gives way between any two steps. A process dies
//! when its future is dropped; what it held is then `Died`, what it wrote stays.

use crate::world::{Lock, World};
use std::{
    cell::{RefCell, RefMut},
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// A process's way to the region. It is borrowed for one step at a time.
#[derive(Clone)]
pub struct Process {
    world: Rc<RefCell<World>>,
    pub me: u32,
}

impl Process {
    pub fn new(world: &Rc<RefCell<World>>, me: u32) -> Self {
        Self { world: Rc::clone(world), me }
    }

    pub fn world(&self) -> RefMut<'_, World> {
        self.world.borrow_mut()
    }

    /// A store, and the end of a step.
    pub async fn store(&self, at: usize, value: u64) {
        self.world().disk.store(at, value);
        step().await;
    }

    // --- Locks -------------------------------------------------------------------------------

    /// The lock of a record.
    pub async fn lock(&self, record: usize) {
        loop {
            let seen = self.world().live.locks[record];
            match seen {
                Lock::Free | Lock::Died => {
                    self.world().live.locks[record] = Lock::Held(self.me);
                    return step().await;
                }
                Lock::ByT => {
                    self.lock_t().await;
                    self.unlock_t().await;
                }
                Lock::ByL => {
                    self.lock_l().await;
                    self.unlock_l().await;
                }
                Lock::Held(_) => step().await,
            }
        }
    }

    pub async fn unlock(&self, record: usize) {
        self.world().live.locks[record] = Lock::Free;
        step().await;
    }

    /// T, whose journal is always replayed.
    pub async fn lock_t(&self) {
        loop {
            let seen = self.world().live.t;
            if matches!(seen, Lock::Free | Lock::Died) {
                self.world().live.t = Lock::Held(self.me);
                step().await;
                return crate::transaction::replay(self).await;
            }
            step().await;
        }
    }

    pub async fn unlock_t(&self) {
        self.world().live.t = Lock::Free;
        step().await;
    }

    /// L, likewise.
    pub async fn lock_l(&self) {
        loop {
            let seen = self.world().live.l;
            if matches!(seen, Lock::Free | Lock::Died) {
                self.world().live.l = Lock::Held(self.me);
                step().await;
                return crate::structure::replay(self).await;
            }
            step().await;
        }
    }

    pub async fn unlock_l(&self) {
        self.world().live.l = Lock::Free;
        step().await;
    }
}

/// The end of a step: others take their turns, the process may die, the power may be cut.
pub async fn step() {
    let mut gave_way = false;
    poll_fn(|_| {
        if gave_way {
            return Poll::Ready(());
        }
        gave_way = true;
        Poll::Pending
    })
    .await;
}

/// What a process is at.
pub struct Running {
    pub id: u32,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

impl Running {
    pub fn start(id: u32, body: impl Future<Output = ()> + 'static) -> Self {
        Self { id, future: Box::pin(body) }
    }

    /// One step; true when it is done.
    pub fn step(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.future.as_mut().poll(&mut context).is_ready()
    }
}
