// SPDX-License-Identifier: GPL-2.0
#include <linux/jiffies.h>
#include <linux/percpu.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include <net/netns/generic.h>
#include <net/netfilter/nf_conntrack.h>

#include "helpers.h"
#include "halod_nl.h"

/* Per-CPU pointers are of another address space, which Rust does not know. */
#define counters_of(percpu) \
	((u64 __percpu *)(unsigned long __force)(percpu))

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
