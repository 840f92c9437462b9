//! A member of the mesh who seals whatever it likes: never panics, and memory stays bounded by the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshring::crypto::Key;
use meshring::engine::{Config, Engine, Link};
use meshring::noise::{mesh_prologue, Initiator, Role, SessionSecrets};
use meshring::packet::{flags, Features, Header, RouteHeader, HEADER_LEN, ROUTE_LEN};
use meshring::session::Session;

const LINK: Link = Link::Channel(1);

fn join(engine: &mut Engine, extended: bool) -> Option<Session> {
    let mut message = Vec::new();
    let mut payload = 9u64.to_le_bytes().to_vec();
    if extended {
        payload.extend_from_slice(&Features::ALL.encode());
    }
    let key = *engine.public_key();
    let psk = Key::from([1; 32]);
    let call = Initiator::start(Some(&psk), &mesh_prologue(9, 7), &key, Key::from([5; 32]), &payload, &mut message).ok()?;
    let mut bytes = RouteHeader { ttl: 16, src: 9, dest: 7, ..RouteHeader::default() }.encode().to_vec();
    let mut head = [0; HEADER_LEN];
    Header { flags: flags::HANDSHAKE, ..Header::default() }.encode(&mut head);
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(&message);
    engine.handle_datagram(1, LINK, &mut bytes);
    let answer = engine.poll_transmit(1)?;
    let (outcome, payload) = call.finish(&answer.bytes[ROUTE_LEN + HEADER_LEN..]).ok()?;
    let features = Features::ALL.agree(&payload);
    let secrets = match features {
        Some(_) => SessionSecrets::forward_secret(&outcome, Role::Initiator),
        None => SessionSecrets::transcript(&outcome, Role::Initiator),
    };
    Some(Session::new(&secrets, features))
}

fuzz_target!(|data: &[u8]| {
    let Some((first, mut rest)) = data.split_first() else { return };
    let config = Config::new(7, Key::from([1; 32]), Key::from([2; 32]));
    let mut engine = Engine::new(config, [3; 32], 0);
    engine.start(0);
    let Some(mut session) = join(&mut engine, first & 1 == 1) else { return };
    let mut now = 1;
    // 24 bytes of header fields, one of length, then the plaintext.
    while rest.len() > 25 {
        let (head, after) = rest.split_at(25);
        let (payload, after) = after.split_at(after.len().min(usize::from(head[24])));
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap_or_default());
        let header = Header {
            flags: head[0],
            subprotocol_id: [0, 0x0b00, 0x0b01, 0x0a00, 0x7777][usize::from(head[1] % 5)],
            stream_id: if head[1] & 0x80 != 0 { number(8) } else { u64::from(head[2] % 4) },
            sequence: if head[1] & 0x40 != 0 { number(16) } else { u64::from(head[3]) },
            fragment_id: u16::from(head[4]),
            fragment_offset: u16::from(head[5] & 1),
            event_count: u16::from(head[6]),
            ..Header::default()
        };
        let mut bytes = Vec::new();
        session.seal(header, payload, &mut bytes);
        now += u64::from(head[7]) * 100_000;
        engine.handle_datagram(now, Link::Channel(1 + u64::from(head[5] >> 7)), &mut bytes);
        engine.handle_timeout(now);
        while let Some(transmit) = engine.poll_transmit(now) {
            engine.recycle(transmit.bytes);
        }
        while engine.poll_event().is_some() {}
        rest = after;
    }
    assert!(engine.peer_count() <= 1);
});
