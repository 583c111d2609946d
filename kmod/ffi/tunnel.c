// SPDX-License-Identifier: GPL-2.0
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <net/addrconf.h>
#include <net/flow.h>
#include <net/gso.h>
#include <net/icmp.h>
#include <net/ip.h>
#include <net/ip6_route.h>
#include <net/ip_tunnels.h>
#include <net/ipv6.h>
#include <net/route.h>
#include <net/sock.h>

#include "helpers.h"
#include "tunnel.h"

/*
 * The inner packet is forwarded by this machine as by any router: its time to
 * live, and what is too big for the way, are its sender's to hear of. The outer
 * one is this machine's own: it goes by LOCAL_OUT, and the kernel fragments it
 * where that may be. There is no tunnel device.
 */

/* Whether a router would have to refuse it (ip_forward.c, ip6_output.c). */
static bool is_too_big(const struct sk_buff *skb, unsigned int mtu)
{
	if (skb->len <= mtu)
		return false;
	/* It came in fragments, and goes on so, whatever their size was. */
	if (skb->ignore_df)
		return false;
	return !skb_is_gso(skb) || !skb_gso_validate_network_len(skb, mtu);
}

/* Makes room for the outer header, and the packet the inner one. */
static bool make_inner(struct sk_buff *skb, const struct dst_entry *dst,
		       unsigned int header, int gso_type, u8 protocol)
{
	if (skb_cow_head(skb, LL_RESERVED_SPACE(dst->dev) + dst->header_len +
				      header) ||
	    iptunnel_handle_offloads(skb, gso_type))
		return false;
	skb_set_inner_ipproto(skb, protocol);
	skb_push(skb, header);
	skb_reset_network_header(skb);
	skb_set_transport_header(skb, header);
	skb_set_inner_mac_header(skb, header);
	return true;
}

/* A packet that came in is no longer its device's or an early socket's. */
static void is_sent_on(struct sk_buff *skb)
{
	skb_orphan(skb);
	/* Or queues would take the time of its arrival for that of its leave. */
	skb_clear_tstamp(skb);
}

/* All that the kernel asks of the source of a packet for the VIP. */
static bool is_source_valid4(struct sk_buff *skb)
{
	const struct iphdr *iph = ip_hdr(skb);

	skb_dst_drop(skb);
	return !ip_route_input_noref(skb, iph->daddr, iph->saddr,
				     ip4h_dscp(iph), skb->dev);
}

/*
 * With IPsec policies it is the lookup that asks them, and whatever they and the
 * keys for them say later must be heard. The first one makes an end of what is
 * kept: xfrm_policy_insert().
 */
static bool may_keep(struct net *net, bool v6)
{
	return !halod_net_has_ipsec(net) && halod_routes_are_plain(net, v6);
}

static enum halod_way tunnel_find4(struct net *net, const struct sk_buff *skb,
				   __be32 node, struct halod_tunnel *to,
				   bool *keep)
{
	struct flowi4 fl4 = {
		.flowi4_mark = skb->mark,
		.flowi4_dscp = ip4h_dscp(ip_hdr(skb)),
		.flowi4_proto = IPPROTO_IPIP,
		.daddr = node,
	};
	struct rtable *rt = ip_route_output_key(net, &fl4);

	if (IS_ERR(rt))
		return HALOD_WAY_NONE;
	if (rt->rt_type != RTN_UNICAST) {
		ip_rt_put(rt);
		return HALOD_WAY_NONE;
	}
	to->route = &rt->dst;
	memcpy(to->source, &fl4.saddr, sizeof(fl4.saddr));
	*keep = may_keep(net, false);
	return HALOD_WAY_FOUND;
}

static enum halod_way tunnel_find6(struct net *net, const struct sk_buff *skb,
				   const struct in6_addr *node,
				   struct halod_tunnel *to, bool *keep,
				   u32 *cookie)
{
	struct flowi6 fl6 = {
		.flowi6_mark = skb->mark,
		.flowi6_proto = IPPROTO_IPV6,
		.flowlabel = ip6_make_flowinfo(ipv6_get_dsfield(ipv6_hdr(skb)), 0),
		.daddr = *node,
	};
	struct dst_entry *dst = ip6_dst_lookup_flow(net, NULL, &fl6, NULL);
	const struct rt6_info *rt;

	if (IS_ERR(dst))
		return HALOD_WAY_NONE;
	rt = dst_rt6_info(dst);
	if (rt->rt6i_flags & (RTF_LOCAL | RTF_ANYCAST)) {
		dst_release(dst);
		return HALOD_WAY_NONE;
	}
	to->route = dst;
	memcpy(to->source, &fl6.saddr, sizeof(fl6.saddr));
	/* Before policies are looked for, or the first might not be noticed. */
	*cookie = rt6_get_cookie(rt);
	*keep = halod_route_is_single6(rt) && may_keep(net, true);
	return HALOD_WAY_FOUND;
}

enum halod_way halod_tunnel_find(struct net *net, const struct sk_buff *skb,
				 bool v6, const void *node,
				 struct halod_tunnel *to, bool *keep,
				 u32 *cookie)
{
	return v6 ? tunnel_find6(net, skb, node, to, keep, cookie) :
		    tunnel_find4(net, skb, *(const __be32 *)node, to, keep);
}

static enum halod_way tunnel_send4(struct net *net, struct sock *sk,
				   struct sk_buff *skb, __be32 node,
				   const struct halod_tunnel *to, bool own)
{
	const struct iphdr *inner = ip_hdr(skb);
	__be16 df = inner->frag_off & htons(IP_DF);
	const u8 tos = inner->tos;
	struct iphdr *outer;
	unsigned int mtu;

	if (!own && !is_source_valid4(skb))
		return HALOD_WAY_SOURCE;
	mtu = dst_mtu(to->route);
	if (mtu < sizeof(*outer) + IPV4_MIN_MTU)
		return HALOD_WAY_NONE;
	mtu -= sizeof(*outer);
	/* ICMP errors about it, too, come from where it would have gone. */
	skb_dst_drop(skb);
	skb_dst_set_noref(skb, to->route);
	if (!own && inner->ttl <= 1) {
		icmp_send(skb, ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, 0);
		return HALOD_WAY_EXPIRED;
	}
	if (df && is_too_big(skb, mtu)) {
		icmp_send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, htonl(mtu));
		return HALOD_WAY_TOO_BIG;
	}
	if (!make_inner(skb, to->route, sizeof(*outer), SKB_GSO_IPXIP4,
			IPPROTO_IPIP))
		return HALOD_WAY_MEMORY;
	if (!own) {
		ip_decrease_ttl((struct iphdr *)skb_transport_header(skb));
		is_sent_on(skb);
	}
	memset(IPCB(skb), 0, sizeof(*IPCB(skb)));
	outer = ip_hdr(skb);
	*outer = (struct iphdr){
		.version = 4,
		.ihl = sizeof(*outer) / 4,
		/* Both DSCP and ECN: RFC 6040, section 4.1, normal mode. */
		.tos = tos,
		.frag_off = df,
		.ttl = ip4_dst_hoplimit(to->route),
		.protocol = IPPROTO_IPIP,
		.daddr = node,
	};
	memcpy(&outer->saddr, to->source, sizeof(outer->saddr));
	ip_select_ident(net, skb, NULL);
	ip_local_out(net, sk, skb);
	return HALOD_WAY_FOUND;
}

static enum halod_way tunnel_send6(struct net *net, struct sock *sk,
				   struct sk_buff *skb,
				   const struct in6_addr *node,
				   const struct halod_tunnel *to, bool own)
{
	const struct ipv6hdr *inner = ipv6_hdr(skb);
	const u8 dsfield = ipv6_get_dsfield(inner);
	struct flowi6 flow = {};
	struct ipv6hdr *outer;
	unsigned int mtu;
	__be32 label;

	/* Nobody could answer it elsewhere. */
	if (!own && ipv6_addr_type(&inner->saddr) & IPV6_ADDR_LINKLOCAL)
		return HALOD_WAY_SOURCE;
	/* RFC 2473, section 7.1: up to that it is the outer one that is fragmented. */
	mtu = max_t(unsigned int, dst_mtu(to->route) - sizeof(*outer),
		    IPV6_MIN_MTU);
	skb_dst_drop(skb);
	skb_dst_set_noref(skb, to->route);
	/* That of what this machine sends is not set yet, and ICMPv6 wants one. */
	if (own)
		skb->dev = dst_dev(to->route);
	if (!own && inner->hop_limit <= 1) {
		icmpv6_send(skb, ICMPV6_TIME_EXCEED, ICMPV6_EXC_HOPLIMIT, 0);
		return HALOD_WAY_EXPIRED;
	}
	if (is_too_big(skb, mtu)) {
		icmpv6_send(skb, ICMPV6_PKT_TOOBIG, 0, mtu);
		return HALOD_WAY_TOO_BIG;
	}
	/*
	 * By the inner packet's ports, or all to a node would have one label.
	 * With a hash nothing is read of the flow.
	 */
	skb_get_hash(skb);
	label = ip6_make_flowlabel(net, skb, ip6_flowlabel(inner), true, &flow);
	if (!make_inner(skb, to->route, sizeof(*outer), SKB_GSO_IPXIP6,
			IPPROTO_IPV6))
		return HALOD_WAY_MEMORY;
	if (!own) {
		((struct ipv6hdr *)skb_transport_header(skb))->hop_limit--;
		is_sent_on(skb);
	}
	memset(IP6CB(skb), 0, sizeof(*IP6CB(skb)));
	outer = ipv6_hdr(skb);
	ip6_flow_hdr(outer, dsfield, label);
	outer->nexthdr = IPPROTO_IPV6;
	outer->hop_limit = ip6_dst_hoplimit(to->route);
	memcpy(&outer->saddr, to->source, sizeof(outer->saddr));
	outer->daddr = *node;
	skb->ignore_df = 1;
	ip6_local_out(net, sk, skb);
	return HALOD_WAY_FOUND;
}

enum halod_way halod_tunnel_send(struct net *net, struct sock *sk,
				 struct sk_buff *skb, bool v6,
				 const void *node,
				 const struct halod_tunnel *to, bool own)
{
	/* A frame that br_netfilter shows is yet to be bridged. */
	if (halod_skb_is_bridged(skb))
		return HALOD_WAY_NONE;
	return v6 ? tunnel_send6(net, sk, skb, node, to, own) :
		    tunnel_send4(net, sk, skb, *(const __be32 *)node, to, own);
}

static void tunnel_error4(struct net *net, struct sk_buff *skb,
			  unsigned int l4)
{
	const unsigned int quote = l4 + sizeof(struct icmphdr);
	const struct icmphdr *icmp;
	const struct iphdr *quoted;
	unsigned int mtu;

	if (!pskb_may_pull(skb, quote + sizeof(struct iphdr)))
		return;
	icmp = (const struct icmphdr *)(skb->data + l4);
	quoted = (const struct iphdr *)(skb->data + quote);
	mtu = ntohs(icmp->un.frag.mtu);
	if (icmp->type != ICMP_DEST_UNREACH || icmp->code != ICMP_FRAG_NEEDED ||
	    !mtu || inet_addr_type(net, quoted->saddr) != RTN_LOCAL ||
	    nf_ip_checksum(skb, NF_INET_PRE_ROUTING, l4, IPPROTO_ICMP))
		return;
	__skb_pull(skb, quote);
	ipv4_update_pmtu(skb, net, mtu, 0, IPPROTO_IPIP);
	__skb_push(skb, quote);
}

static void tunnel_error6(struct net *net, struct sk_buff *skb,
			  unsigned int l4)
{
	const unsigned int quote = l4 + sizeof(struct icmp6hdr);
	const struct icmp6hdr *icmp;
	const struct ipv6hdr *quoted;
	__be32 mtu;

	if (!pskb_may_pull(skb, quote + sizeof(struct ipv6hdr)))
		return;
	icmp = (const struct icmp6hdr *)(skb->data + l4);
	quoted = (const struct ipv6hdr *)(skb->data + quote);
	mtu = icmp->icmp6_mtu;
	if (icmp->icmp6_type != ICMPV6_PKT_TOOBIG ||
	    !ipv6_chk_addr(net, &quoted->saddr, NULL, 0) ||
	    nf_ip6_checksum(skb, NF_INET_PRE_ROUTING, l4, IPPROTO_ICMPV6))
		return;
	__skb_pull(skb, quote);
	ip6_update_pmtu(skb, net, mtu, 0, 0, sock_net_uid(net, NULL));
	__skb_push(skb, quote);
}

void halod_tunnel_error(struct net *net, struct sk_buff *skb, bool v6,
			unsigned int l4)
{
	if (v6)
		tunnel_error6(net, skb, l4);
	else
		tunnel_error4(net, skb, l4);
}
