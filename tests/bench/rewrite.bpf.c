// SPDX-License-Identifier: GPL-2.0
/*
 * The peers that are programs for BPF: rewrite a packet of the benchmark's IPv4
 * addresses and send it on at once, from XDP or from tc. They do the least
 * there is to do: the table is arithmetic, neighbours and devices are constants
 * (see rig/world.py), and fragments, options and next hops' MTUs are not minded.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ADDRESS(a, b, c, d) bpf_htonl((a) << 24 | (b) << 16 | (c) << 8 | (d))
#define VIP ADDRESS(198U, 51, 100, 1)
#define NODE(n) ADDRESS(192U, 0, 2, 11 + (n))
#define NODES 3
#define PORT 8000
#define ROUTES 24
#define CLIENTS_INDEX 1001
#define NODES_INDEX 1002

enum { NOT_OURS = 0 };

/* A frame's headers; TCP and UDP begin with the same ports. */
struct headers {
	struct ethhdr *ethernet;
	struct iphdr *ip;
	struct udphdr *udp;
	struct tcphdr *tcp;
};

/* RFC 1624, for a change of one word. */
static __always_inline void update(__sum16 *field, __be32 old, __be32 new)
{
	__u64 sum = (__u16)~*field + (__u64)(__u32)~old + new;

	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	*field = ~sum;
}

static __always_inline void readdress(struct headers *h, __be32 *field, __be32 new, __u8 link)
{
	__be32 old = *field;

	*field = new;
	update(&h->ip->check, old, new);
	if (h->ip->protocol == IPPROTO_TCP)
		update(&h->tcp->check, old, new);
	else if (h->udp->check)
		update(&h->udp->check, old, new);
	/* A router's part: one hop less, and the next link's addresses. */
	h->ip->ttl--;
	update(&h->ip->check, bpf_htons(0x100), 0);
	__builtin_memcpy(h->ethernet->h_dest, (__u8[]){2, 0, 0, 0, link, 2}, ETH_ALEN);
	__builtin_memcpy(h->ethernet->h_source, (__u8[]){2, 0, 0, 0, link, 1}, ETH_ALEN);
}

/* Rewrites the packet; the index of the device that it is for, or NOT_OURS. */
static __always_inline int rewrite(void *data, void *end)
{
	struct headers h = {
		.ethernet = data,
		.ip = data + sizeof(struct ethhdr),
		.udp = data + sizeof(struct ethhdr) + sizeof(struct iphdr),
		.tcp = data + sizeof(struct ethhdr) + sizeof(struct iphdr),
	};
	__u32 route, node;

	if ((void *)(h.udp + 1) > end || h.ethernet->h_proto != bpf_htons(ETH_P_IP) || h.ip->ihl != 5)
		return NOT_OURS;
	if (h.ip->protocol == IPPROTO_TCP) {
		if ((void *)(h.tcp + 1) > end)
			return NOT_OURS;
	} else if (h.ip->protocol != IPPROTO_UDP) {
		return NOT_OURS;
	}
	if (h.ip->daddr == VIP) {
		route = bpf_ntohs(h.udp->dest) - PORT;
		if (route >= ROUTES)
			return NOT_OURS;
		readdress(&h, &h.ip->daddr, NODE(route % NODES), 2);
		return NODES_INDEX;
	}
	route = bpf_ntohs(h.udp->source) - PORT;
	node = bpf_ntohl(h.ip->saddr) - bpf_ntohl(NODE(0));
	if (route >= ROUTES || node >= NODES)
		return NOT_OURS;
	readdress(&h, &h.ip->saddr, VIP, 3);
	return CLIENTS_INDEX;
}

SEC("xdp")
int from_xdp(struct xdp_md *context)
{
	int device = rewrite((void *)(long)context->data, (void *)(long)context->data_end);

	return device == NOT_OURS ? XDP_PASS : bpf_redirect(device, 0);
}

SEC("xdp/pass")
int pass(struct xdp_md *context)
{
	return XDP_PASS;
}

SEC("tc")
int from_tc(struct __sk_buff *context)
{
	int device = rewrite((void *)(long)context->data, (void *)(long)context->data_end);

	return device == NOT_OURS ? TC_ACT_OK : bpf_redirect(device, 0);
}

char _license[] SEC("license") = "GPL";
