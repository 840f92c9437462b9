//! Channels of the mesh engine for JavaScript. Same names as the addon's.

use crate::mesh::RawMesh;
use meshring::port::Fanout;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl RawMesh {
    /// See the door.
    #[wasm_bindgen(js_name = grantChannel)]
    pub fn grant_channel(&mut self, peer: u64, channel: &str) -> u32 {
        self.0.grant(peer, channel)
    }

    /// See the door.
    #[wasm_bindgen(js_name = revokeChannel)]
    pub fn revoke_channel(&mut self, peer: u64, channel: &str) -> bool {
        self.0.revoke(peer, channel)
    }

    /// See the door.
    #[allow(clippy::too_many_arguments)]
    pub fn publish(
        &mut self,
        now: f64,
        channel: u32,
        peers: &[u64],
        frames: &[u8],
        length: u32,
        count: u32,
        flags: u32,
        outcomes: &mut [i8],
    ) -> Result<u32, JsError> {
        let fanout = Fanout::new(channel, peers, frames, length, count, flags)
            .ok_or_else(|| JsError::new("length beyond the frames"))?;
        Ok(self.0.publish(now as u64, &fanout, outcomes))
    }

    /// See the door.
    pub fn identify(&mut self, subnet: u32, origin_hash: u32) {
        self.0.identify(subnet, origin_hash);
    }

    /// See the door.
    #[wasm_bindgen(js_name = expectChannel)]
    pub fn expect_channel(&mut self, publisher: u64, stream: u64, tag: u32) -> bool {
        self.0.expect(publisher, stream, tag)
    }

    /// See the door.
    #[wasm_bindgen(js_name = forgetChannel)]
    pub fn forget_channel(&mut self, publisher: u64, stream: u64) -> bool {
        self.0.forget(publisher, stream)
    }

    /// See the door.
    #[wasm_bindgen(js_name = dropUnsolicited)]
    pub fn drop_unsolicited(&mut self, drops: bool) {
        self.0.drop_unsolicited(drops);
    }

    /// See the door.
    #[wasm_bindgen(js_name = setGateway)]
    pub fn set_gateway(&mut self, on: bool, denies_unknown: bool) {
        self.0.set_gateway(on, denies_unknown);
    }

    /// See the door.
    #[wasm_bindgen(js_name = gatewayRule)]
    pub fn gateway_rule(&mut self, channel_hash: u32, visibility: u32, exports: &[u32]) {
        self.0.gateway_rule(channel_hash as u16, visibility, exports);
    }

    /// See the door.
    #[wasm_bindgen(js_name = gatewaySubnet)]
    pub fn gateway_subnet(&mut self, node: u64, subnet: Option<u32>) {
        self.0.gateway_subnet(node, subnet);
    }
}
