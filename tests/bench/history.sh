#!/bin/sh
# What the benchmarks measured, commit by commit: tests/bench/history.csv.
#
#     history.sh record RESULTS.json    a line for each figure: date, commit, processor, name, value
#     history.sh show [WORD]            figures whose names hold WORD, by processor, oldest first
#
# RESULTS.json is what `bench --json` writes. A commit with "+" had changes that were not committed.
# Values of different runs compare only as far as machines are as quiet: see README.md.
set -eu
folder=$(dirname "$(readlink -f -- "$0")")
history=$folder/history.csv

record() {
    commit=$(git -C "$folder" rev-parse --short=7 HEAD)
    git -C "$folder" diff --quiet HEAD -- :/ ':!history.csv' || commit=$commit+
    processor=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)
    [ -e "$history" ] || echo 'date,commit,processor,figure,value' >"$history"
    # "info": "cotan 0.1.0, BLIS 0.9.0 (zen3 kernels), 2 threads" says what else it hangs on.
    awk -v date="$(date -u +%Y-%m-%d)" -v commit="$commit" -v processor="$processor" '
        BEGIN { FS = "^ *\"|\": *" }
        $2 == "info" {
            kernels = $3
            gsub(/^"cotan [^,]*, |",?$/, "", kernels)
            gsub(/,/, ";", kernels)
            gsub(/,/, ";", processor)
            sub(/^/, processor "; ", kernels)
        }
        $3 ~ /^-?[0-9]/ {
            sub(/,$/, "", $3)
            figures[++n] = $2 "," $3
        }
        END {
            for (k = 1; k <= n; k++) print date "," commit "," kernels "," figures[k]
            exit n == 0
        }' "$1" >>"$history"
    echo "bench: recorded in $history"
}

show() {
    [ -e "$history" ] || { echo "bench: nothing is recorded in $history" >&2 && exit 1; }
    awk -F, -v word="${1:-}" '
        NR > 1 && index($4, word) {
            of = $3 "\n" $4
            if (!(of in lines)) order[++n] = of
            lines[of] = lines[of] sprintf("    %s  %-9s %12.6g", $1, $2, $5)
            lines[of] = lines[of] (last[of] ? sprintf("  x %.3f\n", $5 / last[of]) : "\n")
            last[of] = $5
        }
        END {
            for (k = 1; k <= n; k++) {
                split(order[k], part, "\n")
                if (part[1] != processor) print part[1]
                processor = part[1]
                print "  " part[2] "\n" lines[order[k]]
            }
            exit n == 0
        }' "$history" || { echo "bench: no figure with '${1:-}' in $history" >&2 && exit 1; }
}

case ${1:-} in
record) record "$2" ;;
show) show "${2:-}" ;;
*)
    echo "usage: history.sh record RESULTS.json | show [WORD]" >&2
    exit 2
    ;;
esac
