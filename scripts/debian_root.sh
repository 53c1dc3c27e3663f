#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the root directory of a fresh, minimal Debian with systemd, for tests that boot it.
#   debian_root.sh RELEASE DIRECTORY      RELEASE by its name: bookworm, trixie
set -euo pipefail
release="$1" directory="$2" log="$2.log"
rm -rf "$directory.new"
mmdebstrap --variant=minbase --include=systemd-sysv,dbus,iproute2,procps,nftables "$release" "$directory.new" \
	http://deb.debian.org/debian >"$log" 2>&1 || {
	cat "$log" >&2
	exit 1
}
rm "$log"
mv "$directory.new" "$directory"
