/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	kmod/netlink/halod.yaml */
/* YNL-GEN uapi header */
/* To regenerate run: scripts/netlink-gen KDIR */

#ifndef _UAPI_LINUX_HALOD_H
#define _UAPI_LINUX_HALOD_H

#define HALOD_FAMILY_NAME	"halod"
#define HALOD_FAMILY_VERSION	1

#define HALOD_MAX_ROUTES	32768
#define HALOD_MAX_NODES		4096
#define HALOD_MAX_LISTENERS	64
#define HALOD_MAX_RUN		8192
#define HALOD_NAME_MAX		63
#define HALOD_MAX_FORMERS	3

/**
 * enum halod_select - What a listener's packets are told apart into routes by.
 * @HALOD_SELECT_PORT: Each route has a port of its own.
 * @HALOD_SELECT_SOURCE: One port for all routes; the route is a keyed hash of
 *   the client's address.
 * @HALOD_SELECT_FLOW: One port for all routes; the route is a keyed hash of
 *   the client's address and port.
 */
enum halod_select {
	HALOD_SELECT_PORT,
	HALOD_SELECT_SOURCE,
	HALOD_SELECT_FLOW,
};

/**
 * enum halod_deliver - How a listener's packets get to their node.
 * @HALOD_DELIVER_NAT: Rewritten to the node's address and port; its answers
 *   come back by this machine, and are rewritten too.
 * @HALOD_DELIVER_DSR: Unchanged, to the node's link address. The node has the
 *   VIP, and answers the client directly.
 * @HALOD_DELIVER_IPIP: Inside another packet of the same IP version, to a node
 *   on any network. The node has the VIP, and answers the client directly.
 */
enum halod_deliver {
	HALOD_DELIVER_NAT,
	HALOD_DELIVER_DSR,
	HALOD_DELIVER_IPIP,
};

/**
 * enum halod_fast_path - Which packets are sent on where they arrive by a
 *   device, before the IP layers of the kernel, rather than by its forwarding.
 * @HALOD_FAST_PATH_OFF: None.
 * @HALOD_FAST_PATH_AUTO: Ordinary ones, as long as no hooks of others in
 *   PRE_ROUTING, FORWARD or POST_ROUTING would see them.
 * @HALOD_FAST_PATH_ON: Ordinary ones, also past such hooks: a firewall's rules
 *   there are not asked about them.
 */
enum halod_fast_path {
	HALOD_FAST_PATH_OFF,
	HALOD_FAST_PATH_AUTO,
	HALOD_FAST_PATH_ON,
};

/**
 * enum halod_device_state - Whether packets that arrive by a device can take
 *   the fast path.
 * @HALOD_DEVICE_STATE_FAST: They can.
 * @HALOD_DEVICE_STATE_OFF: It is off, or the device has no hook for want of
 *   memory.
 * @HALOD_DEVICE_STATE_LOOPBACK: They are this machine's own.
 * @HALOD_DEVICE_STATE_ENSLAVED: The device is part of a bridge, bond or VRF.
 * @HALOD_DEVICE_STATE_TAKEN: Somebody else takes packets off the device, as
 *   macvlan does.
 * @HALOD_DEVICE_STATE_FIREWALL: There are hooks of others, and the fast path
 *   is auto.
 * @HALOD_DEVICE_STATE_POLICY: There are IPsec policies, or nothing is
 *   forwarded.
 */
enum halod_device_state {
	HALOD_DEVICE_STATE_FAST,
	HALOD_DEVICE_STATE_OFF,
	HALOD_DEVICE_STATE_LOOPBACK,
	HALOD_DEVICE_STATE_ENSLAVED,
	HALOD_DEVICE_STATE_TAKEN,
	HALOD_DEVICE_STATE_FIREWALL,
	HALOD_DEVICE_STATE_POLICY,
};

enum {
	HALOD_A_STATUS_VERSION = 1,
	HALOD_A_STATUS_GENERATION,
	HALOD_A_STATUS_ROUTES,
	HALOD_A_STATUS_LISTENERS,
	HALOD_A_STATUS_NODES,
	HALOD_A_STATUS_DRAINING,
	HALOD_A_STATUS_FLOWS,
	HALOD_A_STATUS_FLOW_SLOTS,

	__HALOD_A_STATUS_MAX,
	HALOD_A_STATUS_MAX = (__HALOD_A_STATUS_MAX - 1)
};

enum {
	HALOD_A_LISTENER_NAME = 1,
	HALOD_A_LISTENER_ADDRESS,
	HALOD_A_LISTENER_PROTOCOL,
	HALOD_A_LISTENER_PORT,
	HALOD_A_LISTENER_NODE_PORT,
	HALOD_A_LISTENER_SELECT,
	HALOD_A_LISTENER_DELIVER,

	__HALOD_A_LISTENER_MAX,
	HALOD_A_LISTENER_MAX = (__HALOD_A_LISTENER_MAX - 1)
};

enum {
	HALOD_A_NODE_ID = 1,
	HALOD_A_NODE_NAME,
	HALOD_A_NODE_ADDRESS,
	HALOD_A_NODE_TARGET,

	__HALOD_A_NODE_MAX,
	HALOD_A_NODE_MAX = (__HALOD_A_NODE_MAX - 1)
};

enum {
	HALOD_A_TARGET_LISTENER = 1,
	HALOD_A_TARGET_PORT,

	__HALOD_A_TARGET_MAX,
	HALOD_A_TARGET_MAX = (__HALOD_A_TARGET_MAX - 1)
};

enum {
	HALOD_A_RUN_FIRST = 1,
	HALOD_A_RUN_NODES,

	__HALOD_A_RUN_MAX,
	HALOD_A_RUN_MAX = (__HALOD_A_RUN_MAX - 1)
};

enum {
	HALOD_A_DRAIN_ROUTE = 1,
	HALOD_A_DRAIN_NODE,
	HALOD_A_DRAIN_LEFT,
	HALOD_A_DRAIN_UDP_LEFT,

	__HALOD_A_DRAIN_MAX,
	HALOD_A_DRAIN_MAX = (__HALOD_A_DRAIN_MAX - 1)
};

enum {
	HALOD_A_TABLE_EXPECTED_GENERATION = 1,
	HALOD_A_TABLE_GENERATION,
	HALOD_A_TABLE_ROUTES,
	HALOD_A_TABLE_LISTENER,
	HALOD_A_TABLE_NODE,
	HALOD_A_TABLE_RUN,
	HALOD_A_TABLE_DRAIN,
	HALOD_A_TABLE_SELECT_KEY,
	HALOD_A_TABLE_FAST_PATH,

	__HALOD_A_TABLE_MAX,
	HALOD_A_TABLE_MAX = (__HALOD_A_TABLE_MAX - 1)
};

enum {
	HALOD_A_COUNTER_NAME = 1,
	HALOD_A_COUNTER_PACKETS,

	__HALOD_A_COUNTER_MAX,
	HALOD_A_COUNTER_MAX = (__HALOD_A_COUNTER_MAX - 1)
};

enum {
	HALOD_A_DEVICE_INDEX = 1,
	HALOD_A_DEVICE_NAME,
	HALOD_A_DEVICE_IPV4,
	HALOD_A_DEVICE_IPV6,

	__HALOD_A_DEVICE_MAX,
	HALOD_A_DEVICE_MAX = (__HALOD_A_DEVICE_MAX - 1)
};

enum {
	HALOD_CMD_GET_STATUS = 1,
	HALOD_CMD_GET_TABLE,
	HALOD_CMD_COMMIT,
	HALOD_CMD_FLUSH,
	HALOD_CMD_GET_COUNTERS,
	HALOD_CMD_TABLE_CHANGED,
	HALOD_CMD_GET_FAST_PATH,
	HALOD_CMD_GET_DEVICES,

	__HALOD_CMD_MAX,
	HALOD_CMD_MAX = (__HALOD_CMD_MAX - 1)
};

#define HALOD_MCGRP_TABLE	"table"

#endif /* _UAPI_LINUX_HALOD_H */
