//! Logs on files as one process holds them: all threads that open one directory share one log, with one flush thread
//! where a policy asks for it.

use super::files::{flush, is_live, Files};
use crate::log::journal::Step;
use crate::log::storage::StoredFile;
use crate::log::{generation, Journal, LogError, Retention};
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unix time in ns.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// Locks, whatever a panicking thread left.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Background flushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Only when asked.
    None,
    /// After so many events.
    EveryN(u64),
    /// Every so often.
    Interval(Duration),
}

struct State {
    journal: Journal<Files>,
    needs_time: bool,
    /// Events since the flush thread was last woken.
    unflushed: u64,
}

/// Somebody in another thread who wants to know about appends.
pub type Waker = Box<dyn Fn() + Send>;

#[derive(Default)]
struct Signal {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Signal {
    fn set(&self, stop: bool) {
        let mut state = lock(&self.state);
        if stop {
            state.0 = true;
        } else {
            state.1 = true;
        }
        self.changed.notify_one();
    }
}

/// One log of this process.
pub struct Shared {
    state: Mutex<State>,
    key: Option<PathBuf>,
    policy: Policy,
    signal: Arc<Signal>,
    holders: AtomicUsize,
    wakers: Mutex<Vec<(ThreadId, u64, Waker)>>,
    waker_count: AtomicUsize,
    last_fsync_ms: AtomicU64,
    fsync_failures: AtomicU64,
    background: Mutex<Option<String>>,
    compacting: Mutex<()>,
}

static LOGS: OnceLock<Mutex<HashMap<PathBuf, Weak<Shared>>>> = OnceLock::new();

fn logs() -> &'static Mutex<HashMap<PathBuf, Weak<Shared>>> {
    LOGS.get_or_init(Mutex::default)
}

impl Shared {
    fn new(journal: Journal<Files>, key: Option<PathBuf>, policy: Policy) -> Arc<Self> {
        let needs_time = journal.needs_time();
        Arc::new(Self {
            state: Mutex::new(State {
                journal,
                needs_time,
                unflushed: 0,
            }),
            key,
            policy,
            signal: Arc::default(),
            holders: AtomicUsize::new(1),
            wakers: Mutex::default(),
            waker_count: AtomicUsize::new(0),
            last_fsync_ms: AtomicU64::new(0),
            fsync_failures: AtomicU64::new(0),
            background: Mutex::default(),
            compacting: Mutex::default(),
        })
    }

    /// A log in memory.
    pub fn memory(retention: Retention) -> Arc<Self> {
        Self::new(Journal::in_memory(retention), None, Policy::None)
    }

    /// The log of a directory: the one that this process has open, or a new one.
    pub fn open(root: &str, retention: Retention, policy: Policy) -> Result<Arc<Self>, LogError> {
        let io = |error: std::io::Error| LogError::Io(error.to_string());
        fs::create_dir_all(root).map_err(io)?;
        let key = fs::canonicalize(root).map_err(io)?;
        let path = key.to_string_lossy().into_owned();
        // Outlives the guard: should it turn out to be the last reference, its drop takes the lock of all logs.
        let known;
        let mut all = lock(logs());
        known = all.get(&key).and_then(Weak::upgrade);
        if let Some(shared) = &known {
            if lock(&shared.state).journal.is_shut() {
                // It is being closed away from its thread: finish that first. Its own close reports a failure.
                if let Err(text) = shared.close_files() {
                    *lock(&shared.background) = Some(text);
                }
            } else if shared.is_live() {
                shared.holders.fetch_add(1, Ordering::Relaxed);
                return Ok(Arc::clone(shared));
            } else {
                shared.detach();
            }
        }
        let journal = Journal::open(Files, &path, retention, now())?;
        let shared = Self::new(journal, Some(key.clone()), policy);
        all.insert(key, Arc::downgrade(&shared));
        shared.start_flushing();
        Ok(shared)
    }

    fn start_flushing(self: &Arc<Self>) {
        let every = match self.policy {
            Policy::None => return,
            Policy::EveryN(_) => None,
            Policy::Interval(interval) => Some(interval),
        };
        let (signal, shared) = (Arc::clone(&self.signal), Arc::downgrade(self));
        let started = thread::Builder::new()
            .name("meshring-log".into())
            .stack_size(256 << 10)
            .spawn(move || {
                while wait(&signal, every) {
                    let Some(shared) = shared.upgrade() else { return };
                    shared.flush_in_background();
                }
            });
        if let Err(error) = started {
            *lock(&self.background) = Some(format!("the flush thread could not be started: {error}"));
        }
    }

    fn flush_in_background(&self) {
        if matches!(self.policy, Policy::Interval(_)) {
            let mut state = lock(&self.state);
            if state.unflushed == 0 {
                return;
            }
            state.unflushed = 0;
        }
        if let Err(text) = self.flush() {
            self.fsync_failures.fetch_add(1, Ordering::Relaxed);
            *lock(&self.background) = Some(text);
        }
    }

    fn flush(&self) -> Result<(), String> {
        let Some(files) = lock(&self.state).journal.files() else {
            return Ok(());
        };
        flush(&files)?;
        self.last_fsync_ms.store(now() / 1_000_000, Ordering::Relaxed);
        Ok(())
    }

    /// Appends; `append` does it on the journal.
    pub fn append(
        &self,
        count: u64,
        append: impl FnOnce(&mut Journal<Files>, u64) -> Result<u64, LogError>,
    ) -> Result<u64, LogError> {
        let done = {
            let mut guard = lock(&self.state);
            let state = &mut *guard;
            let now = if state.needs_time { now() } else { 0 };
            let done = append(&mut state.journal, now);
            if done.is_ok() && self.policy != Policy::None {
                state.unflushed += count;
                if let Policy::EveryN(n) = self.policy {
                    if state.unflushed >= n {
                        state.unflushed = 0;
                        self.signal.set(false);
                    }
                }
            }
            done
        };
        if self.waker_count.load(Ordering::Acquire) > 0 {
            self.wake_others();
        }
        done
    }

    fn wake_others(&self) {
        let here = thread::current().id();
        for (thread, _, wake) in lock(&self.wakers).iter() {
            if *thread != here {
                wake();
            }
        }
    }

    /// Calls `waker` when another thread appends or closes.
    pub fn add_waker(&self, id: u64, waker: Waker) {
        let mut wakers = lock(&self.wakers);
        wakers.push((thread::current().id(), id, waker));
        self.waker_count.store(wakers.len(), Ordering::Release);
    }

    /// Takes it back.
    pub fn remove_waker(&self, id: u64) {
        let mut wakers = lock(&self.wakers);
        wakers.retain(|(_, other, _)| *other != id);
        self.waker_count.store(wakers.len(), Ordering::Release);
    }

    /// Looks at the journal; `evict` applies retention first.
    pub fn look<T>(&self, evict: bool, look: impl FnOnce(&Journal<Files>) -> T) -> T {
        let mut state = lock(&self.state);
        if evict && state.journal.memory().is_bounded() {
            state.journal.evict(now());
        }
        look(&state.journal)
    }

    /// Moves the next sequence forward: the ones below are never given out.
    pub fn advance(&self, next: u64) {
        lock(&self.state).journal.skip_to(next);
    }

    /// Drops every event below a sequence.
    pub fn trim(&self, below: u64) {
        lock(&self.state).journal.trim(below);
    }

    /// Last completed flush in unix ms, and failed background flushes.
    pub fn flushes(&self) -> (u64, u64) {
        (
            self.last_fsync_ms.load(Ordering::Relaxed),
            self.fsync_failures.load(Ordering::Relaxed),
        )
    }

    /// Whether the files under the path are still the open ones.
    pub fn is_live(&self) -> bool {
        let Some(key) = &self.key else { return true };
        let state = lock(&self.state);
        let Some([_, idx, _]) = state.journal.files() else {
            return false;
        };
        let path = generation::path(&key.to_string_lossy(), state.journal.generation());
        is_live(&idx, &format!("{path}/idx"))
    }

    /// The directory was removed or replaced: appends fail from now on.
    fn detach(&self) {
        self.signal.set(true);
        let _ = lock(&self.state).journal.close();
        self.wake_others();
    }

    /// Flushes dat, idx, ts; reports a background failure as well.
    pub fn sync(&self) -> Result<(), String> {
        self.flush()?;
        match lock(&self.background).take() {
            Some(text) => Err(text),
            None => Ok(()),
        }
    }

    /// Rewrites the files without what was evicted; appends go on meanwhile.
    pub fn compact(&self, at_close: bool) -> Result<(), String> {
        let _one = lock(&self.compacting);
        if at_close {
            let mut state = lock(&self.state);
            state.journal.evict(now());
            if !state.journal.compaction_due_at_close() {
                return Ok(());
            }
        }
        loop {
            let step = lock(&self.state).journal.compact_step()?;
            match step {
                Step::More => thread::yield_now(),
                Step::Flush(files) => {
                    let done = files.iter().try_for_each(StoredFile::sync);
                    lock(&self.state).journal.flushed(done)?;
                }
                Step::Done => return Ok(()),
            }
        }
    }

    /// One holder less. True when it was the last one, which then closes the files.
    pub fn release(&self) -> bool {
        let _all = lock(logs());
        let last = self.holders.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            lock(&self.state).journal.shut();
            self.signal.set(true);
        }
        last
    }

    fn close_files(&self) -> Result<(), String> {
        lock(&self.state).journal.close()
    }

    /// Flushes, trims and closes the files; after the last `release`.
    pub fn close(&self) -> Result<(), String> {
        let compacted = self.compact(true);
        let closed = self.close_files();
        self.wake_others();
        if closed.is_ok() {
            self.last_fsync_ms.store(now() / 1_000_000, Ordering::Relaxed);
        }
        let background = lock(&self.background).take();
        closed?;
        compacted?;
        background.map_or(Ok(()), Err)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.signal.set(true);
        if let Some(key) = &self.key {
            let mut all = lock(logs());
            if all
                .get(key)
                .is_some_and(|other| std::ptr::eq(other.as_ptr(), self))
            {
                all.remove(key);
            }
        }
    }
}

/// Waits for a wake-up or the interval. False = stop.
fn wait(signal: &Signal, every: Option<Duration>) -> bool {
    let mut state = lock(&signal.state);
    while !state.0 && !state.1 {
        match every {
            None => state = signal.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(interval) => {
                let (next, timeout) = signal
                    .changed
                    .wait_timeout(state, interval)
                    .unwrap_or_else(PoisonError::into_inner);
                state = next;
                if timeout.timed_out() {
                    break;
                }
            }
        }
    }
    state.1 = false;
    !state.0
}
