//! What one producer thread calls without a class in between: raw Node-API functions with bound data, and the memory
//! of its staging ring (a method of a class costs some 350 ns more).

use super::Shared;
use crate::bus::node::{Changes, Lane};
use crate::driver::drain::Listener;
use napi::bindgen_prelude::{Env, Error, JsObjectValue, Object, Result};
use napi::sys;
use std::ffi::c_void;
use std::sync::Arc;

/// A Node-API callback.
type RawCall = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

/// What the raw functions and the memory of one producer hold on to.
pub(super) struct Producer {
    pub shared: Arc<Shared>,
    pub lane: Arc<Lane>,
}

impl Producer {
    pub fn settle(&self, changes: Changes) {
        if !changes.is_empty() {
            self.shared.waiters.changed(changes);
        }
    }

    pub fn drain(&self) {
        let driver = &self.shared.driver;
        self.settle(driver.node.drain_own(&self.lane, driver.now()));
    }
}

/// Memory of the staging ring as JavaScript sees it, or null where external buffers are not allowed.
pub(super) fn ring_memory<'env>(lane: &Arc<Lane>, env: &'env Env) -> Result<Option<Object<'env>>> {
    let lane = lane.clone();
    let (pointer, length) = (lane.ring.pointer(), lane.ring.memory_len());
    let hint = Arc::into_raw(lane).cast_mut().cast::<c_void>();
    let mut buffer = std::ptr::null_mut();
    // SAFETY: the memory lives until the finalizer gives the reference back.
    let status = unsafe {
        sys::napi_create_external_arraybuffer(
            env.raw(),
            pointer.cast(),
            length,
            Some(release_lane),
            hint,
            &mut buffer,
        )
    };
    if status != sys::Status::napi_ok {
        // SAFETY: the call failed, so the finalizer will not run.
        unsafe { drop(Arc::from_raw(hint.cast::<Lane>())) };
        return Ok(None);
    }
    // SAFETY: a value of this environment, just made.
    Ok(Some(Object::from_raw(env.raw(), buffer)))
}

/// `{ drain, wake }`, bound to the producer.
pub(super) fn bound_calls<'env>(producer: &Arc<Producer>, env: &'env Env) -> Result<Object<'env>> {
    let mut calls = Object::new(env)?;
    for (name, callback) in [
        (c"drain", Some(drain_call as RawCall)),
        (c"wake", Some(wake_call as RawCall)),
    ] {
        let data = Arc::into_raw(producer.clone()).cast_mut().cast::<c_void>();
        let mut function = std::ptr::null_mut();
        // SAFETY: `data` is given back by the finalizer of the function.
        let status = unsafe {
            let made = sys::napi_create_function(
                env.raw(),
                name.as_ptr(),
                name.to_bytes().len() as isize,
                callback,
                data,
                &mut function,
            );
            if made == sys::Status::napi_ok {
                sys::napi_add_finalizer(
                    env.raw(),
                    function,
                    data,
                    Some(release_producer),
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                )
            } else {
                drop(Arc::from_raw(data.cast::<Producer>()));
                made
            }
        };
        if status != sys::Status::napi_ok {
            return Err(Error::from_reason("bus: a function could not be made"));
        }
        // SAFETY: a value of this environment, just made.
        let value = unsafe { napi::Unknown::from_raw_unchecked(env.raw(), function) };
        calls.set_named_property(&name.to_string_lossy(), value)?;
    }
    Ok(calls)
}

unsafe extern "C" fn release_lane(_env: sys::napi_env, _data: *mut c_void, hint: *mut c_void) {
    // SAFETY: made by `Arc::into_raw` in `ring_memory`.
    drop(unsafe { Arc::from_raw(hint.cast::<Lane>()) });
}

unsafe extern "C" fn release_producer(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: made by `Arc::into_raw` in `bound_calls`.
    drop(unsafe { Arc::from_raw(data.cast::<Producer>()) });
}

/// The producer that is bound to a raw function.
unsafe fn bound<'a>(env: sys::napi_env, info: sys::napi_callback_info) -> Option<&'a Producer> {
    let mut data = std::ptr::null_mut();
    // SAFETY: `env` and `info` are those of the running callback.
    unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            &mut data,
        );
        data.cast::<Producer>().as_ref()
    }
}

/// Runs `f` on the bound producer; a panic becomes a JavaScript exception.
unsafe fn guarded(env: sys::napi_env, info: sys::napi_callback_info, f: fn(&Producer)) -> sys::napi_value {
    // SAFETY: the data was bound in `bound_calls` and lives as long as the function.
    if let Some(producer) = unsafe { bound(env, info) } {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f(producer))).is_err() {
            // SAFETY: both strings are NUL-terminated.
            unsafe {
                sys::napi_throw_error(
                    env,
                    c"GenericFailure".as_ptr(),
                    c"meshring: internal error".as_ptr(),
                )
            };
        }
    }
    std::ptr::null_mut()
}

unsafe extern "C" fn drain_call(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: called by Node-API.
    unsafe { guarded(env, info, Producer::drain) }
}

unsafe extern "C" fn wake_call(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: called by Node-API.
    unsafe { guarded(env, info, |producer| producer.shared.driver.wake()) }
}
