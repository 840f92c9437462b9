//! What a datagram is, by length and magic, in the order of 20 §2.

use super::{Header, KeepAlive, Pingwave, RouteHeader, HEADER_LEN, MAX_PACKET, ROUTE_LEN};

/// A datagram, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// Opens a NAT.
    KeepAlive(KeepAlive),
    /// A beacon.
    Pingwave(Pingwave),
    /// A packet behind a routing header.
    Routed(RouteHeader),
    /// A packet.
    Direct(Header),
}

/// Classifies a datagram; `None` is dropped without an answer.
pub fn classify(bytes: &[u8]) -> Option<Datagram> {
    if let Some(keep_alive) = KeepAlive::decode(bytes) {
        return Some(Datagram::KeepAlive(keep_alive));
    }
    if let Some(pingwave) = Pingwave::decode(bytes) {
        return Some(Datagram::Pingwave(pingwave));
    }
    if let Some(route) = RouteHeader::decode(bytes) {
        return (bytes.len() <= ROUTE_LEN + MAX_PACKET).then_some(Datagram::Routed(route));
    }
    if bytes.len() < HEADER_LEN || bytes.len() > MAX_PACKET {
        return None;
    }
    Header::decode(bytes).ok().map(Datagram::Direct)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_classified_without_panic(mut bytes: Vec<u8>, magic in prop::sample::select(vec![0x4e45u16, 0x5452, 0x4850, 0])) {
            let _ = classify(&bytes);
            if bytes.len() >= 2 {
                bytes[..2].copy_from_slice(&magic.to_le_bytes());
                let _ = classify(&bytes);
            }
            for length in [14, 63, 64, 72, 81, 82] {
                bytes.resize(length, 1);
                let _ = classify(&bytes);
            }
        }
    }

    #[test]
    fn a_direct_packet_of_72_bytes_is_no_pingwave() {
        let mut bytes = [0; 72];
        let mut header = [0; 64];
        Header {
            payload_len: 8,
            ..Header::default()
        }
        .encode(&mut header);
        bytes[..64].copy_from_slice(&header);
        assert!(matches!(classify(&bytes), Some(Datagram::Direct(_))));
    }

    #[test]
    fn more_than_8192_bytes_are_refused() {
        let mut bytes = vec![0; 8193];
        let mut header = [0; 64];
        Header::default().encode(&mut header);
        bytes[..64].copy_from_slice(&header);
        assert_eq!(classify(&bytes), None);
        assert!(classify(&bytes[..8192]).is_some());
    }
}
