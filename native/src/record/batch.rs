//! A batch of events as it crosses from TypeScript: packed bytes, end offsets, time stamps.

use std::ops::Range;

/// Events of one shard, packed: event `i` ends at `ends[i]` in `data`.
pub struct Batch<'a> {
    data: &'a [u8],
    ends: &'a [u32],
    timestamps: &'a [u64],
    /// Shard of every event.
    pub shard: u16,
}

impl<'a> Batch<'a> {
    /// Checks that the columns fit each other; the error says what does not.
    pub fn new(
        data: &'a [u8],
        ends: &'a [u32],
        timestamps: &'a [u64],
        shard: u16,
    ) -> Result<Self, &'static str> {
        if ends.len() != timestamps.len() {
            return Err("batch: as many ends as timestamps are needed");
        }
        if !ends.is_sorted() || ends.last().is_some_and(|&end| end as usize > data.len()) {
            return Err("batch: ends must ascend and lie inside the data");
        }
        Ok(Self {
            data,
            ends,
            timestamps,
            shard,
        })
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes and time stamps of the events in `range` (cut to the batch), with their index in the batch.
    pub fn events(&self, range: Range<usize>) -> impl Iterator<Item = (usize, &'a [u8], u64)> + use<'a> {
        let (data, ends, timestamps) = (self.data, self.ends, self.timestamps);
        (range.start.min(ends.len())..range.end.min(ends.len())).map(move |i| {
            let start = if i == 0 { 0 } else { ends[i - 1] };
            (i, &data[start as usize..ends[i] as usize], timestamps[i])
        })
    }

    /// Bytes of the events in `range`.
    pub fn bytes(&self, range: Range<usize>) -> usize {
        self.events(range).map(|(_, event, _)| event.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_columns_that_do_not_fit() {
        assert!(Batch::new(b"ab", &[1, 2], &[1], 0).is_err());
        assert!(Batch::new(b"ab", &[2, 1], &[1, 1], 0).is_err());
        assert!(Batch::new(b"ab", &[1, 3], &[1, 1], 0).is_err());
    }

    #[test]
    fn walks_a_part() {
        let batch = Batch::new(b"abbccc", &[1, 3, 3, 6], &[1, 2, 3, 4], 0).unwrap();
        let part: Vec<_> = batch.events(1..9).collect();
        assert_eq!(part, [(1, &b"bb"[..], 2), (2, &b""[..], 3), (3, &b"ccc"[..], 4)]);
        assert_eq!(batch.bytes(0..3), 3);
    }
}
