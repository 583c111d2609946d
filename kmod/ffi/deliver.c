// SPDX-License-Identifier: GPL-2.0
#include <net/flow.h>
#include <net/ip.h>
#include <net/ip6_fib.h>
#include <net/ip6_route.h>
#include <net/ip_fib.h>
#include <net/route.h>

#include "deliver.h"
#include "helpers.h"

/*
 * The kernel takes the neighbour from the packet's destination, which here is
 * the VIP, unless the route names one. FLOWI_FLAG_KNOWN_NH asks for a route of
 * one's own that does: what IPVS uses for the same.
 */

/* Whether a route ends at a neighbour, and at this one. */
static bool is_neighbour4(const struct rtable *rt, __be32 node)
{
	return rt->rt_type == RTN_UNICAST && !rt->rt_uses_gateway &&
	       rt->rt_gw_family == AF_INET && rt->rt_gw4 == node;
}

/*
 * The route to a node on the link, which the packet's way in says that it is.
 * No transport asks for it, and no IPsec policy is to be asked: what it says of
 * the packet, to the VIP, is asked when that is forwarded.
 */
static struct rtable *on_link4(struct net *net, struct flowi4 asked,
			       __be32 node)
{
	struct flowi4 fl4 = asked;
	struct rtable *rt = __ip_route_output_key(net, &fl4);

	if (!IS_ERR(rt) && is_neighbour4(rt, node))
		return rt;
	if (!IS_ERR(rt))
		ip_rt_put(rt);
	/*
	 * A rule that goes by the device of arrival is not found from here, and
	 * what others have may be a router. What none has on the link, the
	 * kernel takes to be there: by a route that nobody else has, since it is
	 * of no table, and that names no neighbour.
	 */
	fl4 = asked;
	fl4.flowi4_scope = RT_SCOPE_LINK;
	rt = __ip_route_output_key(net, &fl4);
	if (!IS_ERR(rt) && rt->rt_type == RTN_UNICAST && !rt->rt_gw_family &&
	    rt->dst.rt_uncached_list) {
		rt->rt_gw_family = AF_INET;
		rt->rt_gw4 = node;
	}
	return rt;
}

static bool is_neighbour6(const struct rt6_info *rt,
			  const struct in6_addr *node)
{
	return !(rt->rt6i_flags & (RTF_LOCAL | RTF_ANYCAST | RTF_GATEWAY)) &&
	       rt->rt6i_flags & RTF_CACHE &&
	       ipv6_addr_equal(&rt->rt6i_dst.addr, node);
}

/* A redirect would have the client talk to the node by itself. */
static void no_redirect(struct sk_buff *skb, bool v6)
{
	if (!v6)
		IPCB(skb)->flags &= ~IPSKB_DOREDIRECT;
	else if (!IP6CB(skb)->srcrt)
		/* All that forwarding reads of it is whether to redirect. */
		IP6CB(skb)->srcrt = sizeof(struct ipv6hdr);
}

static enum halod_way neighbour_find4(struct sk_buff *skb, __be32 node)
{
	const struct iphdr *iph = ip_hdr(skb);
	struct net *net = dev_net(skb->dev);
	const struct rtable *in;
	struct rtable *rt;

	/* How the kernel would forward it: with all that it asks of a source. */
	if (ip_route_input_noref(skb, node, iph->saddr, ip4h_dscp(iph),
				 skb->dev))
		return HALOD_WAY_SOURCE;
	no_redirect(skb, false);
	in = skb_rtable(skb);
	switch (in->rt_type) {
	case RTN_UNICAST:
		break;
	case RTN_UNREACHABLE:
	case RTN_PROHIBIT:
	case RTN_BLACKHOLE:
		/* The kernel tells the client, as it always does. */
		return HALOD_WAY_FOUND;
	default:
		return HALOD_WAY_FAR;
	}
	if (in->rt_uses_gateway)
		return HALOD_WAY_FAR;
	if (!is_neighbour4(in, node)) {
		struct flowi4 fl4 = {
			.flowi4_oif = in->dst.dev->ifindex,
			.flowi4_mark = skb->mark,
			.flowi4_dscp = ip4h_dscp(iph),
			.flowi4_proto = iph->protocol,
			.flowi4_flags = FLOWI_FLAG_KNOWN_NH |
					FLOWI_FLAG_ANYSRC,
			.daddr = node,
			.saddr = iph->saddr,
		};

		rt = on_link4(net, fl4, node);
		if (IS_ERR(rt))
			return HALOD_WAY_NONE;
		if (!is_neighbour4(rt, node)) {
			ip_rt_put(rt);
			return HALOD_WAY_FAR;
		}
		/* Nobody else's, but for its input a route for forwarding. */
		WRITE_ONCE(rt->dst.input, in->dst.input);
		skb_dst_drop(skb);
		skb_dst_set(skb, &rt->dst);
	}
	return HALOD_WAY_FOUND;
}

static enum halod_way neighbour_find6(struct sk_buff *skb,
				      const struct in6_addr *node)
{
	const struct ipv6hdr *iph = ipv6_hdr(skb);
	struct flowi6 fl6 = {
		.flowi6_iif = skb->dev->ifindex,
		.flowi6_mark = skb->mark,
		.flowi6_proto = iph->nexthdr,
		.flowi6_flags = FLOWI_FLAG_KNOWN_NH,
		.flowlabel = ip6_flowinfo(iph),
		.daddr = *node,
		.saddr = iph->saddr,
	};
	struct dst_entry *dst;

	dst = ip6_route_input_lookup(dev_net(skb->dev), skb->dev, &fl6, skb,
				     RT6_LOOKUP_F_HAS_SADDR);
	if (!dst->error && !is_neighbour6(dst_rt6_info(dst), node)) {
		dst_release(dst);
		return HALOD_WAY_FAR;
	}
	no_redirect(skb, true);
	skb_dst_drop(skb);
	skb_dst_set(skb, dst);
	return HALOD_WAY_FOUND;
}

/* Whether others of the same source, device, mark and service go there too. */
static bool may_keep4(const struct sk_buff *skb)
{
	return skb_rtable(skb)->rt_type == RTN_UNICAST &&
	       halod_routes_are_plain(dev_net(skb->dev), false);
}

static bool may_keep6(const struct sk_buff *skb, u32 *cookie)
{
	const struct rt6_info *rt = dst_rt6_info(skb_dst(skb));

	if (rt->dst.error || !halod_route_is_single6(rt) ||
	    !halod_routes_are_plain(dev_net(skb->dev), true))
		return false;
	*cookie = rt6_get_cookie(rt);
	return true;
}

enum halod_way halod_neighbour_find(struct sk_buff *skb, bool v6,
				    const void *node, struct dst_entry **keep,
				    u32 *cookie)
{
	enum halod_way way;

	*keep = NULL;
	/* A frame that br_netfilter shows is yet to be bridged. */
	if (halod_skb_is_bridged(skb))
		return HALOD_WAY_NONE;
	way = v6 ? neighbour_find6(skb, node) :
		   neighbour_find4(skb, *(const __be32 *)node);
	if (way != HALOD_WAY_FOUND) {
		skb_dst_drop(skb);
		return way;
	}
	if ((v6 ? may_keep6(skb, cookie) : may_keep4(skb)) &&
	    dst_hold_safe(skb_dst(skb)))
		*keep = skb_dst(skb);
	return way;
}

void halod_skb_set_neighbour(struct sk_buff *skb, bool v6,
			     struct dst_entry *dst)
{
	skb_dst_drop(skb);
	skb_dst_set_noref(skb, dst);
	no_redirect(skb, v6);
}

static struct dst_entry *neighbour_out4(struct net *net, int oif,
					const struct sk_buff *skb, __be32 node)
{
	const struct iphdr *iph = ip_hdr(skb);
	struct flowi4 fl4 = {
		.flowi4_oif = oif,
		.flowi4_mark = skb->mark,
		.flowi4_dscp = ip4h_dscp(iph),
		.flowi4_flags = FLOWI_FLAG_KNOWN_NH | FLOWI_FLAG_ANYSRC,
		.daddr = node,
		.saddr = iph->saddr,
	};
	struct rtable *rt = ip_route_output_key(net, &fl4);

	if (IS_ERR(rt) || is_neighbour4(rt, node))
		return IS_ERR(rt) ? NULL : &rt->dst;
	ip_rt_put(rt);
	return ERR_PTR(-EXDEV);
}

static struct dst_entry *neighbour_out6(struct net *net, int oif,
					const struct sock *sk,
					const struct sk_buff *skb,
					const struct in6_addr *node)
{
	const struct ipv6hdr *iph = ipv6_hdr(skb);
	struct flowi6 fl6 = {
		.flowi6_oif = oif,
		.flowi6_mark = skb->mark,
		.flowi6_flags = FLOWI_FLAG_KNOWN_NH,
		.flowlabel = ip6_flowinfo(iph),
		.daddr = *node,
		.saddr = iph->saddr,
	};
	struct dst_entry *dst = ip6_route_output(net, sk, &fl6);

	if (!dst->error && is_neighbour6(dst_rt6_info(dst), node))
		return dst;
	if (dst->error) {
		dst_release(dst);
		return NULL;
	}
	dst_release(dst);
	return ERR_PTR(-EXDEV);
}

enum halod_way halod_neighbour_out(struct net *net, const struct sock *sk,
				   struct sk_buff *skb, bool v6,
				   const void *node)
{
	int oif = sk ? READ_ONCE(sk->sk_bound_dev_if) : 0;
	struct dst_entry *dst;

	dst = v6 ? neighbour_out6(net, oif, sk, skb, node) :
		   neighbour_out4(net, oif, skb, *(const __be32 *)node);
	if (IS_ERR_OR_NULL(dst))
		return dst ? HALOD_WAY_FAR : HALOD_WAY_NONE;
	skb_dst_drop(skb);
	skb_dst_set(skb, dst);
	return HALOD_WAY_FOUND;
}
