//! Append-only logs for JavaScript. What is called for every event passes its bytes through the thread's area.

use crate::driver::files::Files;
use crate::driver::logs::{lock, Policy, Shared};
use crate::log::{area, manifest, record, verify, Journal, LogError, Retention};
use napi::bindgen_prelude::{
    AsyncTask, BigInt, Buffer, Env, Error, FromNapiValue, Function, Result, Status, Uint32Array, Uint8Array,
    Unknown,
};
use napi::{sys, Task};
use napi_derive::napi;
use std::cell::RefCell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The area of one JavaScript environment: memory of an ArrayBuffer that a reference keeps for as long as it runs.
#[derive(Clone, Copy)]
struct Area {
    env: sys::napi_env,
    memory: *mut u8,
    reference: sys::napi_ref,
}

thread_local! {
    static AREAS: RefCell<Vec<Area>> = const { RefCell::new(Vec::new()) };
}

impl Area {
    fn of(env: sys::napi_env) -> Result<Self> {
        if let Some(area) = AREAS.with_borrow(|areas| areas.iter().find(|area| area.env == env).copied()) {
            return Ok(area);
        }
        let (mut buffer, mut memory, mut reference) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: plain Node-API calls on the live environment; the strong reference keeps the memory in place.
        let done = unsafe {
            sys::napi_create_arraybuffer(env, area::AREA, &mut memory, &mut buffer) == sys::Status::napi_ok
                && sys::napi_create_reference(env, buffer, 1, &mut reference) == sys::Status::napi_ok
        };
        if !done {
            return Err(Error::new(
                Status::GenericFailure,
                "the area for log events could not be allocated",
            ));
        }
        let area = Self {
            env,
            memory: memory.cast(),
            reference,
        };
        AREAS.with_borrow_mut(|areas| areas.push(area));
        Ok(area)
    }

    /// The bytes. Only for the time of one call from JavaScript, which itself does not run meanwhile.
    fn bytes<'a>(self) -> &'a mut [u8] {
        // SAFETY: the memory lives as long as the environment, whose thread is in this call; nobody else has the slice.
        unsafe { std::slice::from_raw_parts_mut(self.memory, area::AREA) }
    }
}

/// See `LogDoor.logArea`.
#[napi(ts_return_type = "Uint8Array | null")]
pub fn log_area(env: Env) -> Result<Unknown<'static>> {
    let area = Area::of(env.raw())?;
    let (mut buffer, mut view) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: plain Node-API calls on the live environment; the reference was made by `Area::of`.
    unsafe {
        sys::napi_get_reference_value(env.raw(), area.reference, &mut buffer);
        sys::napi_create_typedarray(
            env.raw(),
            sys::TypedarrayType::uint8_array,
            area::AREA,
            buffer,
            0,
            &mut view,
        );
        Unknown::from_napi_value(env.raw(), view)
    }
}

/// Why the last append failed; the append function of a log leaves it here as well.
type Failure = Arc<Mutex<Option<LogError>>>;

/// Handle on a log.
#[napi]
pub struct RawLog {
    shared: Arc<Shared>,
    area: AreaOf,
    failure: Failure,
    released: AtomicBool,
    /// Identifies its wake-up function; 0 = none. Atomic, so that no method needs the handle to itself.
    waker: AtomicU64,
}

/// An area, in a class that napi wants to be `Send`.
struct AreaOf(Area);
// SAFETY: a `RawLog` is only used on the thread of its environment.
unsafe impl Send for AreaOf {}
// SAFETY: the same.
unsafe impl Sync for AreaOf {}

static NEXT_WAKER: AtomicU64 = AtomicU64::new(1);

fn number(value: &BigInt) -> u64 {
    value.get_u64().1
}

fn thrown(error: LogError) -> Error {
    Error::new(Status::GenericFailure, error.to_string())
}

fn guarded<T>(work: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
        Error::new(
            Status::GenericFailure,
            "io: internal error in the log; close and re-open the channel",
        )
    })
}

fn raw(env: &Env, shared: Arc<Shared>) -> Result<RawLog> {
    let area = AreaOf(Area::of(env.raw())?);
    Ok(RawLog {
        shared,
        area,
        failure: Failure::default(),
        released: AtomicBool::new(false),
        waker: AtomicU64::new(0),
    })
}

/// See `LogDoor.openLogMemory`.
#[napi(catch_unwind)]
pub fn open_log_memory(
    env: Env,
    max_events: BigInt,
    max_bytes: BigInt,
    max_age_ms: BigInt,
) -> Result<RawLog> {
    let retention = Retention::from_bounds(number(&max_events), number(&max_bytes), number(&max_age_ms));
    raw(&env, Shared::memory(retention))
}

/// See `LogDoor.openLogFiles`.
#[napi(catch_unwind)]
pub fn open_log_files(
    env: Env,
    root: String,
    max_events: BigInt,
    max_bytes: BigInt,
    max_age_ms: BigInt,
    every_n: BigInt,
    interval_ms: u32,
) -> Result<RawLog> {
    let retention = Retention::from_bounds(number(&max_events), number(&max_bytes), number(&max_age_ms));
    let policy = match (number(&every_n), interval_ms) {
        (0, 0) => Policy::None,
        (0, ms) => Policy::Interval(Duration::from_millis(u64::from(ms))),
        (n, _) => Policy::EveryN(n),
    };
    raw(&env, Shared::open(&root, retention, policy).map_err(thrown)?)
}

/// What an append function without arguments is bound to.
struct Bound {
    failure: Failure,
    shared: Arc<Shared>,
    area: Area,
    /// The payloads are CortEX events, whose checksum is filled in.
    events: bool,
}

unsafe extern "C" fn append_bound(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut data = ptr::null_mut();
    // SAFETY: `info` belongs to this call; the data is the `Bound` that lives until the function is collected.
    let bound = unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            &mut data,
        );
        &*data.cast::<Bound>()
    };
    let done = catch_unwind(AssertUnwindSafe(|| {
        let bytes = bound.area.bytes();
        let length = area::length(bytes);
        if bound.events {
            area::seal(bytes, length);
        }
        let done = bound.shared.append(1, |journal, now| {
            let done = journal.append(area::payload(bytes, length)?, now);
            area::leave_room(bytes, journal);
            done
        });
        area::finish(bytes, done)
    }));
    let failure = done.unwrap_or_else(|_| {
        area::finish(
            bound.area.bytes(),
            Err(LogError::Io(
                "internal error in the log; close and re-open the channel".into(),
            )),
        )
    });
    if failure.is_some() {
        *lock(&bound.failure) = failure;
    }
    ptr::null_mut()
}

unsafe extern "C" fn drop_bound(_: sys::napi_env, data: *mut std::ffi::c_void, _: *mut std::ffi::c_void) {
    // SAFETY: made by `Box::into_raw` in `log_appender`, dropped once.
    drop(unsafe { Box::from_raw(data.cast::<Bound>()) });
}

/// See `LogDoor.logAppender`. The function reads the length from the area; it costs a tenth of a method call.
#[napi(ts_return_type = "() => void")]
pub fn log_appender(env: Env, log: &RawLog, events: bool) -> Result<Unknown<'static>> {
    let bound = Box::new(Bound {
        failure: Arc::clone(&log.failure),
        shared: Arc::clone(&log.shared),
        area: log.area.0,
        events,
    });
    let data = Box::into_raw(bound);
    let mut function = ptr::null_mut();
    // SAFETY: plain Node-API calls; the finalizer gives the data back when the function is collected.
    unsafe {
        let made = sys::napi_create_function(
            env.raw(),
            c"append".as_ptr(),
            6,
            Some(append_bound),
            data.cast(),
            &mut function,
        );
        let tied = made == sys::Status::napi_ok
            && sys::napi_add_finalizer(
                env.raw(),
                function,
                data.cast(),
                Some(drop_bound),
                ptr::null_mut(),
                ptr::null_mut(),
            ) == sys::Status::napi_ok;
        if !tied {
            drop(Box::from_raw(data));
            return Err(Error::new(
                Status::GenericFailure,
                "the append function could not be made",
            ));
        }
        Unknown::from_napi_value(env.raw(), function)
    }
}

#[napi]
impl RawLog {
    fn appended(
        &self,
        count: u64,
        append: impl FnOnce(&[u8], &mut Journal<Files>, u64) -> std::result::Result<u64, LogError>,
    ) -> Result<()> {
        let bytes = self.area.0.bytes();
        let done = guarded(|| {
            self.shared.append(count, |journal, now| {
                let done = append(bytes, journal, now);
                area::leave_room(bytes, journal);
                done
            })
        })?;
        let failure = area::finish(self.area.0.bytes(), done);
        if failure.is_some() {
            *lock(&self.failure) = failure;
        }
        Ok(())
    }

    /// See `RawLog` in ts/src/backend/log.ts.
    #[napi]
    pub fn append(&self, length: u32) -> Result<()> {
        self.appended(1, |bytes, journal, now| {
            journal.append(area::payload(bytes, length as usize)?, now)
        })
    }

    /// See there.
    #[napi]
    pub fn append_event(&self, length: u32) -> Result<()> {
        area::seal(self.area.0.bytes(), length as usize);
        self.append(length)
    }

    /// See there.
    #[napi]
    pub fn check_events(&self, count: u32) -> Result<()> {
        let bytes = self.area.0.bytes();
        guarded(|| area::check_events(bytes, count as usize))
    }

    /// See there.
    #[napi]
    pub fn append_bytes(&self, payload: Uint8Array, _now_ms: f64) -> Result<()> {
        self.appended(1, |_, journal, now| journal.append(&payload, now))
    }

    /// See there.
    #[napi]
    pub fn append_batch(&self, count: u32) -> Result<()> {
        self.appended(u64::from(count), |bytes, journal, now| {
            area::append_batch(bytes, count as usize, journal, now)
        })
    }

    /// See there.
    #[napi]
    pub fn append_packed(&self, lengths: Uint32Array, bytes: Uint8Array, _now_ms: f64) -> Result<()> {
        self.appended(lengths.len() as u64, |_, journal, now| {
            journal.append_batch(&lengths, &bytes, now)
        })
    }

    /// See there.
    #[napi]
    pub fn read(&self, from: BigInt, to: BigInt, max: u32) -> Result<u32> {
        let bytes = self.area.0.bytes();
        guarded(|| {
            self.shared.look(false, |journal| {
                area::read(bytes, journal, number(&from), number(&to), max)
            })
        })
    }

    /// See there.
    #[napi]
    pub fn payload(&self, seq: BigInt) -> Result<Buffer> {
        guarded(|| {
            self.shared
                .look(false, |journal| area::one(journal, number(&seq)))
                .into()
        })
    }

    /// See there.
    #[napi]
    pub fn observe(&self, _now_ms: f64) -> Result<()> {
        let bytes = self.area.0.bytes();
        guarded(|| self.shared.look(true, |journal| area::observe(bytes, journal)))
    }

    /// See there.
    #[napi]
    pub fn advance(&self, next: BigInt) -> Result<()> {
        guarded(|| self.shared.advance(number(&next)))
    }

    /// See there.
    #[napi]
    pub fn trim(&self, below: BigInt) -> Result<()> {
        guarded(|| self.shared.trim(number(&below)))
    }

    /// See there.
    #[napi]
    pub fn failure(&self) -> String {
        lock(&self.failure)
            .as_ref()
            .map_or_else(String::new, LogError::to_string)
    }

    /// See there.
    #[napi]
    pub fn stats(&self) -> Result<String> {
        let (last, failures) = self.shared.flushes();
        guarded(|| {
            self.shared
                .look(false, |journal| area::stats(journal, last, failures))
        })
    }

    /// See there.
    #[napi]
    pub fn is_live(&self) -> Result<bool> {
        guarded(|| self.shared.is_live())
    }

    /// See there.
    #[napi]
    pub fn compaction_due(&self) -> Result<bool> {
        guarded(|| self.shared.look(false, |journal| journal.compaction_due()))
    }

    /// See there.
    #[napi]
    pub fn sync(&self) -> AsyncTask<Work> {
        self.later(Job::Sync)
    }

    /// See there.
    #[napi]
    pub fn compact(&self) -> AsyncTask<Work> {
        self.later(Job::Compact)
    }

    /// See there. A holder among others only flushes.
    #[napi]
    pub fn close(&self) -> AsyncTask<Work> {
        self.drop_waker();
        let first_time = !self.released.swap(true, Ordering::AcqRel);
        if first_time && self.shared.release() {
            self.later(Job::Close)
        } else {
            self.later(Job::Sync)
        }
    }

    fn later(&self, job: Job) -> AsyncTask<Work> {
        AsyncTask::new(Work {
            shared: Arc::clone(&self.shared),
            job,
        })
    }

    /// See there.
    #[napi]
    pub fn on_remote(&self, callback: Function<'_, (), ()>) -> Result<()> {
        self.drop_waker();
        let call = callback
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .max_queue_size::<1>()
            .build()?;
        let id = NEXT_WAKER.fetch_add(1, Ordering::Relaxed);
        let wake = move || {
            // A full queue means that a wake-up is on its way already.
            call.call(
                (),
                napi::threadsafe_function::ThreadsafeFunctionCallMode::NonBlocking,
            );
        };
        self.shared.add_waker(id, Box::new(wake));
        self.waker.store(id, Ordering::Relaxed);
        Ok(())
    }

    fn drop_waker(&self) {
        match self.waker.swap(0, Ordering::Relaxed) {
            0 => {}
            id => self.shared.remove_waker(id),
        }
    }
}

impl Drop for RawLog {
    fn drop(&mut self) {
        self.drop_waker();
        if !self.released.swap(true, Ordering::AcqRel) {
            self.shared.release();
        }
    }
}

/// What runs away from the JavaScript thread.
#[derive(Clone, Copy)]
enum Job {
    Sync,
    Compact,
    Close,
}

/// See `Job`.
pub struct Work {
    shared: Arc<Shared>,
    job: Job,
}

impl Task for Work {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> Result<()> {
        let done = guarded(|| match self.job {
            Job::Sync => self.shared.sync(),
            Job::Compact => self.shared.compact(false),
            Job::Close => self.shared.close(),
        })?;
        done.map_err(|text| thrown(LogError::Io(text)))
    }

    fn resolve(&mut self, _: Env, _: ()) -> Result<()> {
        Ok(())
    }
}

/// 28-bit checksum of a payload.
#[napi(catch_unwind)]
pub fn log_checksum(payload: Uint8Array) -> u32 {
    record::checksum(&payload)
}

/// The 16 bytes of a manifest.
#[napi(catch_unwind)]
pub fn log_manifest(generation: u32) -> Buffer {
    manifest::encode(generation).to_vec().into()
}

/// Generation of a manifest, 0 when it is invalid.
#[napi(catch_unwind)]
pub fn log_read_manifest(bytes: Uint8Array) -> u32 {
    manifest::decode(&bytes).unwrap_or(0)
}

/// One 20-byte record.
#[napi(catch_unwind)]
pub fn log_record(seq: BigInt, offset: u32, payload: Uint8Array, inline: bool) -> Buffer {
    record::from_payload(number(&seq), offset, &payload, inline)
        .encode()
        .to_vec()
        .into()
}

/// See `RawVerifier` in ts/src/backend/log.ts.
#[napi]
pub struct LogVerifier {
    verifier: Mutex<verify::Verifier>,
}

/// See `LogDoor.logVerifier`.
#[napi(catch_unwind)]
pub fn log_verifier(dat_length: f64, ts_length: f64) -> LogVerifier {
    LogVerifier {
        verifier: Mutex::new(verify::Verifier::new(dat_length as u64, ts_length as u64)),
    }
}

#[napi]
impl LogVerifier {
    /// See there.
    #[napi]
    pub fn take(&self, idx: Uint8Array) -> Result<()> {
        guarded(|| lock(&self.verifier).take(&idx))
    }

    /// See there.
    #[napi]
    pub fn check(&self, idx: Uint8Array, dat: Uint8Array, from: f64) -> Result<()> {
        guarded(|| lock(&self.verifier).check(&idx, &dat, from as u64))
    }

    /// See there.
    #[napi]
    pub fn result(&self) -> Result<String> {
        guarded(|| lock(&self.verifier).result())
    }
}
