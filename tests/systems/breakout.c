// SPDX-License-Identifier: Apache-2.0
/*
 * What somebody would try who runs code in ttgate's service and wants out of it. One line for each
 * attempt: its name, a tab, and "done" or the error's name. Where an attempt would harm the host it
 * is made with arguments that only get as far as an error other than that of a refusal.
 *
 *   breakout VICTIM      the process of root that is attacked
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t victim;

static int opened(const char *path, int flags)
{
	return open(path, flags, 0600);
}

static int of_victim(const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", victim, what);
	return opened(path, O_RDONLY);
}

static int connected(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(to.sun_path, path);
	return connect(fd, (struct sockaddr *)&to, sizeof(to));
}

static int copied(int to)
{
	int from = open("/proc/self/exe", O_RDONLY);
	char part[65536];

	for (ssize_t got; (got = read(from, part, sizeof(part))) > 0;)
		if (write(to, part, got) != got)
			return -1;
	return 0;
}

/* This program without an argument ends at once. */
static int executed(const char *path)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		execl(path, path, NULL);
		_exit(errno);
	}
	waitpid(child, &status, 0);
	errno = WEXITSTATUS(status);
	return errno ? -1 : 0;
}

static int executed_from(const char *path)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0700);

	return fd < 0 || copied(fd) || close(fd) ? -1 : executed(path);
}

static int executed_from_memory(void)
{
	char path[64];
	int fd = memfd_create("breakout", 0), readable;

	if (copied(fd))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	readable = open(path, O_RDONLY);
	close(fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", readable);
	return executed(path);
}

static int bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* A program that copies from an address of the kernel to its stack. */
static int kernel_reader(void)
{
	struct bpf_insn code[] = {
		{ .code = 0xbf, .dst_reg = 1, .src_reg = 10 }, /* r1 = r10 - 8 */
		{ .code = 0x07, .dst_reg = 1, .imm = -8 },
		{ .code = 0xb7, .dst_reg = 2, .imm = 8 }, /* size */
		{ .code = 0xb7, .dst_reg = 3, .imm = 0x1000 },
		{ .code = 0x85, .imm = BPF_FUNC_probe_read_kernel },
		{ .code = 0xb7, .dst_reg = 0 },
		{ .code = 0x95 },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT,
		.insns = (uintptr_t)code,
		.insn_cnt = sizeof(code) / sizeof(*code),
		.license = (uintptr_t) "GPL",
	};

	return bpf(BPF_PROG_LOAD, &attr);
}

static int bpf_pin(void)
{
	const char *bpffs = getenv("TTGATE_BPFFS");
	char path[64];
	union bpf_attr map = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1
	};
	int fd = bpf(BPF_MAP_CREATE, &map);
	union bpf_attr pin = { .pathname = (uintptr_t)path, .bpf_fd = fd };

	snprintf(path, sizeof(path), "%s/breakout", bpffs ? bpffs : "/sys/fs/bpf");
	return fd < 0 || bpf(BPF_OBJ_PIN, &pin) < 0 ? -1 : unlink(path);
}

static int next_program(void)
{
	union bpf_attr attr = { .start_id = 0 };

	return bpf(BPF_PROG_GET_NEXT_ID, &attr);
}

static int performance(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr) };

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static int ring(void)
{
	struct io_uring_params params = { 0 };

	return syscall(SYS_io_uring_setup, 1, &params);
}

static int bad_time(void)
{
	struct timespec never = { .tv_nsec = -1 };

	return syscall(SYS_clock_settime, CLOCK_REALTIME, &never); /* glibc looks at it first */
}

static int same_name(void)
{
	char name[64];

	return gethostname(name, sizeof(name)) ? -1 : sethostname(name, strlen(name));
}

static int same_mtu(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	return ioctl(fd, SIOCGIFMTU, &request) ? -1 : ioctl(fd, SIOCSIFMTU, &request);
}

static int in_cgroups(void)
{
	const char *places[] = { "/sys/fs/cgroup/system.slice/breakout",
				 "/sys/fs/cgroup/systemd/system.slice/breakout" };

	if (mkdir(places[0], 0700) && errno == ENOENT)
		return mkdir(places[1], 0700) ? -1 : rmdir(places[1]);
	return errno ? -1 : rmdir(places[0]);
}

static int device(void)
{
	const char *path = "/var/lib/ttgate/mem";

	return mknod(path, S_IFCHR | 0600, makedev(1, 1)) ? -1 : unlink(path);
}

static int setuid_file(void)
{
	const char *path = "/var/lib/ttgate/setuid";

	return opened(path, O_CREAT | O_WRONLY) < 0 || chmod(path, 04755) ? -1 : unlink(path);
}

static int given_away(void)
{
	const char *path = "/var/lib/ttgate/given";

	return opened(path, O_CREAT | O_WRONLY) < 0 || chown(path, 1000, 1000) ? -1 : unlink(path);
}

static int privileges_by_file(void)
{
	errno = EPERM;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) ? -1 : 0;
}

static int made_code(void)
{
	void *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return place == MAP_FAILED ? -1 : 0;
}

static int memory_of_victim(void)
{
	char byte;
	struct iovec own = { &byte, 1 }, other = { NULL, 1 };

	return syscall(SYS_process_vm_readv, victim, &own, 1, &other, 1, 0);
}

static int may_dump_core(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_CORE, &limit);
	errno = EPERM;
	return limit.rlim_max == 0 ? -1 : 0;
}

static int attempt(int number)
{
	enum { FIRST = __COUNTER__ };
#define ATTEMPT(name, what)                                                                        \
	case __COUNTER__ - FIRST - 1:                                                              \
		printf("%s\t", name);                                                              \
		fflush(stdout);                                                                    \
		return (what) < 0 ? -1 : 0;

	switch (number) {
		/* files */
		ATTEMPT("write below /etc", opened("/etc/breakout", O_CREAT | O_WRONLY))
		ATTEMPT("write below /usr", opened("/usr/breakout", O_CREAT | O_WRONLY))
		ATTEMPT("replace the executable",
			opened("/usr/local/sbin/ttgate.new", O_CREAT | O_WRONLY))
		ATTEMPT("write the configuration", opened("/etc/ttgate/ttgate.toml", O_WRONLY))
		ATTEMPT("write below /var", opened("/var/breakout", O_CREAT | O_WRONLY))
		ATTEMPT("write below /root", opened("/root/breakout", O_CREAT | O_WRONLY))
		ATTEMPT("write below /home", opened("/home/somebody/breakout", O_CREAT | O_WRONLY))
		ATTEMPT("write below /boot", opened("/boot/breakout", O_CREAT | O_WRONLY))
		ATTEMPT("read below /root", opened("/root/secret", O_RDONLY))
		ATTEMPT("read below /home", opened("/home/somebody/secret", O_RDONLY))
		ATTEMPT("read /etc/shadow", opened("/etc/shadow", O_RDONLY))
		ATTEMPT("read the keys of sshd", opened("/etc/ssh/ssh_host_key", O_RDONLY))
		ATTEMPT("read a file of another user", opened("/srv/of-somebody", O_RDONLY))
		ATTEMPT("read a file of root elsewhere", opened("/srv/of-root", O_RDONLY))
		ATTEMPT("give a file away", given_away())
		ATTEMPT("make a setuid file", setuid_file())
		ATTEMPT("gain privileges by a setuid file", privileges_by_file())
		ATTEMPT("make a device", device())
		ATTEMPT("open by handle", syscall(SYS_open_by_handle_at, -1, NULL, 0))
		ATTEMPT("execute from /var/lib/ttgate", executed_from("/var/lib/ttgate/breakout"))
		ATTEMPT("execute from /run/ttgate", executed_from("/run/ttgate/breakout"))
		ATTEMPT("execute from /tmp", executed_from("/tmp/breakout"))
		ATTEMPT("execute from /var/tmp", executed_from("/var/tmp/breakout"))
		ATTEMPT("execute from /dev/shm", executed_from("/dev/shm/breakout"))
		ATTEMPT("execute from memory", executed_from_memory())
		ATTEMPT("make code in memory", made_code())
		ATTEMPT("leave its memory in a core dump", may_dump_core())
		/* who would do it for us */
		ATTEMPT("ask D-Bus", connected("/run/dbus/system_bus_socket"))
		ATTEMPT("ask systemd", connected("/run/systemd/private"))
		ATTEMPT("ask a container engine", connected("/run/engine.sock"))
		/* mounts and namespaces */
		ATTEMPT("mount", mount("none", "/mnt", "tmpfs", 0, NULL))
		ATTEMPT("unmount", umount2("/", 0))
		ATTEMPT("change the root directory", chroot("/"))
		ATTEMPT("make a user namespace", unshare(CLONE_NEWUSER))
		ATTEMPT("make a mount namespace", unshare(CLONE_NEWNS))
		ATTEMPT("enter the host's mounts", of_victim("ns/mnt"))
		ATTEMPT("look into another's root directory", of_victim("root/etc"))
		ATTEMPT("change cgroups", in_cgroups())
		/* other processes, other users */
		ATTEMPT("trace a process of root", ptrace(PTRACE_SEIZE, victim, NULL, NULL))
		ATTEMPT("open the memory of a process", of_victim("mem"))
		ATTEMPT("read the memory of a process", memory_of_victim())
		ATTEMPT("see the processes of root", of_victim("status"))
		ATTEMPT("signal a process of root", kill(victim, 0))
		ATTEMPT("become another user", setuid(1000))
		ATTEMPT("become another group", setgid(1000))
		ATTEMPT("take precedence", setpriority(PRIO_PROCESS, 0, -5))
		/* the kernel */
		ATTEMPT("load a module", syscall(SYS_init_module, NULL, 0, ""))
		ATTEMPT("load another kernel", syscall(SYS_kexec_load, 0, 0, NULL, 0xff00))
		ATTEMPT("reboot", syscall(SYS_reboot, 0, 0, 0, NULL))
		ATTEMPT("add swap", syscall(SYS_swapon, "/nowhere", 0))
		ATTEMPT("set the clock", bad_time())
		ATTEMPT("set the host's name", same_name())
		ATTEMPT("read the kernel's log", syscall(SYS_syslog, 9, NULL, 0))
		ATTEMPT("read sysctls", opened("/proc/sys/kernel/hostname", O_RDONLY))
		ATTEMPT("change the personality", personality(ADDR_NO_RANDOMIZE))
		ATTEMPT("use keyrings", syscall(SYS_add_key, "user", "breakout", "x", 1, -3))
		ATTEMPT("use io_uring", ring())
		ATTEMPT("measure performance", performance())
		ATTEMPT("watch files", fanotify_init(FAN_CLASS_NOTIF, O_RDONLY))
		ATTEMPT("list BPF programs", next_program())
		ATTEMPT("read memory of the kernel by BPF", kernel_reader())
		ATTEMPT("pin and unpin BPF objects", bpf_pin())
		/* the network */
		ATTEMPT("open a packet socket", socket(AF_PACKET, SOCK_RAW, htons(3)))
		ATTEMPT("open a raw socket", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP))
		ATTEMPT("open a socket to the hypervisor", socket(AF_VSOCK, SOCK_STREAM, 0))
		ATTEMPT("configure an interface", same_mtu())
	default:
		return 1;
	}
}

int main(int argc, char **argv)
{
	int status;

	if (argc < 2)
		return 0;
	victim = atoi(argv[1]);
	for (int number = 0;; number++) {
		pid_t child = fork();

		if (child == 0) {
			errno = 0;
			switch (attempt(number)) {
			case 0:
				puts("done");
				exit(0);
			case 1:
				_exit(1);
			default:
				puts(strerrorname_np(errno));
				exit(0);
			}
		}
		waitpid(child, &status, 0);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
			return 0;
	}
}
