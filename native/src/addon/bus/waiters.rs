//! Who waits for a node: one entry for each JavaScript environment, told once however much has changed.

use crate::bus::node::Changes;
use crate::driver::drain::Listener;
use napi::bindgen_prelude::{Function, Result, Status};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

/// One JavaScript environment that may wait for this node.
struct Waiter {
    wake: Wake,
    /// A call is on its way: more are not queued while that environment is busy.
    called: Arc<AtomicBool>,
    /// Somebody there waits for readable events.
    waiting: AtomicBool,
    /// Whether this environment runs the dispatcher.
    owner: bool,
}

#[derive(Default)]
pub(super) struct Waiters(Mutex<HashMap<u64, Arc<Waiter>>>);

impl Waiters {
    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Waiter>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the function of an environment; `owner` when it runs the dispatcher.
    pub fn register(&self, key: u64, owner: bool, wake: Function<(), ()>) -> Result<()> {
        let called = Arc::new(AtomicBool::new(false));
        let arrived = called.clone();
        let wake = wake
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .max_queue_size::<0>()
            .build_callback(move |_| {
                // Before the look, so that a change behind it calls again.
                arrived.store(false, Ordering::SeqCst);
                Ok(())
            })?;
        self.all().insert(
            key,
            Arc::new(Waiter {
                wake,
                called,
                waiting: AtomicBool::new(false),
                owner,
            }),
        );
        Ok(())
    }

    pub fn remove(&self, key: u64) {
        self.all().remove(&key);
    }

    /// Whether somebody in the environment waits for readable events.
    pub fn set_waiting(&self, key: u64, waiting: bool) {
        if let Some(waiter) = self.all().get(&key) {
            waiter.waiting.store(waiting, Ordering::SeqCst);
        }
    }

    /// The node was shut down: everybody learns it.
    pub fn ended(&self) {
        for waiter in self.all().values() {
            waiter.call();
        }
    }
}

impl Waiter {
    fn call(&self) {
        if !self.called.swap(true, Ordering::SeqCst) {
            // A closing environment answers with an error: it no longer waits.
            let _ = self.wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

impl Listener for Waiters {
    fn changed(&self, changes: Changes) {
        for waiter in self.all().values() {
            let wanted = changes.appended && waiter.waiting.swap(false, Ordering::SeqCst);
            if wanted || (changes.attention && waiter.owner) {
                waiter.call();
            }
        }
    }
}
