# shellcheck shell=sh
# shellcheck disable=SC2154,SC2034 # $work is given, $open_mpi taken
# How scripts start ranks, over MPI or sockets; $work is a folder of theirs.

# More ranks than processors, and perhaps as root.
OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMP_NUM_THREADS OMP_WAIT_POLICY OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM

# launch_with MPIEXEC BUILD: what starts ranks from now on; MPIEXEC may be `sockets`.
launch_with() {
    mpiexec=$1 options='' open_mpi='' rank=$2/tests/rank_mpi
    if [ "$mpiexec" = sockets ]; then
        mpiexec=$2/tests/rank rank=
    elif "$mpiexec" --version 2>&1 | grep -q -i 'open mpi\|open-mpi\|openrte'; then
        options=--oversubscribe open_mpi=yes
    fi
}

# ranks P SCENARIO [ARGUMENT]: what they print, in any order, goes to "$work/out". Over MPI each
# writes a file of its own, since a launcher may put the end of a line behind another rank's.
ranks() {
    p=$1
    shift
    rm -rf "$work/ranks" && mkdir "$work/ranks"
    if [ "$rank" ]; then
        # shellcheck disable=SC2016 # for the inner shell
        set -- sh -c 'out=$0/$$ && exec "$@" >"$out"' "$work/ranks" "$rank" "$@"
    fi
    # shellcheck disable=SC2086 # a list
    timeout -k 5 300 "$mpiexec" $options -n "$p" "$@" >"$work/err" 2>&1
    status=$?
    [ "$rank" ] || cp "$work/err" "$work/ranks/all"
    cat "$work/ranks"/* >"$work/out"
    [ "$status" -eq 0 ] || { cat "$work/out" "$work/err" && return $status; }
}
