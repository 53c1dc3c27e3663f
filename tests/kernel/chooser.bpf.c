// SPDX-License-Identifier: GPL-2.0
/* Stands for somebody else's program that chooses sockets: leaves every connection where it
 * belongs. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("sk_lookup")
int chooser(struct bpf_sk_lookup *ctx)
{
	return SK_PASS;
}

char _license[] SEC("license") = "GPL";
