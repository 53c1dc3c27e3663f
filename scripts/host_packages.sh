#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the GROUPs of host_packages.txt list and this host does not have. Only root on Debian or
# Ubuntu gets something installed; everybody else is told what is missing, and the build stops.
#   host_packages.sh GROUP...
set -euo pipefail
table="$(dirname "$0")/host_packages.txt"
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

present() {
	case "$1" in
	command) command -v "$2" >/dev/null ;;
	header) printf '#include <%s>\n' "$2" | gcc -E -x c - >/dev/null 2>&1 ;;
	file) [[ -e $2 ]] ;;
	python) /usr/bin/python3 -c "import $2" 2>/dev/null ;;
	library) [[ "$(gcc -print-file-name="$2")" == /* ]] ;;
	*) echo "$table: \"$1\": not a way to look, use command, file, header, library or python" >&2 && exit 1 ;;
	esac
}

# Sets wanted (packages) and absent (what was looked for).
look() {
	local group choice kind name
	wanted=() absent=()
	while read -r group choice kind name; do
		[[ " $* " == *" $group "* ]] || continue
		present "$kind" "$name" && continue
		absent+=("$name")
		[[ " ${wanted[*]-} " == *" $choice "* ]] || wanted+=("$choice")
	done < <(grep -v '^#' "$table" | grep .)
}

# Of a|b the first one that this release of the distribution has.
available() {
	local package
	for package in ${1//|/ }; do
		if apt-cache policy "$package" 2>/dev/null | grep -q 'Candidate: [^(]'; then
			echo "$package"
			return
		fi
	done
	echo "${1%%|*}"
}

look "$@"
((${#absent[@]} == 0)) && exit 0
if ! command -v apt-get >/dev/null; then
	echo "Missing on this host: ${absent[*]} (Debian calls the packages ${wanted[*]}): install them and run make again" >&2
	exit 1
fi
if ((EUID != 0)); then
	echo "Missing on this host: ${absent[*]}: run as root: apt-get install ${wanted[*]%%|*}" >&2
	exit 1
fi

log="$(mktemp)"
policy=/usr/sbin/policy-rc.d
own_policy=no
trap 'rm -f "$log"; [[ $own_policy == no ]] || rm -f "$policy"' EXIT
quietly() {
	"$@" >"$log" 2>&1 </dev/null || {
		cat "$log" >&2
		echo "Running \"$*\": failed, see above" >&2
		exit 1
	}
}
export DEBIAN_FRONTEND=noninteractive
# A server is installed to be tried, not to be started on this host.
if [[ ! -e $policy ]]; then
	own_policy=yes
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
# Its package would register this host with the makers' servers, unless there is such a file already.
central=/etc/crowdsec/online_api_credentials.yaml
if [[ " ${wanted[*]} " == *" crowdsec "* && ! -e $central ]]; then
	mkdir -p "${central%/*}"
	echo "# Not registered." >"$central"
fi
quietly apt-get -q update
packages=()
for choice in "${wanted[@]}"; do packages+=("$(available "$choice")"); done
echo "Installing with apt-get: ${packages[*]}"
quietly apt-get -q -y --no-install-recommends install "${packages[@]}"

look "$@"
if ((${#absent[@]} > 0)); then
	echo "Still missing after installing ${packages[*]}: ${absent[*]}: this release is too old (libbpf 1.0 is in Debian 12 and Ubuntu 24.04)" >&2
	exit 1
fi
