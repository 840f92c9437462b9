//! Filters for JavaScript.

use crate::filter::{self, Scratch};
use napi::bindgen_prelude::{Buffer, Error, Result, Status};
use napi_derive::napi;

/// A compiled filter.
#[napi(js_name = "Filter")]
pub struct FilterJs {
    filter: filter::Filter,
    scratch: Scratch,
}

impl FilterJs {
    /// The core's filter, for doors that scan in Rust.
    pub fn core(&self) -> &filter::Filter {
        &self.filter
    }
}

#[napi]
impl FilterJs {
    /// Compiles a text; the message of the error is the reason alone.
    #[napi(constructor, catch_unwind)]
    pub fn new(text: String) -> Result<Self> {
        let filter = filter::Filter::parse(&text)
            .map_err(|error| Error::new(Status::GenericFailure, error.to_string()))?;
        Ok(Self {
            filter,
            scratch: Scratch::default(),
        })
    }

    /// Whether the event matches.
    #[napi(catch_unwind)]
    pub fn matches(&mut self, event: &[u8]) -> bool {
        self.filter.matches_with(event, &mut self.scratch)
    }

    /// Tests a packed batch; one byte an event, 1 = matches.
    #[napi(catch_unwind)]
    pub fn match_many(&mut self, data: &[u8], ends: &[u32]) -> Result<Buffer> {
        match self.filter.match_many(data, ends, &mut self.scratch) {
            Some(marks) => Ok(marks.into()),
            None => Err(Error::new(
                Status::InvalidArg,
                "matchMany: ends must ascend and lie within data",
            )),
        }
    }
}

/// Whether `bytes` are exactly one JSON value in valid UTF-8.
#[napi(catch_unwind)]
pub fn is_json(bytes: &[u8]) -> bool {
    filter::is_json(bytes)
}
