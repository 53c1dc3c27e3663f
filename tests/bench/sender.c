// SPDX-License-Identifier: Apache-2.0
/*
 * Sends a fixed number of packets and prints the CPU time that they took, sender and receiver
 * together: both run on the CPU that this program binds itself to, the receiving side as a soft
 * interrupt within this process or in that CPU's ksoftirqd.
 *
 *   sender frames PROGRAM COUNT CPU            by a pinned XDP program, in the kernel's test run:
 *                                              frames without a socket buffer, as from a card
 *   sender packets INTERFACE COUNT CPU SOURCES by a packet socket: socket buffers
 *
 * The packets are TCP SYNs to port 5000, from 10.0.0.0 and the SOURCES - 1 addresses behind it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define FRAME_BYTES 60
#define FIRST_SOURCE 0x0a000000

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

/* Ethernet, IPv4 without options, TCP without options, padding; checksums of IPv4 only. */
static const uint8_t frame_template[FRAME_BYTES] = {
	2,    0,    0,	  0,	0, 2,  2, 0, 0, 0,  0, 1, 8,	0,  0x45, 0,	0,
	40,   0,    0,	  0x40, 0, 64, 6, 0, 0, 10, 0, 0, 0,	10, 77,	  0,	1,
	0x9c, 0x40, 0x13, 0x88, 0, 0,  0, 0, 0, 0,  0, 0, 0x50, 2,  0xff, 0xff,
};

static void set_source(uint8_t *frame, uint32_t source)
{
	uint32_t sum = 0;

	source = htonl(source);
	memcpy(frame + 26, &source, sizeof(source));
	frame[24] = frame[25] = 0;
	for (int i = 14; i < 34; i += 2)
		sum += frame[i] << 8 | frame[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	frame[24] = sum >> 8;
	frame[25] = sum;
}

/* The process that takes over soft interrupts on this CPU when there are many. */
static pid_t find_ksoftirqd(int cpu)
{
	char wanted[32], path[300], name[32];
	struct dirent *entry;
	DIR *proc = opendir("/proc");
	pid_t found = 0;

	if (!proc)
		fail("/proc");
	snprintf(wanted, sizeof(wanted), "ksoftirqd/%d\n", cpu);
	while (!found && (entry = readdir(proc))) {
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		file = fopen(path, "r");
		if (!file)
			continue;
		if (fgets(name, sizeof(name), file) && !strcmp(name, wanted))
			found = atoi(entry->d_name);
		fclose(file);
	}
	closedir(proc);
	if (!found)
		fail("ksoftirqd");
	return found;
}

static uint64_t cpu_ns(clockid_t clock)
{
	struct timespec time;

	if (clock_gettime(clock, &time))
		fail("clock_gettime");
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static void send_frames(const char *path, uint32_t count)
{
	uint8_t frame[FRAME_BYTES];
	union bpf_attr attr = { .pathname = (uintptr_t)path };
	int program = syscall(SYS_bpf, BPF_OBJ_GET, &attr, sizeof(attr));

	if (program < 0)
		fail(path);
	memcpy(frame, frame_template, sizeof(frame));
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = program;
	attr.test.data_in = (uintptr_t)frame;
	attr.test.data_size_in = sizeof(frame);
	attr.test.repeat = count;
	attr.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
	attr.test.batch_size = BATCH;
	if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr)))
		fail("BPF_PROG_TEST_RUN");
}

static void send_packets(const char *interface, uint32_t count, uint32_t sources)
{
	static uint8_t frames[BATCH][FRAME_BYTES];
	struct sockaddr_ll to = { .sll_family = AF_PACKET };
	struct mmsghdr messages[BATCH] = { 0 };
	struct iovec vectors[BATCH];
	uint32_t sent = 0;
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	to.sll_ifindex = if_nametoindex(interface);
	if (fd < 0 || !to.sll_ifindex || bind(fd, (struct sockaddr *)&to, sizeof(to)))
		fail(interface);
	for (int i = 0; i < BATCH; i++) {
		memcpy(frames[i], frame_template, FRAME_BYTES);
		vectors[i] = (struct iovec){ frames[i], FRAME_BYTES };
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (sent < count) {
		uint32_t batch = count - sent < BATCH ? count - sent : BATCH;
		int done;

		for (uint32_t i = 0; i < batch; i++)
			set_source(frames[i], FIRST_SOURCE + (sent + i) % sources);
		done = sendmmsg(fd, messages, batch, 0);
		if (done < 0 && errno != ENOBUFS)
			fail("sendmmsg");
		if (done > 0)
			sent += done;
	}
	close(fd);
}

int main(int argc, char **argv)
{
	clockid_t ksoftirqd;
	uint64_t before, after;
	cpu_set_t cpus;
	uint32_t count;
	int cpu;

	if (argc < 5) {
		fprintf(stderr, "Usage: sender frames|packets WHAT COUNT CPU [SOURCES]\n");
		return 2;
	}
	count = strtoul(argv[3], NULL, 10);
	cpu = atoi(argv[4]);
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		fail("sched_setaffinity");
	if (clock_getcpuclockid(find_ksoftirqd(cpu), &ksoftirqd))
		fail("clock_getcpuclockid");
	before = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) + cpu_ns(ksoftirqd);
	if (!strcmp(argv[1], "frames"))
		send_frames(argv[2], count);
	else
		send_packets(argv[2], count, argc > 5 ? strtoul(argv[5], NULL, 10) : 1);
	/* What is still queued for the receiver. */
	usleep(20000);
	after = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) + cpu_ns(ksoftirqd);
	printf("{\"cpuNs\":%llu}\n", (unsigned long long)(after - before));
	return 0;
}
