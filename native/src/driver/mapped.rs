//! Mapped parts of files (Linux), and the guard that turns a store beyond the end of a file into an error.
//!
//! Room is written before it is mapped, so a full disk shows as a failed write. What is left is another program that
//! cuts the file: the kernel would end the process with SIGBUS. The guard puts anonymous memory in that place instead
//! and marks the window, and the append reports the loss.

use crate::log::storage::Window;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{compiler_fence, AtomicBool, AtomicUsize, Ordering};
use std::sync::Once;

/// File systems on which written room keeps its blocks, so that a store into it always finds space: ext2/3/4, XFS, tmpfs.
const KEEPS_BLOCKS: [i64; 3] = [EXT, 0x5846_5342, 0x0102_1994];
const EXT: i64 = 0xef53;
/// Windows that can be guarded at the same time; further files are written, not mapped.
const SLOTS: usize = 4096;
const PAGE: usize = 4096;

struct Slot {
    /// Address of the window, 0 = free, 1 = being set.
    from: AtomicUsize,
    to: AtomicUsize,
    lost: AtomicBool,
}

#[expect(clippy::declare_interior_mutable_const, reason = "only an initialiser")]
const FREE: Slot = Slot {
    from: AtomicUsize::new(0),
    to: AtomicUsize::new(0),
    lost: AtomicBool::new(false),
};
static GUARDED: [Slot; SLOTS] = [FREE; SLOTS];
static HINT: AtomicUsize = AtomicUsize::new(0);
static INSTALL: Once = Once::new();
static mut PREVIOUS: libc::sigaction = {
    // SAFETY: an all-zero sigaction is a valid value (default action, empty mask).
    unsafe { std::mem::zeroed() }
};

/// A mapped part of a file, writable and shared with it.
#[derive(Debug)]
pub struct Map {
    memory: *mut u8,
    length: usize,
    slot: usize,
}

// SAFETY: the memory belongs to this value alone; nothing in it depends on the thread.
unsafe impl Send for Map {}

impl Map {
    /// Maps bytes that exist; `from` is a multiple of the page size. `None` where that is not safe.
    pub fn new(file: &File, from: u64, length: usize) -> Option<Self> {
        if !keeps_blocks(file) {
            return None;
        }
        INSTALL.call_once(install);
        let slot = claim()?;
        // SAFETY: a new mapping at an address that the kernel chooses; failure is checked below.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                from as libc::off_t,
            )
        };
        if memory == libc::MAP_FAILED {
            GUARDED[slot].from.store(0, Ordering::Release);
            return None;
        }
        GUARDED[slot].lost.store(false, Ordering::Relaxed);
        GUARDED[slot]
            .to
            .store(memory as usize + length, Ordering::Release);
        GUARDED[slot].from.store(memory as usize, Ordering::Release);
        Some(Self {
            memory: memory.cast(),
            length,
            slot,
        })
    }
}

impl Window for Map {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.length, "a store lies within its window");
        // SAFETY: the range was checked to lie in the mapping, which does not overlap the source.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.memory.add(at), bytes.len()) };
    }

    fn commit(&mut self, at: usize, word: u32) {
        assert!(
            at + 4 <= self.length && at.is_multiple_of(4),
            "a committed word lies within its window"
        );
        // A kill comes between two instructions: what was stored before in program order is in the file. Only the
        // compiler must be kept from reordering.
        compiler_fence(Ordering::SeqCst);
        // SAFETY: in range and aligned (the mapping starts at a page); volatile keeps it one store.
        unsafe { ptr::write_volatile(self.memory.add(at).cast::<u32>(), word.to_le()) };
        compiler_fence(Ordering::SeqCst);
    }

    fn is_lost(&self) -> bool {
        GUARDED[self.slot].lost.load(Ordering::Relaxed)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        GUARDED[self.slot].from.store(1, Ordering::Release);
        // SAFETY: the mapping was made by `new` and is unmapped once.
        unsafe { libc::munmap(self.memory.cast(), self.length) };
        GUARDED[self.slot].from.store(0, Ordering::Release);
    }
}

/// Whether a file of unchanged length is flushed by writing its content alone: ext4 never moves written blocks.
/// (XFS does, when a copy shares them.)
pub fn overwrites_in_place(file: &File) -> bool {
    kind(file) == Some(EXT)
}

/// Starts to write the content of a file to the device. Only a hint: what fails shows when it is waited for.
pub fn begin_write_out(file: &File) {
    // SAFETY: the descriptor is open; 0, 0 means the whole file.
    unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Writes the content of a file to the device and waits, without a flush of the device's cache. `Unsupported` where the
/// system does not let us.
pub fn write_out(file: &File) -> io::Result<()> {
    let how =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: the descriptor is open; 0, 0 means the whole file.
    if unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, how) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EPERM | libc::EINVAL) => Err(io::ErrorKind::Unsupported.into()),
        _ => Err(error),
    }
}

fn keeps_blocks(file: &File) -> bool {
    kind(file).is_some_and(|kind| KEEPS_BLOCKS.contains(&kind))
}

/// Number of the file system.
fn kind(file: &File) -> Option<i64> {
    // SAFETY: an all-zero statfs is valid, and the call fills it.
    let mut about: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open and `about` outlives the call.
    let done = unsafe { libc::fstatfs(file.as_raw_fd(), &mut about) };
    #[allow(clippy::unnecessary_cast, reason = "the type differs between C libraries")]
    let kind = about.f_type as i64;
    (done == 0).then_some(kind)
}

fn claim() -> Option<usize> {
    let start = HINT.fetch_add(1, Ordering::Relaxed);
    (0..SLOTS).map(|i| (start + i) % SLOTS).find(|slot| {
        GUARDED[*slot]
            .from
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    })
}

fn install() {
    // SAFETY: a zeroed sigaction is valid; the handler only touches atomics and calls mmap; `PREVIOUS` is written once,
    // before the handler can run.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_bus_error as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(libc::SIGBUS, &action, &raw mut PREVIOUS);
    }
}

extern "C" fn on_bus_error(signal: libc::c_int, about: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo for SIGBUS.
    let address = unsafe { (*about).si_addr() } as usize;
    for slot in &GUARDED {
        let from = slot.from.load(Ordering::Acquire);
        if from > 1 && from <= address && address < slot.to.load(Ordering::Acquire) {
            slot.lost.store(true, Ordering::Relaxed);
            let page = address / PAGE * PAGE;
            // SAFETY: replaces one page inside a mapping of ours by memory of our own; nothing else lies there.
            let replaced = unsafe {
                libc::mmap(
                    page as *mut libc::c_void,
                    PAGE,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                    -1,
                    0,
                )
            };
            if replaced != libc::MAP_FAILED {
                return;
            }
        }
    }
    // Not ours: what was installed before decides; the faulting instruction runs again under it.
    // SAFETY: `PREVIOUS` was filled by `install`.
    unsafe { libc::sigaction(signal, &raw const PREVIOUS, ptr::null_mut()) };
}
