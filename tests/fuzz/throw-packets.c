// SPDX-License-Identifier: GPL-2.0
/*
 * Throws mutated packets: takes packets from a file, changes each at random, and sends it.
 *
 *	throw-packets FILE COUNT SEED DEVICE GATEWAY_MAC	as frames, out of a device
 *	throw-packets FILE COUNT SEED raw			as packets of this machine itself
 *
 * FILE holds packets from the network header on, each after its length (16 bits, big endian). COUNT 0
 * is for ever. The same file, count and seed make the same packets. Says `sent N refused N` at the end:
 * frames handed over, and packets that the local stack did not take.
 *
 * Frames become packets of the kernel in three ways: in one piece; as a network card or a virtual machine
 * hands them over, with checksums and segmentation left to do, and pages behind the headers (PACKET_VNET_HDR);
 * and with nothing but the link header in one piece, all else in pages (PACKET_TX_RING).
 */
#define _GNU_SOURCE /* sendmmsg */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PACKETS_MAX = 8192,
	BATCH = 64,
	MTU = 1500,
	MUTATED_MAX = 1600, /* some are larger than the device takes */
	CHANGES_MAX = 6,
	HEADERS = 96, /* most changes are to the first bytes, which somebody reads */
	EXTRA_MAX = 8192, /* from a page on, the kernel keeps a packet in pieces */
	SLOT = 2048,
	SLOTS = 16 * BATCH,
	SLOT_DATA = TPACKET2_HDRLEN - sizeof(struct sockaddr_ll), /* net/packet/af_packet.c */
};

struct packet {
	unsigned int len;
	unsigned int extra; /* zeros behind it */
	uint8_t bytes[MUTATED_MAX];
};

static struct packet seeds[PACKETS_MAX];
static unsigned int seed_count;
static uint64_t state;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* xorshift64* (Vigna, 2016). */
static uint32_t below(uint32_t bound)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * 0x2545F4914F6CDD1DULL) >> 32) % bound;
}

static int one_in(uint32_t n)
{
	return below(n) == 0;
}

static void put16(uint8_t *at, unsigned int value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static unsigned int min(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

static unsigned int somewhere(const struct packet *p)
{
	return below(one_in(4) ? p->len : min(p->len, HEADERS));
}

static int is_v6(const struct packet *p)
{
	return p->bytes[0] >> 4 == 6;
}

static unsigned int header_len(const struct packet *p)
{
	return is_v6(p) ? 40 : (p->bytes[0] & 15) * 4u;
}

/* Makes room for, or takes away, `count` bytes at `at`. */
static void insert(struct packet *p, unsigned int at, unsigned int count)
{
	if (p->len + count > MUTATED_MAX || at > p->len)
		return;
	memmove(p->bytes + at + count, p->bytes + at, p->len - at);
	for (unsigned int i = 0; i < count; i++)
		p->bytes[at + i] = below(256);
	p->len += count;
}

static void take_away(struct packet *p, unsigned int at, unsigned int count)
{
	if (at + count >= p->len)
		return;
	memmove(p->bytes + at, p->bytes + at + count, p->len - at - count);
	p->len -= count;
}

/* An extension header, or IPv4 options, of 8 bytes each, behind the IP header. */
static void insert_header(struct packet *p)
{
	static const uint8_t kinds[] = { 0, 43, 44, 51, 60, 135, 139, 140, 59 };
	unsigned int at = header_len(p), count = 8 * (1 + below(3));

	if (p->len < at || p->len + count > MUTATED_MAX)
		return;
	if (!is_v6(p)) {
		if (at + count > 60)
			return;
		insert(p, at, count);
		p->bytes[0] += count / 4;
		return;
	}
	insert(p, at, count);
	p->bytes[at] = p->bytes[6];
	p->bytes[at + 1] = one_in(4) ? below(256) : count / 8 - 1;
	p->bytes[6] = kinds[below(sizeof(kinds))];
}

/* A fragment of what it is, the first or a later one. */
static void make_fragment(struct packet *p)
{
	unsigned int offset = one_in(2) ? 0 : below(64), more = below(2);

	if (!is_v6(p)) {
		put16(p->bytes + 6, more << 13 | offset);
		put16(p->bytes + 4, below(32));
		return;
	}
	if (p->len + 8 > MUTATED_MAX || p->len < 40)
		return;
	insert(p, 40, 8);
	p->bytes[40] = p->bytes[6];
	p->bytes[41] = 0;
	put16(p->bytes + 42, offset << 3 | more);
	memset(p->bytes + 44, 0, 3);
	p->bytes[47] = below(32);
	p->bytes[6] = 44;
}

/* Another connection: ports and flags. */
static void other_connection(struct packet *p)
{
	static const uint8_t flags[] = { 0x02, 0x10, 0x12, 0x04, 0x14, 0x11, 0x18, 0x00, 0xff };
	unsigned int at = header_len(p);

	if (p->len < at + 14)
		return;
	p->bytes[at + (one_in(2) ? 0 : 2) + 1] = below(32);
	p->bytes[at + 1 + below(3)] = below(256);
	if (one_in(2))
		p->bytes[at + 13] = flags[below(sizeof(flags))];
}

/* The end of another packet behind the start of this one. */
static void splice(struct packet *p)
{
	const struct packet *other = &seeds[below(seed_count)];
	unsigned int at = somewhere(p), from = below(other->len), count = min(other->len - from, MUTATED_MAX - at);

	memcpy(p->bytes + at, other->bytes + from, count);
	p->len = at + count;
}

static void change(struct packet *p)
{
	static const uint8_t values[] = { 0, 1, 4, 5, 6, 17, 41, 58, 0x7f, 0x80, 0xff };
	static const uint8_t protocols[] = { 1, 2, 4, 6, 17, 41, 47, 50, 58, 132, 0, 255 };
	unsigned int at;

	switch (below(14)) {
	case 0:
	case 1:
	case 2:
		at = somewhere(p);
		p->bytes[at] ^= 1 << below(8);
		return;
	case 3:
		p->bytes[somewhere(p)] = below(256);
		return;
	case 4:
		p->bytes[somewhere(p)] = values[below(sizeof(values))];
		return;
	case 5:
		at = somewhere(p);
		if (at + 2 <= p->len)
			put16(p->bytes + at, one_in(2) ? below(65536) : 65535 - below(3));
		return;
	case 6:
		p->len = 1 + below(one_in(2) ? min(p->len, HEADERS) : p->len);
		return;
	case 7:
		insert(p, somewhere(p), 1 + below(one_in(4) ? 600 : 16));
		return;
	case 8:
		take_away(p, somewhere(p), 1 + below(16));
		return;
	case 9:
		insert_header(p);
		return;
	case 10:
		make_fragment(p);
		return;
	case 11:
		other_connection(p);
		return;
	case 12:
		p->bytes[is_v6(p) ? min(6, p->len - 1) : min(9, p->len - 1)] = protocols[below(sizeof(protocols))];
		return;
	case 13:
		splice(p);
		return;
	}
}

/* Most packets say how long they are and have the checksum that lets them in: else nobody sees the rest. */
static void mend(struct packet *p)
{
	uint32_t sum = 0;
	unsigned int len = header_len(p);

	if (p->len < 40)
		len = min(len, p->len & ~1u);
	if (is_v6(p)) {
		if (p->len >= 40 && !one_in(8))
			put16(p->bytes + 4, p->len + p->extra - 40);
		return;
	}
	if (p->len < 20)
		return;
	if (!one_in(8))
		put16(p->bytes + 2, p->len + p->extra);
	if (one_in(16))
		return;
	put16(p->bytes + 10, 0);
	for (unsigned int i = 0; i + 1 < min(len, p->len); i += 2)
		sum += p->bytes[i] << 8 | p->bytes[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	put16(p->bytes + 10, ~sum);
}

static void make(struct packet *p, unsigned int extra)
{
	*p = seeds[below(seed_count)];
	p->extra = extra;
	if (one_in(16)) /* as it is */
		return;
	for (unsigned int left = 1 + below(CHANGES_MAX); left; left--)
		change(p);
	mend(p);
}

static void read_seeds(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t head[2];

	if (!file)
		die(path);
	while (seed_count < PACKETS_MAX && fread(head, 2, 1, file) == 1) {
		struct packet *p = &seeds[seed_count];
		unsigned int len = head[0] << 8 | head[1];

		if (len > MTU || len < 20) {
			fseek(file, len, SEEK_CUR);
			continue;
		}
		if (fread(p->bytes, len, 1, file) != 1)
			die(path);
		p->len = len;
		seed_count++;
	}
	fclose(file);
	if (!seed_count) {
		fprintf(stderr, "%s: no packet of 20 to %d bytes in it\n", path, MTU);
		exit(1);
	}
}

/* Where frames go: a device, and the link address of who is asked to route them. */
struct link {
	struct sockaddr_ll own;
	uint8_t head[ETH_HLEN];
};

static uint64_t sent, refused;

static void open_link(struct link *link, const char *device, const char *gateway)
{
	socklen_t len = sizeof(link->own);
	unsigned int mac[6];
	int sock = socket(AF_PACKET, SOCK_RAW, 0);

	if (sscanf(gateway, "%x:%x:%x:%x:%x:%x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) != 6) {
		fprintf(stderr, "%s is no link address such as 02:00:00:00:00:01\n", gateway);
		exit(1);
	}
	link->own = (struct sockaddr_ll){ .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(device) };
	if (sock < 0 || bind(sock, (struct sockaddr *)&link->own, sizeof(link->own)) ||
	    getsockname(sock, (struct sockaddr *)&link->own, &len))
		die(device);
	close(sock);
	for (int byte = 0; byte < ETH_ALEN; byte++)
		link->head[byte] = mac[byte];
	memcpy(link->head + ETH_ALEN, link->own.sll_addr, ETH_ALEN);
}

/* A socket that sends by the link, with an option set. */
static int open_socket(const struct link *link, int option, const void *value, socklen_t len)
{
	int sock = socket(AF_PACKET, SOCK_RAW, 0), on = 1;

	if (sock < 0 || bind(sock, (const struct sockaddr *)&link->own, sizeof(link->own)))
		die("AF_PACKET");
	if (setsockopt(sock, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)))
		die("PACKET_QDISC_BYPASS");
	if (option && setsockopt(sock, SOL_PACKET, option, value, len))
		die("an option of AF_PACKET");
	return sock;
}

static void frame_head(const struct link *link, const struct packet *p, uint8_t *head)
{
	memcpy(head, link->head, ETH_HLEN);
	put16(head + 2 * ETH_ALEN, is_v6(p) ? ETH_P_IPV6 : ETH_P_IP);
}

/* What is left to do with a frame: most of it may be done, and what may not is refused by the kernel. */
static void offload(const struct packet *p, struct virtio_net_hdr *todo)
{
	static const uint8_t kinds[] = { VIRTIO_NET_HDR_GSO_NONE, VIRTIO_NET_HDR_GSO_UDP, VIRTIO_NET_HDR_GSO_UDP_L4 };
	unsigned int protocol = p->bytes[is_v6(p) ? 6 : 9], len = header_len(p);

	*todo = (struct virtio_net_hdr){ .hdr_len = below(one_in(4) ? 512 : 96) };
	if (one_in(4))
		return;
	todo->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	todo->csum_start = ETH_HLEN + (one_in(8) ? below(p->len) : len);
	todo->csum_offset = one_in(8) ? below(64) : protocol == IPPROTO_TCP ? 16 : 6;
	if (protocol == IPPROTO_TCP && !one_in(4))
		todo->gso_type = is_v6(p) ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	else
		todo->gso_type = kinds[below(sizeof(kinds))];
	if (todo->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		todo->gso_size = 1 + below(one_in(4) ? 65535 : MTU);
}

/* A batch from a socket without an option, or of PACKET_VNET_HDR. */
static void throw_messages(const struct link *link, int sock, int vnet, unsigned int batch, int forever)
{
	static const uint8_t zeros[EXTRA_MAX];
	static struct packet packets[BATCH];
	static struct virtio_net_hdr todo[BATCH];
	static uint8_t heads[BATCH][ETH_HLEN];
	static struct iovec parts[BATCH][4];
	static struct mmsghdr messages[BATCH];
	unsigned int done = 0;

	for (unsigned int i = 0; i < batch; i++) {
		struct packet *p = &packets[i];

		make(p, vnet && one_in(2) ? below(EXTRA_MAX) : 0);
		frame_head(link, p, heads[i]);
		if (vnet)
			offload(p, &todo[i]);
		parts[i][0] = (struct iovec){ &todo[i], vnet ? sizeof(todo[i]) : 0 };
		parts[i][1] = (struct iovec){ heads[i], ETH_HLEN };
		parts[i][2] = (struct iovec){ p->bytes, p->len };
		parts[i][3] = (struct iovec){ (void *)zeros, p->extra };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = parts[i], .msg_iovlen = 4 };
	}
	while (done < batch) {
		int result = sendmmsg(sock, messages + done, batch - done, 0);

		if (result > 0) {
			done += result;
			sent += result;
		} else if (errno == EAGAIN || errno == EINTR || (errno == ENOBUFS && !vnet)) {
			usleep(1000);
		} else if (errno == EMSGSIZE || errno == EINVAL || errno == ENOBUFS || forever) {
			/*
			 * Larger than the device takes; of a kind that would have to be segmented before it (ENOBUFS); or the
			 * device comes and goes, as it may.
			 */
			if (errno == ENODEV || errno == ENXIO || errno == ENETDOWN)
				usleep(10000);
			done++;
			refused++;
		} else {
			die("sendmmsg");
		}
	}
}

/* Asks for what is in the ring to be sent; what cannot be yet goes with the next. */
static void send_slots(int sock, int forever)
{
	if (send(sock, NULL, 0, MSG_DONTWAIT) >= 0)
		return;
	if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR && !forever)
		die("send from the ring");
	usleep(1000);
}

/* A batch from the ring of a socket. */
static void throw_slots(const struct link *link, int sock, uint8_t *ring, unsigned int batch, int forever)
{
	static struct packet p;
	static unsigned int next;

	for (; batch; batch--) {
		volatile struct tpacket2_hdr *slot = (void *)(ring + next * SLOT);
		uint8_t *frame = ring + next * SLOT + SLOT_DATA;

		make(&p, 0);
		if (p.len > MTU) {
			refused++;
			continue;
		}
		while (slot->tp_status != TP_STATUS_AVAILABLE)
			send_slots(sock, forever);
		frame_head(link, &p, frame);
		memcpy(frame + ETH_HLEN, p.bytes, p.len);
		slot->tp_len = ETH_HLEN + p.len;
		__atomic_store_n(&slot->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
		next = (next + 1) % SLOTS;
		sent++;
	}
	send_slots(sock, forever);
}

/* Frames out of a device, in batches. */
static void throw_frames(uint64_t count, const char *device, const char *gateway)
{
	const struct tpacket_req slots = { .tp_block_size = SLOT * SLOTS, .tp_block_nr = 1, .tp_frame_size = SLOT, .tp_frame_nr = SLOTS };
	const int on = 1, version = TPACKET_V2;
	int plain, vnet, paged;
	struct link link;
	uint8_t *ring;

	open_link(&link, device, gateway);
	plain = open_socket(&link, 0, NULL, 0);
	vnet = open_socket(&link, PACKET_VNET_HDR, &on, sizeof(on));
	paged = open_socket(&link, PACKET_VERSION, &version, sizeof(version));
	/* A slot that the device does not take is given back, as one that was sent. */
	if (setsockopt(paged, SOL_PACKET, PACKET_LOSS, &on, sizeof(on)) ||
	    setsockopt(paged, SOL_PACKET, PACKET_TX_RING, &slots, sizeof(slots)))
		die("PACKET_TX_RING");
	ring = mmap(NULL, SLOT * SLOTS, PROT_READ | PROT_WRITE, MAP_SHARED, paged, 0);
	if (ring == MAP_FAILED)
		die("the ring");
	while (!count || sent + refused < count) {
		unsigned int batch = count ? min(BATCH, count - sent - refused) : BATCH;

		switch (below(3)) {
		case 0:
			throw_messages(&link, plain, 0, batch, !count);
			break;
		case 1:
			throw_messages(&link, vnet, 1, batch, !count);
			break;
		case 2:
			throw_slots(&link, paged, ring, batch, !count);
		}
	}
	printf("sent %llu refused %llu\n", (unsigned long long)sent, (unsigned long long)refused);
}

/* Packets of this machine, whose headers are whatever they are. */
static void throw_own(uint64_t count)
{
	int v4 = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), v6 = socket(AF_INET6, SOCK_RAW, IPPROTO_RAW);
	struct packet p;

	if (v4 < 0 || v6 < 0)
		die("raw sockets");
	while (!count || sent + refused < count) {
		struct sockaddr_in to4 = { .sin_family = AF_INET };
		struct sockaddr_in6 to6 = { .sin6_family = AF_INET6 };
		ssize_t result;

		make(&p, 0);
		if (p.len < 40)
			memset(p.bytes + p.len, 0, 40 - p.len);
		memcpy(&to4.sin_addr, p.bytes + 16, 4);
		memcpy(&to6.sin6_addr, p.bytes + 24, 16);
		result = is_v6(&p) ? sendto(v6, p.bytes, p.len, 0, (struct sockaddr *)&to6, sizeof(to6)) :
				     sendto(v4, p.bytes, p.len, 0, (struct sockaddr *)&to4, sizeof(to4));
		if (result < 0)
			refused++;
		else
			sent++;
	}
	printf("sent %llu refused %llu\n", (unsigned long long)sent, (unsigned long long)refused);
}

int main(int argc, char **argv)
{
	uint64_t count;

	if (argc < 5 || (strcmp(argv[4], "raw") && argc < 6)) {
		fprintf(stderr, "usage: throw-packets FILE COUNT SEED DEVICE GATEWAY_MAC\n       throw-packets FILE COUNT SEED raw\n");
		return 2;
	}
	read_seeds(argv[1]);
	count = strtoull(argv[2], NULL, 10);
	state = strtoull(argv[3], NULL, 10) * 0x9E3779B97F4A7C15ULL + 1;
	if (argc > 5)
		throw_frames(count, argv[4], argv[5]);
	else
		throw_own(count);
	return 0;
}
