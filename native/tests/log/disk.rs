//! A disk in memory that can be cut off in the middle of anything, lose what was not flushed, or be damaged.

use meshring::log::storage::{DirEntry, Storage, Stored, StoredFile, Window};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

type Shared = Rc<RefCell<Content>>;

#[derive(Default)]
struct Inner {
    files: RefCell<BTreeMap<String, Shared>>,
    folders: RefCell<BTreeSet<String>>,
    locks: RefCell<BTreeSet<String>>,
    /// Changes that are still carried out; the one after is cut short.
    budget: Cell<u64>,
    changes: Cell<u64>,
    windows: bool,
    /// Only writes fail: the disk is full.
    only_writes: Cell<bool>,
}

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub struct TestDisk(Rc<Inner>);

#[derive(Clone)]
pub struct TestFile(Shared, TestDisk);

pub struct TestLock(String, TestDisk);

impl Drop for TestLock {
    fn drop(&mut self) {
        self.1 .0.locks.borrow_mut().remove(&self.0);
    }
}

/// A store into mapped memory is no change that can fail; it is in the file at once.
pub struct TestWindow(Shared, usize);

impl Window for TestWindow {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        let at = self.1 + at;
        self.0.borrow_mut().bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }
    fn commit(&mut self, at: usize, word: u32) {
        self.put(at, &word.to_le_bytes());
    }
    fn is_lost(&self) -> bool {
        false
    }
}

impl TestDisk {
    pub fn new(windows: bool) -> Self {
        Self(Rc::new(Inner {
            windows,
            budget: Cell::new(u64::MAX),
            ..Inner::default()
        }))
    }

    /// Changes so far.
    pub fn changes(&self) -> u64 {
        self.0.changes.get()
    }

    /// Everything after so many more changes fails; the next one may be half done.
    pub fn fail_after(&self, changes: u64) {
        self.0.budget.set(self.0.changes.get().saturating_add(changes));
    }

    /// After so many more changes no write succeeds, but everything else does.
    pub fn fill_up_after(&self, changes: u64) {
        self.0.only_writes.set(true);
        self.fail_after(changes);
    }

    /// The process ends: locks go, what was written stays, the disk works again.
    pub fn kill(&self) {
        self.0.locks.borrow_mut().clear();
        self.0.budget.set(u64::MAX);
    }

    /// The power goes: of each file the flushed content stays, or a mixture that `choose` decides block by block.
    pub fn power_off(&self, mut choose: impl FnMut() -> bool) {
        self.kill();
        for file in self.0.files.borrow().values() {
            let mut content = file.borrow_mut();
            let Content { bytes, durable } = &mut *content;
            let length = if choose() { bytes.len() } else { durable.len() };
            let mut after = durable.clone();
            after.resize(length, 0);
            for at in (0..length).step_by(512) {
                let end = (at + 512).min(length).min(bytes.len());
                if at < end && choose() {
                    after[at..end].copy_from_slice(&bytes[at..end]);
                }
            }
            *bytes = after.clone();
            *durable = after;
        }
    }

    /// Paths of all files.
    pub fn paths(&self) -> Vec<String> {
        self.0.files.borrow().keys().cloned().collect()
    }

    /// Changes the content of a file.
    pub fn edit(&self, path: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        if let Some(file) = self.0.files.borrow().get(path) {
            edit(&mut file.borrow_mut().bytes);
        }
    }

    /// Removes a file.
    pub fn delete(&self, path: &str) {
        self.0.files.borrow_mut().remove(path);
    }

    /// A copy with the same content.
    pub fn copy(&self) -> Self {
        let copy = Self::new(self.0.windows);
        for (path, file) in self.0.files.borrow().iter() {
            let bytes = file.borrow().bytes.clone();
            let content = Content {
                durable: bytes.clone(),
                bytes,
            };
            copy.0
                .files
                .borrow_mut()
                .insert(path.clone(), Rc::new(RefCell::new(content)));
        }
        copy.0.folders.replace(self.0.folders.borrow().clone());
        copy
    }

    /// Counts a change. `Err` = it does not happen; `Ok(false)` = it happens in part.
    fn change(&self) -> Stored<bool> {
        let at = self.0.changes.get();
        self.0.changes.set(at + 1);
        match at.cmp(&self.0.budget.get()) {
            std::cmp::Ordering::Less => Ok(true),
            std::cmp::Ordering::Equal => Ok(false),
            std::cmp::Ordering::Greater => Err("cut off".into()),
        }
    }

    fn whole(&self) -> Stored<()> {
        if self.0.only_writes.get() {
            return Ok(());
        }
        self.change()
            .and_then(|whole| if whole { Ok(()) } else { Err("cut off".into()) })
    }
}

impl Storage for TestDisk {
    type File = TestFile;
    type Lock = TestLock;

    fn make_dir(&self, path: &str) -> Stored<()> {
        self.whole()?;
        let mut at = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            at = format!("{at}/{part}");
            self.0.folders.borrow_mut().insert(at.clone());
        }
        Ok(())
    }

    fn list(&self, path: &str) -> Stored<Option<Vec<DirEntry>>> {
        if !self.0.folders.borrow().contains(path) {
            return Ok(None);
        }
        let prefix = format!("{path}/");
        let inside = |all: Vec<String>, is_dir: bool| {
            let names = all
                .into_iter()
                .filter_map(|p| p.strip_prefix(&prefix).map(str::to_owned));
            names
                .filter(|n| !n.contains('/'))
                .map(move |name| DirEntry { name, is_dir })
                .collect::<Vec<_>>()
        };
        let mut all = inside(self.paths(), false);
        all.extend(inside(self.0.folders.borrow().iter().cloned().collect(), true));
        Ok(Some(all))
    }

    fn open(&self, path: &str, create: bool) -> Stored<Option<TestFile>> {
        if let Some(file) = self.0.files.borrow().get(path) {
            return Ok(Some(TestFile(Rc::clone(file), self.clone())));
        }
        if !create {
            return Ok(None);
        }
        self.whole()?;
        let file = Shared::default();
        self.0.files.borrow_mut().insert(path.into(), Rc::clone(&file));
        Ok(Some(TestFile(file, self.clone())))
    }

    fn rename(&self, from: &str, to: &str) -> Stored<()> {
        self.whole()?;
        let moved = self.0.files.borrow_mut().remove(from);
        if let Some(file) = moved {
            self.0.files.borrow_mut().insert(to.into(), file);
            return Ok(());
        }
        let prefix = format!("{from}/");
        let inside: Vec<String> = self
            .paths()
            .into_iter()
            .filter(|path| path.starts_with(&prefix))
            .collect();
        for path in inside {
            let file = self.0.files.borrow_mut().remove(&path);
            if let Some(file) = file {
                self.0.files.borrow_mut().insert(path.replacen(from, to, 1), file);
            }
        }
        self.0.folders.borrow_mut().remove(from);
        self.0.folders.borrow_mut().insert(to.into());
        Ok(())
    }

    fn remove(&self, path: &str) -> Stored<()> {
        self.whole()?;
        self.0.files.borrow_mut().remove(path);
        self.0.folders.borrow_mut().remove(path);
        Ok(())
    }

    fn sync_dir(&self, _: &str) -> Stored<()> {
        self.whole()
    }

    fn lock(&self, path: &str) -> Stored<Option<TestLock>> {
        let free = self.0.locks.borrow_mut().insert(path.into());
        Ok(free.then(|| TestLock(path.into(), self.clone())))
    }
}

impl StoredFile for TestFile {
    type Window = TestWindow;

    fn length(&self) -> Stored<u64> {
        Ok(self.0.borrow().bytes.len() as u64)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> Stored<usize> {
        let content = self.0.borrow();
        let Some(from) = content.bytes.get(at as usize..) else {
            return Ok(0);
        };
        let count = from.len().min(into.len());
        into[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> Stored<()> {
        let whole = self.1.change()?;
        let bytes = if whole { bytes } else { &bytes[..bytes.len() / 2] };
        let mut content = self.0.borrow_mut();
        let end = at as usize + bytes.len();
        if content.bytes.len() < end {
            content.bytes.resize(end, 0);
        }
        content.bytes[at as usize..end].copy_from_slice(bytes);
        if whole {
            Ok(())
        } else {
            Err("No space left on device (os error 28)".into())
        }
    }

    fn truncate(&self, length: u64) -> Stored<()> {
        self.1.whole()?;
        self.0.borrow_mut().bytes.resize(length as usize, 0);
        Ok(())
    }

    fn sync(&self) -> Stored<()> {
        self.1.whole()?;
        let mut content = self.0.borrow_mut();
        content.durable = content.bytes.clone();
        Ok(())
    }

    fn window(&self, from: u64, _: usize) -> Option<TestWindow> {
        self.1
             .0
            .windows
            .then(|| TestWindow(Rc::clone(&self.0), from as usize))
    }
}
