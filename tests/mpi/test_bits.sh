#!/bin/sh
# One SHA-256 of all slots, those of the optimizer too, after STEPS steps of the study's network: for
# 1, 2, 3, 4 and 8 ranks of 1 and 2 threads, over sockets and over each MPI.
#
#     test_bits.sh STEPS MPIEXEC BUILD [MPIEXEC BUILD]...
#
# BUILD was configured with the MPI of MPIEXEC; sockets are those of the first. Each line has the sum
# that all ranks came to, and the seconds it took. Exit status 0 when there is one.
set -u

if [ $# -lt 3 ]; then
    echo "usage: test_bits.sh STEPS MPIEXEC BUILD [MPIEXEC BUILD]..." >&2
    exit 2
fi
steps=$1
shift
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
# shellcheck source=tests/mpi/launch.sh
. "$(dirname "$(realpath "$0")")/launch.sh"
failures=0

# line P THREADS: the sum of all ranks, as often as there are ranks.
line() {
    CT_NUM_THREADS=$2
    export CT_NUM_THREADS
    began=$(date +%s.%N)
    ranks "$1" digest "$steps" || return 1
    ended=$(date +%s.%N)
    sums=$(sort "$work/out" | uniq -c | sed -n 's/^ *\([0-9]* [0-9a-f]\{64\}\) .*/\1/p')
    printf '%-15s %2d %8d  %s %8.1f\n' "$name" "$1" "$2" "${sums#* }" \
        "$(awk "BEGIN { print $ended - $began }")"
    [ "${sums% *}" = "$1" ] || { echo "ranks differ: $sums" && return 1; }
    echo "${sums#* }" >>"$work/sums"
}

all_lines() {
    name=$(basename "$1")
    launch_with "$1" "$(realpath "$2")"
    for p in 1 2 3 4 8; do
        for threads in 1 2; do line "$p" "$threads" || failures=$((failures + 1)); done
    done
}

printf '%-15s %2s %8s  %-64s %8s\n' over P threads "SHA-256 after $steps steps" seconds
all_lines sockets "$2"
while [ $# -ge 2 ]; do
    all_lines "$1" "$2"
    shift 2
done
[ "$failures" -eq 0 ] && [ "$(sort -u "$work/sums" | wc -l)" -eq 1 ]
