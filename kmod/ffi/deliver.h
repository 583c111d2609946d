/* SPDX-License-Identifier: GPL-2.0 */
/* Packets that go to a node as they are: their route there. */
#ifndef _HALOD_DELIVER_H
#define _HALOD_DELIVER_H

#include <linux/skbuff.h>

/* What a search for a route came to. */
enum halod_way {
	HALOD_WAY_FOUND,
	HALOD_WAY_NONE,		/* there is none */
	HALOD_WAY_FAR,		/* not to a neighbour */
	HALOD_WAY_SOURCE,	/* the packet cannot be from where it says */
	HALOD_WAY_EXPIRED,	/* its time to live has ended */
	HALOD_WAY_TOO_BIG,	/* for the path, and it is not to be fragmented */
	HALOD_WAY_MEMORY,	/* there is none */
};

/*
 * Gives a packet in PRE_ROUTING the route by which it is forwarded to its
 * neighbour @node (an address of its IP version), whatever its destination.
 * In @keep there is afterwards the same with a reference of its own, where
 * later packets of the same source can take it; NULL where not. The @cookie is
 * for halod_route_holds().
 */
enum halod_way halod_neighbour_find(struct sk_buff *skb, bool v6,
				    const void *node, struct dst_entry **keep,
				    u32 *cookie);

/* The same that halod_skb_set_route() does, for a route so found. */
void halod_skb_set_neighbour(struct sk_buff *skb, bool v6,
			     struct dst_entry *dst);

/* Gives this machine's own packet, of @sk if that is not NULL, such a route. */
enum halod_way halod_neighbour_out(struct net *net, const struct sock *sk,
				   struct sk_buff *skb, bool v6,
				   const void *node);

#endif /* _HALOD_DELIVER_H */
