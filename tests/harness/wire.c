// SPDX-License-Identifier: Apache-2.0
/*
 * A network card for a test that speaks TCP by itself: frames as lines of hexadecimal digits, from
 * standard input to an interface and from there to standard output. What was read at once is sent
 * at once. Ends with standard input.
 *
 *   wire INTERFACE
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAME_BYTES 65536

static char input[4 * FRAME_BYTES];
static size_t filled;

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static int digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void send_line(int fd, const char *line, size_t digits)
{
	static unsigned char frame[FRAME_BYTES];

	for (size_t i = 0; i < digits / 2; i++)
		frame[i] = digit(line[2 * i]) << 4 | digit(line[2 * i + 1]);
	if (send(fd, frame, digits / 2, 0) < 0)
		fail("send");
}

/* Sends all lines that are whole. Returns false at the end of the input. */
static int take_input(int fd)
{
	ssize_t got = read(STDIN_FILENO, input + filled, sizeof(input) - filled);
	char *line = input, *end;

	if (got <= 0)
		return 0;
	filled += got;
	while ((end = memchr(line, '\n', filled - (line - input)))) {
		send_line(fd, line, end - line);
		line = end + 1;
	}
	filled -= line - input;
	memmove(input, line, filled);
	return 1;
}

static void take_frame(int fd)
{
	static unsigned char frame[FRAME_BYTES];
	struct sockaddr_ll from;
	socklen_t length = sizeof(from);
	ssize_t bytes = recvfrom(fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &length);

	if (bytes < 0)
		fail("recv");
	if (from.sll_pkttype == PACKET_OUTGOING)
		return;
	for (ssize_t i = 0; i < bytes; i++)
		printf("%02x", frame[i]);
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct pollfd polled[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
				    { .events = POLLIN } };
	int fd, room = 1 << 26;

	if (argc != 2) {
		fprintf(stderr, "Usage: wire INTERFACE\n");
		return 2;
	}
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	to.sll_ifindex = if_nametoindex(argv[1]);
	if (fd < 0 || !to.sll_ifindex || bind(fd, (struct sockaddr *)&to, sizeof(to)))
		fail(argv[1]);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	polled[1].fd = fd;
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		if (poll(polled, 2, -1) < 0)
			fail("poll");
		if (polled[0].revents && !take_input(fd))
			return 0;
		if (polled[1].revents)
			take_frame(fd);
	}
}
