//! Channels of the mesh engine for JavaScript.

use super::mesh::{failed, id, lock, Inner, RawMesh};
use crate::port::Fanout;
use napi::bindgen_prelude::{BigInt, Int8ArraySlice, Result};
use napi_derive::napi;

#[allow(clippy::needless_pass_by_value)]
#[napi]
impl RawMesh {
    /// See the door.
    #[napi(catch_unwind)]
    pub fn grant_channel(&self, peer: BigInt, channel: String) -> Result<u32> {
        let peer = id(&peer)?;
        Ok(self.set(|port| port.grant(peer, &channel)))
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn revoke_channel(&self, peer: BigInt, channel: String) -> Result<bool> {
        let peer = id(&peer)?;
        Ok(self.set(|port| port.revoke(peer, &channel)))
    }

    /// See the door.
    #[napi(catch_unwind)]
    #[allow(clippy::too_many_arguments)]
    pub fn publish(
        &self,
        now: f64,
        channel: u32,
        peers: &[u64],
        frames: &[u8],
        length: u32,
        count: u32,
        flags: u32,
        mut outcomes: Int8ArraySlice<'_>,
    ) -> Result<u32> {
        // SAFETY: JavaScript does not run during the call, and the other arrays are of other types.
        let outcomes = unsafe { outcomes.as_mut() };
        let fanout = Fanout::new(channel, peers, frames, length, count, flags)
            .ok_or_else(|| failed("length beyond the frames"))?;
        match &self.inner {
            Inner::Udp(node) => match node.call(|port, now| port.publish(now, &fanout, outcomes)) {
                (_, Some(error)) => {
                    *lock(&self.socket_error) = Some(error.to_string());
                    Ok(node.set(|port| port.mark_unsent(peers, outcomes)))
                }
                (sent, None) => Ok(sent),
            },
            Inner::Driven(port) => Ok(lock(port).publish(now as u64, &fanout, outcomes)),
        }
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn identify(&self, subnet: u32, origin_hash: u32) {
        self.set(|port| port.identify(subnet, origin_hash));
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn expect_channel(&self, publisher: BigInt, stream: BigInt, tag: u32) -> Result<bool> {
        let (publisher, stream) = (id(&publisher)?, id(&stream)?);
        Ok(self.set(|port| port.expect(publisher, stream, tag)))
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn forget_channel(&self, publisher: BigInt, stream: BigInt) -> Result<bool> {
        let (publisher, stream) = (id(&publisher)?, id(&stream)?);
        Ok(self.set(|port| port.forget(publisher, stream)))
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn drop_unsolicited(&self, drops: bool) {
        self.set(|port| port.drop_unsolicited(drops));
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn set_gateway(&self, on: bool, denies_unknown: bool) {
        self.set(|port| port.set_gateway(on, denies_unknown));
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn gateway_rule(&self, channel_hash: u32, visibility: u32, exports: &[u32]) {
        self.set(|port| port.gateway_rule(channel_hash as u16, visibility, exports));
    }

    /// See the door.
    #[napi(catch_unwind)]
    pub fn gateway_subnet(&self, node: BigInt, subnet: Option<u32>) -> Result<()> {
        let node = id(&node)?;
        self.set(|port| port.gateway_subnet(node, subnet));
        Ok(())
    }
}
