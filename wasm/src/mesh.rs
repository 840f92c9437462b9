//! The mesh engine for JavaScript, driven by its caller. Same names as the addon's class.

use meshring::engine::Publish;
use meshring::port::{parse_link, Call, Options, Port};
use meshring::stream::StreamConfig;
use wasm_bindgen::prelude::*;

/// See `RawMesh` in ts/src/backend/mesh.ts.
#[wasm_bindgen]
pub struct RawMesh(pub(crate) Port);

fn failed(text: &str) -> JsError {
    JsError::new(text)
}

fn key(bytes: &[u8]) -> Result<[u8; 32], JsError> {
    bytes.try_into().map_err(|_| failed("a key has 32 bytes"))
}

#[wasm_bindgen]
impl RawMesh {
    /// See the addon.
    #[wasm_bindgen(constructor)]
    pub fn new(now: f64, node_id: u64, keys: &[u8], options: &[f64]) -> Result<RawMesh, JsError> {
        let part = |n: usize| key(keys.get(32 * n..32 * n + 32).unwrap_or_default());
        let options = Options::from_numbers(options);
        Ok(Self(Port::new(
            now as u64,
            node_id,
            part(0)?,
            part(1)?,
            part(2)?,
            &options,
        )))
    }

    /// See the door.
    #[wasm_bindgen(js_name = publicKey)]
    pub fn public_key(&mut self) -> Vec<u8> {
        self.0.engine().public_key().to_vec()
    }

    /// See the door.
    pub fn start(&mut self, now: f64) {
        self.0.engine().start(now as u64);
    }

    /// See the door.
    pub fn shutdown(&mut self, now: f64) {
        self.0.engine().shutdown(now as u64);
    }

    /// See the door.
    pub fn connect(
        &mut self,
        now: f64,
        how: u32,
        link: &str,
        public_key: &[u8],
        peer: u64,
    ) -> Result<f64, JsError> {
        let how = match how {
            0 => Call::Auto,
            1 => Call::Via,
            2 => Call::Routed,
            _ => Call::Straight,
        };
        let begun = self
            .0
            .connect(now as u64, how, parse_link(link), key(public_key)?, peer);
        begun.map(|id| id as f64).map_err(failed)
    }

    /// See the door.
    pub fn accept(&mut self, now: f64, peer: u64, any: bool) -> Result<f64, JsError> {
        let begun = self.0.accept(now as u64, (!any).then_some(peer));
        begun.map(|id| id as f64).map_err(failed)
    }

    /// See the door.
    pub fn cancel(&mut self, _now: f64, handshake: f64) {
        self.0.engine().cancel(handshake as u64);
    }

    /// See the door.
    pub fn disconnect(&mut self, now: f64, peer: u64) -> bool {
        self.0.engine().disconnect(now as u64, peer)
    }

    /// See the door.
    #[wasm_bindgen(js_name = openStream)]
    pub fn open_stream(
        &mut self,
        now: f64,
        peer: u64,
        stream: u64,
        reliability: u32,
        window: u32,
        weight: u32,
    ) -> Result<u32, JsError> {
        let config = StreamConfig {
            reliability: meshring::port::reliability(reliability),
            window,
            weight: weight.min(255) as u8,
        };
        self.0
            .open_stream(now as u64, peer, stream, config)
            .map_err(failed)
    }

    /// See the door.
    #[wasm_bindgen(js_name = closeStream)]
    pub fn close_stream(&mut self, now: f64, peer: u64, stream: u64) {
        self.0.close_stream(now as u64, peer, stream);
    }

    /// See the door.
    #[allow(clippy::too_many_arguments)]
    pub fn send(
        &mut self,
        now: f64,
        handle: u32,
        frames: &[u8],
        length: u32,
        count: u32,
        partial: bool,
        channel_hash: u32,
        origin_hash: u32,
    ) -> Result<i32, JsError> {
        let frames = frames
            .get(..length as usize)
            .ok_or_else(|| failed("length beyond the frames"))?;
        let publish = Publish {
            channel_hash: channel_hash as u16,
            origin_hash,
            priority: 0,
        };
        Ok(self.0.send(now as u64, handle, frames, count, partial, publish))
    }

    /// See the door.
    #[wasm_bindgen(js_name = sendSoon)]
    pub fn send_soon(
        &mut self,
        now: f64,
        handle: u32,
        frames: &[u8],
        length: u32,
        count: u32,
        partial: bool,
    ) -> Result<i32, JsError> {
        let frames = frames
            .get(..length as usize)
            .ok_or_else(|| failed("length beyond the frames"))?;
        Ok(self.0.send_soon(now as u64, handle, frames, count, partial))
    }

    /// See the door.
    #[wasm_bindgen(js_name = sendBatch)]
    pub fn send_batch(&mut self, now: f64, handle: u32, data: &[u8], ends: &[u32], from: u32) -> i32 {
        self.0.send_batch(now as u64, handle, data, ends, from)
    }

    /// See the door.
    pub fn flushed(&self, handle: u32) -> i32 {
        self.0.flushed(handle)
    }

    /// See the door.
    #[wasm_bindgen(js_name = awaitRoom)]
    pub fn await_room(&mut self, now: f64, handle: u32, frames: u32) -> i32 {
        self.0.await_room(now as u64, handle, frames)
    }

    /// See the door.
    #[wasm_bindgen(js_name = sendTo)]
    pub fn send_to(
        &mut self,
        now: f64,
        peer: u64,
        subprotocol: u32,
        frames: &[u8],
        length: u32,
        count: u32,
    ) -> Result<i32, JsError> {
        let frames = frames
            .get(..length as usize)
            .ok_or_else(|| failed("length beyond the frames"))?;
        Ok(self
            .0
            .send_to(now as u64, peer, subprotocol as u16, frames, count))
    }

    /// See the door.
    #[wasm_bindgen(js_name = streamStats)]
    pub fn stream_stats(&self, peer: u64, stream: u64) -> Option<Vec<u64>> {
        self.0.stream_stats(peer, stream).map(|stats| stats.to_vec())
    }

    /// See the door.
    pub fn peers(&self) -> String {
        self.0.peers_json()
    }

    /// See the door.
    pub fn routes(&self) -> String {
        self.0.routes_json()
    }

    /// See the door.
    pub fn stats(&self) -> String {
        self.0.stats_json()
    }

    /// See the door.
    #[wasm_bindgen(js_name = peerCount)]
    pub fn peer_count(&mut self) -> u32 {
        self.0.engine().peer_count() as u32
    }

    /// See the door.
    #[wasm_bindgen(js_name = peerAt)]
    pub fn peer_at(&mut self, link: &str) -> Option<u64> {
        self.0.engine().peer_at(parse_link(link)?)
    }

    /// See the door.
    #[wasm_bindgen(js_name = discoveredNodes)]
    pub fn discovered_nodes(&mut self) -> u32 {
        self.0.engine().discovered_nodes() as u32
    }

    /// See the door.
    #[wasm_bindgen(js_name = isDrained)]
    pub fn is_drained(&mut self) -> bool {
        self.0.engine().is_drained()
    }

    /// See the door.
    #[wasm_bindgen(js_name = addRoute)]
    pub fn add_route(&mut self, now: f64, dest: u64, link: &str) -> Result<(), JsError> {
        let link = parse_link(link).ok_or_else(|| failed("bad-address"))?;
        self.0.engine().add_route(now as u64, dest, link);
        Ok(())
    }

    /// See the door.
    #[wasm_bindgen(js_name = learnRoute)]
    pub fn learn_route(&mut self, now: f64, dest: u64, link: &str, metric: u32) -> Result<(), JsError> {
        let link = parse_link(link).ok_or_else(|| failed("bad-address"))?;
        let metric = u16::try_from(metric).unwrap_or(u16::MAX);
        self.0.engine().learn_route(now as u64, dest, link, metric);
        Ok(())
    }

    /// See the door.
    #[wasm_bindgen(js_name = sendKeepAlive)]
    pub fn send_keep_alive(&mut self, now: f64, link: &str) -> Result<(), JsError> {
        let link = parse_link(link).ok_or_else(|| failed("bad-address"))?;
        self.0.engine().send_keep_alive(now as u64, link);
        Ok(())
    }

    /// See the door.
    #[wasm_bindgen(js_name = expectKeepAlive)]
    pub fn expect_keep_alive(&mut self, link: &str, sender: Option<u64>) -> bool {
        self.0.expect_keep_alive(link, sender)
    }

    /// See the door.
    #[wasm_bindgen(js_name = tryPath)]
    pub fn try_path(&mut self, now: f64, peer: u64, link: &str) -> Result<bool, JsError> {
        let link = parse_link(link).ok_or_else(|| failed("bad-address"))?;
        Ok(self.0.engine().try_path(now as u64, peer, link))
    }

    /// See the door.
    pub fn block(&mut self, link: &str, blocked: bool) -> Result<(), JsError> {
        let link = parse_link(link).ok_or_else(|| failed("bad-address"))?;
        if blocked {
            self.0.engine().block(link);
        } else {
            self.0.engine().unblock(link);
        }
        Ok(())
    }

    /// See the door.
    #[wasm_bindgen(js_name = takeEvents)]
    pub fn take_events(&mut self) -> Vec<u8> {
        self.0.take_events()
    }

    /// See the door.
    #[wasm_bindgen(js_name = takeDeliveries)]
    pub fn take_deliveries(&mut self, events: u32) -> Vec<u8> {
        self.0.take_deliveries(events)
    }

    /// See the door.
    #[wasm_bindgen(js_name = handleDatagram)]
    pub fn handle_datagram(&mut self, now: f64, link: &str, mut bytes: Vec<u8>) -> Result<(), JsError> {
        let link = parse_link(link).ok_or_else(|| failed("bad-address"))?;
        self.0.engine().handle_datagram(now as u64, link, &mut bytes);
        Ok(())
    }

    /// See the door.
    #[wasm_bindgen(js_name = handleTimeout)]
    pub fn handle_timeout(&mut self, now: f64) {
        self.0.engine().handle_timeout(now as u64);
    }

    /// See the door.
    #[wasm_bindgen(js_name = nextDeadline)]
    pub fn next_deadline(&mut self) -> f64 {
        self.0.engine().next_deadline().map_or(-1.0, |at| at as f64)
    }

    /// See the door.
    #[wasm_bindgen(js_name = takeTransmits)]
    pub fn take_transmits(&mut self, now: f64) -> Vec<u8> {
        self.0.take_transmits(now as u64)
    }

    /// See the door.
    #[wasm_bindgen(js_name = setWallClock)]
    pub fn set_wall_clock(&mut self, unix_us_at_zero: f64) {
        self.0.engine().set_wall_offset(unix_us_at_zero as u64);
    }
}
