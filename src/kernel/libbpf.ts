// SPDX-License-Identifier: Apache-2.0
// The functions of libbpf 1.1 that ttgate calls, each with its C declaration (bpf.h, libbpf.h, btf.h).
// Opaque pointers are `ptr` (bigint); everything that C reads or writes during the call is `buf`.
// Functions that return a pointer give 0n on failure, and libbpf_get_error(0n) then the -errno: it has
// to be the very next call. Not here: what a Debian 12 libbpf.so.1 does not export.
import type { NativeCalls } from "../runtime/types.ts";

export const libbpfSymbols = {
  // libbpf_print_fn_t libbpf_set_print(libbpf_print_fn_t fn)
  libbpf_set_print: [["ptr"], "ptr"],
  // long libbpf_get_error(const void *ptr)
  libbpf_get_error: [["ptr"], "i64"],
  // int libbpf_num_possible_cpus(void)
  libbpf_num_possible_cpus: [[], "i32"],
  // const char *libbpf_version_string(void)
  libbpf_version_string: [[], "ptr"],

  // struct bpf_object *bpf_object__open_mem(const void *buf, size_t size, const struct bpf_object_open_opts *opts)
  bpf_object__open_mem: [["buf", "u64", "buf"], "ptr"],
  // int bpf_object__load(struct bpf_object *obj)
  bpf_object__load: [["ptr"], "i32"],
  // void bpf_object__close(struct bpf_object *obj)
  bpf_object__close: [["ptr"], "void"],
  // struct btf *bpf_object__btf(const struct bpf_object *obj)
  bpf_object__btf: [["ptr"], "ptr"],
  // struct bpf_map *bpf_object__next_map(const struct bpf_object *obj, const struct bpf_map *map)
  bpf_object__next_map: [["ptr", "ptr"], "ptr"],
  // struct bpf_program *bpf_object__find_program_by_name(const struct bpf_object *obj, const char *name)
  bpf_object__find_program_by_name: [["ptr", "buf"], "ptr"],
  // struct bpf_program *bpf_object__next_program(const struct bpf_object *obj, struct bpf_program *prog)
  bpf_object__next_program: [["ptr", "ptr"], "ptr"],

  // int bpf_map__fd(const struct bpf_map *map)
  bpf_map__fd: [["ptr"], "i32"],
  // const char *bpf_map__name(const struct bpf_map *map)
  bpf_map__name: [["ptr"], "ptr"],
  // int bpf_map__set_autocreate(struct bpf_map *map, bool autocreate)
  bpf_map__set_autocreate: [["ptr", "i32"], "i32"],
  // int bpf_map__set_type(struct bpf_map *map, enum bpf_map_type type)
  bpf_map__set_type: [["ptr", "u32"], "i32"],
  // int bpf_map__set_value_size(struct bpf_map *map, __u32 size)
  bpf_map__set_value_size: [["ptr", "u32"], "i32"],
  // int bpf_map__set_max_entries(struct bpf_map *map, __u32 max_entries)
  bpf_map__set_max_entries: [["ptr", "u32"], "i32"],
  // int bpf_map__set_map_flags(struct bpf_map *map, __u32 flags)
  bpf_map__set_map_flags: [["ptr", "u32"], "i32"],
  // int bpf_map__reuse_fd(struct bpf_map *map, int fd)
  bpf_map__reuse_fd: [["ptr", "i32"], "i32"],
  // const void *bpf_map__initial_value(struct bpf_map *map, size_t *psize)
  bpf_map__initial_value: [["ptr", "buf"], "ptr"],
  // int bpf_map__set_initial_value(struct bpf_map *map, const void *data, size_t size)
  bpf_map__set_initial_value: [["ptr", "buf", "u64"], "i32"],

  // const char *bpf_program__name(const struct bpf_program *prog)
  bpf_program__name: [["ptr"], "ptr"],
  // int bpf_program__fd(const struct bpf_program *prog)
  bpf_program__fd: [["ptr"], "i32"],
  // int bpf_program__set_autoload(struct bpf_program *prog, bool autoload)
  bpf_program__set_autoload: [["ptr", "i32"], "i32"],
  // int bpf_program__set_flags(struct bpf_program *prog, __u32 flags)
  bpf_program__set_flags: [["ptr", "u32"], "i32"],
  // int bpf_program__set_type(struct bpf_program *prog, enum bpf_prog_type type)
  bpf_program__set_type: [["ptr", "u32"], "i32"],

  // __s32 btf__find_by_name_kind(const struct btf *btf, const char *type_name, __u32 kind)
  btf__find_by_name_kind: [["ptr", "buf", "u32"], "i32"],
  // __s64 btf__resolve_size(const struct btf *btf, __u32 type_id)
  btf__resolve_size: [["ptr", "u32"], "i64"],
  // const struct btf_type *btf__type_by_id(const struct btf *btf, __u32 type_id)
  btf__type_by_id: [["ptr", "u32"], "ptr"],
  // const char *btf__name_by_offset(const struct btf *btf, __u32 offset)
  btf__name_by_offset: [["ptr", "u32"], "ptr"],

  // int bpf_map_create(enum bpf_map_type type, const char *name, __u32 key_size, __u32 value_size,
  //                    __u32 max_entries, const struct bpf_map_create_opts *opts)
  bpf_map_create: [["u32", "buf", "u32", "u32", "u32", "buf"], "i32"],
  // int bpf_map_lookup_elem(int fd, const void *key, void *value)
  bpf_map_lookup_elem: [["i32", "buf", "buf"], "i32"],
  // int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value)
  bpf_map_lookup_and_delete_elem: [["i32", "buf", "buf"], "i32"],
  // int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
  bpf_map_update_elem: [["i32", "buf", "buf", "u64"], "i32"],
  // int bpf_map_delete_elem(int fd, const void *key)
  bpf_map_delete_elem: [["i32", "buf"], "i32"],
  // int bpf_map_get_next_key(int fd, const void *key, void *next_key)
  bpf_map_get_next_key: [["i32", "buf", "buf"], "i32"],
  // int bpf_map_freeze(int fd)
  bpf_map_freeze: [["i32"], "i32"],
  // int bpf_map_lookup_batch(int fd, void *in_batch, void *out_batch, void *keys, void *values,
  //                          __u32 *count, const struct bpf_map_batch_opts *opts)
  bpf_map_lookup_batch: [["i32", "buf", "buf", "buf", "buf", "buf", "buf"], "i32"],
  // int bpf_map_update_batch(int fd, const void *keys, const void *values, __u32 *count,
  //                          const struct bpf_map_batch_opts *opts)
  bpf_map_update_batch: [["i32", "buf", "buf", "buf", "buf"], "i32"],
  // int bpf_map_delete_batch(int fd, const void *keys, __u32 *count, const struct bpf_map_batch_opts *opts)
  bpf_map_delete_batch: [["i32", "buf", "buf", "buf"], "i32"],

  // int bpf_obj_pin(int fd, const char *pathname)
  bpf_obj_pin: [["i32", "buf"], "i32"],
  // int bpf_obj_get(const char *pathname)
  bpf_obj_get: [["buf"], "i32"],
  // int bpf_obj_get_info_by_fd(int bpf_fd, void *info, __u32 *info_len)
  bpf_obj_get_info_by_fd: [["i32", "buf", "buf"], "i32"],
  // int bpf_prog_get_next_id(__u32 start_id, __u32 *next_id)
  bpf_prog_get_next_id: [["u32", "buf"], "i32"],
  // int bpf_prog_get_fd_by_id(__u32 id)
  bpf_prog_get_fd_by_id: [["u32"], "i32"],
  // int bpf_prog_query(int target_fd, enum bpf_attach_type type, __u32 query_flags,
  //                    __u32 *attach_flags, __u32 *prog_ids, __u32 *prog_cnt)
  bpf_prog_query: [["i32", "u32", "u32", "buf", "buf", "buf"], "i32"],
  // int bpf_map_get_fd_by_id(__u32 id)
  bpf_map_get_fd_by_id: [["u32"], "i32"],
  // int bpf_link_get_next_id(__u32 start_id, __u32 *next_id)
  bpf_link_get_next_id: [["u32", "buf"], "i32"],
  // int bpf_link_get_fd_by_id(__u32 id)
  bpf_link_get_fd_by_id: [["u32"], "i32"],

  // int bpf_link_create(int prog_fd, int target_fd, enum bpf_attach_type attach_type,
  //                     const struct bpf_link_create_opts *opts)
  bpf_link_create: [["i32", "i32", "u32", "buf"], "i32"],
  // int bpf_link_update(int link_fd, int new_prog_fd, const struct bpf_link_update_opts *opts)
  bpf_link_update: [["i32", "i32", "buf"], "i32"],
  // int bpf_link_detach(int link_fd)
  bpf_link_detach: [["i32"], "i32"],
  // int bpf_raw_tracepoint_open(const char *name, int prog_fd)
  bpf_raw_tracepoint_open: [["buf", "i32"], "i32"],
  // int bpf_xdp_query(int ifindex, int flags, struct bpf_xdp_query_opts *opts)
  bpf_xdp_query: [["i32", "i32", "buf"], "i32"],

  // int bpf_tc_hook_create(struct bpf_tc_hook *hook)
  bpf_tc_hook_create: [["buf"], "i32"],
  // int bpf_tc_hook_destroy(struct bpf_tc_hook *hook)
  bpf_tc_hook_destroy: [["buf"], "i32"],
  // int bpf_tc_attach(const struct bpf_tc_hook *hook, struct bpf_tc_opts *opts)
  bpf_tc_attach: [["buf", "buf"], "i32"],
  // int bpf_tc_detach(const struct bpf_tc_hook *hook, const struct bpf_tc_opts *opts)
  bpf_tc_detach: [["buf", "buf"], "i32"],
  // int bpf_tc_query(const struct bpf_tc_hook *hook, struct bpf_tc_opts *opts)
  bpf_tc_query: [["buf", "buf"], "i32"],

  // int bpf_prog_test_run_opts(int prog_fd, struct bpf_test_run_opts *opts)
  bpf_prog_test_run_opts: [["i32", "buf"], "i32"],
} as const;

export type LibbpfCalls = NativeCalls<typeof libbpfSymbols>;
