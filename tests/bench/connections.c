// SPDX-License-Identifier: GPL-2.0
/*
 * TCP connections over IPv4, one after another, as fast as the kernel can.
 *
 *   connections serve PORT                 until it is killed; says "ready"
 *   connections open ADDRESS PORT BATCHES  says what one took, in ns, a line
 *                                          for each batch of BATCH
 *
 * The client ends each first, and waits for the server's end: SYN, SYN-ACK, ACK,
 * FIN, ACK, FIN, ACK, where the kernel does not put two of them together.
 */
#include <arpa/inet.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64 };

static int tcp(void)
{
	int sock = socket(AF_INET, SOCK_STREAM, 0);

	if (sock < 0)
		err(1, "socket");
	return sock;
}

/* Reads to the other side's end; nothing is ever sent. */
static void end(int sock)
{
	char byte;

	if (read(sock, &byte, 1))
		err(1, "read");
	close(sock);
}

static void serve(struct sockaddr_in *at)
{
	int one = 1, sock, listener = tcp();

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)at, sizeof(*at)) ||
	    listen(listener, BATCH))
		err(1, "port %d", ntohs(at->sin_port));
	puts("ready");
	fflush(stdout);
	while ((sock = accept(listener, NULL, NULL)) >= 0)
		end(sock);
	err(1, "accept");
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static void open_batch(const struct sockaddr_in *to)
{
	double begin = now();

	for (int i = 0; i < BATCH; i++) {
		int sock = tcp();

		if (connect(sock, (const struct sockaddr *)to, sizeof(*to)))
			err(1, "connect");
		shutdown(sock, SHUT_WR);
		end(sock);
	}
	printf("%.1f\n", (now() - begin) / BATCH);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET };

	if (argc == 3 && !strcmp(argv[1], "serve")) {
		address.sin_port = htons(atoi(argv[2]));
		serve(&address);
	}
	if (argc != 5 || strcmp(argv[1], "open") ||
	    !inet_aton(argv[2], &address.sin_addr))
		errx(2, "connections serve PORT | open ADDRESS PORT BATCHES");
	address.sin_port = htons(atoi(argv[3]));
	for (int left = atoi(argv[4]); left > 0; left--)
		open_batch(&address);
	return 0;
}
