//! Frames of a staging ring from hostile bytes and positions: every payload lies within the data, positions only move
//! forward, and a walk ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshring::bus::ring::Frames;

fuzz_target!(|input: &[u8]| {
    let Some((positions, bytes)) = input.split_first_chunk::<8>() else {
        return;
    };
    let [a, b, c, d, e, f, g, h] = *positions;
    let from = u32::from_le_bytes([a, b, c, d]);
    let span = u32::from_le_bytes([e, f, g, h]);
    let mut data = bytes.to_vec();
    data.resize(bytes.len().next_power_of_two().clamp(64, 1 << 16), 0xff);
    let range = data.as_ptr_range();
    // Also spans that are not longer than the data, which alone are taken.
    for span in [span, span % (data.len() as u32 + 1)] {
        let to = from.wrapping_add(span);
        let mut frames = Frames::over(&data, from, to);
        let mut at = 0;
        let mut count = 0;
        while let Some(frame) = frames.next() {
            let payload = frame.raw.as_ptr_range();
            assert!(range.start <= payload.start && payload.end <= range.end);
            let moved = frames.position().wrapping_sub(from);
            assert!(moved > at && moved as usize <= data.len());
            assert!(frame.raw.len() + 4 <= (moved - at) as usize);
            at = moved;
            count += 1;
            assert!(count <= data.len() / 4);
        }
    }
});
