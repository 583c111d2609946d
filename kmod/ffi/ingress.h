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
#include <net/route.h>

/* Whether IPv6 packets that have arrived like this one are sent on. */
bool halod_forwards6(const struct net *net, const struct sk_buff *skb);

/*
 * Whether packets with a route that was found for this one and its kin can be
 * sent without anything else in their way.
 */
enum halod_quick {
	HALOD_QUICK,
	HALOD_NOT_QUICK,
	HALOD_QUICK_BUT_FOR_IPSEC,
};

enum halod_quick halod_route_is_quick(const struct dst_entry *dst,
				      const struct sk_buff *skb, bool v6,
				      const void *source);

/*
 * Places in what the kernel crate does not know: whether a route still holds
 * (see route4_holds()), whether a neighbour answers, and who takes packets off
 * a device.
 */
enum {
	HALOD_AT_RX_HANDLER = offsetof(struct net_device, rx_handler),
	HALOD_AT_OBSOLETE = offsetof(struct dst_entry, obsolete),
	HALOD_AT_GENID = offsetof(struct rtable, rt_genid),
	HALOD_AT_NUD_STATE = offsetof(struct neighbour, nud_state),
};

enum {
	HALOD_OBSOLETE_IF_OTHER_GENID = DST_OBSOLETE_FORCE_CHK,
	HALOD_CONNECTED = NUD_CONNECTED,
};

/* Rises with each change of a neighbour, and before one is let go of. */
extern atomic_t halod_neighbour_news;

/*
 * What was found out about a route's next machine for the packet before. All
 * zero: nothing.
 */
struct halod_next {
	/*
	 * Without a reference: while there is no news, it stays under RCU.
	 * neigh_cleanup_and_release() tells of it first, and what was told
	 * before a grace period is seen by who begins to read after it.
	 */
	struct neighbour *neighbour;
	/* How much was heard of neighbours by then. */
	u32 news;
	/*
	 * The longest packet, where the neighbour is known; else 0. IPv4: as long as
	 * the route holds, or 0 to be asked for. IPv6: see halod_way_takes6().
	 */
	u16 mtu;
	/* Room for the link's header. */
	u16 reserve;
	/* IPv4: the packet's, by its type of service; or this. */
	u16 priority;
#define HALOD_PRIORITY_KEPT 0xffff
};

/* What keeps a packet from going along a route at once, if anything. */
enum halod_open {
	HALOD_OPEN,
	HALOD_OPEN_TOO_BIG,
	HALOD_OPEN_NO_NEIGHBOUR,
	HALOD_OPEN_NO_MEMORY,
};

/*
 * Finds out about a route's next machine, and makes a packet of `len` bytes of
 * IP ready for it: its headers may be written, padding is off, and there is
 * room for the link's header. The route still holds. All packets of a `next`
 * have one destination.
 */
enum halod_open halod_way_open4(struct sk_buff *skb,
				const struct dst_entry *dst,
				struct halod_next *next, u32 destination,
				unsigned int len);
enum halod_open halod_way_open6(struct sk_buff *skb,
				const struct dst_entry *dst,
				struct halod_next *next,
				const void *destination, unsigned int len);

/* Takes off what is behind the first `len` bytes, unless memory is short. */
bool halod_skb_trim(struct sk_buff *skb, unsigned int len);

/* Whether a packet of `len` bytes of IPv6 is not too long for a way. */
bool halod_way_takes6(const struct dst_entry *dst, unsigned int len);

/*
 * From the first to the second, neighbours that go are heard of: before one is
 * freed, a grace period later, no halod_next has it any more. Process context.
 */
int halod_neighbours_watch(void);
void halod_neighbours_forget(void);

/*
 * Sends it, and adds one to a counter of this CPU; the packet is gone. The sum
 * of its bytes, which it may have had, is off. Where it is ready, the neighbour
 * answers.
 */
void halod_way_send4(struct sk_buff *skb, struct dst_entry *dst,
		     const struct halod_next *next, struct net *net,
		     void *counter);
void halod_way_send6(struct sk_buff *skb, struct dst_entry *dst,
		     const struct halod_next *next, struct net *net,
		     void *counter);
void halod_way_send_ready4(struct sk_buff *skb, struct dst_entry *dst,
			   const struct halod_next *next, struct net *net,
			   void *counter);
void halod_way_send_ready6(struct sk_buff *skb, struct dst_entry *dst,
			   const struct halod_next *next, struct net *net,
			   void *counter);

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
