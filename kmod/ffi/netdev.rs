// SPDX-License-Identifier: GPL-2.0

//! The devices of a network namespace, as they come and go, each with our ingress hook.
//!
//! C header: `include/linux/netdevice.h`

use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::ffi::{c_int, c_ulong, c_void};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};

use super::bindings;
use super::ingress::IngressHook;
use super::pernet::Net;
use crate::namespace::Namespace;

const REGISTER: c_ulong = bindings::netdev_cmd_NETDEV_REGISTER as c_ulong;
const UNREGISTER: c_ulong = bindings::netdev_cmd_NETDEV_UNREGISTER as c_ulong;
const MASTER_CHANGED: c_ulong = bindings::netdev_cmd_NETDEV_CHANGEUPPER as c_ulong;

/// All devices of one namespace that packets can arrive by as by themselves have our hook while
/// this lives: not the loopback, nor what is part of a bridge, bond or VRF. Process context.
///
/// Lock order: the kernel's RTNL, which is held while events are told, then `hooked`.
#[pin_data(PinnedDrop)]
pub(crate) struct Devices {
    block: bindings::notifier_block,
    net: *mut bindings::net,
    namespace: *const Namespace,
    #[pin]
    hooked: Mutex<Hooked>,
}

/// The devices of the namespace, from the moment that they are registered there to the moment that
/// they are about to go. A device that goes leaves its master after that, and gets no hook again.
struct Hooked {
    devices: KVec<Watched>,
    /// What went wrong with the devices that were there at first.
    failed: Option<Error>,
}

struct Watched {
    device: NonNull<bindings::net_device>,
    hook: Option<IngressHook>,
}

// SAFETY: The block is the kernel's, under RTNL; the pointers are to what outlives this value.
unsafe impl Send for Devices {}
// SAFETY: As above.
unsafe impl Sync for Devices {}

impl Devices {
    /// Gives all devices of `net` the hook of `namespace`, which must be the one of `net`.
    pub(crate) fn watch(net: Net<'_>, namespace: Pin<&Namespace>) -> Result<Pin<KBox<Self>>> {
        let devices = KBox::pin_init(
            pin_init!(Self {
                block: bindings::notifier_block {
                    notifier_call: Some(notified),
                    ..Default::default()
                },
                net: net.as_ptr(),
                namespace: namespace.get_ref(),
                hooked <- new_mutex!(Hooked {
                    devices: KVec::new(),
                    failed: None,
                }),
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: The block is pinned and stays registered until `drop`; the namespace is valid. It
        // is told at once of all devices there are.
        to_result(unsafe {
            bindings::register_netdevice_notifier_net(net.as_ptr(), devices.block())
        })?;
        let failed = devices.hooked.lock().failed;
        failed.map_or(Ok(devices), Err)
    }

    fn block(&self) -> *mut bindings::notifier_block {
        (&raw const self.block).cast_mut()
    }

    /// Whether a device has the hook.
    pub(crate) fn has(&self, index: u32) -> bool {
        let hooked = self.hooked.lock();
        let mut hooks = hooked.devices.iter().filter_map(|one| one.hook.as_ref());
        hooks.any(|hook| hook.index() == index)
    }

    /// A device is there.
    fn begin(&self, device: NonNull<bindings::net_device>) {
        let mut hooked = self.hooked.lock();
        let watched = Watched { device, hook: None };
        if let Err(error) = hooked.devices.push(watched, GFP_KERNEL) {
            // The device does without.
            hooked.failed = Some(error.into());
        }
    }

    /// A device is about to go.
    fn end(&self, device: NonNull<bindings::net_device>) {
        let devices = &mut self.hooked.lock().devices;
        devices.retain(|one| one.device != device);
    }

    /// Gives a device the hook, or takes it off.
    fn set(&self, device: NonNull<bindings::net_device>, wanted: bool) {
        let mut hooked = self.hooked.lock();
        let Some(watched) = hooked.devices.iter_mut().find(|one| one.device == device) else {
            return;
        };
        if !wanted {
            watched.hook = None;
        } else if watched.hook.is_none() {
            // SAFETY: The network namespace outlives this value.
            let net = unsafe { Net::from_raw(self.net) };
            // SAFETY: `end` is called before the device is gone from the namespace.
            // `Namespace::close` drops this value, and a grace period passes before the namespace's
            // state is freed (`ffi::pernet::exit`).
            match unsafe { IngressHook::register(net, device, self.namespace) } {
                Ok(hook) => watched.hook = Some(hook),
                Err(error) => hooked.failed = Some(error),
            }
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Devices {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered in `watch`, or that failed and this does nothing. The kernel tells
        // of the end of all devices, and so takes all hooks off.
        unsafe { bindings::unregister_netdevice_notifier_net(self.net, self.block()) };
    }
}

/// Something happens to a device.
///
/// # Safety
///
/// Called by the kernel, under RTNL, with the block of a `Devices` and an event's information.
unsafe extern "C" fn notified(
    block: *mut bindings::notifier_block,
    event: c_ulong,
    info: *mut c_void,
) -> c_int {
    const DONE: c_int = 0;
    // SAFETY: By the function's contract: the information begins with the device.
    let device = unsafe { bindings::halod_notified_device(info) };
    let Some(device) = NonNull::new(device) else {
        return DONE;
    };
    // SAFETY: The block is a field of a `Devices` that is registered, and so alive.
    let devices = unsafe { &*kernel::container_of!(block, Devices, block) };
    match event {
        REGISTER => devices.begin(device),
        UNREGISTER => devices.end(device),
        MASTER_CHANGED => {}
        _ => return DONE,
    }
    if event != UNREGISTER {
        // SAFETY: The device is valid, and this is under RTNL.
        let alone = unsafe { bindings::halod_device_stands_alone(device.as_ptr()) };
        devices.set(device, alone);
    }
    DONE
}

/// A device, and what keeps packets that arrive by it from the fast path.
pub(crate) struct Device {
    pub(crate) index: u32,
    /// Its name, padded with NUL.
    pub(crate) name: [u8; 16],
    pub(crate) loopback: bool,
    pub(crate) enslaved: bool,
    /// Somebody takes packets off it.
    pub(crate) taken: bool,
    /// IPsec, or they are not forwarded: IPv4, and IPv6.
    pub(crate) policy: [bool; 2],
}

impl Net<'_> {
    /// The device of the namespace with the lowest index from one on.
    pub(crate) fn device_from(self, index: u32) -> Option<Device> {
        let mut found = bindings::halod_device::default();
        // SAFETY: The namespace is valid.
        if !unsafe { bindings::halod_device_from(self.as_ptr(), index, &mut found) } {
            return None;
        }
        Some(Device {
            index: found.index,
            name: found.name,
            loopback: found.loopback,
            enslaved: found.enslaved,
            taken: found.taken,
            policy: [found.policy4, found.policy6],
        })
    }
}
