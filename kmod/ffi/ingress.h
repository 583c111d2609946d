/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the fast path needs of the kernel: facts about a packet that has just
 * arrived and about the way it would go, and sending it there. What becomes of
 * the packet is decided elsewhere.
 */
#ifndef _HALOD_INGRESS_H
#define _HALOD_INGRESS_H

#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <net/neighbour.h>

/* What is out of the ordinary about a packet that has arrived. */
enum {
	HALOD_ARRIVED_PLAIN,
	/* In what it came, or what is attached to it. */
	HALOD_ARRIVED_FRAME,
	/* Somebody else takes packets off the device. */
	HALOD_ARRIVED_DEVICE,
	/* IPsec, or the namespace does not forward. */
	HALOD_ARRIVED_POLICY,
	/* This is no softirq that nothing on its CPU interrupts. */
	HALOD_ARRIVED_CONTEXT,
};

/* The number of this CPU, or one of these, negative. */
int halod_arrived(const struct sk_buff *skb, const struct net *net, bool v6);

/*
 * Whether packets with a route that was found for this one and its kin can be
 * sent without anything else in their way.
 */
bool halod_route_is_quick(const struct dst_entry *dst,
			  const struct sk_buff *skb, bool v6,
			  const void *source);

/* What keeps a packet from going along a route at once: numbers where a neighbour would be. */
enum {
	/* The route no longer holds. */
	HALOD_OPEN_STALE = 1,
	HALOD_OPEN_TOO_BIG,
	HALOD_OPEN_NO_NEIGHBOUR,
	HALOD_OPEN_NO_MEMORY,
};

/*
 * What was found out about a route's next machine for the packet before. All
 * zero: nothing.
 */
struct halod_next {
	/* Without a reference: see halod_neighbours_watch(). */
	struct neighbour *neighbour;
	/* How much was heard of neighbours by then. */
	u32 news;
	/* IPv4: the longest packet, as long as the route holds; 0 to be asked for. */
	u16 mtu;
	/* Room for the link's header. */
	u16 reserve;
};

/*
 * Makes a packet of `len` bytes of IP ready for the way: its headers may be
 * written, padding is off, and there is room for the link's header. Gives the
 * neighbour, or an obstacle. That an IPv4 route still holds is seen here, that
 * an IPv6 one does by halod_route6_holds(). `next` is the route's, and all of
 * them have one destination.
 */
struct neighbour *halod_way_open4(struct sk_buff *skb,
				  const struct dst_entry *dst,
				  struct halod_next *next, u32 destination,
				  unsigned int len);
struct neighbour *halod_way_open6(struct sk_buff *skb,
				  const struct dst_entry *dst,
				  struct halod_next *next,
				  const void *destination, unsigned int len);

/*
 * From the first to the second, neighbours that go are heard of: before one is
 * freed, a grace period later, no halod_next has it any more. Process context.
 */
int halod_neighbours_watch(void);
void halod_neighbours_forget(void);

/* Sends it, and counts it; the packet is gone. */
void halod_way_send4(struct sk_buff *skb, struct dst_entry *dst,
		     struct neighbour *to, void *counters, unsigned int index);
void halod_way_send6(struct sk_buff *skb, struct dst_entry *dst,
		     struct neighbour *to, void *counters, unsigned int index);

/* Devices. */
struct net_device *halod_notified_device(const void *info);
u32 halod_device_index(const struct net_device *dev);
/* Whether IP packets can arrive by it as by itself. Under RTNL. */
bool halod_device_stands_alone(struct net_device *dev);

struct halod_device {
	u32 index;
	char name[IFNAMSIZ];
	bool loopback;
	bool enslaved;
	/* Somebody takes packets off it. */
	bool taken;
	/* IPsec, or packets that arrive by it are not forwarded. */
	bool policy4;
	bool policy6;
};

/* The device with the lowest index from `index` on. */
bool halod_device_from(struct net *net, u32 index, struct halod_device *found);

#endif /* _HALOD_INGRESS_H */
