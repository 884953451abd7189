#!/bin/sh
# Ranks over MPI: they print what they print over sockets, no fault leaves a process, and programs
# find the library when it is installed.
#
#     test_mpi.sh MPIEXEC BUILD
#
# MPIEXEC is that of the MPI, Open MPI or MPICH, which BUILD was configured with. Exit status 0 when
# all holds.
set -u

if [ $# -ne 2 ]; then
    echo "usage: test_mpi.sh MPIEXEC BUILD" >&2
    exit 2
fi
build=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
failures=0

# shellcheck source=tests/mpi/launch.sh
. "$here/launch.sh"
launch_with "$1" "$build"

# check WHAT COMMAND...: the command must succeed.
check() {
    what=$1
    shift
    if "$@" >"$work/log" 2>&1; then echo "ok   $what"; else
        echo "FAIL $what"
        sed 's/^/     | /' "$work/log"
        failures=$((failures + 1))
    fi
}

# Each rank prints what one process without MPI does.
same_as_one() { # P SCENARIO ARGUMENT
    "$build/tests/rank" "$2" "$3" 0 -1 >"$work/one" && ranks "$@" || return 1
    for _ in $(seq "$1"); do cat "$work/one"; done | sort >"$work/all"
    sort "$work/out" | diff - "$work/all"
}
lines() { # COUNT PATTERN
    [ "$(grep -c "$2" "$work/out")" -eq "$1" ] || { cat "$work/out" && return 1; }
}

for p in 1 2 3 4 8; do
    check "$p ranks: sums of 8 grains have the bits of one rank" same_as_one $p sums 8
done
for p in 1 2 3 4; do
    check "$p ranks: the study's network has the bits of one rank" same_as_one $p trains 1
done
check "4 ranks: a sum of a megabyte" same_as_one 4 large_sum 300007

# fault P SCENARIO COUNT PATTERN...: rank 1 is at fault; so many lines of each pattern.
fault() {
    p=$1
    ranks "$p" "$2" 1 || return 1
    shift 2
    while [ $# -gt 0 ]; do
        lines "$1" "$2" || return 1
        shift 2
    done
}
for p in 2 3 4; do
    check "$p ranks: one built another graph" fault $p different $((4 * p)) CT_ERR_STATE
    check "$p ranks: one failed" fault $p failed $((p - 1)) 'rank 1 failed with CT_ERR_DIVERGED'
    check "$p ranks: one is out of memory" fault $p memory $p CT_OK
    check "$p ranks: one leaves" fault $p leaves $((p - 1)) 'CT_ERR_STATE ct_group: rank 1 has left'
    check "$p ranks: one leaves at once" fault $p leaves_at_once $((p - 1)) \
        'CT_ERR_STATE .* rank 1 has left'
    check "$p ranks: one joins without memory" fault $p joins_without_memory \
        $((p - 1)) 'CT_ERR_MEMORY: ct_group_mpi: another rank is out of memory'
    check "$p ranks: bytes of rank 0" fault $p broadcast $p 'text of 296 bytes'
done

# The launcher ends all, or survivors end by themselves; nobody is left.
no_rank_left() { # SCENARIO
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        pgrep -f "^$rank $1" >/dev/null || return 0
        sleep 1
    done
    pgrep -a -f "^$rank $1"
    return 1
}
ends_all() {
    ranks 4 vanishes 1
    [ $? -ne 0 ] && grep -q "signal 9" "$work/err" && no_rank_left vanishes
}
survivors_tell() {
    usual=$options options="$options --enable-recovery"
    ranks 4 vanishes 1
    options=$usual
    lines 3 'CT_ERR_IO ct_group: rank' && lines 3 'was lost before' && no_rank_left vanishes
}
# Whoever gives up first ends, and the launcher then ends all, also the one that is stopped.
stopped() {
    ranks 4 stopped 17
    status=$?
    [ $status -gt 0 ] && [ $status -lt 124 ] || return 1
    grep -q '^CT_ERR_IO ct_group: rank' "$work/out" && no_rank_left stopped
}
check "4 ranks: one is killed, and mpirun ends all" ends_all
check "4 ranks: one is stopped, and mpirun ends all" stopped
[ ! "$open_mpi" ] || check "4 ranks: one is killed, and the others tell" survivors_tell

# After that the last checkpoint goes on, on other numbers of ranks, as 4 would have.
goes_on() {
    COTAN_CHECKPOINT=$work/checkpoint
    export COTAN_CHECKPOINT
    ranks 4 trains 0 && slots=$(sed -n 's/.*\(slots [0-9a-f]*\).*/\1/p' "$work/out" | sort -u)
    rm -f "$COTAN_CHECKPOINT"
    ranks 4 is_killed 1 && return 1
    for p in 1 2 3; do
        ranks $p resumes 0 && lines $p "2 steps more, $slots\$" || return 1
    done
}
check "4 ranks: one is killed, mpirun ends all, and 1 to 3 go on" goes_on

# A program of another MPI, or none: each process would be the only one.
alone() { # VARIABLE
    env OMPI_COMM_WORLD_SIZE= PMI_SIZE= SLURM_NTASKS= "$1=2" "$rank" sums 8 >"$work/out" 2>&1
    grep -q "ct_group_mpi: $1 is 2, and MPI sees 1" "$work/out" || { cat "$work/out" && return 1; }
}
for variable in PMI_SIZE OMPI_COMM_WORLD_SIZE SLURM_NTASKS; do
    check "a launcher that promises more ranks than MPI sees, by $variable" alone $variable
done
check "a program that nobody launched is one rank" "$rank" sums 8

# --- The examples ---------------------------------------------------------------------------------

scaling() { rank=$build/examples/ranks && ranks 2 --scaling && lines 1 'measured on 2 ranks' &&
    lines 3 '^   4096 ' && lines 0 nan; }
scaling_alone() { "$build/examples/ranks" --scaling >"$work/out" 2>&1
    lines 1 'ranks: --scaling needs 2, 4, 8 .. ranks, there are 1'; }
check "ranks --scaling: a table" scaling
check "ranks --scaling, alone: an error" scaling_alone

# The study: rank 0 writes what one process writes, and all end when it cannot, or is told to.
rank=$build/examples/bn_study_on_ranks
studies() { # P FOLDER ARGUMENT...
    p=$1 folder=$work/$2
    shift 2
    ranks "$p" --activation relu --lr 0.01 --out "$folder" "$@"
}
same_study() {
    for p in 1 2 3; do
        studies $p study$p --steps 4 --quiet && lines 5 '^  [BT].*: ' || return 1
    done
    cmp "$work/study1/history.csv" "$work/study2/history.csv" &&
        cmp "$work/study1/history.csv" "$work/study3/history.csv"
}
no_folder() {
    : >"$work/file"
    studies 2 file --steps 4
    status=$?
    cat "$work/err"
    [ $status -ne 0 ] && lines 0 Verdicts && grep -q "file': Not a directory" "$work/err" &&
        grep -q 'rank 0 failed with CT_ERR_IO' "$work/err"
}
# A signal to one rank alone: all break off, and what was measured is written. (SIGINT is ignored by
# what a shell starts in the background.)
interrupted() {
    studies 2 broken --epochs 100 &
    until cat "$work/ranks"/* 2>/dev/null | grep -q 'ms/step'; do
        kill -0 $! 2>/dev/null || return 1
        sleep 0.2
    done
    kill -TERM "$(pgrep -f "^$rank .*$work/broken" | tail -n 1)"
    wait $!
    [ $? -ne 0 ] && lines 5 '^  [BT].*: ' && lines 1 '^Interrupted before the end' &&
        grep -q 'Interrupted before the end' "$work/broken/report.html"
}
check "the study on 1, 2 and 3 ranks: one history" same_study
check "the study on 2 ranks: no folder" no_folder
check "the study on 2 ranks: a signal to one" interrupted
rank=$build/tests/rank_mpi

# --- Installed ------------------------------------------------------------------------------------

check "installs" cmake --install "$build" --prefix "$work/cotan"
PKG_CONFIG_PATH=$(dirname "$(find "$work/cotan" -name cotan-mpi.pc)")
LD_LIBRARY_PATH=$(dirname "$(find "$work/cotan" -name libcotan.so)")
export PKG_CONFIG_PATH LD_LIBRARY_PATH
starts() { rank=$1 && ranks 2 && lines 1 'rank 0 of 2' && lines 1 'rank 1 of 2'; }
pkg_config() {
    # shellcheck disable=SC2046 # a list
    gcc -std=c17 -Wall -Wextra -Werror "$here/hello.c" -o "$work/hello" \
        $(pkg-config --cflags cotan-mpi) $(pkg-config --libs cotan-mpi) && starts "$work/hello"
}
package() {
    cmake -G Ninja -S "$here" -B "$work/project" -Dcotan_ROOT="$work/cotan" \
        -DMPI_C_COMPILER="$(sed -n 's/^MPI_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")" &&
        cmake --build "$work/project" && starts "$work/project/with_shared" &&
        starts "$work/project/with_static"
}
check "pkg-config" pkg_config
check "find_package(cotan COMPONENTS mpi)" package

[ "$failures" -eq 0 ]
