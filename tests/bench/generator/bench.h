/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALOD_BENCH_H
#define HALOD_BENCH_H

#include <linux/cache.h>
#include <linux/netdevice.h>
#include <linux/types.h>

#define BENCH_BATCH 64
#define BENCH_FRAME_MAX 88
#define BENCH_EXPECT_MAX 36
#define BENCH_RECORDS_MAX 65536	/* frames carry their number in 16 bits */

/*
 * A frame, and what the sink must find in its place: source and destination
 * address, source and destination port. Userspace writes these; see
 * tests/bench/rig/frames.py.
 *
 * Every frame carries its own record's number where no balancer changes it: in
 * the urgent pointer (TCP, without URG) or the first two bytes of the payload (UDP).
 */
struct bench_record {
	u8 length;
	u8 expect_length;
	u8 reserved[2];
	u8 frame[BENCH_FRAME_MAX];
	u8 expect[BENCH_EXPECT_MAX];
};

static_assert(sizeof(struct bench_record) == 128);

/* What the sink compares. */
enum bench_verify {
	BENCH_COUNT,		/* nothing: it counts and drops */
	BENCH_EXPECTED,		/* with the record's expectation */
	BENCH_UNCHANGED,	/* with the frame as it was sent */
	BENCH_INSIDE,		/* the same, inside another packet to the address expected */
	BENCH_VERIFY_MAX = BENCH_INSIDE,
};

/*
 * An order: frames from `first` on, `frames` of them over and over, until there were `packets`.
 * Where there is a `walk`, each packet is from another client: from the frame's source address
 * plus `walk`, plus one more with each packet. Only TCP over IPv4 can.
 */
struct bench_order {
	struct net_device *device;
	unsigned int first;
	unsigned int frames;
	unsigned int packets;
	enum bench_verify verify;
	u32 walk;
};

/* How an order went. */
struct bench_result {
	u64 sent;
	u64 sunk;
	u64 wrong;
	unsigned int late;	/* batches that were not sunk when their turn was over */
	unsigned int batches;
	u32 *ticks;		/* of the timestamp counter, for each batch; 0 for a late one */
};

int source_run(const struct bench_order *order,
	       const struct bench_record *records, struct bench_result *result);

int sink_init(void);
void sink_exit(void);
int sink_attach(struct net_device *device);
void sink_prepare(const struct bench_record *records, unsigned int count,
		  enum bench_verify verify, bool any_client);
void sink_counts(u64 *sunk, u64 *wrong);
const char *sink_first_wrong(void);

#endif
