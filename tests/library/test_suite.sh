#!/bin/sh
# suite.sh: a runner that sleeps for ever is started again, and nothing else is.
set -u
suite=$(cd "$(dirname "$0")/../support" && pwd)/suite.sh
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export SUITE_PAUSE=0.05
failures=0

# check WHAT STATUS RUNS SCRIPT: what `suite.sh` makes of a script as suite.
check() {
    : >runs
    "$suite" sh -c "echo >>runs; $4" >log 2>&1
    status=$?
    if [ "$status" -eq "$2" ] && [ "$(wc -l <runs)" -eq "$3" ]; then echo "ok   $1"; else
        echo "FAIL $1: status $status, $(wc -l <runs) runs"
        failures=$((failures + 1))
    fi
}
check 'one that passes' 0 1 'exit 0'
check 'one that fails' 3 1 'exit 3'
check 'one that crashes' 139 1 'kill -s SEGV $$'
check 'asleep at first' 0 2 '[ $(wc -l <runs) -gt 1 ] || exec sleep 1000'
check 'asleep for ever' 1 3 'exec sleep 1000'
check 'with a child that lives' 0 1 'sleep 2; exit 0'

[ "$failures" -eq 0 ] || { echo "$failures failed"; exit 1; }
echo 'all passed'
