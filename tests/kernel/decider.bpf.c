// SPDX-License-Identifier: GPL-2.0
/* Stands for somebody else's tc program: lets everything pass, and no program behind it has a say.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int decider(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
