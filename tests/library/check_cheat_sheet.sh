#!/bin/sh
# Whether docs/cheat-sheet.md has what the public headers of BUILD declare, every function of them:
#
#     check_cheat_sheet.sh BUILD        compares
#     check_cheat_sheet.sh BUILD -w     writes it
set -u
[ $# -ge 1 ] || { echo "usage: check_cheat_sheet.sh BUILD [-w]" >&2; exit 2; }
root=$(cd "$(dirname "$0")/../.." && pwd)
made=$(mktemp) || exit 1
trap 'rm -f "$made"' EXIT
cd "$1/include/cotan" || exit 1
# shellcheck disable=SC2046 # a list
awk -f "$root/docs/cheat_sheet.awk" $(find . -name '*.h' ! -name cotan.h | sed 's|^\./||' | sort) \
    >"$made" || exit 1
if [ "${2:-}" = -w ]; then cp "$made" "$root/docs/cheat-sheet.md"; fi

# The awk program might not see a declaration: the names are looked for without it.
status=0
for name in $(find . -name '*.h' -exec cat {} + | grep -oE '^[a-z][a-z0-9_ *]*\bct_[a-z0-9_]+\(' |
    grep -vE '^(static|typedef)' | grep -oE 'ct_[a-z0-9_]+\($' | sort -u); do
    grep -qF "$name" "$root/docs/cheat-sheet.md" || { echo "not there: $name)"; status=1; }
done
diff -u "$root/docs/cheat-sheet.md" "$made" || {
    echo "docs/cheat-sheet.md is not what the headers say: tests/library/check_cheat_sheet.sh BUILD -w"
    status=1
}
exit $status
