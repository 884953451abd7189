#!/bin/sh
# Runs a Criterion suite; once more when its runner has locked itself up, which happens rarely:
# the runner waits for a child to be gone, and the child's end waits for the runner to answer.
# That is seen from what such a runner is, not from how long it takes: all of its threads sleep, no
# child of it lives, and its processor time stands still, at every one of several looks.
# usage: suite.sh PROGRAM ARGUMENTS...; SUITE_PAUSE: seconds between looks
set -u

folder=$(mktemp -d) || exit 1
watcher=
trap 'rm -rf "$folder"; [ -z "$watcher" ] || kill "$watcher" 2>/dev/null' EXIT
trap 'exit 1' HUP INT TERM

# fields FILE: state, parent and processor time of a process or thread, from its `stat` in /proc.
fields() {
    { read -r line <"$1"; } 2>/dev/null || return 1
    # After the name, which may hold anything.
    set -- ${line##*) }
    state=$1 parent=$2 ticks=$((${12} + ${13}))
}

# asleep PROCESS: all of its threads sleep, and no child of it lives.
asleep() {
    for file in /proc/"$1"/task/*/stat; do fields "$file" && [ "$state" = S ] || return 1; done
    for file in /proc/[0-9]*/stat; do
        fields "$file" && [ "$parent" = "$1" ] && [ "$state" != Z ] && return 1
    done
    fields "/proc/$1/stat"
}

watch() {
    until [ -s "$folder/pid" ]; do sleep 0.1; done
    read -r runner <"$folder/pid"
    looks=0 before=
    while [ -d "/proc/$runner" ]; do
        if asleep "$runner" && [ "$ticks" = "$before" ]; then looks=$((looks + 1)); else looks=0; fi
        before=${ticks:-}
        [ "$looks" -lt 6 ] || { : >"$folder/stalled" && kill -s KILL "$runner"; }
        sleep "${SUITE_PAUSE:-10}"
    done
}

for attempt in 1 2 3; do
    rm -f "$folder"/*
    watch >/dev/null 2>&1 &
    watcher=$!
    # Not in the background, where interrupts would be ignored.
    sh -c 'echo $$ >"$0"; exec "$@"' "$folder/pid" "$@"
    status=$?
    kill "$watcher" 2>/dev/null
    [ -e "$folder/stalled" ] || exit "$status"
    echo "suite.sh: attempt $attempt: the runner slept without a child; once more" >&2
done
exit 1
