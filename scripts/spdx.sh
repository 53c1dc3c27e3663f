#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fails when a source file does not name its licence in the first two lines, or names another one than
# its folder has: GPL-2.0 for BPF programs and what is compiled into them, Apache-2.0 for the rest.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

status=0
while IFS= read -r file; do
	case "$file" in
	bpf/* | *.bpf.c) licence=GPL-2.0 ;;
	*) licence=Apache-2.0 ;;
	esac
	if ! head -n 2 "$file" | grep -Eq "SPDX-License-Identifier: $licence( \*/)?\$"; then
		echo "Checking the licence of \"$file\": no line \"SPDX-License-Identifier: $licence\" at its head, add it" >&2
		status=1
	fi
done < <(git ls-files --cached --others --exclude-standard |
	grep -E '\.(ts|sh|c|h|service|1|8|grit)$|(^|/)Makefile$|^\.ci/run$' | while IFS= read -r file; do
	if [[ -e "$file" ]]; then echo "$file"; fi
done)
exit "$status"
