// SPDX-License-Identifier: Apache-2.0
/*
 * One established TCP connection over loopback, held until standard input ends, and where it
 * stands: what the next segment of the client has to carry to be the next one. Its server has
 * taken BYTES bytes.
 *
 *   stream PORT BYTES
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int checked(const char *what, int result)
{
	if (result < 0) {
		fprintf(stderr, "Cannot %s: %s\n", what, strerror(errno));
		exit(1);
	}
	return result;
}

static void set(int fd, int option, int value)
{
	checked("set an option of the client",
		setsockopt(fd, IPPROTO_TCP, option, &value, sizeof(value)));
}

static uint32_t sequence_of(int fd, int queue)
{
	uint32_t sequence;
	socklen_t length = sizeof(sequence);

	set(fd, TCP_REPAIR_QUEUE, queue);
	checked("read a sequence number",
		getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &sequence, &length));
	return sequence;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t length = sizeof(address);
	uint8_t bytes[1024] = { 0 };
	uint32_t seq, ack;
	int server, count;

	if (argc != 3 || (count = atoi(argv[2])) < 0 || count > (int)sizeof(bytes)) {
		fprintf(stderr, "Usage: stream PORT BYTES\n");
		return 2;
	}
	address.sin_port = htons((uint16_t)atoi(argv[1]));
	checked("bind", bind(listener, (struct sockaddr *)&address, length));
	checked("listen", listen(listener, 1));
	checked("connect", connect(client, (struct sockaddr *)&address, length));
	server = checked("accept", accept(listener, NULL, NULL));
	if (count > 0) {
		checked("send", (int)send(client, bytes, (size_t)count, 0));
		checked("receive", (int)recv(server, bytes, (size_t)count, MSG_WAITALL));
	}
	set(client, TCP_REPAIR, TCP_REPAIR_ON);
	seq = sequence_of(client, TCP_SEND_QUEUE);
	ack = sequence_of(client, TCP_RECV_QUEUE);
	set(client, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
	checked("read an address", getsockname(client, (struct sockaddr *)&address, &length));
	printf("{\"sourcePort\":%u,\"seq\":%u,\"ack\":%u}\n", ntohs(address.sin_port), seq, ack);
	fflush(stdout);
	while (read(0, bytes, sizeof(bytes)) > 0)
		;
	return 0;
}
