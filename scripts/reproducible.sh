#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds executables and package again and compares them with those of this tree: elsewhere, as another user, with
# another umask, locale, time zone, home and host name, from files of another age. What came from the network
# (node_modules, the libraries in build/ARCHITECTURE) is the same for both.
#   reproducible.sh ARCHITECTURE
set -euo pipefail
cd "$(dirname "$0")/.."
architecture="$1"
: "${SOURCE_DATE_EPOCH:?}"
export SOURCE_DATE_EPOCH DEB_COMPRESSION=-Znone

place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
here="$PWD" there="$place/somewhere/else"
mkdir -p "$there/build/$architecture" "$place/tmp"
chmod 1777 "$place/tmp"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -rt "$there" .git
cp -r "build/$architecture/libraries" "$there/build/$architecture"
find "$there" -exec touch -hcd 2020-02-29 {} +
cp -al node_modules "$there" 2>/dev/null || cp -r node_modules "$there"

package() {
	scripts/deb.sh "$architecture" "build/$architecture/ttgate" "$(<"build/$architecture/glibc")" 1 "$1"
}
build() {
	cd "$there"
	make bpf "build/$architecture/ttgate" documents
	package "$there"
}
export -f package build
export architecture there
as_another=()
if ((EUID == 0)); then
	find "$there" -path "$there/node_modules" -prune -o -exec chown -h 65534:65534 {} +
	as_another=(unshare --uts bash -c 'hostname elsewhere && exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"' -)
fi
umask="$(umask)"
umask 077
HOME="$place" TMPDIR="$place/tmp" LC_ALL=C.UTF-8 TZ=Pacific/Kiritimati "${as_another[@]}" bash -euo pipefail -c build >"$place/log" 2>&1 || {
	cat "$place/log" >&2
	exit 1
}
umask "$umask"
package "$place"

status=0
compare() {
	local first second
	read -r first _ < <(sha256sum "$1")
	read -r second _ < <(sha256sum "$2")
	if [[ $first == "$second" ]]; then
		echo "  SAME     ${1##*/} $first"
	else
		echo "Building \"${1##*/}\" again: $second, and not $first: diffoscope says what differs" >&2
		status=1
	fi
}
compare "$here/ttgate" "$there/ttgate"
compare "$here/build/$architecture/ttgate" "$there/build/$architecture/ttgate"
compare "$place/ttgate_1_$architecture.deb" "$there/ttgate_1_$architecture.deb"
exit "$status"
