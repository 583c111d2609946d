// SPDX-License-Identifier: GPL-2.0
#include <linux/jiffies.h>
#include <linux/netdevice.h>
#include <linux/percpu.h>
#include <net/ip.h>
#include <net/ip6_fib.h>
#include <net/ip6_route.h>
#include <net/ip_fib.h>
#include <net/net_namespace.h>
#include <net/route.h>
#include <net/sock.h>
#include <net/xfrm.h>
#include <net/netns/generic.h>
#include <net/netfilter/nf_conntrack.h>

#include "helpers.h"
#include "halod_nl.h"
#include "inline.h"

void *halod_percpu_alloc(size_t size)
{
	return (void *)(unsigned long __force)__alloc_percpu(size, __alignof__(u64));
}

void halod_percpu_free(void *percpu)
{
	free_percpu(counters_of(percpu));
}

void halod_percpu_inc(void *percpu, unsigned int index)
{
	this_cpu_inc(counters_of(percpu)[index]);
}

u64 halod_percpu_sum(void *percpu, unsigned int index)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(counters_of(percpu) + index, cpu));
	return sum;
}

unsigned int halod_skb_headlen(const struct sk_buff *skb)
{
	return skb_headlen(skb);
}

void halod_skb_csum_add(struct sk_buff *skb, u32 delta)
{
	skb->csum = csum_add(skb->csum, (__force __wsum)delta);
}

void halod_skb_set_untracked(struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_NF_CONNTRACK)
	/* A rule may have attached a template (ct zone set): let go of it. */
	nf_reset_ct(skb);
	nf_ct_set(skb, NULL, IP_CT_UNTRACKED);
#endif
}

struct nf_hook_ops *const *
halod_hook_operations(const struct nf_hook_entries *entries)
{
	return nf_hook_entries_get_hook_ops(entries);
}

long halod_softirq_cpu(void)
{
	/* There one softirq may get in another's way. */
	if (IS_ENABLED(CONFIG_PREEMPT_RT) || !softirq_count())
		return -1;
	/* Not signed, so that it need not be widened. */
	return (unsigned int)smp_processor_id();
}

bool halod_route6_holds(struct dst_entry *dst, u32 cookie)
{
	return dst_check(dst, cookie);
}

bool halod_route4_holds(struct dst_entry *dst)
{
	return route4_holds(dst);
}

void halod_skb_set_route(struct sk_buff *skb, struct dst_entry *dst,
			 bool redirect)
{
	skb_dst_set_noref(skb, dst);
	if (redirect)
		IPCB(skb)->flags |= IPSKB_DOREDIRECT;
}

bool halod_skb_redirects(const struct sk_buff *skb)
{
	return IPCB(skb)->flags & IPSKB_DOREDIRECT;
}

/* The kernel chooses one of several ways by more than the addresses. */
bool halod_route_is_single6(const struct rt6_info *rt)
{
	const struct fib6_info *from = rcu_dereference(rt->from);

	return from && !from->fib6_nsiblings && !from->nh;
}

static bool route_is_single4(const struct net *net)
{
#ifdef CONFIG_IP_ROUTE_MULTIPATH
	return !READ_ONCE(net->ipv4.sysctl_fib_multipath_hash_policy);
#else
	return true;
#endif
}

bool halod_routes_are_plain(struct net *net, bool v6)
{
	return v6 ? !fib6_has_custom_rules(net) :
		    !fib4_has_custom_rules(net) && route_is_single4(net);
}

bool halod_net_has_ipsec(const struct net *net)
{
#ifdef CONFIG_XFRM
	return READ_ONCE(net->xfrm.policy_count[XFRM_POLICY_FWD]) ||
	       READ_ONCE(net->xfrm.policy_count[XFRM_POLICY_OUT]) ||
	       READ_ONCE(net->xfrm.policy_default[XFRM_POLICY_FWD]) !=
		       XFRM_USERPOLICY_ACCEPT ||
	       READ_ONCE(net->xfrm.policy_default[XFRM_POLICY_OUT]) !=
		       XFRM_USERPOLICY_ACCEPT;
#else
	return false;
#endif
}

/*
 * For this machine: only without a route does the kernel look early for the
 * packet's socket, which is to be found before the source is rewritten.
 */
static struct dst_entry *route_is_own(struct sk_buff *skb)
{
	skb_dst_drop(skb);
	return NULL;
}

static struct dst_entry *route_find4(struct sk_buff *skb, __be32 source,
				     __be32 destination)
{
	struct net *net = dev_net(skb->dev);
	const struct rtable *rt;

	if (!halod_routes_are_plain(net, false) ||
	    ip_route_input_noref(skb, destination, source,
				 ip4h_dscp(ip_hdr(skb)), skb->dev))
		return NULL;
	rt = skb_rtable(skb);
	return rt->rt_type == RTN_UNICAST ? skb_dst(skb) : route_is_own(skb);
}

/* As ip6_route_input() does where there are only the usual rules. */
static void route_input6(struct sk_buff *skb, const struct in6_addr *source,
			 const struct in6_addr *destination)
{
	const struct ipv6hdr *hdr = ipv6_hdr(skb);
	struct flowi6 fl6 = {
		.flowi6_iif = skb->dev->ifindex,
		.daddr = *destination,
		.saddr = *source,
		.flowlabel = ip6_flowinfo(hdr),
		.flowi6_mark = skb->mark,
		.flowi6_proto = hdr->nexthdr,
	};

	skb_dst_drop(skb);
	skb_dst_set_noref(skb, ip6_route_input_lookup(dev_net(skb->dev),
						      skb->dev, &fl6, skb,
						      RT6_LOOKUP_F_HAS_SADDR |
						      RT6_LOOKUP_F_DST_NOREF));
}

static struct dst_entry *route_find6(struct sk_buff *skb,
				     const struct in6_addr *source,
				     const struct in6_addr *destination,
				     u32 *cookie)
{
	const struct rt6_info *rt;

	if (!halod_routes_are_plain(dev_net(skb->dev), true))
		return NULL;
	route_input6(skb, source, destination);
	rt = dst_rt6_info(skb_dst(skb));
	if (rt->rt6i_flags & (RTF_LOCAL | RTF_ANYCAST))
		return route_is_own(skb);
	if (rt->dst.error || !halod_route_is_single6(rt) ||
	    rt->rt6i_flags & RTF_REJECT)
		return NULL;
	*cookie = rt6_get_cookie(rt);
	return skb_dst(skb);
}

bool halod_skb_is_in_vrf(const struct sk_buff *skb)
{
	return netif_is_l3_master(skb->dev);
}

/* A frame that br_netfilter shows has its way yet to be found. */
bool halod_skb_is_bridged(const struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_BRIDGE_NETFILTER)
	return skb_ext_exist(skb, SKB_EXT_BRIDGE_NF);
#else
	return false;
#endif
}

struct dst_entry *halod_route_find(struct sk_buff *skb, bool v6,
				   const void *source, const void *destination,
				   u32 *cookie)
{
	struct dst_entry *dst;

	if (halod_skb_is_bridged(skb))
		return NULL;
	if (v6)
		dst = route_find6(skb, source, destination, cookie);
	else
		dst = route_find4(skb, *(const __be32 *)source,
				  *(const __be32 *)destination);
	return dst && dst_hold_safe(dst) ? dst : NULL;
}

void halod_skb_forget_route(struct sk_buff *skb)
{
	skb_dst_drop(skb);
	IPCB(skb)->flags = 0;
}

u64 halod_jiffies(void)
{
	return get_jiffies_64();
}

void *halod_net_generic(const struct net *net, unsigned int id)
{
	return net_generic(net, id);
}

struct net *halod_sock_net(const struct sk_buff *skb)
{
	return sock_net(skb->sk);
}

struct net *halod_info_net(const struct genl_info *info)
{
	return genl_info_net(info);
}

int halod_genlmsg_reply(struct sk_buff *skb, struct genl_info *info)
{
	return genlmsg_reply(skb, info);
}

int halod_genlmsg_multicast(struct net *net, struct sk_buff *skb)
{
	return genlmsg_multicast_netns(&halod_nl_family, net, skb, 0,
				       HALOD_NLGRP_TABLE, GFP_KERNEL);
}

void halod_dump_check_consistent(struct netlink_callback *cb, void *header)
{
	genl_dump_check_consistent(cb, header);
}

u32 halod_dump_portid(const struct netlink_callback *cb)
{
	return NETLINK_CB(cb->skb).portid;
}

long *halod_dump_args(struct netlink_callback *cb)
{
	return cb->args;
}
