#!/bin/sh
# Whether the programs of examples/ train as their twins in PyTorch do: the loss of each of ten steps
# in f64 from equal weights, data and random numbers agrees to 1e-9 of itself. And whether each has at
# most 120 lines, and at most 2.5 times those of its twin.
# usage: test_twins.sh FOLDER_OF_PROGRAMS
# tests/reference/twins/make.py wrote what is read here.
set -u

programs=$1
root=$(dirname "$0")/../..
files=$root/tests/reference/files
failures=0

# agree EXPECTED GOT: as many numbers, and the same ones.
agree() {
    awk -v expected="$1" '
        { if ((getline want <expected) <= 0) { print "more than are expected"; exit bad = 1 }
          gap = $1 - want; gap = gap < 0 ? -gap : gap; size = want < 0 ? -want : want
          if ($1 !~ /^-?[0-9.]+(e[-+][0-9]+)?$/ || !(gap <= 1e-9 * size)) {
              print "step " NR ": " $1 ", expected " want; bad = 1 } }
        END { if (!bad && (getline want <expected) > 0) { print "fewer than are expected"; bad = 1 }
              exit bad || NR == 0 }' "$2"
}

# short LINES LINES_OF_TWIN
short() { [ "$1" -le 120 ] && [ $(($1 * 2)) -le $(($2 * 5)) ]; }

got=$(mktemp) || exit 1
trap 'rm -f "$got"' EXIT
trap 'exit 1' INT TERM
for expected in "$files"/twin_*.txt; do
    name=${expected##*/twin_}
    name=${name%.txt}
    if "$programs/$name" --steps 10 --twin "${expected%.txt}.safetensors" >"$got" &&
        agree "$expected" "$got"; then
        echo "ok   $name"
    else
        echo "FAIL $name"
        failures=$((failures + 1))
    fi
    lines=$(wc -l <"$root/examples/$name.c")
    twins=$(wc -l <"$root/tests/reference/twins/$name.py")
    if short "$lines" "$twins"; then
        echo "ok   $name: $lines lines, its twin $twins"
    else
        echo "FAIL $name: $lines lines, its twin $twins"
        failures=$((failures + 1))
    fi
done

# The comparison sees what is wrong.
for wrong in "1\n2" "1\n2.00000001\n3" "1\n2\n3\n4" "1\nnan\n3"; do
    printf '1\n2\n3\n' >"$got.expected"
    printf '%b\n' "$wrong" >"$got"
    if agree "$got.expected" "$got" >/dev/null; then
        echo "FAIL $wrong agrees with 1 2 3"
        failures=$((failures + 1))
    fi
done
rm -f "$got.expected"
for wrong in "121 100" "101 40"; do
    # shellcheck disable=SC2086 # two numbers
    if short $wrong; then
        echo "FAIL $wrong lines are few"
        failures=$((failures + 1))
    fi
done
[ "$failures" -eq 0 ]
