// SPDX-License-Identifier: GPL-2.0

//! What bindgen made of `bindings_helper.h`, on top of the kernel crate's own bindings.

#![allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

pub(super) use kernel::bindings::*;
use kernel::ffi;

include!(concat!(env!("HALOD_GENERATED"), "/bindings_generated.rs"));
