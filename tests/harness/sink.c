// SPDX-License-Identifier: Apache-2.0
/*
 * A server that tells what it gets, one line for each event: "open", "data" with hexadecimal
 * digits, "end" with what read() said; each with the client's address and port.
 *
 *   sink PORT [fastopen] [defer] [mptcp] [greet]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

#define MAX_FD 16384

static char names[MAX_FD][64];
/* What each client is told first. */
static const char *greeting = "";

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static int has(int argc, char **argv, const char *word)
{
	for (int i = 2; i < argc; i++)
		if (!strcmp(argv[i], word))
			return 1;
	return 0;
}

static int listen_on(int argc, char **argv)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6,
					.sin6_port = htons(atoi(argv[1])) };
	int protocol = has(argc, argv, "mptcp") ? IPPROTO_MPTCP : 0;
	int fd = socket(AF_INET6, SOCK_STREAM, protocol), on = 1, queue = 1024, seconds = 30;

	if (fd < 0)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (has(argc, argv, "fastopen") &&
	    setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)))
		fail("TCP_FASTOPEN");
	if (has(argc, argv, "defer") &&
	    setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds)))
		fail("TCP_DEFER_ACCEPT");
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4096))
		fail("listen");
	return fd;
}

static void take_client(int poller, int listener)
{
	struct sockaddr_in6 from;
	socklen_t length = sizeof(from);
	int fd = accept(listener, (struct sockaddr *)&from, &length);
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
	char text[INET6_ADDRSTRLEN];
	const char *address = text;

	if (fd < 0)
		return;
	if (fd >= MAX_FD)
		fail("accept");
	inet_ntop(AF_INET6, &from.sin6_addr, text, sizeof(text));
	if (IN6_IS_ADDR_V4MAPPED(&from.sin6_addr))
		address += strlen("::ffff:");
	snprintf(names[fd], sizeof(names[fd]), "%s %d", address, ntohs(from.sin6_port));
	if (*greeting)
		send(fd, greeting, strlen(greeting), MSG_NOSIGNAL);
	printf("open %s\n", names[fd]);
	epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

static void take_data(int fd)
{
	static unsigned char bytes[65536];
	ssize_t got = recv(fd, bytes, sizeof(bytes), 0);

	if (got <= 0) {
		printf("end %s %s\n", names[fd], got == 0 ? "eof" : strerrorname_np(errno));
		close(fd);
		return;
	}
	printf("data %s ", names[fd]);
	for (ssize_t i = 0; i < got; i++)
		printf("%02x", bytes[i]);
	printf("\n");
}

int main(int argc, char **argv)
{
	struct epoll_event events[64], event = { .events = EPOLLIN };
	int listener, poller, count;

	if (argc < 2) {
		fprintf(stderr, "Usage: sink PORT [fastopen] [defer] [mptcp] [greet]\n");
		return 2;
	}
	if (has(argc, argv, "greet"))
		greeting = "SSH-2.0-sink\r\n";
	listener = listen_on(argc, argv);
	poller = epoll_create1(0);
	event.data.fd = listener;
	epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
	printf("ready\n");
	for (;;) {
		fflush(stdout);
		count = epoll_wait(poller, events, 64, -1);
		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == listener)
				take_client(poller, listener);
			else
				take_data(events[i].data.fd);
		}
	}
}
