//! The UDP driver: one thread per node receives in batches and keeps the timers; callers send from their own thread.

use super::held::Held;
use crate::engine::{Engine, Link, Origin};
use crate::port::Port;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState, BATCH_SIZE};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime};

const SOCKET: Token = Token(0);
const WAKE: Token = Token(1);

/// Socket buffers asked for; the system gives what it allows.
const SOCKET_BUFFER: usize = 8 << 20;
/// Longest datagram: packet and routing header, with room to see that one is too long.
const DATAGRAM: usize = 8192 + 18 + 1;
/// Datagrams received before what they cause is sent and told.
const ROUND: usize = 256;
/// Datagrams taken from the engine at once.
const BATCH: usize = 64;
/// Segments of one send with segmentation offload; all together stay below 64 KiB.
const MAX_GATHER: usize = 65_000;

/// After so long a sleep a datagram counts as a lone one. Microseconds.
const QUIET: u64 = 200;
/// How long a caller that was woken early waits for the datagram to be handled. Microseconds.
const PATIENCE: u64 = 50;

/// Called when there is something to take: at most once until it was taken.
pub type Wake = Box<dyn Fn() + Send + Sync>;

struct Shared {
    port: Mutex<Port>,
    /// Gone after shutdown, so that the address is free while JavaScript still holds the node.
    socket: RwLock<Option<UdpSocket>>,
    state: UdpSocketState,
    begun: Instant,
    /// Deadline for which the thread sleeps; 0 while it runs.
    sleeping_until: AtomicU64,
    held: Held,
    stop: AtomicBool,
    told_events: AtomicBool,
    told_deliveries: AtomicBool,
    /// The last datagrams had something for the application.
    expecting: AtomicBool,
    /// A datagram for which the application was woken is being handled.
    handling: AtomicBool,
    wake: Mutex<Option<Wake>>,
    waker: Waker,
    send_errors: AtomicU64,
}

/// Sees a node without keeping it.
pub struct Eyes(Weak<Shared>);

impl Eyes {
    /// Whether there are events to take; false when the node is gone.
    pub fn has_events(&self) -> bool {
        self.0
            .upgrade()
            .is_some_and(|shared| lock(&shared.port).engine().has_events())
    }
}

/// What the engine waits for, and what it has for the application.
struct Next {
    deadline: u64,
    events: bool,
    deliveries: bool,
}

impl Next {
    fn of(engine: &Engine) -> Self {
        Self {
            deadline: engine.next_deadline().unwrap_or(u64::MAX),
            events: engine.has_events(),
            deliveries: engine.peek_delivery().is_some(),
        }
    }
}

/// Whether a send has left.
#[derive(Debug)]
pub enum Left {
    /// Yes, or the socket refused it.
    Now(Option<io::Error>),
    /// With the next flush, which the thread makes soon if nobody else does.
    Later,
}

/// A node's socket, thread and engine.
pub struct UdpNode {
    shared: Arc<Shared>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    local: SocketAddr,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn now(&self) -> u64 {
        self.begun.elapsed().as_micros() as u64
    }

    fn deadline(&self) -> u64 {
        let engine = lock(&self.port).engine().next_deadline();
        engine.unwrap_or(u64::MAX).min(self.held.deadline())
    }

    /// Sends what the engine has; see [`settle`](Self::settle).
    fn flush(&self) -> Option<io::Error> {
        self.settle(lock(&self.port))
    }

    /// Sends what the engine has, without holding its lock meanwhile; then moves the thread's timer and wakes the
    /// application where needed. Returns the last error of the socket.
    fn settle<'a>(&'a self, mut port: MutexGuard<'a, Port>) -> Option<io::Error> {
        let mut batch: Vec<crate::engine::Transmit> = Vec::new();
        let mut gathered = Vec::new();
        let mut failed: Vec<Origin> = Vec::new();
        let mut last_error = None;
        let mut now = self.now();
        self.held.clear(now);
        loop {
            let engine = port.engine();
            for done in batch.drain(..) {
                engine.recycle(done.bytes);
            }
            for origin in failed.drain(..) {
                engine.unsent(origin);
            }
            while batch.len() < BATCH {
                match engine.poll_transmit(now) {
                    Some(transmit) => batch.push(transmit),
                    None => break,
                }
            }
            if batch.is_empty() {
                let next = Next::of(engine);
                let news = self.notes(&next);
                drop(port);
                self.rouse(next.deadline);
                self.tell(news);
                return last_error;
            }
            drop(port);
            let mut rest = &batch[..];
            while let Some(first) = rest.first() {
                let run = self.gather(rest, &mut gathered);
                let (these, others) = rest.split_at(run);
                rest = others;
                let Link::Udp(destination) = first.link else {
                    continue;
                };
                let contents = if run > 1 { &gathered[..] } else { &first.bytes[..] };
                let transmit = Transmit {
                    destination,
                    ecn: None,
                    contents,
                    segment_size: (run > 1).then_some(first.bytes.len()),
                    src_ip: None,
                };
                if let Err(error) = self.send(&transmit) {
                    self.send_errors.fetch_add(run as u64, Ordering::Relaxed);
                    failed.extend(these.iter().filter_map(|transmit| transmit.origin));
                    last_error = Some(error);
                }
            }
            port = lock(&self.port);
            now = self.now();
        }
    }

    /// Wakes the thread when it sleeps beyond the engine's next deadline.
    fn rouse(&self, deadline: u64) {
        if deadline.min(self.held.deadline()) < self.sleeping_until.load(Ordering::SeqCst) {
            let _ = self.waker.wake();
        }
    }

    /// How many datagrams at the front can leave as segments of one send: same address, same size (the last may be shorter).
    fn gather(&self, batch: &[crate::engine::Transmit], gathered: &mut Vec<u8>) -> usize {
        let (link, size) = match batch.first() {
            Some(first) => (first.link, first.bytes.len()),
            None => return 0,
        };
        let most = self.state.max_gso_segments().min(MAX_GATHER / size.max(1));
        let mut run = 1;
        while let Some(next) = batch.get(run) {
            let fits = run < most && next.link == link && next.bytes.len() <= size;
            let previous_full = batch[run - 1].bytes.len() == size;
            if !fits || !previous_full {
                break;
            }
            run += 1;
        }
        if run > 1 {
            gathered.clear();
            for transmit in &batch[..run] {
                gathered.extend_from_slice(&transmit.bytes);
            }
        }
        run
    }

    fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut waits = 0;
        loop {
            let socket = self.socket.read().unwrap_or_else(PoisonError::into_inner);
            let Some(socket) = &*socket else {
                return Err(io::ErrorKind::NotConnected.into());
            };
            match self.state.try_send(UdpSockRef::from(socket), transmit) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && waits < 50 => {
                    // The socket's buffer is full: the network is slower than this thread.
                    waits += 1;
                    std::thread::sleep(Duration::from_micros(100));
                }
                // A neighbour's ICMP answer to an earlier datagram, reported here; this one goes again.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && waits < 50 => waits += 1,
                other => return other,
            }
        }
    }

    fn receive(&self, buffers: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        let socket = self.socket.read().unwrap_or_else(PoisonError::into_inner);
        match &*socket {
            Some(socket) => self.state.recv(UdpSockRef::from(socket), buffers, meta),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Notes that the application knows of what there is; whether some of it is new since it was last taken. To be called
    /// under the port's lock: noted later, it could be taken already, and nothing would ever be told again.
    fn notes(&self, next: &Next) -> bool {
        let events = next.events && !self.told_events.swap(true, Ordering::AcqRel);
        let deliveries = next.deliveries && !self.told_deliveries.swap(true, Ordering::AcqRel);
        events || deliveries
    }

    /// Calls the wake function for what is new; without the port's lock, which that function may need.
    fn tell(&self, news: bool) {
        if news {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(wake) = &*lock(&self.wake) {
            wake();
        }
    }

    /// A lone datagram is likely to be for the application: another thread takes as long to wake up as this one takes to
    /// handle it, so both happen at once. A wrong guess costs a wake-up.
    fn wake_early(&self) {
        if self.expecting.load(Ordering::Relaxed) && !self.told_deliveries.load(Ordering::Acquire) {
            self.handling.store(true, Ordering::Release);
            if !self.told_deliveries.swap(true, Ordering::AcqRel) {
                self.wake();
            }
        }
    }

    /// Waits until a datagram that is being handled can be taken.
    fn await_handling(&self) {
        if !self.handling.load(Ordering::Acquire) {
            return;
        }
        let end = self.now() + PATIENCE;
        while self.handling.load(Ordering::Acquire) && self.now() < end {
            std::hint::spin_loop();
        }
    }

    fn run(&self, mut poll: Poll) {
        let mut events = Events::with_capacity(4);
        let segments = self.state.gro_segments().max(1);
        let size = if segments > 1 {
            65_536.max(DATAGRAM)
        } else {
            DATAGRAM
        };
        let mut memory = vec![0u8; size * BATCH_SIZE];
        let mut meta = [RecvMeta::default(); BATCH_SIZE];
        let mut pause = Duration::from_millis(1);
        while !self.stop.load(Ordering::Acquire) {
            // A caller that moves the deadline ahead after this store wakes the poll; one before it is seen here.
            let deadline = loop {
                let deadline = self.deadline();
                self.sleeping_until.store(deadline, Ordering::SeqCst);
                if self.deadline() == deadline {
                    break deadline;
                }
            };
            let timeout = match deadline {
                u64::MAX => None,
                at => Some(Duration::from_micros(at.saturating_sub(self.now()))),
            };
            let asleep = self.now();
            if poll.poll(&mut events, timeout).is_err() && self.stop.load(Ordering::Acquire) {
                break;
            }
            self.sleeping_until.store(0, Ordering::Release);
            if events.iter().any(|event| event.token() == SOCKET) && self.now() > asleep + QUIET {
                self.wake_early();
            }
            loop {
                let mut received = 0;
                while received < ROUND {
                    let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] = split(&mut memory, size);
                    match self.receive(&mut buffers, &mut meta) {
                        Ok(count) => {
                            pause = Duration::from_millis(1);
                            let now = self.now();
                            let mut port = lock(&self.port);
                            for (meta, buffer) in meta.iter().zip(buffers.iter_mut()).take(count) {
                                let link = Link::Udp(meta.addr);
                                let stride = meta.stride.max(1);
                                for datagram in buffer[..meta.len].chunks_mut(stride) {
                                    port.engine().handle_datagram(now, link, datagram);
                                    received += 1;
                                }
                            }
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(error)
                            if matches!(
                                error.kind(),
                                io::ErrorKind::ConnectionRefused
                                    | io::ErrorKind::ConnectionReset
                                    | io::ErrorKind::Interrupted
                            ) => {}
                        Err(_) => {
                            std::thread::sleep(pause);
                            pause = (2 * pause).min(Duration::from_millis(100));
                            break;
                        }
                    }
                }
                // The application first: what is owed to the peer can wait for that long.
                self.handling.store(false, Ordering::Release);
                if received > 0 {
                    let mut port = lock(&self.port);
                    let next = Next::of(port.engine());
                    let news = self.notes(&next);
                    drop(port);
                    self.expecting.store(next.deliveries, Ordering::Relaxed);
                    self.tell(news);
                }
                let now = self.now();
                let mut due = received > 0 || self.held.deadline() <= now;
                {
                    let mut port = lock(&self.port);
                    if port.engine().next_deadline().is_some_and(|at| at <= now) {
                        port.engine().handle_timeout(now);
                        due = true;
                    }
                }
                // Woken for an earlier deadline only, it leaves alone what others hold back.
                if due {
                    self.flush();
                }
                if received < ROUND || self.stop.load(Ordering::Acquire) {
                    break;
                }
            }
        }
    }
}

fn split(memory: &mut [u8], size: usize) -> [IoSliceMut<'_>; BATCH_SIZE] {
    let mut chunks = memory.chunks_mut(size);
    std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()))
}

impl UdpNode {
    /// Binds the socket and starts the thread. A port in use is an error: the address is never shared.
    pub fn bind(address: SocketAddr, make: impl FnOnce(u64) -> Port) -> io::Result<Self> {
        let std_socket = std::net::UdpSocket::bind(address)?;
        let state = UdpSocketState::new(UdpSockRef::from(&std_socket))?;
        let _ = state.set_recv_buffer_size(UdpSockRef::from(&std_socket), SOCKET_BUFFER);
        let _ = state.set_send_buffer_size(UdpSockRef::from(&std_socket), SOCKET_BUFFER);
        allow_fragments(&std_socket);
        let local = std_socket.local_addr()?;
        let mut socket = UdpSocket::from_std(std_socket);
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut socket, SOCKET, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let mut port = make(0);
        let unix = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        port.engine().set_wall_offset(unix.as_micros() as u64);
        let shared = Arc::new(Shared {
            port: Mutex::new(port),
            socket: RwLock::new(Some(socket)),
            state,
            begun: Instant::now(),
            sleeping_until: AtomicU64::new(0),
            held: Held::default(),
            stop: AtomicBool::new(false),
            told_events: AtomicBool::new(false),
            told_deliveries: AtomicBool::new(false),
            expecting: AtomicBool::new(false),
            handling: AtomicBool::new(false),
            wake: Mutex::new(None),
            waker,
            send_errors: AtomicU64::new(0),
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("meshring-udp".into())
            .spawn(move || of_thread.run(poll))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
            local,
        })
    }

    /// The address that was bound.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// Sets what is called, from the thread, when there is something to take.
    pub fn on_wake(&self, wake: Wake) {
        *lock(&self.shared.wake) = Some(wake);
        let mut port = lock(&self.shared.port);
        let news = self.shared.notes(&Next::of(port.engine()));
        drop(port);
        self.shared.tell(news);
    }

    /// Calls the engine, sends what follows on this thread, and moves the timer if needed. Returns the socket's error, if any.
    pub fn call<T>(&self, work: impl FnOnce(&mut Port, u64) -> T) -> (T, Option<io::Error>) {
        let mut port = lock(&self.shared.port);
        let now = self.shared.now();
        let result = work(&mut port, now);
        let error = self.shared.settle(port);
        (result, error)
    }

    /// As [`call`](Self::call) for a send of so many bytes, which may wait for the next [`flush`](Self::flush) when `work`
    /// says that nothing is lost by it and another send has just left.
    pub fn call_soon<T>(&self, bytes: usize, work: impl FnOnce(&mut Port, u64) -> (T, bool)) -> (T, Left) {
        let mut port = lock(&self.shared.port);
        let now = self.shared.now();
        let (result, may_wait) = work(&mut port, now);
        if may_wait && self.shared.held.admits(now, bytes) {
            let deadline = Next::of(port.engine()).deadline;
            drop(port);
            self.shared.rouse(deadline);
            return (result, Left::Later);
        }
        self.shared.held.sent(now);
        (result, Left::Now(self.shared.settle(port)))
    }

    /// Sends what waits, on this thread. Returns the socket's error, if any.
    pub fn flush(&self) -> Option<io::Error> {
        self.shared.flush()
    }

    /// Takes events; from now on new ones are told again.
    pub fn take_events(&self) -> Vec<u8> {
        self.call(|port, _| {
            self.shared.told_events.store(false, Ordering::Release);
            port.take_events()
        })
        .0
    }

    /// Takes deliveries; from now on new ones are told again.
    pub fn take_deliveries(&self, events: u32) -> Vec<u8> {
        self.shared.await_handling();
        self.call(|port, _| {
            self.shared.told_deliveries.store(false, Ordering::Release);
            port.take_deliveries(events)
        })
        .0
    }

    /// For who only wants to know whether there are events.
    pub fn eyes(&self) -> Eyes {
        Eyes(Arc::downgrade(&self.shared))
    }

    /// Looks without sending.
    pub fn look<T>(&self, work: impl FnOnce(&Port) -> T) -> T {
        work(&lock(&self.shared.port))
    }

    /// Changes something that causes no sending.
    pub fn set<T>(&self, work: impl FnOnce(&mut Port) -> T) -> T {
        work(&mut lock(&self.shared.port))
    }

    /// Monotonic microseconds of this node.
    pub fn now(&self) -> u64 {
        self.shared.now()
    }

    /// Datagrams that the socket refused.
    pub fn send_errors(&self) -> u64 {
        self.shared.send_errors.load(Ordering::Relaxed)
    }

    /// Says goodbye, stops the thread and closes the socket's last user. A second call does nothing.
    pub fn shutdown(&self) {
        let Some(thread) = lock(&self.thread).take() else {
            return;
        };
        *lock(&self.shared.wake) = None;
        self.shared.flush();
        let now = self.shared.now();
        lock(&self.shared.port).engine().shutdown(now);
        self.shared.flush();
        self.shared.stop.store(true, Ordering::Release);
        let _ = self.shared.waker.wake();
        let _ = thread.join();
        *self.shared.socket.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Drop for UdpNode {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// A single event above the path's packet size leaves in IP fragments, as it does from a 0.19.0 node; without this it would be lost.
#[cfg(target_os = "linux")]
fn allow_fragments(socket: &std::net::UdpSocket) {
    use std::os::fd::AsRawFd;
    let value: libc::c_int = libc::IP_PMTUDISC_DONT;
    for (level, name) in [
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
    ] {
        // SAFETY: the descriptor is open, and the value is an int of the stated size.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                level,
                name,
                std::ptr::from_ref(&value).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            );
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn allow_fragments(_: &std::net::UdpSocket) {}
