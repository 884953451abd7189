#!/bin/sh
# The programs of examples/ and the script `run` as a user meets them: help, signals, a reader that
# goes away, a device without room, other folders.
# usage: test_programs.sh FOLDER_OF_PROGRAMS; COTAN_RUN is another `run` than this repository's.
set -u

programs=$(cd "$1" && pwd)
run=${COTAN_RUN:-$(cd "$(dirname "$0")/../.." && pwd)/run}
work=$(mktemp -d) || exit 1
work=$(cd "$work" && pwd -P)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
unset COTAN_DATA
export XDG_CACHE_HOME="$work/no-cache"
failures=0
cd "$work" || exit 1

# check WHAT COMMAND...: the command must succeed.
check() {
    what=$1
    shift
    if "$@"; then echo "ok   $what"; else
        echo "FAIL $what"
        sed 's/^/     | /' log
        failures=$((failures + 1))
    fi
}
# ends STATUS COMMAND...: what it prints is in `log`.
ends() {
    expected=$1
    shift
    "$@" >log 2>&1
    status=$?
    [ "$status" -eq "$expected" ] || { echo "exit status $status, expected $expected" >>log; false; }
}
said() { grep -qF -- "$1" log; }
whole() { # of the files of a study in folder $1
    tail -c 8 "$1/report.html" | grep -q '</html>' && tail -n 1 "$1/results.json" | grep -q '^}' &&
        [ "$(sed -n 1p "$1/history.csv")" = activation,lr,batch_norm,step,epoch,split,loss,accuracy ]
}

# 64 black images of class 0, twice.
mkdir black
for part in train t10k; do
    { printf '\0\0\010\003\0\0\0\100\0\0\0\034\0\0\0\034'; head -c 50176 /dev/zero; } \
        >black/$part-images-idx3-ubyte
    { printf '\0\0\010\001\0\0\0\100'; head -c 64 /dev/zero; } >black/$part-labels-idx1-ubyte
done
# Without pictures, which take most of the time.
study() {
    PATH=/nonexistent "$programs/bn_study" --data black --epochs 1 --lr 0.01 --activation relu "$@"
}

reference=$(dirname "$0")/../reference/files
case $0 in /*) ;; *) reference=$OLDPWD/$reference ;; esac

# --- Help and wrong arguments

models='gpt lstm pinn resnet tabular vae wgan_gp'
all="bn_study verify custom_model custom_op graph_dump import_pytorch $models"
for name in $all; do
    check "$name --help: status" ends 0 "$programs/$name" --help
    check "$name --help: helps" said "usage: $name"
    check "$name --wrong: status" ends 2 "$programs/$name" --wrong
    check "$name --wrong: says so" said "$name: unknown option '--wrong'"
done

# --- Keras's files, where libhdf5 is

if [ -x "$programs/h5_to_safetensors" ]; then
    h5="$programs/h5_to_safetensors"
    check 'h5_to_safetensors: status' ends 0 "$h5" "$reference/keras.weights.h5" keras.safetensors
    check 'h5_to_safetensors: each number under its path' \
        cmp keras.safetensors "$reference/keras.safetensors"
    check 'h5_to_safetensors, no HDF5 file: status' ends 4 "$h5" "$0" none.safetensors
    check 'h5_to_safetensors, no HDF5 file: says so' said 'is no HDF5 file that can be read'
    check 'h5_to_safetensors, no HDF5 file: writes nothing' test ! -e none.safetensors
    check 'h5_to_safetensors, no place: status' \
        ends 4 "$h5" "$reference/keras.weights.h5" nowhere/keras.safetensors
    check 'h5_to_safetensors, nothing: status' ends 2 "$h5"
fi

# --- Which data

check 'study, quiet, on files: status' ends 0 study --quiet --out files
check 'study, quiet, on files: says so' \
    said "data: the files in 'black': 64 training and 64 test images"
check 'study, quiet, on nothing: status' ends 0 env PATH=/nonexistent "$programs/bn_study" \
    --quiet --epochs 1 --steps 1 --bn on --lr 0.01 --activation relu --out digits
check 'study, quiet, on nothing: says so' \
    said 'data: built-in digits: 60000 training and 10000 test images'
check 'study, on nothing: the results say so' grep -qF '"name": "built-in digits"' \
    digits/results.json
check 'custom_model: status' ends 0 "$programs/custom_model"
check 'custom_model: names the data' said 'data: built-in digits, 6000 training and 1000 test'

# --- Models, for two steps

for name in $models; do check "$name --steps 2: status" ends 0 "$programs/$name" --steps 2; done
check 'tabular: says what came of it' ends 0 sh -c '"$1" --steps 200 | grep "R2 0.[89]"' - \
    "$programs/tabular"
check 'vae --out: status' ends 0 "$programs/vae" --steps 2 --out vae.pgm
check 'vae --out: a picture of 224 x 224' [ "$(wc -c <vae.pgm)" -eq $((224 * 224 + 15)) ]
check 'vae --out, no room: status' ends 1 "$programs/vae" --steps 2 --out /dev/full
check 'vae --out, no room: says so' said 'vae: /dev/full could not be written'
imports() { ends "$1" "$programs/import_pytorch" --steps 2 --weights "$2"; } # STATUS FILE
check 'import_pytorch: status' imports 0 "$reference/import_pytorch.safetensors"
check 'import_pytorch: predicts' said 'as it came from PyTorch: 0.'
check 'import_pytorch, another net: status' imports 1 "$reference/pytorch.safetensors"
check 'import_pytorch, another net: says what does not fit' \
    said "[3,3,2,4] in file ('features.0.weight', stored as [4,2,3,3])"
check 'import_pytorch, no file: status' imports 1 nothing.safetensors
check 'import_pytorch, no file: says so' said 'nothing.safetensors: No such file'

# --- Graphs

graph() { "$programs/graph_dump" "$@"; }
for name in bn ln softmax seed resnet18 lstm gpt; do
    check "graph $name: status" ends 0 graph --graph "$name" --backward --level modules \
        --out "$name.dot"
    check "graph $name: derivatives" grep -q '#fbd3a6' "$name.dot"
    check "graph $name: a tree" ends 0 graph --graph "$name" --order 2 --out "$name.txt"
done
check 'graph: depth' sh -c '"$1" --graph resnet18 --level modules --depth 3 --out - |
    grep -q "plaintext.*label=\"residual"' - "$programs/graph_dump"
check 'graph: one module' sh -c '"$1" --graph seed --focus cnn/pool_1 --out - |
    grep -q "max_pool2d.nwindow 2"' - "$programs/graph_dump"
check 'graph: no such module' ends 2 graph --graph seed --focus head --out none.dot
check 'graph: a formula' ends 0 graph --graph ln --backward --formula --out formula.dot
check 'graph: no formula' ends 2 graph --graph gpt --formula --out none.dot
check 'graph: as evaluated, by time' ends 0 graph --graph lstm --simplified --profile --out time.dot
check 'graph: the plan' sh -c '"$1" --graph bn --level plan --out - | grep -q "pass 0: "' - \
    "$programs/graph_dump"
check 'graph: the model' sh -c '"$1" --graph gpt --level model --out - | grep -q "block_3"' - \
    "$programs/graph_dump"
check 'graph: a model without modules' ends 2 graph --level model --out none.dot
check 'graph: with and without BatchNorm' sh -c '"$1" --graph seed --diff batch-norm --out - |
    grep -q "batch_norm_5"' - "$programs/graph_dump"
for what in inference simplified; do
    check "graph: $what, a picture" ends 0 graph --graph gpt --backward --level modules \
        --diff "$what" --out diff.dot
done
check 'graph: nothing to compare' ends 2 graph --graph bn --diff inference --out none.dot
check 'graph: a page' ends 0 graph --graph seed --html page.html
check 'graph: for Model Explorer' ends 0 graph --graph seed --explorer graph.json
check 'graph: a page, a picture and JSON' ends 0 graph --html all.html --out all.dot --explorer all.json
check 'graph: all of them' sh -c 'grep -q "<html" all.html && grep -q digraph all.dot && grep -q graphs all.json'
check 'graph: a page to standard output' sh -c '"$1" --html - | grep -q "<html"' - "$programs/graph_dump"
check 'graph: a page of the model' ends 2 graph --graph seed --level model --html none.html
check 'graph: a derivative and none' ends 2 graph --backward --order 0
check 'graph: two to one place' ends 2 graph --html - --explorer -
check 'graph: modules there are' sh -c '"$1" --graph seed --focus pool_1 --out none.dot 2>&1 |
    grep -q "there are .cnn/pool_1."' - "$programs/graph_dump"

# --- Nobody reads

# Nobody reads any more when the program starts.
unread() {
    rm -f gone status
    {
        until [ -e gone ]; do sleep 0.05; done
        "$@" 2>log
        echo $? >status
    } | {
        exec <&-
        : >gone
    }
    [ "$(cat status)" -eq 4 ] || { echo "exit status $(cat status), expected 4" >>log; false; }
}
check 'study, unread: status' unread "$programs/bn_study" --data black --epochs 1 --out unread
check 'study, unread: says so' said 'bn_study: standard output: '
check 'study, unread: its files' whole unread
check 'study: the results name the data' grep -qF '"name": "black"' unread/results.json
check 'study: the report names the data' grep -qF 'the files in &#39;black&#39;: 64 training and 64' \
    unread/report.html
check 'study: the tables say what layers do' grep -q ',activation,relu_4,' \
    unread/layers/relu_0.01_with/layers.csv
check 'study: the data of the picture do so too' [ "$(grep -c '^1 ' unread/layers_relu_0.01.dat)" = 18 ]
# Of a data file, as gnuplot counts them.
blocks() { awk '/^#/ { next } NF { n += !within; within = 1; empty = 0; next } ++empty == 2 { within = 0 }
    END { print n + 0 }' "$1"; }
check 'study, with BatchNorm alone: status' ends 0 study --bn on --quiet --out with
check 'study, with BatchNorm alone: its curves' [ "$(blocks with/accuracy_relu_0.01.dat)" = 6 ]
check 'study, with BatchNorm alone: its layers' [ "$(blocks with/layers_relu_0.01.dat)" = 18 ]
check 'study: the results say what a step costs' grep -qF '"step_cost": [' unread/results.json
check 'study, quiet and unread: status' unread study --quiet --out quiet
check 'study, quiet and unread: its files' whole quiet
check 'verify, unread: status' unread "$programs/verify" --json verify.json
check 'verify, unread: its file' grep -q '"verdict": "pass"' verify.json
check 'verify: no such claim' ends 2 "$programs/verify" --claim no-such
check 'verify: a page and JUnit' "$programs/verify" --claim dense --html verify.html --junit verify.xml
check 'verify: the table has conventions' ends 0 "$programs/verify" --orders 1
check 'verify: of each claim' said '  2 x 2, stride 2, padding 1, which is not counted'
check 'verify: SyncBatchNorm on ranks' ends 0 "$programs/verify" --claim sync_batch_norm --json sync.json
for ranks in 4_4 2_2_2_2 5_1_2_0; do
    check "verify: SyncBatchNorm on $ranks, to order 3" grep -q \
        "\"sync_batch_norm_$ranks\", \"order\": 3, \"exact\": true, \"passed\": true" sync.json
done
check 'verify: SyncBatchNorm, no mutant is left' \
    [ "$(sed -n 's/.*"mutants": \([0-9]*\), "killed": \1,.*/\1/p' sync.json | tr '\n' ' ')" = \
    '12 12 12 12 12 12 13 13 13 37 ' ]
check 'own_claim' sh -c "'$programs/own_claim' | grep -q 'my RMSNorm: the derived gradient is the closed form'"
check 'graph, unread: status' unread "$programs/graph_dump" --out unread.dot
check 'graph, unread: its file' [ -s unread.dot ]
check 'custom_op, unread: status' unread "$programs/custom_op"

# --- No room

full() { # COMMAND...
    "$@" >/dev/full 2>log
    status=$?
    [ "$status" -eq 4 ] || { echo "exit status $status, expected 4" >>log; false; }
}
for name in $all; do check "$name --help, no room" full "$programs/$name" --help; done
check 'verify --help, no room, line by line' full stdbuf -oL "$programs/verify" --help
check 'study, no room: status' full study --out full
check 'study, no room: says so' said 'bn_study: standard output: '
check 'study, no room: its files' whole full
check 'verify, no room' full "$programs/verify"
check 'verify, no room for its file' ends 4 "$programs/verify" --json /dev/full --html kept.html
check 'verify, no room for its file: the others' grep -q 'All claims hold' kept.html
check 'graph, no room' full "$programs/graph_dump" --out full.dot
check 'custom_op, no room' full "$programs/custom_op"
check 'custom_model, no room' full "$programs/custom_model"
for name in results.json history.csv accuracy_relu_0.01.gp layers_relu_0.01.gp report.html; do
    mkdir "no-room-$name"
    ln -s /dev/full "no-room-$name/$name.tmp"
    check "study, no room for $name: status" ends 4 study --out "no-room-$name"
    check "study, no room for $name: says so" said "$name': No space left on device"
done
for name in accuracy_relu_0.01.gp report.html; do # the others are written once more at the end
    check "study, no room for $name: no part of it" [ ! -e "no-room-$name/$name" ]
done

# --- Signals

# signalled NAME STATUS: in the first of a million epochs.
signalled() {
    : >log # what the program before it said
    PATH=/nonexistent "$programs/bn_study" --data black --epochs 1000000 --out "$1" >log 2>&1 &
    pid=$!
    until grep -q 'learning rate' log || ! kill -0 $pid 2>/dev/null; do sleep 0.05; done
    kill -s "$1" $pid
    wait $pid
    status=$?
    [ "$status" -eq "$2" ] || { echo "exit status $status, expected $2" >>log; false; }
}
check 'study, asked to end: status' signalled TERM 143
check 'study, asked to end: its files' whole TERM
check 'study, asked to end: prints the verdicts' said 'Verdicts'
check 'study, terminal lost: status' signalled HUP 129
check 'study, terminal lost: its files' whole HUP

# --- The script, from elsewhere and through links. Stand-ins say what would run.

mkdir -p 'repo [1]/build/examples' 'repo [1]/build/bench' 'repo [1]/datasets' \
    'repo [1]/tests/bench' bin 'far away/data'
repo="$work/repo [1]"
cp "$run" "$repo/run"
stand_in() { # NAME TEXT
    printf '#!/bin/sh\n%s\n' "$2" >"$1"
    chmod 755 "$1"
}
here='echo "$(basename "$0") in $(pwd -P):$(printf " <%s>" "$@")"'
for name in examples/bn_study examples/verify examples/graph_dump bench/bench; do
    stand_in "$repo/build/$name" "$here"
done
stand_in "$repo/datasets/fetch.sh" "$here"
stand_in bin/ctest "$here; echo \"mnist \$COTAN_TEST_MNIST\""
stand_in bin/cmake 'test -f run && ! test -e "$work/broken"'
stand_in bin/dpkg-query 'echo install ok installed'
stand_in bin/python3 'exit 1'
ln -s "$repo/run" bin/cotan
ln -s cotan bin/linked
export work PATH="$work/bin:$PATH"
elsewhere="$work/far away"
there() { # LINE COMMAND...: in the folder of the user it succeeds and prints that line
    line=$1
    shift
    (cd "$elsewhere" && "$@") >log 2>&1 && grep -qxF -- "$line" log
}
check 'run demo: in the folder of the user' there "bn_study in $elsewhere: <--out> <a b>" \
    "$repo/run" demo --out 'a b'
check 'run demo: by a relative path' there "bn_study in $elsewhere: <--quiet>" \
    '../repo [1]/run' demo --quiet
check 'run demo: by sh' there "bn_study in $elsewhere: <--quiet>" \
    sh '../repo [1]/run' demo --quiet
check 'run verify: through a link' there "verify in $elsewhere: <--json> <v.json>" \
    ../bin/cotan verify --json v.json
check 'run graph: through a link to a link, in PATH' \
    there "graph_dump in $elsewhere: <--out> <g.svg>" linked graph --out g.svg
check 'run bench: in the folder of the user' there "bench in $elsewhere: <--json> <b.json>" \
    "$repo/run" bench --json b.json
stand_in "$repo/build/bench/bench" 'while [ $# -gt 1 ]; do shift; done
printf "{\n  \"info\": \"cotan 0.1.0, BLIS 0.9.0, 2 threads\",\n  \"a.ms\": 2.5,\n  \"b\": 4\n}\n" >"$1"'
cp "$(dirname "$run")/tests/bench/history.sh" "$repo/tests/bench"
stand_in bin/git 'test "$3" != diff && echo abcdef0'
recorded() { tail -n 1 "$repo/tests/bench/history.csv" | grep -qx "....-..-..,abcdef0+,.*,b,4"; }
check 'run bench --record: status' ends 0 "$repo/run" bench --record --only seed
check 'run bench --record: a line for each figure' recorded
check 'run bench --record: once more' ends 0 "$repo/run" bench --record
check 'run bench --record: the history only grows' \
    [ "$(wc -l <"$repo/tests/bench/history.csv")" -eq 5 ]
check 'run bench --history: the figure of the word' ends 0 "$repo/run" bench --history ms
check 'run bench --history: and its change' said 'x 1.000'
check 'run bench --history: nothing of the word' ends 1 "$repo/run" bench --history nothing
rm -r bin/git "$repo/tests/bench"

# A user's file is really compiled, as the library was.
ln -s "$programs/../include" "$programs"/../libcotan.so* "$repo/build"
sanitizers=$(sed -n 's/^COTAN_SANITIZE:[A-Z]*=\(..*\)/-fsanitize=\1/p' "$programs/../CMakeCache.txt")
export CFLAGS="$sanitizers" CXXFLAGS="$sanitizers"
for name in 'my try.c' try.cpp; do
    cat >"$elsewhere/data/$name" <<'TEXT'
#include <cotan/cotan.h>
int main(int argc, char **argv) {
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(2), 3);
    printf("%g %s of %d\n", ct_item(ct_sum_all(x)), argv[1], argc);
    ct_scope_close(0);
    return 0;
}
TEXT
    check "run try $name: runs with its arguments" there '6 a b of 2' "$repo/run" try "data/$name" \
        'a b'
done
echo 'int main(void) { int unused; return 7; }' >seven.c
check 'run try: the status is that of the program' ends 7 "$repo/run" try seven.c
check 'run try: warns' said "unused variable"
echo 'int main(void) { return no_such_name; }' >wrong.c
check 'run try: what does not compile does not run' ends 1 "$repo/run" try wrong.c
check 'run try: no file' ends 2 "$repo/run" try nothing.c
check 'run try: a file of another language' ends 2 "$repo/run" try log
check 'run try: without a file' ends 2 "$repo/run" try
rm -r "$elsewhere"/data/*

mkdir -p "$repo/tests/library"
cp "$(dirname "$run")/tests/library/check_format.sh" "$repo/tests/library"
stand_in bin/clang-format-14 "$here"
mkdir "$repo/tensor"
: >"$repo/tensor/a.c"
check 'run format: in the repository' there \
    "clang-format-14 in $repo: <-i> <tensor/a.c>" "$repo/run" format
rm -r "$repo/tensor" "$repo/tests/library"


mkdir "$repo/build-coverage"
stand_in bin/gcovr "$here"
check 'run coverage: what the tests have not run' there "gcovr in $repo: <build-coverage>\
 <--sort-percentage> <--filter> <(tensor|autograd|nn|optim|datasets)/>" "$repo/run" coverage -R grad
check 'run coverage: arguments go to ctest' \
    said "ctest in $repo: <--preset> <coverage> <-R> <grad>"
rm -r "$repo/build-coverage" bin/gcovr

check 'run fetch: in the folder of the user' there "fetch.sh in $elsewhere: <x>" "$repo/run" fetch x
check 'run test: the data from the folder of the user' \
    env COTAN_TEST_MNIST=data sh -c 'cd "far away" && ../bin/cotan test >../log &&
        grep -qxF "mnist $work/far away/data" ../log'
check 'run help: through a link' there 'usage: ./run COMMAND [ARGUMENTS]' linked help
check 'run: nothing new in the folder of the user' [ "$(ls "$elsewhere")" = data ]
check 'run: nothing new in the repository' [ "$(ls "$repo" | tr '\n' ' ')" = \
    'build datasets run tests ' ]
: >broken
check 'run demo: a build that fails' ends 1 "$repo/run" demo
rm broken
mkdir "$elsewhere/out" "$repo/out"
check 'run clean: status' there '' sh -c 'linked clean && echo'
check 'run clean: the build folder' [ ! -e "$repo/build" ]
check 'run clean: out/ of the repository' [ ! -e "$repo/out" ]
check 'run clean: no other out/' [ -d "$elsewhere/out" ]

[ "$failures" -eq 0 ] || { echo "$failures failed"; exit 1; }
echo 'all passed'
