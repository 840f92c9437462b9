//! The mesh engine for JavaScript: with its own UDP socket and thread, or driven by the caller.

use crate::driver::udp::{Left, UdpNode};
use crate::engine::Publish;
use crate::port::{parse_link, refused, Call, Options, Port, WAITS};
use crate::stream::StreamConfig;
use napi::bindgen_prelude::{
    BigInt, BigUint64Array, Buffer, BufferSlice, Env, Error, Function, Result, Status, Uint32Array,
    Uint8Array,
};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Longest batch that is copied into memory of JavaScript.
const COPIED: usize = 16 << 10;

pub(super) enum Inner {
    Udp(UdpNode),
    Driven(Box<Mutex<Port>>),
}

/// See `RawMesh` in ts/src/backend/mesh.ts.
#[napi]
pub struct RawMesh {
    pub(super) inner: Inner,
    pub(super) socket_error: Mutex<Option<String>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn failed(text: impl Into<String>) -> Error {
    Error::new(Status::GenericFailure, text.into())
}

fn key(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes
        .try_into()
        .map_err(|_| Error::new(Status::InvalidArg, "a key has 32 bytes"))
}

pub(super) fn id(value: &BigInt) -> Result<u64> {
    match value.get_u64() {
        (false, value, true) => Ok(value),
        _ => Err(Error::new(Status::InvalidArg, "a 64-bit number is needed")),
    }
}

#[allow(clippy::needless_pass_by_value)]
#[napi]
impl RawMesh {
    /// An engine without socket: `keys` = psk, secret, seed (32 bytes each); `options` see [`Options`].
    #[napi(constructor)]
    pub fn new(now: f64, node_id: BigInt, keys: Uint8Array, options: Vec<f64>) -> Result<Self> {
        let port = make(now as u64, &node_id, &keys, &options)?;
        Ok(Self {
            inner: Inner::Driven(Box::new(Mutex::new(port))),
            socket_error: Mutex::new(None),
        })
    }

    /// An engine with a UDP socket and a thread of its own.
    #[napi(factory, catch_unwind)]
    pub fn listen(address: String, node_id: BigInt, keys: Uint8Array, options: Vec<f64>) -> Result<Self> {
        let address = address.parse().map_err(|_| failed("bad-address"))?;
        let port = make(0, &node_id, &keys, &options)?;
        let node = UdpNode::bind(address, |_| port).map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            inner: Inner::Udp(node),
            socket_error: Mutex::new(None),
        })
    }

    fn call<T>(&self, now: f64, work: impl FnOnce(&mut Port, u64) -> T) -> T {
        match &self.inner {
            Inner::Udp(node) => node.call(work).0,
            Inner::Driven(port) => work(&mut lock(port), now as u64),
        }
    }

    /// As `call`, for sends: a socket that refused what this call caused is told in place of the count.
    fn call_send(&self, now: f64, work: impl FnOnce(&mut Port, u64) -> i32) -> i32 {
        match &self.inner {
            Inner::Udp(node) => match node.call(work) {
                (count, Some(error)) if count >= 0 => {
                    *lock(&self.socket_error) = Some(error.to_string());
                    refused::SOCKET
                }
                (count, _) => count,
            },
            Inner::Driven(port) => work(&mut lock(port), now as u64),
        }
    }

    /// Changes a table; nothing is sent by it.
    pub(super) fn set<T>(&self, work: impl FnOnce(&mut Port) -> T) -> T {
        match &self.inner {
            Inner::Udp(node) => node.set(work),
            Inner::Driven(port) => work(&mut lock(port)),
        }
    }

    fn look<T>(&self, work: impl FnOnce(&Port) -> T) -> T {
        match &self.inner {
            Inner::Udp(node) => node.look(work),
            Inner::Driven(port) => work(&lock(port)),
        }
    }

    fn driven(&self) -> Result<MutexGuard<'_, Port>> {
        match &self.inner {
            Inner::Udp(_) => Err(failed("this engine has its own socket")),
            Inner::Driven(port) => Ok(lock(port)),
        }
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn local_address(&self) -> Option<String> {
        match &self.inner {
            Inner::Udp(node) => Some(node.local_address().to_string()),
            Inner::Driven(_) => None,
        }
    }

    /// See the door.
    #[napi]
    pub fn on_wake(&self, callback: Function<'_, bool, ()>) -> Result<()> {
        let Inner::Udp(node) = &self.inner else {
            return Err(failed("this engine is driven by its caller"));
        };
        // Looked up when the call runs, so that calls which the full queue refuses are not missed.
        let eyes = node.eyes();
        let call = callback
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .max_queue_size::<4>()
            .build_callback(move |_| Ok(eyes.has_events()))?;
        node.on_wake(Box::new(move || {
            call.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }));
        Ok(())
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn now(&self) -> f64 {
        match &self.inner {
            Inner::Udp(node) => node.now() as f64,
            Inner::Driven(_) => 0.0,
        }
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn socket_error(&self) -> Option<String> {
        lock(&self.socket_error).take()
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn public_key(&self) -> Buffer {
        self.call(0.0, |port, _| port.engine().public_key().to_vec())
            .into()
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn start(&self, now: f64) {
        self.call(now, |port, now| port.engine().start(now));
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn shutdown(&self, now: f64) {
        match &self.inner {
            Inner::Udp(node) => node.shutdown(),
            Inner::Driven(port) => lock(port).engine().shutdown(now as u64),
        }
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn connect(
        &self,
        now: f64,
        how: u32,
        link: String,
        public_key: Uint8Array,
        peer: BigInt,
    ) -> Result<f64> {
        let (public_key, peer) = (key(&public_key)?, id(&peer)?);
        let how = call_kind(how);
        let begun = self.call(now, |port, now| {
            port.connect(now, how, parse_link(&link), public_key, peer)
        });
        begun.map(|id| id as f64).map_err(failed)
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn accept(&self, now: f64, peer: BigInt, any: bool) -> Result<f64> {
        let peer = id(&peer)?;
        let begun = self.call(now, |port, now| port.accept(now, (!any).then_some(peer)));
        begun.map(|id| id as f64).map_err(failed)
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn cancel(&self, now: f64, handshake: f64) {
        self.call(now, |port, _| port.engine().cancel(handshake as u64));
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn disconnect(&self, now: f64, peer: BigInt) -> Result<bool> {
        let peer = id(&peer)?;
        // What was taken leaves before the goodbye.
        self.flush();
        Ok(self.call(now, |port, now| port.engine().disconnect(now, peer)))
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn open_stream(
        &self,
        now: f64,
        peer: BigInt,
        stream: BigInt,
        reliability: u32,
        window: u32,
        weight: u32,
    ) -> Result<u32> {
        let (peer, stream) = (id(&peer)?, id(&stream)?);
        let config = StreamConfig {
            reliability: crate::port::reliability(reliability),
            window,
            weight: weight.min(255) as u8,
        };
        self.call(now, |port, now| port.open_stream(now, peer, stream, config))
            .map_err(failed)
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn close_stream(&self, now: f64, peer: BigInt, stream: BigInt) -> Result<()> {
        let (peer, stream) = (id(&peer)?, id(&stream)?);
        self.call(now, |port, now| port.close_stream(now, peer, stream));
        Ok(())
    }

    /// See the door.
    #[napi(catch_unwind)]
    #[allow(clippy::too_many_arguments)]
    pub fn send(
        &self,
        now: f64,
        handle: u32,
        frames: Uint8Array,
        length: u32,
        count: u32,
        partial: bool,
        channel_hash: u32,
        origin_hash: u32,
    ) -> Result<i32> {
        let frames = frames
            .get(..length as usize)
            .ok_or_else(|| failed("length beyond the frames"))?;
        let publish = Publish {
            channel_hash: channel_hash as u16,
            origin_hash,
            priority: 0,
        };
        Ok(self.call_send(now, |port, now| {
            port.send(now, handle, frames, count, partial, publish)
        }))
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn send_soon(
        &self,
        now: f64,
        handle: u32,
        frames: &[u8],
        length: u32,
        count: u32,
        partial: bool,
    ) -> Result<i32> {
        let frames = frames
            .get(..length as usize)
            .ok_or_else(|| failed("length beyond the frames"))?;
        match &self.inner {
            Inner::Udp(node) => {
                let (sent, left) = node.call_soon(frames.len(), |port, now| {
                    let sent = port.send_soon(now, handle, frames, count, partial);
                    (sent, sent >= WAITS)
                });
                Ok(match left {
                    Left::Now(Some(error)) if (0..WAITS).contains(&sent) => {
                        *lock(&self.socket_error) = Some(error.to_string());
                        refused::SOCKET
                    }
                    // What is kept goes again by itself; told as an error, the caller would send it twice.
                    Left::Now(_) if sent >= WAITS => sent - WAITS,
                    _ => sent,
                })
            }
            Inner::Driven(port) => Ok(lock(port).send_soon(now as u64, handle, frames, count, partial)),
        }
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn flush(&self) {
        if let Inner::Udp(node) = &self.inner {
            node.flush();
        }
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn send_batch(&self, now: f64, handle: u32, data: Uint8Array, ends: Uint32Array, from: u32) -> i32 {
        self.call(now, |port, now| port.send_batch(now, handle, &data, &ends, from))
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn flushed(&self, handle: u32) -> i32 {
        self.look(|port| port.flushed(handle))
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn await_room(&self, now: f64, handle: u32, frames: u32) -> i32 {
        self.call(now, |port, now| port.await_room(now, handle, frames))
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn send_to(
        &self,
        now: f64,
        peer: BigInt,
        subprotocol: u32,
        frames: Uint8Array,
        length: u32,
        count: u32,
    ) -> Result<i32> {
        let peer = id(&peer)?;
        let frames = frames
            .get(..length as usize)
            .ok_or_else(|| failed("length beyond the frames"))?;
        Ok(self.call_send(now, |port, now| {
            port.send_to(now, peer, subprotocol as u16, frames, count)
        }))
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn stream_stats(&self, peer: BigInt, stream: BigInt) -> Result<Option<BigUint64Array>> {
        let (peer, stream) = (id(&peer)?, id(&stream)?);
        Ok(self
            .look(|port| port.stream_stats(peer, stream))
            .map(|stats| stats.to_vec().into()))
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn peers(&self) -> String {
        self.look(Port::peers_json)
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn routes(&self) -> String {
        self.look(Port::routes_json)
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> String {
        self.look(Port::stats_json)
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn peer_count(&self) -> u32 {
        self.call(0.0, |port, _| port.engine().peer_count() as u32)
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn peer_at(&self, link: String) -> Option<BigInt> {
        let link = parse_link(&link)?;
        self.call(0.0, |port, _| port.engine().peer_at(link))
            .map(BigInt::from)
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn discovered_nodes(&self) -> u32 {
        self.call(0.0, |port, _| port.engine().discovered_nodes() as u32)
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn is_drained(&self) -> bool {
        self.call(0.0, |port, _| port.engine().is_drained())
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn add_route(&self, now: f64, dest: BigInt, link: String) -> Result<()> {
        let (dest, link) = (
            id(&dest)?,
            parse_link(&link).ok_or_else(|| failed("bad-address"))?,
        );
        self.call(now, |port, now| port.engine().add_route(now, dest, link));
        Ok(())
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn learn_route(&self, now: f64, dest: BigInt, link: String, metric: u32) -> Result<()> {
        let (dest, link) = (
            id(&dest)?,
            parse_link(&link).ok_or_else(|| failed("bad-address"))?,
        );
        let metric = u16::try_from(metric).unwrap_or(u16::MAX);
        self.call(now, |port, now| {
            port.engine().learn_route(now, dest, link, metric)
        });
        Ok(())
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn send_keep_alive(&self, now: f64, link: String) -> Result<()> {
        let link = parse_link(&link).ok_or_else(|| failed("bad-address"))?;
        self.call(now, |port, now| port.engine().send_keep_alive(now, link));
        Ok(())
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn expect_keep_alive(&self, link: String, sender: Option<BigInt>) -> Result<bool> {
        let sender = sender.as_ref().map(id).transpose()?;
        Ok(self.call(0.0, |port, _| port.expect_keep_alive(&link, sender)))
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn try_path(&self, now: f64, peer: BigInt, link: String) -> Result<bool> {
        let (peer, link) = (
            id(&peer)?,
            parse_link(&link).ok_or_else(|| failed("bad-address"))?,
        );
        Ok(self.call(now, |port, now| port.engine().try_path(now, peer, link)))
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn block(&self, link: String, blocked: bool) -> Result<()> {
        let link = parse_link(&link).ok_or_else(|| failed("bad-address"))?;
        self.call(0.0, |port, _| {
            if blocked {
                port.engine().block(link);
            } else {
                port.engine().unblock(link);
            }
        });
        Ok(())
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn take_events(&self) -> Buffer {
        match &self.inner {
            Inner::Udp(node) => node.take_events(),
            Inner::Driven(port) => lock(port).take_events(),
        }
        .into()
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn take_deliveries<'env>(&self, env: &'env Env, events: u32) -> Result<BufferSlice<'env>> {
        let taken = match &self.inner {
            Inner::Udp(node) => node.take_deliveries(events),
            Inner::Driven(port) => lock(port).take_deliveries(events),
        };
        // Below some pages a copy costs less than memory that JavaScript has to give back.
        if taken.len() <= COPIED {
            BufferSlice::copy_from(env, taken)
        } else {
            BufferSlice::from_data(env, taken)
        }
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn handle_datagram(&self, now: f64, link: String, mut bytes: Uint8Array) -> Result<()> {
        let link = parse_link(&link).ok_or_else(|| failed("bad-address"))?;
        // SAFETY: the caller hands the bytes over and does not look at them again.
        let bytes = unsafe { bytes.as_mut() };
        self.driven()?.engine().handle_datagram(now as u64, link, bytes);
        Ok(())
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn handle_timeout(&self, now: f64) -> Result<()> {
        self.driven()?.engine().handle_timeout(now as u64);
        Ok(())
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn next_deadline(&self) -> Result<f64> {
        Ok(self
            .driven()?
            .engine()
            .next_deadline()
            .map_or(-1.0, |at| at as f64))
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn take_transmits(&self, now: f64) -> Result<Buffer> {
        Ok(self.driven()?.take_transmits(now as u64).into())
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn set_wall_clock(&self, unix_us_at_zero: f64) -> Result<()> {
        self.driven()?.engine().set_wall_offset(unix_us_at_zero as u64);
        Ok(())
    }
}

fn call_kind(how: u32) -> Call {
    match how {
        0 => Call::Auto,
        1 => Call::Via,
        2 => Call::Routed,
        _ => Call::Straight,
    }
}

fn make(now: u64, node_id: &BigInt, keys: &[u8], options: &[f64]) -> Result<Port> {
    let node_id = id(node_id)?;
    let part = |n: usize| key(keys.get(32 * n..32 * n + 32).unwrap_or_default());
    let options = Options::from_numbers(options);
    Ok(Port::new(now, node_id, part(0)?, part(1)?, part(2)?, &options))
}
