// SPDX-License-Identifier: GPL-2.0

//! A packet, as the IP hooks of netfilter hand it over.
//!
//! C header: `include/linux/skbuff.h`

use core::ffi::c_int;
use core::hint::assert_unchecked;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::slice;

use super::bindings::{self, sk_buff__bindgen_ty_4__bindgen_ty_2 as Headers};
use crate::packet::{ChecksumDelta, Csum, WINDOW};

const CHECKSUM_NONE: u8 = 0;
const CHECKSUM_COMPLETE: u8 = 2;
const CHECKSUM_PARTIAL: u8 = 3;

/// A packet that is ours to read and change for `'a`.
///
/// # Invariants
///
/// `skb` is a valid `sk_buff` that nothing else touches during `'a`, with `data` at the network
/// header, as `NF_HOOK` of the IP layers passes it (`net/ipv4/ip_input.c`, `net/ipv6/ip6_input.c`:
/// both call `skb_share_check` first). Before those layers others may have references to it: it is
/// only read then, unless `Softirq::of` has seen that there are none.
pub(crate) struct Skb<'a> {
    skb: NonNull<bindings::sk_buff>,
    _exclusive: PhantomData<&'a mut bindings::sk_buff>,
}

// `sk_buff::end` is an offset then (NET_SKBUFF_DATA_USES_OFFSET).
const _: () = assert!(usize::BITS == 64);

/// A field that others may write meanwhile, atomically.
///
/// # Safety
///
/// `object` is valid, and has such a field so many bytes from its start.
#[inline(always)]
pub(super) unsafe fn field<O, T: Copy>(object: *const O, offset: impl Into<i64>) -> T {
    let field = object.cast::<u8>().wrapping_offset(offset.into() as isize);
    // SAFETY: By the function's contract.
    unsafe { field.cast::<T>().read_volatile() }
}

impl Skb<'_> {
    /// # Safety
    ///
    /// `skb` is not null, and fulfils the type's invariants for the lifetime of the result.
    #[inline(always)]
    pub(super) unsafe fn from_raw(skb: *mut bindings::sk_buff) -> Self {
        Self {
            // INVARIANT: By the function's contract.
            // SAFETY: As above.
            skb: unsafe { NonNull::new_unchecked(skb) },
            _exclusive: PhantomData,
        }
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::sk_buff {
        self.skb.as_ptr()
    }

    /// Bytes from the network header to the packet's end.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        // SAFETY: By the type invariants.
        unsafe { (*self.skb.as_ptr()).len as usize }
    }

    /// The first `N` bytes, where the kernel keeps them in one piece.
    #[inline(always)]
    pub(crate) fn head<const N: usize>(&self) -> Option<&[u8; N]> {
        let skb = self.skb.as_ptr();
        // SAFETY: By the type invariants; the difference is `skb_headlen`, and `data` points to so
        // many initialised bytes, which stay in place while `self` is borrowed.
        unsafe {
            let linear = (*skb).len.wrapping_sub((*skb).data_len) as usize;
            assert_unchecked(!(*skb).data.is_null());
            (linear >= N).then(|| &*(*skb).data.cast::<[u8; N]>())
        }
    }

    /// Whether nothing is known of it but what it came with from a link, for this machine's address
    /// there, and nobody else has it.
    #[inline(always)]
    pub(super) fn is_plain(&self) -> bool {
        let (skb, headers) = (self.as_ptr(), self.headers());
        // SAFETY: By the type invariants; every union here has a field of the type that is read.
        unsafe {
            // What is 0 where there is none of it: all asked for at once. A route, a VLAN's tag,
            // and what IPsec, bridges, connection tracking and the kernel's load balancer leave.
            let mut attached = (&raw const (*skb).__bindgen_anon_3).cast::<usize>().read();
            attached |= (*headers).__bindgen_anon_2.vlan_all as usize;
            #[cfg(CONFIG_SKB_EXTENSIONS)]
            {
                attached |= usize::from((*skb).active_extensions);
            }
            #[cfg(CONFIG_NF_CONNTRACK)]
            {
                attached |= (*skb)._nfct;
            }
            let users: *const u32 = (&raw const (*skb).users).cast();
            attached == 0
                && users.read_volatile() == 1
                && Headers::pkt_type_raw(headers) == bindings::PACKET_HOST as u8
                && !self.is_balanced()
                && !self.is_switched()
                && !self.is_merged_for_good()
        }
    }

    /// Whether a switch in hardware has forwarded it already.
    #[inline(always)]
    fn is_switched(&self) -> bool {
        #[cfg(CONFIG_NET_SWITCHDEV)]
        // SAFETY: By the type invariants.
        return unsafe {
            Headers::offload_fwd_mark_raw(self.headers())
                | Headers::offload_l3_fwd_mark_raw(self.headers())
        } != 0;
        #[cfg(not(CONFIG_NET_SWITCHDEV))]
        false
    }

    /// Whether a network card has made it of several, which cannot be undone (LRO; as
    /// `skb_warn_if_lro` has it).
    #[inline(always)]
    fn is_merged_for_good(&self) -> bool {
        let skb = self.as_ptr();
        // SAFETY: By the type invariants; the shared part is at the end of the packet's buffer.
        unsafe {
            if (*skb).data_len == 0 {
                return false;
            }
            let shared: *const bindings::skb_shared_info =
                (*skb).head.add((*skb).end as usize).cast();
            (*shared).gso_size != 0 && (*shared).gso_type == 0
        }
    }

    /// The address of the function to be called when it is gone; 0 for none.
    #[inline(always)]
    fn owner(&self) -> usize {
        let skb = self.as_ptr();
        // SAFETY: By the type invariants; the union's other field is for a TCP socket's own queue.
        unsafe {
            let owner = &raw const (*skb).__bindgen_anon_3.__bindgen_anon_1.destructor;
            owner.cast::<usize>().read()
        }
    }

    /// Whether it was given a socket on its way in, which is not that of its sender.
    #[inline(always)]
    pub(crate) fn has_socket(&self) -> bool {
        self.owner() == bindings::sock_pfree as *const () as usize
    }

    /// Whether what is in one piece of it may be written, and nobody is to be told when it is gone.
    #[inline(always)]
    pub(super) fn is_free(&self) -> bool {
        // SAFETY: By the type invariants.
        let cloned = unsafe { bindings::sk_buff::cloned_raw(self.as_ptr()) };
        cloned == 0 && self.owner() == 0
    }

    /// Bytes that are free in front of it.
    #[inline(always)]
    pub(super) fn headroom(&self) -> usize {
        let skb = self.as_ptr();
        // SAFETY: By the type invariants; `data` is at or after `head`.
        unsafe { ((*skb).data as usize).wrapping_sub((*skb).head as usize) }
    }

    /// What the transport checksum field holds of a packet that is sent on without a sum of its bytes.
    #[inline(always)]
    pub(super) fn drop_complete(&mut self) -> Csum {
        // The bit that both have which need anything.
        if self.ip_summed() & CHECKSUM_COMPLETE == 0 {
            return Csum::Full;
        }
        if self.ip_summed() == CHECKSUM_PARTIAL {
            return Csum::Partial;
        }
        // SAFETY: By the type invariants.
        unsafe { Headers::set_ip_summed_raw(self.headers(), CHECKSUM_NONE) };
        Csum::Full
    }

    /// Whether somebody else takes packets off its device.
    #[inline(always)]
    pub(super) fn is_taken(&self) -> bool {
        // SAFETY: By the type invariants; it has a device.
        unsafe {
            let device = (*self.as_ptr())
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_1
                .dev;
            field::<_, usize>(device, bindings::HALOD_AT_RX_HANDLER) != 0
        }
    }

    /// Takes off what is behind its first `len` bytes, as the IP layers would; false where memory is short.
    pub(crate) fn trim(&mut self, len: usize) -> bool {
        // SAFETY: By the type invariants.
        unsafe { bindings::halod_skb_trim(self.as_ptr(), len as u32) }
    }

    /// Calls `read` with [`WINDOW`] bytes from `start` on, or as many as there are.
    #[inline(always)]
    pub(crate) fn with_window<R>(&self, start: usize, read: impl FnOnce(&[u8]) -> R) -> R {
        let skb = self.skb.as_ptr();
        let end = self.len().min(start.saturating_add(WINDOW));
        let want = end.saturating_sub(start);
        // Where the kernel keeps the bytes in pieces. Left as it is in all other cases.
        let mut copy = MaybeUninit::<[u8; WINDOW]>::uninit();
        // SAFETY: By the type invariants. `data` points to `skb_headlen` initialised bytes, and
        // `skb_copy_bits`, which checks the packet's own length, initialises the first
        // `want <= WINDOW` bytes of `copy` where it returns 0. Both stay in place for the call.
        read(unsafe {
            if bindings::halod_skb_headlen(skb) as usize >= end && want > 0 {
                slice::from_raw_parts((*skb).data.add(start), want)
            } else {
                let to = copy.as_mut_ptr().cast::<u8>();
                let error = bindings::skb_copy_bits(skb, start as c_int, to.cast(), want as c_int);
                slice::from_raw_parts(to, if error == 0 { want } else { 0 })
            }
        })
    }

    /// The first `len` bytes for writing, no longer shared with clones; `None` where the packet
    /// is shorter or memory is short. GFP_ATOMIC.
    #[inline(always)]
    pub(crate) fn writable(&mut self, len: usize) -> Option<&mut [u8]> {
        if len > self.len() {
            return None;
        }
        // SAFETY: By the type invariants; it is checked above that the packet is long enough.
        if unsafe { bindings::skb_ensure_writable(self.skb.as_ptr(), len as u32) } != 0 {
            return None;
        }
        // SAFETY: `skb_ensure_writable` made the first `len` bytes at `data` linear and private;
        // `data` is read after it, since it may have moved.
        Some(unsafe { slice::from_raw_parts_mut((*self.skb.as_ptr()).data, len) })
    }

    /// The same for a number that is known beforehand. Most packets need nothing for it.
    #[inline(always)]
    pub(crate) fn writable_head<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        let skb = self.skb.as_ptr();
        // SAFETY: By the type invariants. A packet that was never cloned shares its linear part
        // with nobody (`skb_cloned`), and it is checked that it has `N` bytes there.
        unsafe {
            let linear = (*skb).len.wrapping_sub((*skb).data_len) as usize;
            if bindings::sk_buff::cloned_raw(skb) == 0 && linear >= N {
                return Some(&mut *(*skb).data.cast());
            }
        }
        self.writable(N)?.first_chunk_mut()
    }

    /// What the transport checksum field holds.
    #[inline(always)]
    pub(crate) fn csum(&self) -> Csum {
        match self.ip_summed() {
            CHECKSUM_PARTIAL => Csum::Partial,
            _ => Csum::Full,
        }
    }

    /// Adds `delta` to the checksum over the whole packet that a network card may have left.
    #[inline(always)]
    pub(crate) fn adjust_complete(&mut self, delta: ChecksumDelta) {
        if self.ip_summed() == CHECKSUM_COMPLETE {
            // SAFETY: By the type invariants.
            unsafe { bindings::halod_skb_csum_add(self.skb.as_ptr(), delta.value()) };
        }
    }

    #[inline(always)]
    fn ip_summed(&self) -> u8 {
        // SAFETY: By the type invariants.
        unsafe { Headers::ip_summed_raw(self.headers()) }
    }

    /// What is copied with the packet's header: the fields that follow `headers` in C.
    #[inline(always)]
    fn headers(&self) -> *mut Headers {
        // SAFETY: By the type invariants. It is a union, whose members all begin where it does.
        unsafe { (&raw mut (*self.skb.as_ptr()).__bindgen_anon_4).cast() }
    }

    /// What the link says that it is (ETH_P_*), network byte order.
    #[inline(always)]
    pub(super) fn protocol(&self) -> u16 {
        // SAFETY: By the type invariants.
        unsafe { (*self.headers()).protocol }
    }

    /// The index of the device that it came in by; 0 where it is this machine's own.
    #[inline(always)]
    pub(super) fn device(&self) -> u32 {
        // SAFETY: By the type invariants. Every device that receives a packet sets the field
        // (`__netif_receive_skb_core`).
        unsafe { (*self.headers()).skb_iif as u32 }
    }

    /// The mark that rules may have given it.
    #[inline(always)]
    pub(super) fn mark(&self) -> u32 {
        // SAFETY: By the type invariants; both fields of the union are a `u32`.
        unsafe { *(&raw const (*self.headers()).__bindgen_anon_4).cast() }
    }

    /// Whether it has a route, of whatever kind.
    #[inline(always)]
    pub(crate) fn has_route(&self) -> bool {
        // SAFETY: By the type invariants; the field is the first of the union's two.
        unsafe { *(&raw const (*self.skb.as_ptr()).__bindgen_anon_3).cast::<usize>() != 0 }
    }

    /// Whether it came in by a device of a VRF, which shows it in PRE_ROUTING as its own by now.
    #[inline(always)]
    pub(crate) fn is_in_vrf(&self) -> bool {
        // SAFETY: By the type invariants; in PRE_ROUTING a packet has a device.
        unsafe { bindings::halod_skb_is_in_vrf(self.skb.as_ptr()) }
    }

    /// Whether it came in by a device, and is not this machine's own.
    #[inline(always)]
    pub(crate) fn came_in(&self) -> bool {
        self.device() != 0
    }

    /// Keeps connection tracking, where it is loaded, from looking at the packet.
    #[inline(always)]
    pub(crate) fn set_untracked(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::halod_skb_set_untracked(self.skb.as_ptr()) };
    }

    /// Whether it was sent on to a node already, by us or by the kernel's own load balancer.
    /// Kernels without that have no such mark.
    #[inline(always)]
    pub(crate) fn is_balanced(&self) -> bool {
        #[cfg(CONFIG_IP_VS)]
        // SAFETY: By the type invariants.
        return unsafe { Headers::ipvs_property_raw(self.headers()) } != 0;
        #[cfg(not(CONFIG_IP_VS))]
        false
    }

    /// Notes that it was. The mark is the one that the kernel's own load balancer, IPVS, tells its
    /// packets by (`ipvs_property`); it stays with the packet in its namespace, and no longer.
    #[inline(always)]
    pub(crate) fn set_balanced(&mut self) {
        #[cfg(CONFIG_IP_VS)]
        // SAFETY: By the type invariants.
        unsafe {
            Headers::set_ipvs_property_raw(self.headers(), 1)
        };
    }
}
