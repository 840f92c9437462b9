//! The drain thread of a node: takes published events out of the staging rings while JavaScript goes on.

use crate::bus::node::{Changes, Node};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Instant;

/// Looks at the rings this often without finding anything before the thread goes to sleep (some ten microseconds).
const SPINS: u32 = 64;

/// Told what a drain has changed; called on the thread that drained.
pub trait Listener: Send + Sync {
    /// Wakes those who wait for it.
    fn changed(&self, changes: Changes);
}

/// A node with its clock and its thread.
pub struct Driver {
    /// Shards and rings.
    pub node: Node,
    origin: Instant,
    stop: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Driver {
    /// Starts the thread. It ends after [`Self::stop`].
    pub fn start(node: Node, listener: Arc<dyn Listener>) -> std::io::Result<Arc<Self>> {
        let driver = Arc::new(Self {
            node,
            origin: Instant::now(),
            stop: AtomicBool::new(false),
            thread: OnceLock::new(),
        });
        let own = driver.clone();
        let handle = std::thread::Builder::new()
            .name("meshring-drain".into())
            .spawn(move || own.run(&*listener))?;
        // The thread only ever parks after it has looked at the rings, so a wake before this line is not lost.
        let _ = driver.thread.set(handle.thread().clone());
        Ok(driver)
    }

    /// Nanoseconds since the node was created.
    pub fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Wakes the thread.
    pub fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Ends the thread. Nothing that is still staged is drained by it afterwards.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn run(&self, listener: &dyn Listener) {
        let mut spins = 0;
        while !self.stop.load(Ordering::SeqCst) {
            if let Some(changes) = self.node.step(self.now()) {
                spins = 0;
                if !changes.is_empty() {
                    listener.changed(changes);
                }
            } else if spins < SPINS {
                spins += 1;
                for _ in 0..64 {
                    std::hint::spin_loop();
                }
            } else {
                // Producers that publish from here on see the flag and wake the thread; those before are seen now.
                if self.node.fall_asleep() && !self.stop.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                self.node.wake_up();
                spins = 0;
            }
        }
    }
}
