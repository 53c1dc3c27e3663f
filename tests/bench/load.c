// SPDX-License-Identifier: Apache-2.0
/*
 * The load generator and the server behind the gate, each one thread with epoll, so that neither
 * is the bottleneck of what is measured. The result is one JSON object on standard output.
 *
 *   load server PORT [ADDRESS]
 *   load MODE PORT CONNECTIONS SECONDS FIRST_SOURCE [ADDRESS FIRST_CLIENT CLIENTS]
 *        MODE: pingpong, connect, download, upload, hostile, banned; work: a packet every 20 ms,
 * and now and then a new connection; loris: one byte and no more, again when it is over load flood
 * PORT RATE SECONDS FIRST_SOURCE [ADDRESS FIRST_CLIENT CLIENTS] hostile connections, so many a
 * second, whatever becomes of them load hold PORT CONNECTIONS opens them all at once, holds them
 * until standard input ends
 *
 * A client's first packet is 256 bytes that look random; their last one tells the server what to
 * do. Each connection has a source address of its own out of 127.0.0.0/8, from number
 * FIRST_SOURCE on; or one of CLIENTS addresses that begin at FIRST_CLIENT, of IPv6 each in a /64
 * of its own.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "common.h"

/* TURN: how many bulk sends one connection gets before the others have theirs.
 */
enum { PACKET = 256, MAX_EVENTS = 256, BULK = 64 * 1024, TURN = 8, MAX_CONNECTIONS = 4096 };

/* What the server does with a connection after the first packet. */
enum work { ECHO = 0, DOWNLOAD = 1, UPLOAD = 2 };

enum mode { PINGPONG, CONNECT, BULK_DOWN, BULK_UP, HOSTILE, BANNED, HOLD, FLOOD, WORK, LORIS };

struct connection {
	int fd;
	bool connected;
	bool first_sent;
	bool writable; /* EPOLLOUT is wanted */
	uint32_t source;
	uint32_t received; /* of the current packet; on the server of the first one */
	enum work work;
	uint64_t started_ns; /* in the mode work it may be yet to come */
	bool resting;
	uint64_t echo_length; /* bytes that wait to be echoed */
	uint8_t *echo;
};

static uint8_t bulk[BULK];
static uint8_t first_packet[PACKET];
static const char hostile_request[] =
	"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: scanner\r\n\r\n";

static void fill_random(uint8_t *bytes, size_t length)
{
	uint64_t state = 0x9e3779b97f4a7c15;

	for (size_t i = 0; i < length; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		bytes[i] = (uint8_t)(state >> 24);
	}
}

static void watch(int poll, int operation, struct connection *connection, bool output)
{
	struct epoll_event event = { .events = EPOLLIN | (output ? EPOLLOUT : 0),
				     .data.ptr = connection };

	connection->writable = output;
	if (epoll_ctl(poll, operation, connection->fd, &event) != 0)
		die("watch a socket");
}

/* ---- the server ---- */

static void server_close(struct connection *connection)
{
	close(connection->fd);
	free(connection->echo);
	free(connection);
}

/* Sends what it can. False: the connection is over. */
static bool server_send(int poll, struct connection *connection)
{
	bool blocked = false;

	for (int i = 0;
	     i < TURN && !blocked && (connection->work == DOWNLOAD || connection->echo_length > 0);
	     i++) {
		const uint8_t *from = connection->work == DOWNLOAD ? bulk : connection->echo;
		size_t length = connection->work == DOWNLOAD ? BULK : connection->echo_length;
		ssize_t sent = send(connection->fd, from, length, MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN)
			return false;
		if (sent < 0) {
			blocked = true;
		} else if (connection->work != DOWNLOAD) {
			connection->echo_length -= (uint64_t)sent;
			memmove(connection->echo, connection->echo + sent, connection->echo_length);
		}
	}
	blocked = connection->work == DOWNLOAD || connection->echo_length > 0;
	if (blocked != connection->writable)
		watch(poll, EPOLL_CTL_MOD, connection, blocked);
	return true;
}

static bool server_receive(int poll, struct connection *connection)
{
	static uint8_t buffer[BULK];
	ssize_t length =
		recv(connection->fd, buffer,
		     connection->work == UPLOAD ? BULK : BULK - connection->echo_length, 0);

	if (length < 0)
		return errno == EAGAIN;
	if (length == 0)
		return false;
	if (connection->received < PACKET) {
		connection->received += (uint32_t)length;
		if (connection->received >= PACKET)
			connection->work =
				buffer[PACKET - 1 - (connection->received - (uint32_t)length)] % 4;
	}
	if (connection->work == ECHO) {
		/* Nearly always the socket takes it at once, and nothing is kept. */
		ssize_t sent = connection->echo_length > 0
				       ? 0
				       : send(connection->fd, buffer, (size_t)length, MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN)
			return false;
		if (sent < 0)
			sent = 0;
		if (sent < length) {
			if (connection->echo == NULL)
				connection->echo = malloc(BULK);
			memcpy(connection->echo + connection->echo_length, buffer + sent,
			       (size_t)(length - sent));
			connection->echo_length += (uint64_t)(length - sent);
		}
	}
	return server_send(poll, connection);
}

static int serve(uint16_t port, struct in_addr host)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr = host };
	struct connection listener = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0) };
	struct epoll_event events[MAX_EVENTS];
	int poll = epoll_create1(0);
	int on = 1;

	setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener.fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listener.fd, 4096) != 0)
		die("listen");
	watch(poll, EPOLL_CTL_ADD, &listener, false);
	printf("{\"ready\":true}\n");
	fflush(stdout);
	while (true) {
		int count = epoll_wait(poll, events, MAX_EVENTS, -1);

		for (int i = 0; i < count; i++) {
			struct connection *connection = events[i].data.ptr;
			bool alive = true;

			if (connection == &listener) {
				int fd;

				while ((fd = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK)) >=
				       0) {
					struct connection *accepted = calloc(1, sizeof(*accepted));

					setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
					accepted->fd = fd;
					watch(poll, EPOLL_CTL_ADD, accepted, false);
				}
				continue;
			}
			if (events[i].events & EPOLLOUT)
				alive = server_send(poll, connection);
			if (alive && (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
				alive = server_receive(poll, connection);
			if (!alive)
				server_close(connection);
		}
	}
	return 0;
}

/* ---- the clients ---- */

static enum mode mode;
static uint16_t gate_port;
static struct in_addr gate_address;
static struct in6_addr gate_address6, first_client6;
static bool is_ipv6;
/* 127.1.0.1 and on: 127.0.0.1 is the gate's own. */
static uint32_t first_client = 0x7f010001, client_count = 0xffffffff;
static uint32_t next_source;
static struct connection connections[MAX_CONNECTIONS];
/* One bucket a microsecond; the last one holds what is longer. */
static uint32_t latency_us[200001];
static uint64_t done_count, byte_count, failure_count, held_count;

static void note_latency(const struct connection *connection)
{
	uint64_t us = (now_ns() - connection->started_ns) / 1000;

	latency_us[us > 200000 ? 200000 : us]++;
}

static uint32_t latency_at(double share)
{
	uint64_t total = 0, seen = 0;

	for (int i = 0; i <= 200000; i++)
		total += latency_us[i];
	for (uint32_t i = 0; i <= 200000; i++) {
		seen += latency_us[i];
		if ((double)seen >= share * (double)total && total > 0)
			return i;
	}
	return 0;
}

/* Both ends of a connection from a source. @returns how long each is. */
static socklen_t ends_of(uint32_t source, struct sockaddr_storage *from,
			 struct sockaddr_storage *to)
{
	struct sockaddr_in *from4 = (void *)from, *to4 = (void *)to;
	struct sockaddr_in6 *from6 = (void *)from, *to6 = (void *)to;
	uint32_t number = source % client_count;

	if (!is_ipv6) {
		*from4 = (struct sockaddr_in){ .sin_family = AF_INET,
					       .sin_addr = { htonl(first_client + number) } };
		*to4 = (struct sockaddr_in){ .sin_family = AF_INET,
					     .sin_port = htons(gate_port),
					     .sin_addr = gate_address };
		return sizeof(*from4);
	}
	*from6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = first_client6 };
	from6->sin6_addr.s6_addr32[1] = htonl(ntohl(first_client6.s6_addr32[1]) + number);
	*to6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
				      .sin6_port = htons(gate_port),
				      .sin6_addr = gate_address6 };
	return sizeof(*from6);
}

static void open_connection(int poll, struct connection *connection)
{
	struct sockaddr_storage from, to;
	socklen_t length = ends_of(connection->source, &from, &to);
	int on = 1;

	connection->fd = socket(is_ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (connection->fd < 0)
		die("open a socket");
	connection->connected = connection->first_sent = connection->resting = false;
	connection->received = 0;
	connection->started_ns = now_ns();
	setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(connection->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(connection->fd, (struct sockaddr *)&from, length) != 0)
		die("bind a source address");
	if (connect(connection->fd, (struct sockaddr *)&to, length) != 0 && errno != EINPROGRESS)
		die("connect");
	watch(poll, EPOLL_CTL_ADD, connection, true);
}

static void reopen(int poll, struct connection *connection)
{
	close(connection->fd);
	if (mode == HOSTILE || mode == LORIS)
		connection->source = next_source++;
	open_connection(poll, connection);
}

/* The peer is gone. For a hostile connection that is the success. */
static void ended(int poll, struct connection *connection)
{
	if (mode == HOSTILE || mode == BANNED || mode == LORIS) {
		done_count++;
		note_latency(connection);
	} else {
		failure_count++;
		if (failure_count > 1000) {
			fprintf(stderr, "Cannot go on: more than 1000 connections failed\n");
			exit(1);
		}
	}
	reopen(poll, connection);
}

/* False: the connection is over. */
static bool client_send(int poll, struct connection *connection)
{
	const void *bytes = mode == HOSTILE ? (const void *)hostile_request : first_packet;
	size_t length = mode == HOSTILE ? sizeof(hostile_request) - 1 : mode == LORIS ? 1 : PACKET;

	connection->connected = true;
	if (!connection->first_sent && mode != BANNED) {
		if (send(connection->fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
			return false;
		connection->first_sent = true;
	}
	if (mode == BULK_UP) {
		for (int i = 0; i < TURN; i++) {
			ssize_t sent = send(connection->fd, bulk, BULK, MSG_NOSIGNAL);

			if (sent < 0)
				return errno == EAGAIN;
			byte_count += (uint64_t)sent;
		}
		return true;
	}
	watch(poll, EPOLL_CTL_MOD, connection, false);
	return true;
}

/* Of a client that works: until its next packet. */
#define REST_NS 20000000ULL
/* So many packets to a connection. */
#define PACKETS_EACH 8

static void send_next(int poll, struct connection *connection)
{
	uint64_t due_ns = connection->started_ns;

	connection->resting = false;
	if (done_count % PACKETS_EACH == 0) {
		reopen(poll, connection);
		connection->started_ns = due_ns;
		return;
	}
	if (send(connection->fd, first_packet, PACKET, MSG_NOSIGNAL) != PACKET)
		ended(poll, connection);
}

/* As late as it is: what waits because others hold up this process is waiting too. */
static void wake_rested(int poll, uint32_t count)
{
	uint64_t now = now_ns();

	for (uint32_t i = 0; i < count; i++)
		if (connections[i].resting && now >= connections[i].started_ns)
			send_next(poll, &connections[i]);
}

static void answered(int poll, struct connection *connection)
{
	connection->received = 0;
	done_count++;
	note_latency(connection);
	switch (mode) {
	case PINGPONG:
		connection->started_ns = now_ns();
		if (send(connection->fd, first_packet, PACKET, MSG_NOSIGNAL) != PACKET)
			ended(poll, connection);
		break;
	case CONNECT:
		reopen(poll, connection);
		break;
	case WORK:
		connection->started_ns = now_ns() + REST_NS;
		connection->resting = true;
		break;
	default:
		held_count++;
	}
}

static void client_receive(int poll, struct connection *connection)
{
	static uint8_t buffer[4 * BULK];
	ssize_t length = recv(connection->fd, buffer, sizeof(buffer), 0);

	if (length < 0 && errno == EAGAIN)
		return;
	if (length <= 0) {
		ended(poll, connection);
	} else if (mode == BULK_DOWN) {
		byte_count += (uint64_t)length;
	} else if ((connection->received += (uint32_t)length) >= PACKET) {
		answered(poll, connection);
	}
}

static void poll_once(int poll, int timeout_ms)
{
	struct epoll_event events[MAX_EVENTS];
	int count = epoll_wait(poll, events, MAX_EVENTS, timeout_ms);

	for (int i = 0; i < count; i++) {
		struct connection *connection = events[i].data.ptr;

		if ((events[i].events & (EPOLLERR | EPOLLHUP)) ||
		    ((events[i].events & EPOLLOUT) && !client_send(poll, connection))) {
			ended(poll, connection);
			continue;
		}
		if (events[i].events & EPOLLIN)
			client_receive(poll, connection);
	}
}

static void hold(int poll, uint32_t count)
{
	char byte;

	while (held_count < count)
		poll_once(poll, 1000);
	printf("{\"held\":%llu,\"failures\":%llu}\n", (unsigned long long)held_count,
	       (unsigned long long)failure_count);
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
}

static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void work_once(int poll, uint32_t count)
{
	poll_once(poll, mode == WORK ? 1 : 10);
	if (mode == WORK)
		wake_rested(poll, count);
}

static void measure(int poll, uint32_t count, double seconds)
{
	/* The first fifth warms up and does not count. */
	uint64_t start = now_ns() + (uint64_t)(seconds * 0.2e9);
	uint64_t end = start + (uint64_t)(seconds * 0.8e9);
	uint64_t first_done, first_bytes, now;
	double first_cpu;

	while (now_ns() < start)
		work_once(poll, count);
	memset(latency_us, 0, sizeof(latency_us));
	first_done = done_count;
	first_bytes = byte_count;
	first_cpu = cpu_seconds();
	start = now_ns();
	while ((now = now_ns()) < end)
		work_once(poll, count);
	seconds = (double)(now - start) / 1e9;
	printf("{\"perSecond\":%.1f,\"bytesPerSecond\":%.0f,\"p50Us\":%u,\"p90Us\":%u,\"p99Us\":%u,"
	       "\"p999Us\":%u,\"total\":%llu,\"failures\":%llu,\"nextSource\":%u,\"cpuShare\":%.3f}"
	       "\n",
	       (double)(done_count - first_done) / seconds,
	       (double)(byte_count - first_bytes) / seconds, latency_at(0.5), latency_at(0.9),
	       latency_at(0.99), latency_at(0.999), (unsigned long long)done_count,
	       (unsigned long long)failure_count, next_source,
	       (cpu_seconds() - first_cpu) / seconds);
}

/* So long a scanner waits for an answer. A SYN that is lost is not sent again before. */
#define PATIENCE_NS 300000000ULL

static void flood_event(int poll, struct connection *connection, uint32_t events)
{
	bool over = events & (EPOLLIN | EPOLLERR | EPOLLHUP);

	if (!over && !connection->first_sent) {
		held_count++;
		connection->first_sent = true;
		over = send(connection->fd, hostile_request, sizeof(hostile_request) - 1,
			    MSG_NOSIGNAL) < 0;
		watch(poll, EPOLL_CTL_MOD, connection, false);
	}
	if (over) {
		close(connection->fd);
		connection->fd = -1;
	}
}

/* The places of connections are a ring, in the order of their opening. */
static void flood(int poll, uint32_t rate, double seconds)
{
	uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9);
	uint32_t opened = 0, over = 0;
	uint64_t now;

	while ((now = now_ns()) < end) {
		struct epoll_event events[MAX_EVENTS];
		uint64_t due = (now - start) * rate / 1000000000;
		int count;

		for (; over < opened; over++) {
			struct connection *oldest = &connections[over % MAX_CONNECTIONS];

			if (oldest->fd >= 0 && now - oldest->started_ns < PATIENCE_NS)
				break;
			if (oldest->fd >= 0)
				close(oldest->fd);
		}
		for (; opened < due && opened - over < MAX_CONNECTIONS; opened++) {
			struct connection *fresh = &connections[opened % MAX_CONNECTIONS];

			fresh->source = next_source++;
			open_connection(poll, fresh);
		}
		count = epoll_wait(poll, events, MAX_EVENTS, 1);
		for (int i = 0; i < count; i++)
			flood_event(poll, events[i].data.ptr, events[i].events);
	}
	printf("{\"opened\":%u,\"connected\":%llu}\n", opened, (unsigned long long)held_count);
}

static enum mode mode_of(const char *name)
{
	static const char *const names[] = { "pingpong", "connect", "download", "upload", "hostile",
					     "banned",	 "hold",    "flood",	"work",	  "loris" };

	for (enum mode i = PINGPONG; i <= LORIS; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	fprintf(stderr, "Cannot run \"%s\": no such mode\n", name);
	exit(2);
}

static struct in_addr address_of(const char *text)
{
	struct in_addr address;

	if (inet_pton(AF_INET, text, &address) == 1)
		return address;
	fprintf(stderr, "Cannot use \"%s\": not an IPv4 address\n", text);
	exit(2);
}

int main(int argc, char **argv)
{
	uint32_t count;
	int poll;

	signal(SIGPIPE, SIG_IGN);
	fill_random(bulk, sizeof(bulk));
	memcpy(first_packet, bulk + 1000, PACKET);
	/* Not the start of any protocol that a recogniser knows. */
	first_packet[0] = 0xe7;
	gate_address.s_addr = htonl(INADDR_LOOPBACK);
	if (argc >= 3 && strcmp(argv[1], "server") == 0)
		return serve((uint16_t)atoi(argv[2]),
			     argc > 3 ? address_of(argv[3]) : gate_address);
	if (argc < 4) {
		fprintf(stderr, "Cannot run without a mode, a port and a number of connections\n");
		return 2;
	}
	mode = mode_of(argv[1]);
	gate_port = (uint16_t)atoi(argv[2]);
	count = (uint32_t)atoi(argv[3]);
	if (count < 1 || (count > MAX_CONNECTIONS && mode != FLOOD)) {
		fprintf(stderr, "Cannot open \"%s\" connections: 1 to %d\n", argv[3],
			MAX_CONNECTIONS);
		return 2;
	}
	first_packet[PACKET - 1] = mode == BULK_DOWN ? DOWNLOAD : mode == BULK_UP ? UPLOAD : ECHO;
	next_source = argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) : 0;
	if (argc > 8) {
		is_ipv6 = strchr(argv[6], ':');
		if (is_ipv6 && (inet_pton(AF_INET6, argv[6], &gate_address6) != 1 ||
				inet_pton(AF_INET6, argv[7], &first_client6) != 1)) {
			fprintf(stderr, "Cannot use \"%s\" and \"%s\": not IPv6 addresses\n",
				argv[6], argv[7]);
			return 2;
		}
		if (!is_ipv6) {
			gate_address = address_of(argv[6]);
			first_client = ntohl(address_of(argv[7]).s_addr);
		}
		client_count = (uint32_t)atoi(argv[8]);
	}
	poll = epoll_create1(0);
	if (mode == FLOOD) {
		flood(poll, count, atof(argv[4]));
		return 0;
	}
	for (uint32_t i = 0; i < count; i++) {
		connections[i].source = next_source++;
		open_connection(poll, &connections[i]);
	}
	if (mode == HOLD)
		hold(poll, count);
	else
		measure(poll, count, argc > 4 ? atof(argv[4]) : 2);
	return 0;
}
