//! The filter language of the bus: compiled once, evaluated on the raw bytes of an event.
//!
//! An event is read in one pass that validates it as a whole (an event that is not JSON matches nothing) and notes where
//! the values of the filter's paths are; then the tests look at these bytes. No tree is built, and nothing is allocated
//! for an event once the [`Scratch`] has grown.
//!
//! ```
//! use meshring::filter::{Filter, Scratch};
//! let filter = Filter::parse(r#"{"$gte":{"path":"flight.delay","value":30}}"#)?;
//! let mut scratch = Scratch::default();
//! assert!(filter.matches_with(br#"{"flight":{"delay":30.0}}"#, &mut scratch));
//! assert!(!filter.matches_with(br#"{"flight":{"delay":"30"}}"#, &mut scratch));
//! # Ok::<(), meshring::filter::FilterError>(())
//! ```

mod eval;
mod glob;
mod json;
mod number;
mod parse;
mod path;
#[cfg(test)]
mod reference;
mod semver;
mod value;

pub use json::{is_json, MAX_DEPTH};

/// Why a text is not a filter. Displays the reason alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError(String);

impl std::fmt::Display for FilterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FilterError {}

/// Memory that evaluations reuse. Belongs to no particular filter.
#[derive(Default)]
pub struct Scratch {
    spans: Vec<path::Span>,
    text: Vec<u8>,
}

/// A compiled filter. Shared freely between threads.
pub struct Filter {
    paths: path::Paths,
    root: eval::Rule,
}

impl Filter {
    /// Compiles filter text: at most 1 MiB, nested at most 128 deep, at most 10000 operators.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parse::parse(text)
    }

    /// Whether the event matches. What is not wholly valid JSON matches nothing.
    pub fn matches(&self, event: &[u8]) -> bool {
        self.matches_with(event, &mut Scratch::default())
    }

    /// As [`Filter::matches`] with memory that is used again.
    #[inline]
    pub fn matches_with(&self, event: &[u8], scratch: &mut Scratch) -> bool {
        self.paths.scan(event, &mut scratch.spans, &mut scratch.text)
            && self.root.holds(event, &scratch.spans, &mut scratch.text)
    }

    /// Tests a packed batch: event `i` is `data[ends[i - 1]..ends[i]]`. One byte an event, 1 = matches; `None` when the
    /// ends are not ascending or lie behind the data.
    pub fn match_many(&self, data: &[u8], ends: &[u32], scratch: &mut Scratch) -> Option<Vec<u8>> {
        let mut start = 0;
        ends.iter()
            .map(|&end| {
                let event = data.get(start..end as usize)?;
                start = end as usize;
                Some(u8::from(self.matches_with(event, scratch)))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
