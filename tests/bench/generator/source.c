// SPDX-License-Identifier: GPL-2.0
/*
 * Sends frames as a network card's driver does, in batches with bottom halves
 * off. When they are allowed again, the kernel takes the whole batch through
 * to the sink, on this CPU: the time until then is the batch's cost.
 */
#include <linux/delay.h>
#include <linux/etherdevice.h>
#include <linux/ip.h>
#include <linux/minmax.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/timex.h>
#include <net/checksum.h>

#include "bench.h"

/* Room for any header that is put in front; XDP on veth asks for 256. */
#define HEADROOM 256
#define TRUESIZE (SKB_DATA_ALIGN(HEADROOM + BENCH_FRAME_MAX) + \
		  SKB_DATA_ALIGN(sizeof(struct skb_shared_info)))
#define LATE_MS 1000

/* An instruction that does nothing, for tests/bench/profile.c to see: `hld+` and `hld-`. */
#define BENCH_MARK(bytes) asm volatile("nopl " bytes "(%%rax)" ::: "memory")
#define BENCH_BEGIN BENCH_MARK("0x2b646c68")
#define BENCH_END BENCH_MARK("0x2d646c68")

/* The frame, of TCP over IPv4, is from a client so many addresses further on. */
static void move_client(u8 *frame, u32 steps)
{
	struct iphdr *ip = (void *)(frame + ETH_HLEN);
	struct tcphdr *tcp = (void *)(ip + 1);
	__be32 moved = htonl(ntohl(ip->saddr) + steps);

	csum_replace4(&ip->check, ip->saddr, moved);
	csum_replace4(&tcp->check, ip->saddr, moved);
	ip->saddr = moved;
}

static int send_frame(struct net_device *device, const struct bench_record *record, u32 steps)
{
	void *data = napi_alloc_frag(TRUESIZE);
	struct sk_buff *skb;

	if (!data)
		return -ENOMEM;
	skb = napi_build_skb(data, TRUESIZE);
	if (!skb) {
		skb_free_frag(data);
		return -ENOMEM;
	}
	skb_reserve(skb, HEADROOM);
	skb_put_data(skb, record->frame, record->length);
	if (steps)
		move_client(skb->data, steps);
	skb_reset_mac_header(skb);
	skb_set_network_header(skb, ETH_HLEN);
	skb->protocol = eth_hdr(skb)->h_proto;
	skb->dev = device;
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	return dev_queue_xmit(skb) == NET_XMIT_SUCCESS ? 0 : -ENOBUFS;
}

/* Sends one batch; returns how many frames were sent. */
static unsigned int send_batch(const struct bench_order *order,
			       const struct bench_record *records,
			       unsigned int at, unsigned int count, u32 steps)
{
	unsigned int i, step = !!steps;

	BENCH_BEGIN;
	local_bh_disable();
	for (i = 0; i < count; i++) {
		if (send_frame(order->device, &records[order->first + at], steps))
			break;
		steps += step;
		if (++at == order->frames)
			at = 0;
	}
	local_bh_enable();
	BENCH_END;
	return i;
}

static bool all_sunk(const struct bench_result *result, u64 *sunk)
{
	u64 wrong;

	sink_counts(sunk, &wrong);
	return *sunk >= result->sent;
}

int source_run(const struct bench_order *order,
	       const struct bench_record *records, struct bench_result *result)
{
	unsigned int count, sent, wait;
	u64 begin;
	u64 sunk;

	while (result->sent < order->packets) {
		count = min(order->packets - (unsigned int)result->sent, BENCH_BATCH);
		begin = get_cycles();
		sent = send_batch(order, records, result->sent % order->frames, count,
				  order->walk ? order->walk + result->sent : 0);
		result->ticks[result->batches++] = get_cycles() - begin;
		result->sent += sent;
		if (sent != count)
			return -ENOBUFS;

		if (all_sunk(result, &sunk))
			continue;
		/* A timer's tick has moved the rest to ksoftirqd. */
		result->late++;
		result->ticks[result->batches - 1] = 0;
		for (wait = 0; wait < LATE_MS && !all_sunk(result, &sunk); wait++)
			usleep_range(1000, 1100);
		if (sunk < result->sent)
			break;
	}
	sink_counts(&result->sunk, &result->wrong);
	return 0;
}
