// SPDX-License-Identifier: GPL-2.0
#include <linux/if_vlan.h>
#include <linux/inetdevice.h>
#include <linux/rtnetlink.h>
#include <net/addrconf.h>
#include <net/arp.h>
#include <net/gso.h>
#include <net/ip.h>
#include <net/ip6_route.h>
#include <net/ndisc.h>
#include <net/netevent.h>
#include <net/route.h>
#include <net/xfrm.h>

#include "helpers.h"
#include "ingress.h"
#include "inline.h"

/* To be shown: of packets over IPv4 the routes say so. */
static bool forwards4(const struct net_device *dev)
{
	const struct in_device *in_dev = __in_dev_get_rcu(dev);

	return in_dev && IN_DEV_FORWARD(in_dev);
}

static bool forwards6(const struct net *net, const struct net_device *dev)
{
	const struct inet6_dev *idev = __in6_dev_get(dev);

	return idev && !READ_ONCE(idev->cnf.disable_ipv6) &&
	       (READ_ONCE(net->ipv6.devconf_all->forwarding) ||
		READ_ONCE(idev->cnf.force_forwarding)) &&
	       !READ_ONCE(net->ipv6.devconf_all->proxy_ndp);
}

bool halod_forwards6(const struct net *net, const struct sk_buff *skb)
{
	return forwards6(net, skb->dev);
}

/* Who may send through a router; see ip6_rcv_core() and ip6_forward(). */
static bool source_is_global6(const struct in6_addr *source)
{
	int type = ipv6_addr_type(source);

	return type & IPV6_ADDR_UNICAST &&
	       !(type & (IPV6_ADDR_LOOPBACK | IPV6_ADDR_LINKLOCAL));
}

enum halod_quick halod_route_is_quick(const struct dst_entry *dst,
				      const struct sk_buff *skb, bool v6,
				      const void *source)
{
	const struct net_device *dev = dst_dev_rcu(dst);

	/* One that comes makes an end of its IP version's routes: xfrm_policy_insert(). */
	if (halod_net_has_ipsec(dev_net_rcu(dev)))
		return HALOD_QUICK_BUT_FOR_IPSEC;
	if (dst->error || dst->lwtstate || dst_xfrm(dst) ||
	    dev->flags & IFF_LOOPBACK)
		return HALOD_NOT_QUICK;
	if (v6)
		/* Back by the same device the sender is told of a shorter way. */
		return dev != skb->dev && source_is_global6(source) ?
			       HALOD_QUICK : HALOD_NOT_QUICK;
#ifdef CONFIG_IP_ROUTE_CLASSID
	if (dst->tclassid)
		return HALOD_NOT_QUICK;
#endif
	return dst_rtable(dst)->rt_flags &
			       (RTCF_BROADCAST | RTCF_MULTICAST | RTCF_LOCAL) ?
		       HALOD_NOT_QUICK : HALOD_QUICK;
}

/* As ip_dst_mtu_maybe_forward() where nobody asks for more than the link. */
static __always_inline unsigned int mtu4(const struct dst_entry *dst,
					 const struct net_device *dev)
{
	return dst_metric_raw(dst, RTAX_MTU) ?: READ_ONCE(dev->mtu);
}

static __always_inline bool mtu4_is_usual(const struct dst_entry *dst,
					  const struct net_device *dev)
{
	return !READ_ONCE(dev_net_rcu(dev)->ipv4.sysctl_ip_fwd_use_pmtu) &&
	       !ip_mtu_locked(dst);
}

static __always_inline unsigned int mtu6(const struct net_device *dev)
{
	const struct inet6_dev *idev = __in6_dev_get(dev);

	return idev ? max_t(unsigned int, IPV6_MIN_MTU,
			    READ_ONCE(idev->cnf.mtu6)) : IPV6_MIN_MTU;
}

static __always_inline u32 next_hop4(const struct dst_entry *dst,
				     u32 destination)
{
	const struct rtable *rt = dst_rtable(dst);

	return rt->rt_gw_family ? (__force u32)rt->rt_gw4 : destination;
}

static __always_inline bool is_reachable(const struct neighbour *to)
{
	return to && READ_ONCE(to->nud_state) & NUD_VALID;
}

atomic_t halod_neighbour_news;

static int neighbour_changed(struct notifier_block *block, unsigned long event,
			     void *info)
{
	if (event == NETEVENT_NEIGH_UPDATE)
		atomic_inc(&halod_neighbour_news);
	return NOTIFY_DONE;
}

static struct notifier_block neighbour_block = {
	.notifier_call = neighbour_changed,
};

int halod_neighbours_watch(void)
{
	return register_netevent_notifier(&neighbour_block);
}

void halod_neighbours_forget(void)
{
	unregister_netevent_notifier(&neighbour_block);
}

/* Past an IPv6 router no link header is kept. */
static __always_inline bool keeps_header4(const struct dst_entry *dst)
{
	const struct rtable *rt = dst_rtable(dst);

	return !rt->rt_gw_family || rt->rt_gw_family == AF_INET;
}

static enum halod_open open_way(struct sk_buff *skb, struct halod_next *next,
				unsigned int len, unsigned int mtu)
{
	if (!is_reachable(next->neighbour)) {
		next->mtu = 0;
		return HALOD_OPEN_NO_NEIGHBOUR;
	}
	if (len > mtu &&
	    !(skb_is_gso(skb) && skb_gso_validate_network_len(skb, mtu)))
		return HALOD_OPEN_TOO_BIG;
	if (pskb_trim_rcsum(skb, len) || skb_cow(skb, next->reserve))
		return HALOD_OPEN_NO_MEMORY;
	/* As ip_rcv_core() would. */
	skb_orphan(skb);
	return HALOD_OPEN;
}

enum halod_open halod_way_open4(struct sk_buff *skb,
				const struct dst_entry *dst,
				struct halod_next *next, u32 destination,
				unsigned int len)
{
	struct net_device *dev = dst_dev_rcu(dst);
	unsigned int mtu = min_t(unsigned int, mtu4(dst, dev), IP_MAX_MTU);

	if (!keeps_header4(dst))
		return HALOD_OPEN_NO_NEIGHBOUR;
	/* A change of the link's MTU makes an end of the route: fib_netdev_event(). */
	next->mtu = mtu4_is_usual(dst, dev) ? mtu : 0;
	if (!next->mtu)
		mtu = ip_dst_mtu_maybe_forward(dst, true);
	next->reserve = LL_RESERVED_SPACE(dev);
	next->priority = HALOD_PRIORITY_KEPT;
	if (READ_ONCE(dev_net_rcu(dev)->ipv4.sysctl_ip_fwd_update_priority))
		next->priority = rt_tos2priority(ip_hdr(skb)->tos);
	/* What changes after this is news. */
	next->news = atomic_read_acquire(&halod_neighbour_news);
	next->neighbour = __ipv4_neigh_lookup_noref(dev,
						    next_hop4(dst, destination));
	skb_set_transport_header(skb, sizeof(struct iphdr));
	return open_way(skb, next, len, mtu);
}

bool halod_skb_trim(struct sk_buff *skb, unsigned int len)
{
	return !pskb_trim_rcsum(skb, len);
}

bool halod_way_takes6(const struct dst_entry *dst, unsigned int len)
{
	return !dst_metric_locked(dst, RTAX_MTU) &&
	       len <= mtu6(dst_dev_rcu(dst));
}

enum halod_open halod_way_open6(struct sk_buff *skb,
				const struct dst_entry *dst,
				struct halod_next *next,
				const void *destination, unsigned int len)
{
	struct net_device *dev = dst_dev_rcu(dst);
	unsigned int mtu = mtu6(dev);

	if (dst_metric_locked(dst, RTAX_MTU))
		mtu = max_t(unsigned int, IPV6_MIN_MTU,
			    ip6_dst_mtu_maybe_forward(dst, true));
	next->mtu = IP_MAX_MTU;
	next->reserve = LL_RESERVED_SPACE(dev);
	next->news = atomic_read_acquire(&halod_neighbour_news);
	next->neighbour =
		__ipv6_neigh_lookup_noref(dev, rt6_nexthop(dst_rt6_info(dst),
							   destination));
	skb_set_transport_header(skb, sizeof(struct ipv6hdr));
	return open_way(skb, next, len, mtu);
}

/* As neigh_hh_output() does for Ethernet. */
static __always_inline bool push_header(struct sk_buff *skb,
					const struct hh_cache *hh)
{
	unsigned int seq, len;

	do {
		seq = read_seqbegin(&hh->hh_lock);
		len = READ_ONCE(hh->hh_len);
		/* There is room for it: LL_RESERVED_SPACE(). */
		memcpy(skb->data - HH_DATA_MOD, hh->hh_data, HH_DATA_MOD);
	} while (read_seqretry(&hh->hh_lock, seq));
	/* Others' links are rare, and neigh_output() knows them all. */
	if (unlikely(len != ETH_HLEN))
		return false;
	__skb_push(skb, ETH_HLEN);
	return true;
}

/* As the kernel does between ip_rcv() and neigh_output(). */
static __always_inline void way_send(struct sk_buff *skb, struct dst_entry *dst,
				     struct neighbour *to, bool connected)
{
	struct net_device *dev = dst_dev_rcu(dst);

	skb_clear_tstamp(skb);
	skb_reset_redirect(skb);
	skb->dev = dev;
	/* Most devices would let go of the route before they look at the packet. */
	if (likely(connected && dev->priv_flags & IFF_XMIT_DST_RELEASE &&
		   push_header(skb, &to->hh))) {
		dev_queue_xmit(skb);
		return;
	}
	skb_dst_set_noref(skb, dst);
	neigh_output(to, skb, false);
}

static __always_inline void send4(struct sk_buff *skb, struct dst_entry *dst,
				  const struct halod_next *next, struct net *net,
				  void *counter, bool connected)
{
	this_cpu_inc(*counters_of(counter));
	skb->transport_header = skb->network_header + sizeof(struct iphdr);
	if (next->priority != HALOD_PRIORITY_KEPT)
		skb->priority = next->priority;
	__IP_INC_STATS(net, IPSTATS_MIB_OUTFORWDATAGRAMS);
	way_send(skb, dst, next->neighbour, connected);
}

static __always_inline void send6(struct sk_buff *skb, struct dst_entry *dst,
				  const struct halod_next *next, struct net *net,
				  void *counter, bool connected)
{
	this_cpu_inc(*counters_of(counter));
	skb->transport_header = skb->network_header + sizeof(struct ipv6hdr);
	__IP6_INC_STATS(net, ip6_dst_idev(dst), IPSTATS_MIB_OUTFORWDATAGRAMS);
	way_send(skb, dst, next->neighbour, connected);
}

void halod_way_send4(struct sk_buff *skb, struct dst_entry *dst,
		     const struct halod_next *next, struct net *net,
		     void *counter)
{
	send4(skb, dst, next, net, counter, false);
}

void halod_way_send_ready4(struct sk_buff *skb, struct dst_entry *dst,
			   const struct halod_next *next, struct net *net,
			   void *counter)
{
	send4(skb, dst, next, net, counter, true);
}

void halod_way_send6(struct sk_buff *skb, struct dst_entry *dst,
		     const struct halod_next *next, struct net *net,
		     void *counter)
{
	send6(skb, dst, next, net, counter, false);
}

void halod_way_send_ready6(struct sk_buff *skb, struct dst_entry *dst,
			   const struct halod_next *next, struct net *net,
			   void *counter)
{
	send6(skb, dst, next, net, counter, true);
}

struct net_device *halod_notified_device(const void *info)
{
	return netdev_notifier_info_to_dev(info);
}

u32 halod_device_index(const struct net_device *dev)
{
	return dev->ifindex;
}

bool halod_device_stands_alone(struct net_device *dev)
{
	return !(dev->flags & IFF_LOOPBACK) && !netdev_master_upper_dev_get(dev);
}

bool halod_device_from(struct net *net, u32 index, struct halod_device *found)
{
	unsigned long at = index;
	struct net_device *dev;

	rcu_read_lock();
	dev = xa_find(&net->dev_by_index, &at, ULONG_MAX, XA_PRESENT);
	if (dev) {
		found->index = dev->ifindex;
		strscpy_pad(found->name, dev->name, sizeof(found->name));
		found->loopback = dev->flags & IFF_LOOPBACK;
		found->enslaved = netdev_master_upper_dev_get_rcu(dev);
		found->taken = rcu_access_pointer(dev->rx_handler);
		found->policy4 = halod_net_has_ipsec(net) || !forwards4(dev);
		found->policy6 = halod_net_has_ipsec(net) || !forwards6(net, dev);
	}
	rcu_read_unlock();
	return dev;
}
