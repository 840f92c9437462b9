//! Append-only logs for JavaScript. Files go through a storage driver written in TypeScript.

use meshring::log::journal::Step;
use meshring::log::storage::{DirEntry, NoWindow, Storage, Stored, StoredFile};
use meshring::log::{area, manifest, record, verify, Journal, LogError, Retention};
use std::cell::UnsafeCell;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// `LogStorage` of ts/src/redex/storage.ts.
    #[derive(Clone)]
    pub type JsStorage;
    #[wasm_bindgen(method, catch, js_name = makeDirectory)]
    fn make_directory(this: &JsStorage, path: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn list(this: &JsStorage, path: &str) -> Result<Option<Vec<JsEntry>>, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn open(this: &JsStorage, path: &str, create: bool) -> Result<Option<JsFile>, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn rename(this: &JsStorage, from: &str, to: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn remove(this: &JsStorage, path: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = syncDirectory)]
    fn sync_directory(this: &JsStorage, path: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn lock(this: &JsStorage, path: &str) -> Result<Option<JsLock>, JsValue>;

    /// `StoredEntry`.
    pub type JsEntry;
    #[wasm_bindgen(method, getter)]
    fn name(this: &JsEntry) -> String;
    #[wasm_bindgen(method, getter, js_name = isDirectory)]
    fn is_directory(this: &JsEntry) -> bool;

    /// `StoredFile`.
    #[derive(Clone)]
    pub type JsFile;
    #[wasm_bindgen(method, catch)]
    fn length(this: &JsFile) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn read(this: &JsFile, offset: f64, into: &mut [u8]) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn write(this: &JsFile, offset: f64, bytes: &[u8]) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn truncate(this: &JsFile, length: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn sync(this: &JsFile) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn close(this: &JsFile) -> Result<(), JsValue>;

    /// `StorageLock`.
    pub type JsLock;
    #[wasm_bindgen(method, catch)]
    fn release(this: &JsLock) -> Result<(), JsValue>;
}

fn text(error: JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => error.message().into(),
        None => format!("{error:?}"),
    }
}

/// A file of a driver. Clones share it; the last one closes it.
#[derive(Clone)]
pub struct File(std::rc::Rc<OpenFile>);

struct OpenFile(JsFile);

impl Drop for OpenFile {
    fn drop(&mut self) {
        let _ = self.0.close();
    }
}

/// A held lock.
pub struct Lock(JsLock);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.release();
    }
}

impl Storage for JsStorage {
    type File = File;
    type Lock = Lock;

    fn make_dir(&self, path: &str) -> Stored<()> {
        self.make_directory(path).map_err(text)
    }

    fn list(&self, path: &str) -> Stored<Option<Vec<DirEntry>>> {
        let entries = JsStorage::list(self, path).map_err(text)?;
        Ok(entries.map(|all| {
            let entry = |e: JsEntry| DirEntry {
                name: e.name(),
                is_dir: e.is_directory(),
            };
            all.into_iter().map(entry).collect()
        }))
    }

    fn open(&self, path: &str, create: bool) -> Stored<Option<File>> {
        let file = JsStorage::open(self, path, create).map_err(text)?;
        Ok(file.map(|file| File(std::rc::Rc::new(OpenFile(file)))))
    }

    fn rename(&self, from: &str, to: &str) -> Stored<()> {
        JsStorage::rename(self, from, to).map_err(text)
    }

    fn remove(&self, path: &str) -> Stored<()> {
        JsStorage::remove(self, path).map_err(text)
    }

    fn sync_dir(&self, path: &str) -> Stored<()> {
        self.sync_directory(path).map_err(text)
    }

    fn lock(&self, path: &str) -> Stored<Option<Lock>> {
        Ok(JsStorage::lock(self, path).map_err(text)?.map(Lock))
    }
}

impl StoredFile for File {
    type Window = NoWindow;

    fn length(&self) -> Stored<u64> {
        Ok(self.0 .0.length().map_err(text)? as u64)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> Stored<usize> {
        Ok(self.0 .0.read(at as f64, into).map_err(text)? as usize)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> Stored<()> {
        self.0 .0.write(at as f64, bytes).map_err(text)
    }

    fn truncate(&self, length: u64) -> Stored<()> {
        self.0 .0.truncate(length as f64).map_err(text)
    }

    fn sync(&self) -> Stored<()> {
        self.0 .0.sync().map_err(text)
    }

    fn window(&self, _: u64, _: usize) -> Option<NoWindow> {
        None
    }
}

#[repr(align(16))]
struct Area(UnsafeCell<[u8; area::AREA]>);
// SAFETY: WebAssembly without threads has one thread.
unsafe impl Sync for Area {}
static AREA: Area = Area(UnsafeCell::new([0; area::AREA]));

fn bytes<'a>() -> &'a mut [u8] {
    // SAFETY: one thread, and each call from JavaScript takes the slice for its own duration only.
    unsafe { &mut *AREA.0.get() }
}

/// See `LogDoor.logArea`.
#[wasm_bindgen(js_name = logArea)]
pub fn log_area() -> js_sys::Uint8Array {
    // SAFETY: the memory is static; JavaScript asks again when the view is detached by growth.
    unsafe { js_sys::Uint8Array::view(bytes()) }
}

/// Handle on a log.
#[wasm_bindgen]
pub struct RawLog {
    journal: Journal<JsStorage>,
    failure: Option<LogError>,
    last_fsync_ms: u64,
    fsync_failures: u64,
}

fn raw(journal: Journal<JsStorage>) -> RawLog {
    RawLog {
        journal,
        failure: None,
        last_fsync_ms: 0,
        fsync_failures: 0,
    }
}

/// See `LogDoor.openLogMemory`.
#[wasm_bindgen(js_name = openLogMemory)]
pub fn open_log_memory(max_events: u64, max_bytes: u64, max_age_ms: u64) -> RawLog {
    raw(Journal::in_memory(Retention::from_bounds(
        max_events, max_bytes, max_age_ms,
    )))
}

/// See `LogDoor.openLogStorage`.
#[wasm_bindgen(js_name = openLogStorage)]
pub fn open_log_storage(
    storage: JsStorage,
    root: &str,
    max_events: u64,
    max_bytes: u64,
    max_age_ms: u64,
    now_ms: f64,
) -> Result<RawLog, JsError> {
    let retention = Retention::from_bounds(max_events, max_bytes, max_age_ms);
    let journal = Journal::open(storage, root, retention, (now_ms * 1e6) as u64);
    Ok(raw(journal.map_err(|error| JsError::new(&error.to_string()))?))
}

#[wasm_bindgen]
impl RawLog {
    fn appended(&mut self, append: impl FnOnce(&mut Journal<JsStorage>) -> Result<u64, LogError>) {
        let done = append(&mut self.journal);
        area::leave_room(bytes(), &self.journal);
        if let Some(failure) = area::finish(bytes(), done) {
            self.failure = Some(failure);
        }
    }

    /// See `RawLog` in ts/src/backend/log.ts.
    pub fn append(&mut self, length: u32) {
        let now = area::now(bytes());
        self.appended(|journal| journal.append(area::payload(bytes(), length as usize)?, now));
    }

    /// See there.
    #[wasm_bindgen(js_name = appendEvent)]
    pub fn append_event(&mut self, length: u32) {
        area::seal(bytes(), length as usize);
        self.append(length);
    }

    /// See there.
    #[wasm_bindgen(js_name = appendBytes)]
    pub fn append_bytes(&mut self, payload: &[u8], now_ms: f64) {
        self.appended(|journal| journal.append(payload, (now_ms * 1e6) as u64));
    }

    /// See there.
    #[wasm_bindgen(js_name = appendBatch)]
    pub fn append_batch(&mut self, count: u32) {
        let now = area::now(bytes());
        self.appended(|journal| area::append_batch(bytes(), count as usize, journal, now));
    }

    /// See there.
    #[wasm_bindgen(js_name = appendPacked)]
    pub fn append_packed(&mut self, lengths: &[u32], payloads: &[u8], now_ms: f64) {
        self.appended(|journal| journal.append_batch(lengths, payloads, (now_ms * 1e6) as u64));
    }

    /// See there.
    pub fn read(&self, from: u64, to: u64, max: u32) -> u32 {
        area::read(bytes(), &self.journal, from, to, max)
    }

    /// See there.
    #[wasm_bindgen(js_name = checkEvents)]
    pub fn check_events(&self, count: u32) {
        area::check_events(bytes(), count as usize);
    }

    /// See there.
    pub fn advance(&mut self, next: u64) {
        self.journal.skip_to(next);
    }

    /// See there.
    pub fn trim(&mut self, below: u64) {
        self.journal.trim(below);
    }

    /// See there.
    pub fn payload(&self, seq: u64) -> Vec<u8> {
        area::one(&self.journal, seq)
    }

    /// See there.
    pub fn observe(&mut self, now_ms: f64) {
        self.journal.evict((now_ms * 1e6) as u64);
        area::observe(bytes(), &self.journal);
    }

    /// See there.
    pub fn failure(&self) -> String {
        self.failure
            .as_ref()
            .map_or_else(String::new, LogError::to_string)
    }

    /// See there.
    pub fn stats(&self) -> String {
        area::stats(&self.journal, self.last_fsync_ms, self.fsync_failures)
    }

    /// See there. A driver in JavaScript cannot tell.
    #[wasm_bindgen(js_name = isLive)]
    pub fn is_live(&self) -> bool {
        !self.journal.is_shut()
    }

    /// See there.
    pub fn shut(&mut self) {
        self.journal.shut();
    }

    /// See there.
    #[wasm_bindgen(js_name = closeNow)]
    pub fn close_now(&mut self) {
        self.journal.evict(area::now(bytes()));
        let compacted = if self.journal.compaction_due_at_close() {
            self.journal.compact()
        } else {
            Ok(())
        };
        let done = self.journal.close().and(compacted);
        if let Some(failure) = area::finish(bytes(), done.map(|()| 0).map_err(LogError::Io)) {
            self.failure = Some(failure);
        }
    }

    /// See there.
    pub fn files(&self) -> Vec<JsValue> {
        let files = self.journal.files();
        files
            .into_iter()
            .flatten()
            .map(|file| JsValue::from(file.0 .0.clone()))
            .collect()
    }

    /// See there.
    pub fn flushed(&mut self, ok: bool, now_ms: f64) {
        if ok {
            self.last_fsync_ms = now_ms as u64;
        } else {
            self.fsync_failures += 1;
        }
    }

    /// See there.
    #[wasm_bindgen(js_name = compactionDue)]
    pub fn compaction_due(&self) -> bool {
        self.journal.compaction_due()
    }

    /// See there.
    #[wasm_bindgen(js_name = compactStep)]
    pub fn compact_step(&mut self) -> Result<bool, JsError> {
        match self
            .journal
            .compact_step()
            .map_err(|text| JsError::new(&format!("io: {text}")))?
        {
            Step::More => Ok(true),
            Step::Flush(files) => {
                let done = files.iter().try_for_each(StoredFile::sync);
                self.journal
                    .flushed(done)
                    .map(|()| true)
                    .map_err(|text| JsError::new(&format!("io: {text}")))
            }
            Step::Done => Ok(false),
        }
    }
}

/// 28-bit checksum of a payload.
#[wasm_bindgen(js_name = logChecksum)]
pub fn log_checksum(payload: &[u8]) -> u32 {
    record::checksum(payload)
}

/// The 16 bytes of a manifest.
#[wasm_bindgen(js_name = logManifest)]
pub fn log_manifest(generation: u32) -> Vec<u8> {
    manifest::encode(generation).to_vec()
}

/// Generation of a manifest, 0 when it is invalid.
#[wasm_bindgen(js_name = logReadManifest)]
pub fn log_read_manifest(bytes: &[u8]) -> u32 {
    manifest::decode(bytes).unwrap_or(0)
}

/// One 20-byte record.
#[wasm_bindgen(js_name = logRecord)]
pub fn log_record(seq: u64, offset: u32, payload: &[u8], inline: bool) -> Vec<u8> {
    record::from_payload(seq, offset, payload, inline)
        .encode()
        .to_vec()
}

/// See `RawVerifier` in ts/src/backend/log.ts.
#[wasm_bindgen]
pub struct LogVerifier(verify::Verifier);

/// See `LogDoor.logVerifier`.
#[wasm_bindgen(js_name = logVerifier)]
pub fn log_verifier(dat_length: f64, ts_length: f64) -> LogVerifier {
    LogVerifier(verify::Verifier::new(dat_length as u64, ts_length as u64))
}

#[wasm_bindgen]
impl LogVerifier {
    /// See there.
    pub fn take(&mut self, idx: &[u8]) {
        self.0.take(idx);
    }

    /// See there.
    pub fn check(&mut self, idx: &[u8], dat: &[u8], from: f64) {
        self.0.check(idx, dat, from as u64);
    }

    /// See there.
    pub fn result(&self) -> String {
        self.0.result()
    }
}
