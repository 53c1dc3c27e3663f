#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fetches libbpf, libelf and zlib for an architecture from Debian's archives, by an apt that is set up for that
# alone: the host's packages and lists stay as they are. libelf and zlib are those of Debian 11 where they can still
# be had: they need glibc 2.17, Debian 12's libelf needs 2.33. What needs most then is libbpf: 2.28.
#   libraries_of.sh ARCHITECTURE DIRECTORY [PACKAGE...]      ARCHITECTURE as Debian calls it: amd64, arm64; other
#                                                            packages of Debian 12 in the place of these three
set -euo pipefail
architecture="$1" directory="$2"
shift 2
archive=http://deb.debian.org/debian
keys=/usr/share/keyrings/debian-archive-keyring.gpg

command -v apt-get >/dev/null && [[ -e $keys ]] || {
	echo "Fetching libraries for \"$architecture\": needs apt-get and $keys: build on Debian, or install apt and debian-archive-keyring" >&2
	exit 1
}
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists,cache/archives}/partial
printf "deb [signed-by=$keys] $archive %s main\n" bookworm bullseye >"$work/sources.list"

apt() {
	apt-get -q -o APT::Sandbox::User=root -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture" \
		-o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Acquire::Languages=none \
		-o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o Dir::State::Status=/dev/null "$@"
}

# PACKAGE SUITE...: from the first suite that has it.
fetch() {
	local package="$1" suite
	shift
	for suite in "$@"; do
		if (cd "$work" && apt download "$package/$suite") >"$work/log" 2>&1; then
			dpkg-deb -x "$work/$package"_*.deb "$directory.new"
			return
		fi
	done
	cat "$work/log" >&2
	exit 1
}

apt update >"$work/log" 2>&1 || true # An archive that has gone is no reason to stop: fetch says what is missing.
rm -rf "$directory.new"
mkdir -p "$directory.new"
if (($# > 0)); then
	for package; do fetch "$package" bookworm; done
else
	fetch libbpf1 bookworm
	fetch libelf1 bullseye bookworm
	fetch zlib1g bullseye bookworm
fi
rm -rf "$directory"
mv "$directory.new" "$directory"
