//! Event frames: the plaintext of a packet is `length u32 ‖ bytes`, again and again.

/// Bytes in front of each event.
pub const FRAME_PREFIX: usize = 4;

/// Appends one event.
#[inline]
pub fn put_frame(out: &mut Vec<u8>, event: &[u8]) {
    out.extend_from_slice(&(event.len() as u32).to_le_bytes());
    out.extend_from_slice(event);
}

/// Reads at most `count` events. Ends quietly at the first frame that does not fit; bytes behind the last are ignored.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Frames<'a> {
    /// A reader over a packet's plaintext.
    pub fn new(payload: &'a [u8], count: u16) -> Self {
        Self {
            rest: payload,
            left: usize::from(count),
        }
    }

    /// Number of whole frames and the bytes they take.
    pub fn extent(payload: &'a [u8], count: u16) -> (u16, usize) {
        let mut frames = Self::new(payload, count);
        let mut whole = 0;
        while frames.next().is_some() {
            whole += 1;
        }
        (whole, payload.len() - frames.rest.len())
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.left == 0 {
            return None;
        }
        let (prefix, rest) = self.rest.split_first_chunk::<FRAME_PREFIX>()?;
        let length = u32::from_le_bytes(*prefix) as usize;
        let (event, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        self.left -= 1;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(events in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..30)) {
            let mut bytes = Vec::new();
            for event in &events {
                put_frame(&mut bytes, event);
            }
            let read: Vec<_> = Frames::new(&bytes, events.len() as u16).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(read, events);
        }

        #[test]
        fn any_bytes_end_within_bounds(bytes: Vec<u8>, count: u16) {
            let (whole, used) = Frames::extent(&bytes, count);
            prop_assert!(whole <= count && used <= bytes.len());
            prop_assert_eq!(Frames::new(&bytes, count).count(), usize::from(whole));
        }
    }

    #[test]
    fn reading_stops_as_the_peer_stops() {
        let read = |bytes: &[u8], count| Frames::new(bytes, count).map(<[u8]>::to_vec).collect::<Vec<_>>();
        let two = [1, 0, 0, 0, b'a', 1, 0, 0, 0, b'b'];
        assert_eq!(read(&two, 1), [b"a"]);
        assert_eq!(read(&two, 5), [b"a", b"b"]);
        assert_eq!(read(&two, 0), Vec::<Vec<u8>>::new());
        assert_eq!(read(&[5, 0, 0, 0, b'a'], 1), Vec::<Vec<u8>>::new());
        assert_eq!(read(&[2, 0, 0, 0, b'o', b'k', 9, 0, 0, 0, 1], 2), [b"ok"]);
        assert_eq!(read(&[1, 0, 0], 1), Vec::<Vec<u8>>::new());
        assert_eq!(read(&[0, 0, 0, 0], 1), [b""]);
        assert_eq!(read(&[255, 255, 255, 255, 1], 1), Vec::<Vec<u8>>::new());
    }
}
