#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The first process of the machine that arm64.sh starts: in each mode a friend is served, a stranger is banned, and
# what it sends next is dropped.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
busybox mkdir -p /proc /sys /dev /run /tmp
busybox mount -t proc none /proc
busybox mount -t sysfs none /sys
busybox mount -t devtmpfs none /dev
busybox mount -t bpf none /sys/fs/bpf
for place in /run /tmp; do busybox mount -t tmpfs none $place; done

# This shell takes its own program of that name for it.
ip() {
	/bin/ip "$@"
}

fail() {
	echo "FAILED: $*"
	cat /tmp/*.log
	end 1
}

end() {
	echo "ended with $1"
	busybox poweroff -f
	while :; do busybox sleep 1; done
}

# SECONDS COMMAND...: until it succeeds.
await() {
	left=$1
	shift
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ $left -gt 0 ] || fail "waited in vain for: $*"
		busybox sleep 1
	done
}

# CLIENT FILE SECONDS: what came back is in /tmp/answer.
visit() {
	ip netns exec "c$1" busybox timeout "$3" busybox nc "10.$1.0.1" 5000 <"$2" >/tmp/answer 2>/tmp/nc.log
}

# MODE SERVER_PORT
guards() {
	busybox nc -ll -p "$2" -e /bin/cat >/tmp/server.log 2>&1 &
	server=$!
	ttgate --mode "$1" -B "map_$1" -l 5000 -i g1 -i g2 --status 127.0.0.1:9500 >"/tmp/$1.log" 2>&1 &
	gate=$!
	await 180 grep -Eq 'Listening on|Judging connections' "/tmp/$1.log"

	visit 1 /tmp/friend 30
	busybox cmp -s /tmp/friend /tmp/answer || fail "$1: the friend was not served: $(busybox wc -c </tmp/answer) bytes came back"
	visit 2 /tmp/stranger 30
	await 30 sh -c 'ttgate bans --json | grep -q "\"protocol\":\"http\""'
	visit 2 /tmp/stranger 5 && fail "$1: the stranger was let in again"
	ttgate status --json >"/tmp/status.log"
	attach=$(sed -n 's/.*"attach":"\([a-z]*\)".*/\1/p' /tmp/status.log)
	dropped=$(sed -n 's/.*"droppedPackets":\([0-9]*\).*/\1/p' /tmp/status.log)
	[ "$dropped" -gt 0 ] || fail "$1: nothing was dropped"
	echo "$1: attached $attach, $dropped packets dropped"
	kill $gate $server
	wait $gate
}


busybox insmod /veth.ko || fail "no veth"
ip link set lo up
for number in 1 2; do
	ip netns add c$number
	ip link add g$number type veth peer name c netns c$number
	ip address add 10.$number.0.1/24 dev g$number
	ip link set g$number up
	ip -n c$number address add 10.$number.0.2/24 dev c
	ip -n c$number link set c up
done
busybox head -c 700 /dev/urandom >/tmp/friend
printf 'GET / HTTP/1.1\r\nHost: example.org\r\n\r\n' >/tmp/stranger

echo "$(ttgate version), glibc $(busybox basename "$(busybox readlink -f /lib/aarch64-linux-gnu/libc.so.6)")"
guards proxy 5001
guards inline 5000
end 0
