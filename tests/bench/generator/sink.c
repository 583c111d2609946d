// SPDX-License-Identifier: GPL-2.0
/* Counts, verifies and drops what arrives at a device. */
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/percpu.h>
#include <linux/rtnetlink.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/checksum.h>
#include <net/ip6_checksum.h>

#include "bench.h"

struct counts {
	u64 sunk;
	u64 wrong;
};

static DEFINE_PER_CPU(struct counts, counts);

/* What the order that runs is about; written while nothing is sent. */
static const struct bench_record *records;
static unsigned int record_count;
static enum bench_verify verify;
static bool any_client;	/* clients walk: that the checksums are right says that no address was damaged */

/* The first wrong packet of an order, in words. */
static char first_wrong[512];
static unsigned long wrong_told;

/* The parts of a packet. */
struct view {
	const u8 *network;
	unsigned int length;	/* of all that is there, from `network` on */
	const u8 *addresses;
	unsigned int addresses_length;
	const u8 *transport;
	unsigned int transport_length;
	u8 protocol;
	bool header_sound;
};

static bool is_tunnel(const struct view *view)
{
	return view->protocol == IPPROTO_IPIP || view->protocol == IPPROTO_IPV6;
}

/* The packet's parts, where it is TCP, UDP or a packet inside another one, and all there. */
static __always_inline bool view_of(const u8 *network, unsigned int length,
				    __be16 protocol, struct view *view)
{
	unsigned int header;

	view->network = network;
	view->length = length;
	if (protocol == htons(ETH_P_IP)) {
		const struct iphdr *ip = (const void *)network;

		header = sizeof(*ip);
		if (length < header + sizeof(struct udphdr))
			return false;
		view->addresses = (const u8 *)&ip->saddr;
		view->addresses_length = 8;
		view->protocol = ip->protocol;
		view->transport_length = ntohs(ip->tot_len) - header;
		view->header_sound = ip->ihl == 5 && !ip_fast_csum(ip, 5);
	} else if (protocol == htons(ETH_P_IPV6)) {
		const struct ipv6hdr *ip = (const void *)network;

		header = sizeof(*ip);
		if (length < header + sizeof(struct udphdr))
			return false;
		view->addresses = (const u8 *)&ip->saddr;
		view->addresses_length = 32;
		view->protocol = ip->nexthdr;
		view->transport_length = ntohs(ip->payload_len);
		view->header_sound = true;
	} else {
		return false;
	}
	view->transport = network + header;
	if (view->protocol == IPPROTO_TCP)
		header += sizeof(struct tcphdr);
	else if (view->protocol == IPPROTO_UDP)
		header += sizeof(struct udphdr) + sizeof(__be16);
	else
		return is_tunnel(view);
	return length >= header;
}

/* The parts of the packet that is inside another one of the same IP version. */
static bool view_inside(const struct view *outer, struct view *view)
{
	bool is4 = outer->addresses_length == 8;

	return outer->header_sound &&
	       outer->protocol == (is4 ? IPPROTO_IPIP : IPPROTO_IPV6) &&
	       outer->transport + outer->transport_length == outer->network + outer->length &&
	       view_of(outer->transport, outer->transport_length,
		       htons(is4 ? ETH_P_IP : ETH_P_IPV6), view) &&
	       !is_tunnel(view);
}

static unsigned int number_of(const struct view *view)
{
	if (view->protocol == IPPROTO_TCP)
		return ntohs(((const struct tcphdr *)view->transport)->urg_ptr);
	return ntohs(*(const __be16 *)(view->transport + sizeof(struct udphdr)));
}

static bool checksum_sound(const struct view *view)
{
	const struct ipv6hdr *ip6 = (const void *)view->network;
	const struct iphdr *ip = (const void *)view->network;
	__wsum sum;

	if (!view->header_sound ||
	    view->transport + view->transport_length > view->network + view->length)
		return false;
	sum = csum_partial(view->transport, view->transport_length, 0);
	if (view->addresses_length == 8)
		return !csum_tcpudp_magic(ip->saddr, ip->daddr, view->transport_length,
					  view->protocol, sum);
	return !csum_ipv6_magic(&ip6->saddr, &ip6->daddr, view->transport_length,
				view->protocol, sum);
}

/* The addresses of a record, then its ports: as sent, or as expected here. */
static const u8 *wanted(const struct bench_record *record, const struct view *view)
{
	if (verify == BENCH_EXPECTED)
		return record->expect;
	return record->frame + ETH_HLEN + (view->addresses_length == 8 ?
		offsetof(struct iphdr, saddr) : offsetof(struct ipv6hdr, saddr));
}

static bool as_wanted(const struct view *view)
{
	unsigned int number = number_of(view), length = view->addresses_length;
	const struct bench_record *record;

	if (number >= record_count || !checksum_sound(view))
		return false;
	record = &records[number];
	if (record->expect_length != length + 4)
		return false;
	if (!any_client && memcmp(view->addresses, wanted(record, view), length / 2))
		return false;
	return !memcmp(view->addresses + length / 2, wanted(record, view) + length / 2, length / 2) &&
	       !memcmp(view->transport, wanted(record, view) + length, 4);
}

/* The frame's packet, byte for byte but for what a router changes: the TTL and with it IPv4's checksum. */
static bool as_sent(const struct bench_record *record, const struct view *view)
{
	const u8 *sent = record->frame + ETH_HLEN;
	unsigned int at = view->addresses_length == 8 ?
		offsetof(struct iphdr, ttl) : offsetof(struct ipv6hdr, hop_limit);
	unsigned int addresses = view->addresses - view->network, i;

	if (record->length - ETH_HLEN != view->length ||
	    view->network[at] > sent[at] || view->network[at] + 1 < sent[at])
		return false;
	for (i = 0; i < addresses; i++) {
		bool sum = view->addresses_length == 8 &&
			   i / sizeof(__sum16) == offsetof(struct iphdr, check) / sizeof(__sum16);

		if (i != at && !sum && view->network[i] != sent[i])
			return false;
	}
	return !memcmp(view->addresses, sent + addresses, view->length - addresses);
}

/* Inside another packet, to the node that the record expects. */
static bool as_wanted_inside(const struct view *outer)
{
	unsigned int length = outer->addresses_length;
	const struct bench_record *record;
	struct view view;

	if (!view_inside(outer, &view) || number_of(&view) >= record_count)
		return false;
	record = &records[number_of(&view)];
	return record->expect_length == length + 4 &&
	       !memcmp(outer->addresses + length / 2, record->expect + length / 2, length / 2) &&
	       checksum_sound(&view) && as_sent(record, &view);
}

static noinline bool as_verified(const struct view *view)
{
	if (verify == BENCH_INSIDE)
		return as_wanted_inside(view);
	return !is_tunnel(view) && as_wanted(view);
}

static noinline void tell_wrong(const struct view *view)
{
	unsigned int number;

	if (test_and_set_bit(0, &wrong_told))
		return;
	if (is_tunnel(view)) {
		scnprintf(first_wrong, sizeof(first_wrong), "a packet inside another one: got %*phN",
			  (int)min(view->length, 64u), view->network);
		return;
	}
	number = number_of(view);
	scnprintf(first_wrong, sizeof(first_wrong),
		  "record %u, checksums %s: got %*phN, wanted addresses and ports %*phN",
		  number, checksum_sound(view) ? "right" : "wrong",
		  (int)min(view->length, 64u), view->network,
		  (int)view->addresses_length + 4,
		  number < record_count ? wanted(&records[number], view) : (u8 *)"");
}

/* An rx_handler. Softirq, under RCU. */
static rx_handler_result_t sink_frame(struct sk_buff **pskb)
{
	struct sk_buff *skb = *pskb;
	struct view view;

	if (!view_of(skb->data, skb_headlen(skb), skb->protocol, &view))
		return RX_HANDLER_PASS;
	if (verify != BENCH_COUNT && !as_verified(&view)) {
		tell_wrong(&view);
		this_cpu_inc(counts.wrong);
	}
	this_cpu_inc(counts.sunk);
	consume_skb(skb);
	return RX_HANDLER_CONSUMED;
}

int sink_attach(struct net_device *device)
{
	int error;

	rtnl_lock();
	error = netdev_rx_handler_register(device, sink_frame, NULL);
	rtnl_unlock();
	return error;
}

/* Forgets what was counted. To be called while nothing is sent. */
void sink_prepare(const struct bench_record *table, unsigned int count,
		  enum bench_verify how, bool walk)
{
	int cpu;

	for_each_possible_cpu(cpu)
		*per_cpu_ptr(&counts, cpu) = (struct counts){};
	records = table;
	record_count = count;
	verify = how;
	any_client = walk;
	wrong_told = 0;
	first_wrong[0] = '\0';
}

void sink_counts(u64 *sunk, u64 *wrong)
{
	int cpu;

	*sunk = 0;
	*wrong = 0;
	for_each_possible_cpu(cpu) {
		*sunk += READ_ONCE(per_cpu_ptr(&counts, cpu)->sunk);
		*wrong += READ_ONCE(per_cpu_ptr(&counts, cpu)->wrong);
	}
}

const char *sink_first_wrong(void)
{
	return first_wrong;
}

/* A device that goes, or all of them when the notifier goes. */
static int device_event(struct notifier_block *block, unsigned long event, void *info)
{
	struct net_device *device = netdev_notifier_info_to_dev(info);

	if (event == NETDEV_UNREGISTER &&
	    rtnl_dereference(device->rx_handler) == sink_frame)
		netdev_rx_handler_unregister(device);
	return NOTIFY_DONE;
}

static struct notifier_block device_notifier = { .notifier_call = device_event };

int sink_init(void)
{
	return register_netdevice_notifier(&device_notifier);
}

void sink_exit(void)
{
	unregister_netdevice_notifier(&device_notifier);
}
