#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command where it meets neither this host nor another test run: in a mount namespace with an empty bpf
# file system, /run/ttgate, /run/netns and /etc/ttgate, and in a network namespace with nothing but loopback.
# All of it goes away with the last process inside. Needs root. The command learns of it by TTGATE_APART=yes.
#   apart.sh COMMAND [ARGUMENT...]
set -euo pipefail
if [[ ${TTGATE_APART-} != entering ]]; then
	TTGATE_APART=entering exec unshare --mount --net --propagation private -- "$0" "$@"
fi

bpffs=/sys/fs/bpf

# Lets a directory be made under $1 without making it on the host. The host's bpffs is covered meanwhile: a
# place that is always there.
cover() {
	mount -t tmpfs tmpfs "$bpffs"
	mkdir "$bpffs/upper" "$bpffs/work"
	mount -t overlay overlay -o "lowerdir=$1,upperdir=$bpffs/upper,workdir=$bpffs/work" "$1"
	umount --lazy "$bpffs"
}

for directory in /run/ttgate /run/netns /etc/ttgate; do
	if [[ ! -d $directory ]]; then
		cover "${directory%/*}"
		mkdir "$directory"
	fi
	mount -t tmpfs -o mode=755 tmpfs "$directory"
done
# Not over the host's: a test that takes its own off would have the host's before it.
while mountpoint -q "$bpffs"; do umount --lazy "$bpffs"; done
# The mode that systemd gives it, whatever it has on this host.
mount -t bpf -o mode=700 bpf "$bpffs"
ip link set lo up

TTGATE_APART=yes exec "$@"
