// SPDX-License-Identifier: Apache-2.0
// The few C library functions that neither runtime offers, each with its C declaration. They return -1
// and set errno; `libcResult` turns that into -errno, and has to be the very next call.
import type { Native, NativeCalls } from "../runtime/types.ts";
import { nativeBytes } from "./native_bytes.ts";

const libcSymbols = {
  // int *__errno_location(void)
  __errno_location: [[], "ptr"],
  // int close(int fd)
  close: [["i32"], "i32"],
  // ssize_t write(int fd, const void *buf, size_t count)
  write: [["i32", "buf", "u64"], "i64"],
  // int memfd_create(const char *name, unsigned int flags)
  memfd_create: [["buf", "u32"], "i32"],
  // int open(const char *path, int flags, ...)
  open: [["buf", "i32"], "i32"],
  // ssize_t read(int fd, void *buf, size_t count)
  read: [["i32", "buf", "u64"], "i64"],
  // ssize_t readlink(const char *path, char *buf, size_t size)
  readlink: [["buf", "buf", "u64"], "i64"],
  // ssize_t getdents64(int fd, void *buf, size_t size)
  getdents64: [["i32", "buf", "u64"], "i64"],
  // int access(const char *path, int mode)
  access: [["buf", "i32"], "i32"],
  // int unlink(const char *path)
  unlink: [["buf"], "i32"],
  // int statfs(const char *path, struct statfs *buf)
  statfs: [["buf", "buf"], "i32"],
  // int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)
  mount: [["buf", "buf", "buf", "u64", "buf"], "i32"],
  // char *if_indextoname(unsigned int ifindex, char ifname[IF_NAMESIZE])
  if_indextoname: [["u32", "buf"], "ptr"],
  // int socket(int domain, int type, int protocol)
  socket: [["i32", "i32", "i32"], "i32"],
  // ssize_t send(int fd, const void *data, size_t size, int flags)
  send: [["i32", "buf", "u64", "i32"], "i64"],
  // ssize_t recv(int fd, void *data, size_t size, int flags)
  recv: [["i32", "buf", "u64", "i32"], "i64"],
  // ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length)
  sendto: [["i32", "buf", "u64", "i32", "buf", "u32"], "i64"],
  // ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
  sendmsg: [["i32", "buf", "i32"], "i64"],
  // ssize_t recvmsg(int fd, struct msghdr *message, int flags)
  recvmsg: [["i32", "buf", "i32"], "i64"],
  // int bind(int fd, const struct sockaddr *address, socklen_t length)
  bind: [["i32", "buf", "u32"], "i32"],
  // int listen(int fd, int backlog)
  listen: [["i32", "i32"], "i32"],
  // int connect(int fd, const struct sockaddr *address, socklen_t length)
  connect: [["i32", "buf", "u32"], "i32"],
  // int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
  accept4: [["i32", "buf", "buf", "i32"], "i32"],
  // int getsockname(int fd, struct sockaddr *address, socklen_t *length)
  getsockname: [["i32", "buf", "buf"], "i32"],
  // int fcntl(int fd, int command, ...), with one number
  fcntl: [["i32", "i32", "u64"], "i32"],
  // int flock(int fd, int operation)
  flock: [["i32", "i32"], "i32"],
  // int poll(struct pollfd *descriptors, nfds_t count, int timeout)
  poll: [["buf", "u64", "i32"], "i32"],
  // int clock_gettime(clockid_t clock, struct timespec *time)
  clock_gettime: [["i32", "buf"], "i32"],
  // int ioctl(int fd, unsigned long request, ...), with one pointer
  ioctl: [["i32", "u64", "buf"], "i32"],
  // int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
  getsockopt: [["i32", "i32", "i32", "buf", "buf"], "i32"],
  // int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
  setsockopt: [["i32", "i32", "i32", "buf", "u32"], "i32"],
  // int getrlimit(int resource, struct rlimit *limit)
  getrlimit: [["i32", "buf"], "i32"],
  // int chown(const char *path, uid_t owner, gid_t group)
  chown: [["buf", "u32", "u32"], "i32"],
  // struct passwd *getpwnam(const char *name)
  getpwnam: [["buf"], "ptr"],
  // int initgroups(const char *user, gid_t group)
  initgroups: [["buf", "u32"], "i32"],
  // int setresgid(gid_t real, gid_t effective, gid_t saved)
  setresgid: [["u32", "u32", "u32"], "i32"],
  // int setresuid(uid_t real, uid_t effective, uid_t saved)
  setresuid: [["u32", "u32", "u32"], "i32"],
  // int prctl(int option, ...), with up to four unsigned long
  prctl: [["i32", "u64", "u64", "u64", "u64"], "i32"],
  // int capget(cap_user_header_t header, cap_user_data_t data)
  capget: [["buf", "buf"], "i32"],
  // int capset(cap_user_header_t header, const cap_user_data_t data)
  capset: [["buf", "buf"], "i32"],
} as const;

export type LibcCalls = NativeCalls<typeof libcSymbols>;

export interface Libc {
  readonly calls: LibcCalls;
  /** -errno for -1, else the result. */
  result(returned: number | bigint): number;
}

/** include/uapi/linux/time.h */
const clocks = { monotonic: 1, boot: 7 } as const;

/** As other processes read it. */
export function clockUsec({ calls }: Libc, clock: keyof typeof clocks): bigint {
  const time = nativeBytes(16);
  calls.clock_gettime(clocks[clock], time);
  const view = new DataView(time.buffer);
  return view.getBigInt64(0, true) * 1_000_000n + view.getBigInt64(8, true) / 1000n;
}

export function openLibc(native: Native): Libc {
  const { calls } = native.open("libc.so.6", libcSymbols);
  return {
    calls,
    result(returned) {
      if (Number(returned) !== -1) return Number(returned);
      return -new DataView(native.read(calls.__errno_location(), 4).buffer).getInt32(0, true);
    },
  };
}
