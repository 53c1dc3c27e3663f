#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes build/systemd-root, a small Debian that boots by systemd-nspawn, for tests/systems/service.test.ts. Kept: it
# takes minutes, and no test changes it. Needs root.
set -euo pipefail
root=build/systemd-root
[[ -e $root/usr/lib/systemd/systemd ]] && exit 0
rm -rf "$root.new"
trap 'rm -rf "$root.new"' EXIT
mmdebstrap --quiet --variant=minbase --include=systemd-sysv,dbus,iproute2,procps,curl \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
	"${SYSTEMD_ROOT_SUITE:-bookworm}" "$root.new"
mv "$root.new" "$root"
