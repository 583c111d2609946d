/* SPDX-License-Identifier: GPL-2.0 */
/* Packets that go to a node inside others: IPv4 in IPv4, IPv6 in IPv6. */
#ifndef _HALOD_TUNNEL_H
#define _HALOD_TUNNEL_H

#include <linux/skbuff.h>

#include "deliver.h"

/*
 * Sends a packet, of PRE_ROUTING or (@own) LOCAL_OUT, to @node (an address of
 * its IP version) inside another one. The packet is gone then; where the result
 * is not HALOD_WAY_FOUND it is still the caller's, to be dropped, and its
 * sender has been told where routers tell.
 */
enum halod_way halod_tunnel_send(struct net *net, struct sock *sk,
				 struct sk_buff *skb, bool v6,
				 const void *node, bool own);

/*
 * Takes from an ICMP error about such a packet, in PRE_ROUTING and with its
 * ICMP header at @l4, the path's MTU, if that is what it says. The packet's
 * data may move.
 */
void halod_tunnel_error(struct net *net, struct sk_buff *skb, bool v6,
			unsigned int l4);

#endif /* _HALOD_TUNNEL_H */
