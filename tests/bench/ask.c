// SPDX-License-Identifier: Apache-2.0
/*
 * Asks an HTTP server on a unix socket over a few connections that stay open, in one thread, so
 * that who asks takes as little of the machine as can be.
 *
 *   ask SOCKET PATH RATE
 *        so many times a second, evenly, until SIGTERM; where the answers come more slowly, as they
 *        come; RATE 0: as fast as they come
 *
 * The result is one JSON object on standard output. `bad` are answers that are neither 200 nor 503.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "common.h"

enum { CONNECTIONS = 4, HEAD = 8192 };

struct connection {
	bool waiting;
	/* Of the answer: its head, then how much of the body is to come; -1: in chunks. */
	bool in_body;
	char head[HEAD];
	size_t head_length;
	long left;
	/* The last bytes of a body in chunks. */
	char tail[5];
};

static struct connection connections[CONNECTIONS];
static struct pollfd sockets[CONNECTIONS];
static uint64_t answers, bad, open_count;
static volatile sig_atomic_t over;

static void stop(int signal)
{
	(void)signal;
	over = 1;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (strlen(path) >= sizeof(address.sun_path)) {
		fprintf(stderr, "Cannot use \"%s\": too long for a socket\n", path);
		exit(2);
	}
	strcpy(address.sun_path, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		die("connect");
	return fd;
}

static void answered(struct connection *connection)
{
	int status = atoi(connection->head + sizeof("HTTP/1.1"));

	answers++;
	open_count--;
	if (status != 200 && status != 503)
		bad++;
	*connection = (struct connection){ 0 };
}

static void read_body(struct connection *connection, const char *bytes, size_t length)
{
	size_t kept = sizeof(connection->tail);

	if (connection->left >= 0) {
		connection->left -= (long)length;
		if (connection->left <= 0)
			answered(connection);
		return;
	}
	if (length >= kept) {
		memcpy(connection->tail, bytes + length - kept, kept);
	} else {
		memmove(connection->tail, connection->tail + length, kept - length);
		memcpy(connection->tail + kept - length, bytes, length);
	}
	if (memcmp(connection->tail, "0\r\n\r\n", kept) == 0)
		answered(connection);
}

static void read_bytes(struct connection *connection, const char *bytes, size_t length)
{
	size_t room = HEAD - 1 - connection->head_length;
	size_t taken = length < room ? length : room;
	const char *end, *told;
	size_t head_length, before = connection->head_length;

	if (connection->in_body) {
		read_body(connection, bytes, length);
		return;
	}
	memcpy(connection->head + connection->head_length, bytes, taken);
	connection->head_length += taken;
	end = strstr(connection->head, "\r\n\r\n");
	if (end == NULL) {
		if (taken < length) {
			fprintf(stderr, "Cannot read the answer: its head is too long\n");
			exit(1);
		}
		return;
	}
	head_length = (size_t)(end - connection->head) + 4;
	told = strcasestr(connection->head, "\r\nContent-Length:");
	connection->in_body = true;
	connection->left = told != NULL && told < end ? atol(told + 17) : -1;
	read_body(connection, bytes + (head_length - before), length - (head_length - before));
}

static void receive(int at)
{
	static char buffer[256 * 1024];
	ssize_t length = recv(sockets[at].fd, buffer, sizeof(buffer), 0);

	if (length <= 0)
		die("read the answer");
	read_bytes(&connections[at], buffer, (size_t)length);
}

static void ask(const char *request, size_t length)
{
	for (int i = 0; i < CONNECTIONS; i++) {
		if (connections[i].waiting)
			continue;
		if (send(sockets[i].fd, request, length, MSG_NOSIGNAL) != (ssize_t)length)
			die("ask");
		connections[i].waiting = true;
		open_count++;
		return;
	}
}

int main(int argc, char **argv)
{
	char request[512];
	uint64_t start, asked = 0, rate;
	struct rusage usage;
	int length;

	if (argc != 4) {
		fprintf(stderr, "Cannot run without a socket, a path and a rate\n");
		return 2;
	}
	length = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n",
			  argv[2]);
	rate = strtoull(argv[3], NULL, 10);
	signal(SIGTERM, stop);
	for (int i = 0; i < CONNECTIONS; i++)
		sockets[i] = (struct pollfd){ .fd = connect_to(argv[1]), .events = POLLIN };
	start = now_ns();
	while (!over) {
		uint64_t since = now_ns() - start;
		uint64_t due = rate == 0 ? UINT64_MAX : since * rate / 1000000000;
		struct timespec rest = { .tv_nsec = 1000000 };

		/* Those that find no connection free are left out. */
		for (; open_count < CONNECTIONS && asked < due; asked++)
			ask(request, (size_t)length);
		if (rate != 0) {
			uint64_t next_ns = (asked + 1) * 1000000000 / rate;

			if (asked < due)
				asked = due;
			if (next_ns < since + 1000000)
				rest.tv_nsec = next_ns > since ? (long)(next_ns - since) : 0;
		}
		if (ppoll(sockets, CONNECTIONS, &rest, NULL) < 0 && errno != EINTR)
			die("wait");
		for (int i = 0; i < CONNECTIONS && !over; i++)
			if (sockets[i].revents != 0)
				receive(i);
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("{\"answers\":%llu,\"bad\":%llu,\"seconds\":%.3f,\"cpuSeconds\":%.3f}\n",
	       (unsigned long long)answers, (unsigned long long)bad,
	       (double)(now_ns() - start) / 1e9,
	       (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
	return 0;
}
