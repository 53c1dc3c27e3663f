// SPDX-License-Identifier: Apache-2.0
/*
 * Sends one frame, read from standard input, out of a packet ring: the kernel makes of it a
 * socket buffer whose first piece is the Ethernet header and no more.
 *
 *   pieces INTERFACE < FRAME
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLOT_BYTES 4096

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

int main(int argc, char **argv)
{
	struct tpacket_req ring = {
		.tp_block_size = SLOT_BYTES,
		.tp_block_nr = 1,
		.tp_frame_size = SLOT_BYTES,
		.tp_frame_nr = 1,
	};
	struct sockaddr_ll to = { .sll_family = AF_PACKET };
	int version = TPACKET_V2, fd = socket(AF_PACKET, SOCK_RAW, 0);
	struct tpacket2_hdr *slot;
	ssize_t bytes;

	if (argc != 2) {
		fprintf(stderr, "Usage: pieces INTERFACE < FRAME\n");
		return 2;
	}
	to.sll_ifindex = if_nametoindex(argv[1]);
	if (fd < 0 || !to.sll_ifindex || bind(fd, (struct sockaddr *)&to, sizeof(to)))
		fail(argv[1]);
	if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &ring, sizeof(ring)))
		fail("PACKET_TX_RING");
	slot = mmap(NULL, SLOT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (slot == MAP_FAILED)
		fail("mmap");
	bytes = read(STDIN_FILENO, (char *)slot + TPACKET2_HDRLEN - sizeof(to),
		     SLOT_BYTES - TPACKET2_HDRLEN);
	if (bytes <= 0)
		fail("read");
	slot->tp_len = bytes;
	slot->tp_status = TP_STATUS_SEND_REQUEST;
	/* Returns when the frame has been sent. */
	if (send(fd, NULL, 0, 0) != bytes)
		fail("send");
	return 0;
}
