// SPDX-License-Identifier: GPL-2.0

//! Generic netlink: requests, answers, dumps and events of the family `halod`.
//!
//! The family itself, with its policies and operations, is generated from `netlink/halod.yaml`;
//! the kernel has checked every attribute against them before a handler here runs.
//!
//! C headers: `include/net/genetlink.h`, `include/net/netlink.h`

use core::ffi::{c_int, c_void};
use core::fmt::{self, Write};
use core::marker::PhantomData;
use core::{ptr, slice};
use kernel::error::to_result;
use kernel::prelude::*;

use super::bindings;
use super::pernet::Net;
use crate::namespace::Namespace;
use crate::netlink;
use crate::netlink::attr::Attrs;

const NLMSG_HDRLEN: usize = 16;
const GENL_HDRLEN: usize = 4;
const NLA_F_NESTED: c_int = 1 << 15;
const NLM_F_MULTI: c_int = 2;

/// The registered family.
pub(crate) struct Registration(());

impl Registration {
    /// From now on the handlers below are called.
    pub(crate) fn register() -> Result<Self> {
        // SAFETY: The family is a static of this module, made by the generator.
        to_result(unsafe { bindings::genl_register_family(&raw mut bindings::halod_nl_family) })?;
        Ok(Self(()))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: Registered by `register`, and only unregistered here.
        unsafe { bindings::genl_unregister_family(&raw const bindings::halod_nl_family) };
    }
}

/// A request to do something, in process context.
///
/// # Invariants
///
/// `info` is valid for `'a`, with the request's message behind `nlhdr`.
pub(crate) struct Request<'a> {
    info: *mut bindings::genl_info,
    _info: PhantomData<&'a mut bindings::genl_info>,
}

impl<'a> Request<'a> {
    /// The namespace of the socket that the request came from.
    pub(crate) fn net(&self) -> Net<'a> {
        // SAFETY: By the type invariant; a socket holds its namespace.
        unsafe { Net::from_raw(bindings::halod_info_net(self.info)) }
    }

    /// The request's attributes.
    pub(crate) fn attrs(&self) -> Attrs<'a> {
        // SAFETY: By the type invariant `nlhdr` starts a message of `nlmsg_len` bytes, which the
        // kernel has checked to hold both headers (`netlink_rcv_skb`, `genl_family_rcv_msg`).
        let bytes = unsafe {
            let header = (*self.info).nlhdr;
            slice::from_raw_parts(header.cast::<u8>(), (*header).nlmsg_len as usize)
        };
        Attrs::new(bytes.get(NLMSG_HDRLEN + GENL_HDRLEN..).unwrap_or_default())
    }

    /// Tells the sender why the request is refused, and about which attribute, where one is to
    /// blame. Gives back `error`, to be returned.
    pub(crate) fn refuse(
        &self,
        error: Error,
        blame: Option<&[u8]>,
        why: fmt::Arguments<'_>,
    ) -> Error {
        // SAFETY: By the type invariant; `extack` is null or valid as long as `info`.
        let Some(extack) = (unsafe { (*self.info).extack.as_mut() }) else {
            return error;
        };
        let mut text = Text {
            buffer: &mut extack._msg_buf,
            len: 0,
        };
        // A text that does not fit is cut.
        let _ = text.write_fmt(why);
        extack._msg = extack._msg_buf.as_ptr();
        // `bad_attr` must point into the request: `blame` is a piece of `attrs()`.
        extack.bad_attr = blame.map_or(ptr::null(), |attr| attr.as_ptr().cast());
        error
    }

    /// Makes room for an answer of at most `size` bytes of attributes.
    pub(crate) fn prepare(&self, size: usize) -> Result<Reply<'a>> {
        // SAFETY: By the type invariant.
        let (portid, seq, cmd) = unsafe {
            let info = &*self.info;
            (info.snd_portid, info.snd_seq, (*info.genlhdr).cmd)
        };
        Ok(Reply {
            message: Owned::new(size, portid, seq, cmd)?,
            info: self.info,
            _info: PhantomData,
        })
    }
}

/// An answer to a request, for which there is memory.
///
/// # Invariants
///
/// `info` is the request's, valid for `'a`.
pub(crate) struct Reply<'a> {
    message: Owned,
    info: *mut bindings::genl_info,
    _info: PhantomData<&'a mut bindings::genl_info>,
}

impl Reply<'_> {
    /// Sends it with the attributes that `fill` adds.
    pub(crate) fn send(self, fill: impl FnOnce(&mut Message) -> Result) -> Result {
        let skb = self.message.filled(fill)?;
        // SAFETY: The message is complete, and ownership goes to the function; `info` is valid by
        // the type invariant.
        to_result(unsafe { bindings::halod_genlmsg_reply(skb, self.info) })
    }
}

/// A C string buffer that is filled by formatting, always ending in NUL.
struct Text<'a> {
    buffer: &'a mut [kernel::ffi::c_char],
    len: usize,
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.len + 1 >= self.buffer.len() {
                return Err(fmt::Error);
            }
            self.buffer[self.len] = byte as kernel::ffi::c_char;
            self.len += 1;
            self.buffer[self.len] = 0;
        }
        Ok(())
    }
}

/// A message that is being written.
///
/// # Invariants
///
/// `skb` is a valid netlink buffer with a generic netlink header at `header`, nobody else's for
/// as long as this value lives.
pub(crate) struct Message {
    skb: *mut bindings::sk_buff,
    header: *mut c_void,
}

impl Message {
    /// Adds an attribute, or fails with `EMSGSIZE` where it does not fit.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) -> Result {
        if value.len() > usize::from(u16::MAX) - 4 {
            return Err(EMSGSIZE);
        }
        // SAFETY: By the type invariant; `value` has `len` bytes.
        to_result(unsafe {
            bindings::nla_put(
                self.skb,
                c_int::from(kind),
                value.len() as c_int,
                value.as_ptr().cast(),
            )
        })
    }

    pub(crate) fn put_u8(&mut self, kind: u16, value: u8) -> Result {
        self.put(kind, &[value])
    }

    pub(crate) fn put_u16(&mut self, kind: u16, value: u16) -> Result {
        self.put(kind, &value.to_ne_bytes())
    }

    pub(crate) fn put_u32(&mut self, kind: u16, value: u32) -> Result {
        self.put(kind, &value.to_ne_bytes())
    }

    pub(crate) fn put_u64(&mut self, kind: u16, value: u64) -> Result {
        self.put(kind, &value.to_ne_bytes())
    }

    /// Adds an attribute that holds what `fill` adds.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self) -> Result) -> Result {
        // SAFETY: By the type invariant.
        let start = unsafe { (*self.skb).len };
        // SAFETY: By the type invariant; no data is read for a length of 0.
        to_result(unsafe {
            bindings::nla_put(self.skb, c_int::from(kind) | NLA_F_NESTED, 0, ptr::null())
        })?;
        fill(self)?;
        // SAFETY: By the type invariant. A netlink buffer is linear, so `data + start` is where
        // the attribute's header was put above, aligned to 4 bytes as `nla_put` does.
        unsafe {
            let len = (*self.skb).len - start;
            let attr: *mut bindings::nlattr = (*self.skb).data.add(start as usize).cast();
            (*attr).nla_len = u16::try_from(len).map_err(|_| EMSGSIZE)?;
        }
        Ok(())
    }
}

/// A message in a buffer of its own.
struct Owned(Message);

impl Owned {
    /// One without attributes.
    fn new(size: usize, portid: u32, seq: u32, cmd: u8) -> Result<Self> {
        // SAFETY: Takes any size.
        let skb = unsafe { bindings::genlmsg_new(size, bindings::GFP_KERNEL) };
        if skb.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: `skb` is new and valid, the family a static.
        let header = unsafe {
            bindings::genlmsg_put(
                skb,
                portid,
                seq,
                &raw const bindings::halod_nl_family,
                0,
                cmd,
            )
        };
        // INVARIANT: The buffer is ours; where the header is null the value is dropped at once.
        let message = Self(Message { skb, header });
        if header.is_null() {
            return Err(EMSGSIZE);
        }
        Ok(message)
    }

    /// Completes it with what `fill` adds, and gives the buffer away.
    fn filled(
        mut self,
        fill: impl FnOnce(&mut Message) -> Result,
    ) -> Result<*mut bindings::sk_buff> {
        fill(&mut self.0)?;
        // SAFETY: `header` was put by `new`, which fails where it is null.
        unsafe { bindings::genlmsg_end(self.0.skb, self.0.header) };
        Ok(core::mem::ManuallyDrop::new(self).0.skb)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: The buffer is ours, and this is its last use.
        unsafe { bindings::nlmsg_free(self.0.skb) };
    }
}

/// Sends an event to whoever listens in `net`. Process context.
pub(crate) fn multicast(
    net: Net<'_>,
    size: usize,
    fill: impl FnOnce(&mut Message) -> Result,
) -> Result {
    let command = bindings::HALOD_CMD_TABLE_CHANGED as u8;
    let skb = Owned::new(size, 0, 0, command)?.filled(fill)?;
    // SAFETY: The message is complete, and ownership goes to the function.
    let error = unsafe { bindings::halod_genlmsg_multicast(net.as_ptr(), skb) };
    // Nobody listening is not an error.
    if error == ESRCH.to_errno() {
        return Ok(());
    }
    to_result(error)
}

/// A dump under way: called again with each new buffer, until nothing is added.
///
/// # Invariants
///
/// `skb` is the buffer to fill and `cb` the dump's state, both valid for `'a`.
pub(crate) struct Dump<'a> {
    skb: *mut bindings::sk_buff,
    cb: *mut bindings::netlink_callback,
    command: u8,
    _cb: PhantomData<&'a mut bindings::netlink_callback>,
}

impl<'a> Dump<'a> {
    /// The namespace of the socket that asked.
    pub(crate) fn net(&self) -> Net<'a> {
        // SAFETY: By the type invariant; the asking socket is alive and holds its namespace.
        unsafe { Net::from_raw(bindings::halod_sock_net((*self.cb).skb)) }
    }

    /// Where the dump stands, 0 at first; kept from buffer to buffer.
    pub(crate) fn position(&mut self) -> &mut isize {
        // SAFETY: By the type invariant; `args` is an array of `long` zeroed at the dump's start.
        unsafe { &mut *bindings::halod_dump_args(self.cb) }
    }

    /// The version of what is dumped: a change of it between buffers is told to the reader
    /// (NLM_F_DUMP_INTR). To be called before `message`.
    pub(crate) fn set_version(&mut self, version: u64) {
        // Folded, and never 0, which means "not checked".
        let folded = (version ^ (version >> 32)) as u32;
        // SAFETY: By the type invariant.
        unsafe { (*self.cb).seq = folded | 1 << 31 };
    }

    /// Adds one message, or says with `EMSGSIZE` that the buffer is full and nothing was added.
    pub(crate) fn message(&mut self, fill: impl FnOnce(&mut Message) -> Result) -> Result {
        // SAFETY: By the type invariant; the family is a static.
        let header = unsafe {
            bindings::genlmsg_put(
                self.skb,
                bindings::halod_dump_portid(self.cb),
                (*(*self.cb).nlh).nlmsg_seq,
                &raw const bindings::halod_nl_family,
                NLM_F_MULTI,
                self.command,
            )
        };
        if header.is_null() {
            return Err(EMSGSIZE);
        }
        // SAFETY: `header` was just put into this dump's buffer.
        unsafe { bindings::halod_dump_check_consistent(self.cb, header) };
        // INVARIANT: The buffer is the dump's, and nobody else writes to it in this call.
        let mut message = Message {
            skb: self.skb,
            header,
        };
        let filled = fill(&mut message);
        // SAFETY: `header` is the one put above.
        unsafe {
            match filled {
                Ok(()) => bindings::genlmsg_end(message.skb, message.header),
                Err(_) => bindings::genlmsg_cancel(message.skb, message.header),
            }
        }
        filled
    }
}

type DoIt = fn(&Request<'_>, Pin<&Namespace>) -> Result;
type DumpIt = fn(&mut Dump<'_>, Pin<&Namespace>) -> Result;

/// # Safety
///
/// Called by generic netlink with a valid `info`.
unsafe fn do_it(info: *mut bindings::genl_info, handler: DoIt) -> c_int {
    // INVARIANT: By the function's contract.
    let request = Request {
        info,
        _info: PhantomData,
    };
    let Some(namespace) = request.net().namespace() else {
        return ENODEV.to_errno();
    };
    handler(&request, namespace).map_or_else(|error| error.to_errno(), |()| 0)
}

/// # Safety
///
/// Called by generic netlink with a valid buffer and callback.
unsafe fn dump_it(
    skb: *mut bindings::sk_buff,
    cb: *mut bindings::netlink_callback,
    command: u32,
    handler: DumpIt,
) -> c_int {
    // INVARIANT: By the function's contract.
    let mut dump = Dump {
        skb,
        cb,
        command: command as u8,
        _cb: PhantomData,
    };
    let Some(namespace) = dump.net().namespace() else {
        return ENODEV.to_errno();
    };
    // SAFETY: By the function's contract.
    let length = || unsafe { (*skb).len as c_int };
    match handler(&mut dump, namespace) {
        Ok(()) => length(),
        // The buffer is full: what it holds is sent, and the dump goes on with the next. One
        // message that does not fit an empty buffer would never end the dump: an error then.
        Err(EMSGSIZE) if length() > 0 => length(),
        Err(error) => error.to_errno(),
    }
}

/// `get-status`.
///
/// # Safety
///
/// Called by generic netlink, from the generated family.
#[no_mangle]
unsafe extern "C" fn halod_nl_get_status_doit(
    _skb: *mut bindings::sk_buff,
    info: *mut bindings::genl_info,
) -> c_int {
    // SAFETY: By the function's contract.
    unsafe { do_it(info, netlink::status::get) }
}

/// `commit`.
///
/// # Safety
///
/// As above.
#[no_mangle]
unsafe extern "C" fn halod_nl_commit_doit(
    _skb: *mut bindings::sk_buff,
    info: *mut bindings::genl_info,
) -> c_int {
    // SAFETY: By the function's contract.
    unsafe { do_it(info, netlink::commit::commit) }
}

/// `flush`.
///
/// # Safety
///
/// As above.
#[no_mangle]
unsafe extern "C" fn halod_nl_flush_doit(
    _skb: *mut bindings::sk_buff,
    info: *mut bindings::genl_info,
) -> c_int {
    // SAFETY: By the function's contract.
    unsafe { do_it(info, netlink::commit::flush) }
}

/// `get-table`.
///
/// # Safety
///
/// As above.
#[no_mangle]
unsafe extern "C" fn halod_nl_get_table_dumpit(
    skb: *mut bindings::sk_buff,
    cb: *mut bindings::netlink_callback,
) -> c_int {
    // SAFETY: By the function's contract.
    unsafe { dump_it(skb, cb, bindings::HALOD_CMD_GET_TABLE, netlink::dump::table) }
}

/// `get-counters`.
///
/// # Safety
///
/// As above.
#[no_mangle]
unsafe extern "C" fn halod_nl_get_counters_dumpit(
    skb: *mut bindings::sk_buff,
    cb: *mut bindings::netlink_callback,
) -> c_int {
    // SAFETY: By the function's contract.
    unsafe {
        dump_it(
            skb,
            cb,
            bindings::HALOD_CMD_GET_COUNTERS,
            netlink::dump::counters,
        )
    }
}

/// `get-fast-path`.
///
/// # Safety
///
/// As above.
#[no_mangle]
unsafe extern "C" fn halod_nl_get_fast_path_dumpit(
    skb: *mut bindings::sk_buff,
    cb: *mut bindings::netlink_callback,
) -> c_int {
    let handler = netlink::dump::fast_path;
    // SAFETY: By the function's contract.
    unsafe { dump_it(skb, cb, bindings::HALOD_CMD_GET_FAST_PATH, handler) }
}

/// `get-devices`.
///
/// # Safety
///
/// As above.
#[no_mangle]
unsafe extern "C" fn halod_nl_get_devices_dumpit(
    skb: *mut bindings::sk_buff,
    cb: *mut bindings::netlink_callback,
) -> c_int {
    let handler = netlink::dump::devices;
    // SAFETY: By the function's contract.
    unsafe { dump_it(skb, cb, bindings::HALOD_CMD_GET_DEVICES, handler) }
}
