//! Filters for JavaScript.

use meshring::filter::{self, Scratch};
use wasm_bindgen::prelude::*;

/// A compiled filter.
#[wasm_bindgen]
pub struct Filter {
    filter: filter::Filter,
    scratch: Scratch,
}

impl Filter {
    /// The core's filter, for doors that scan in Rust.
    #[allow(dead_code)]
    pub(crate) fn core(&self) -> &filter::Filter {
        &self.filter
    }
}

#[wasm_bindgen]
impl Filter {
    /// Compiles a text; the message of the error is the reason alone.
    #[wasm_bindgen(constructor)]
    pub fn new(text: &str) -> Result<Filter, JsError> {
        let filter = filter::Filter::parse(text).map_err(|error| JsError::new(&error.to_string()))?;
        Ok(Filter {
            filter,
            scratch: Scratch::default(),
        })
    }

    /// Whether the event matches.
    pub fn matches(&mut self, event: &[u8]) -> bool {
        self.filter.matches_with(event, &mut self.scratch)
    }

    /// Tests a packed batch; one byte an event, 1 = matches.
    #[wasm_bindgen(js_name = matchMany)]
    pub fn match_many(&mut self, data: &[u8], ends: &[u32]) -> Result<Vec<u8>, JsError> {
        self.filter
            .match_many(data, ends, &mut self.scratch)
            .ok_or_else(|| JsError::new("matchMany: ends must ascend and lie within data"))
    }
}

/// Whether `bytes` are exactly one JSON value in valid UTF-8.
#[wasm_bindgen(js_name = isJson)]
pub fn is_json(bytes: &[u8]) -> bool {
    filter::is_json(bytes)
}
