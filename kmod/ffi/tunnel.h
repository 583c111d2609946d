/* SPDX-License-Identifier: GPL-2.0 */
/* Packets that go to a node inside others: IPv4 in IPv4, IPv6 in IPv6. */
#ifndef _HALOD_TUNNEL_H
#define _HALOD_TUNNEL_H

#include <linux/skbuff.h>

#include "deliver.h"

/* The way to a node. */
struct halod_tunnel {
	struct dst_entry *route;
	/* This machine's address on it, of the route's IP version. */
	u8 source[16];
};

/*
 * Finds the way of a packet, of PRE_ROUTING or LOCAL_OUT, to @node (an address
 * of its IP version). The reference to the route is the caller's. Whether @keep
 * later packets of the same mark and service can take it; the @cookie is for
 * halod_route6_holds() then.
 */
enum halod_way halod_tunnel_find(struct net *net, const struct sk_buff *skb,
				 bool v6, const void *node,
				 struct halod_tunnel *to, bool *keep,
				 u32 *cookie);

/*
 * Sends a packet, of PRE_ROUTING or (@own) LOCAL_OUT, to @node inside another
 * one. The packet is gone then; where the result is not HALOD_WAY_FOUND it is
 * still the caller's, to be dropped, and its sender has been told where routers
 * tell. The route must outlive the RCU read side only.
 */
enum halod_way halod_tunnel_send(struct net *net, struct sock *sk,
				 struct sk_buff *skb, bool v6,
				 const void *node,
				 const struct halod_tunnel *to, bool own);

/*
 * Takes from an ICMP error about such a packet, in PRE_ROUTING and with its
 * ICMP header at @l4, the path's MTU, if that is what it says. The packet's
 * data may move.
 */
void halod_tunnel_error(struct net *net, struct sk_buff *skb, bool v6,
			unsigned int l4);

#endif /* _HALOD_TUNNEL_H */
