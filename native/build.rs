//! Link arguments of the addon; nothing to do for the plain core.
fn main() {
    #[cfg(feature = "addon")]
    napi_build::setup();
}
