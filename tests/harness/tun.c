// SPDX-License-Identifier: Apache-2.0
/*
 * A tunnel's end for a test that speaks TCP by itself: IP packets as lines of hexadecimal digits,
 * from standard input to an interface of its own, and from there to standard output. Ends with
 * standard input, and the interface with it.
 *
 *   tun INTERFACE [HARDWARE_TYPE]
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PACKET_BYTES 65536

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_tun(const char *name, const char *type)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR);

	if (fd < 0)
		fail("/dev/net/tun");
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (ioctl(fd, TUNSETIFF, &request))
		fail("TUNSETIFF");
	if (type && ioctl(fd, TUNSETLINK, atoi(type)))
		fail("TUNSETLINK");
	return fd;
}

static int digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Returns false at the end of the input. */
static int take_line(int fd)
{
	static char line[2 * PACKET_BYTES];
	static unsigned char packet[PACKET_BYTES];
	size_t bytes = 0;

	if (!fgets(line, sizeof(line), stdin))
		return 0;
	for (; line[2 * bytes] > ' '; bytes++)
		packet[bytes] = digit(line[2 * bytes]) << 4 | digit(line[2 * bytes + 1]);
	if (write(fd, packet, bytes) < 0)
		fail("write");
	return 1;
}

static void take_packet(int fd)
{
	static unsigned char packet[PACKET_BYTES];
	ssize_t bytes = read(fd, packet, sizeof(packet));

	if (bytes < 0)
		fail("read");
	for (ssize_t i = 0; i < bytes; i++)
		printf("%02x", packet[i]);
	printf("\n");
}

int main(int argc, char **argv)
{
	struct pollfd ready[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .events = POLLIN } };

	if (argc != 2 && argc != 3) {
		fprintf(stderr, "Usage: tun INTERFACE [HARDWARE_TYPE]\n");
		return 2;
	}
	/* Without a buffer, of which poll() knows nothing. */
	setvbuf(stdin, NULL, _IONBF, 0);
	ready[1].fd = open_tun(argv[1], argv[2]);
	printf("ready\n");
	for (;;) {
		fflush(stdout);
		if (poll(ready, 2, -1) < 0)
			fail("poll");
		if (ready[1].revents)
			take_packet(ready[1].fd);
		if (ready[0].revents && !take_line(ready[1].fd))
			return 0;
	}
}
