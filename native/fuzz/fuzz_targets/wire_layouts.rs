//! Every fixed layout: what decodes encodes to the same bytes (where nothing is dropped by design).
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshring::packet::control::Control;
use meshring::packet::{classify, Features, Frames, Grant, Header, KeepAlive, Nack, Pingwave, RouteHeader};

fuzz_target!(|data: &[u8]| {
    let _ = classify(data);
    if let Ok(header) = Header::decode(data) {
        let mut out = [0; 64];
        header.encode(&mut out);
        assert_eq!(out, data[..64]);
    }
    if let Some(route) = RouteHeader::decode(data) {
        let out = route.encode();
        assert_eq!((&out[..4], &out[5..]), (&data[..4], &data[5..18]));
        assert!(route.forwarded().is_none_or(|next| next.ttl < route.ttl));
    }
    if let Some(wave) = Pingwave::decode(data) {
        assert_eq!(Pingwave::decode(&wave.encode()), Some(wave));
    }
    if let Some(beat) = KeepAlive::decode(data) {
        assert_eq!(beat.encode(), data);
    }
    if let Some(grant) = Grant::decode(data) {
        assert_eq!(grant.encode(), data);
    }
    if let Some(nack) = Nack::decode(data) {
        assert_eq!(nack.encode(), data);
        let _ = nack.sequences().count();
    }
    if let Some(message) = Control::decode(data) {
        let mut out = Vec::new();
        message.encode(&mut out);
        assert_eq!(Control::decode(&out), Some(message));
    }
    let _ = Features::ALL.agree(data);
    let (count, used) = Frames::extent(data, u16::MAX);
    assert!(used <= data.len() && Frames::new(data, u16::MAX).count() == usize::from(count));
});
