/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's static inlines and macros, as functions that Rust can call.
 * Nothing here decides what becomes of a packet.
 */
#ifndef _HALOD_HELPERS_H
#define _HALOD_HELPERS_H

#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <net/genetlink.h>

/* Per-CPU arrays of u64. */
void *halod_percpu_alloc(size_t size);
void halod_percpu_free(void *percpu);
void halod_percpu_inc(void *percpu, unsigned int index);
u64 halod_percpu_sum(void *percpu, unsigned int index);

/* struct sk_buff, whose unions move between kernels. */
unsigned int halod_skb_headlen(const struct sk_buff *skb);
void halod_skb_csum_add(struct sk_buff *skb, u32 delta);
void halod_skb_set_untracked(struct sk_buff *skb);

/* Netfilter: the operations of all entries. */
struct nf_hook_ops *const *
halod_hook_operations(const struct nf_hook_entries *entries);

/* The CPU of this softirq; -1 in anything else, and on real-time kernels. */
long halod_softirq_cpu(void);

/*
 * Routes of packets that have arrived. halod_route_find() has the kernel find
 * the packet's, as if it were between these addresses, and gives it with a
 * reference where others between the same addresses take it too; else NULL.
 * The packet may have it then too. The cookie is for halod_route6_holds().
 */
struct dst_entry *halod_route_find(struct sk_buff *skb, bool v6,
				   const void *source, const void *destination,
				   u32 *cookie);
/* Before and after a search on behalf of the fast path. */
void halod_skb_forget_route(struct sk_buff *skb);
bool halod_route4_holds(struct dst_entry *dst);
bool halod_route6_holds(struct dst_entry *dst, u32 cookie);
void halod_skb_set_route(struct sk_buff *skb, struct dst_entry *dst,
			 bool redirect);
bool halod_skb_redirects(const struct sk_buff *skb);
enum { HALOD_SECOND = HZ };

/* What is to be known of routes before they are kept. */
struct rt6_info;
bool halod_routes_are_plain(struct net *net, bool v6);
bool halod_net_has_ipsec(const struct net *net);
bool halod_route_is_single6(const struct rt6_info *rt);
bool halod_skb_is_bridged(const struct sk_buff *skb);
bool halod_skb_is_in_vrf(const struct sk_buff *skb);

/* The tick counter. */
u64 halod_jiffies(void);

/* Namespaces. */
void *halod_net_generic(const struct net *net, unsigned int id);
struct net *halod_sock_net(const struct sk_buff *skb);
struct net *halod_info_net(const struct genl_info *info);

/* Generic netlink. */
int halod_genlmsg_reply(struct sk_buff *skb, struct genl_info *info);
int halod_genlmsg_multicast(struct net *net, struct sk_buff *skb);
void halod_dump_check_consistent(struct netlink_callback *cb, void *header);
u32 halod_dump_portid(const struct netlink_callback *cb);
long *halod_dump_args(struct netlink_callback *cb);

#endif /* _HALOD_HELPERS_H */
