#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Puts the Bun of package-lock.json for an architecture into a file. Left alone, bun build would fetch one for a foreign
# architecture, and look at no hash.
#   runtime_of.sh ARCHITECTURE FILE      ARCHITECTURE as node calls it: x64, arm64
set -euo pipefail
architecture="$1" file="$2"
declare -A names=([x64]=bun-linux-x64 [arm64]=bun-linux-aarch64)
package="@oven/${names[$architecture]}"

if [[ $architecture == "$(node -p process.arch)" ]]; then
	cp node_modules/bun/bin/bun.exe "$file"
	exit
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
locked() {
	node -p 'require("./package-lock.json").packages["node_modules/" + process.argv[1]][process.argv[2]]' "$package" "$1"
}
npm pack --silent --pack-destination "$work" "$package@$(locked version)" >/dev/null
sha512='require("crypto").createHash("sha512").update(require("fs").readFileSync(process.argv[1])).digest("base64")'
hash="sha512-$(node -p "$sha512" "$work"/*.tgz)"
[[ $hash == "$(locked integrity)" ]] || {
	echo "Fetching \"$package\": it has $hash, and not the hash in package-lock.json" >&2
	exit 1
}
tar -xzOf "$work"/*.tgz package/bin/bun >"$file"
chmod 755 "$file"
