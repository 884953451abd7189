#!/bin/sh
# Whether the code that documents show is right:
#
#     test_documents.sh CC BUILD
#
# Each block of C in public headers and in the Markdown files of the repository compiles with
# warnings as errors and links against the library of BUILD; code_blocks.awk says what a block is,
# prelude.h what a fragment may use. Recipes run as well, and what they assert holds. Shell names commands, presets and targets that there are.
set -u

if [ $# -ne 2 ]; then
    echo "usage: test_documents.sh CC BUILD" >&2
    exit 2
fi
cc=$1
build=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
cd "$root" || exit 1
options="-std=c17 -Wall -Wextra -Werror -Wno-unused -Wno-unused-parameter -I$build/include"

# --- What may be wrong with a block, by the kind of its file -------------------------------------

echo 'int main(void) { return 0; }' >"$work/main.c"
compiles() { # and links, with an empty main() where it has none
    main=$work/main.c
    ! grep -q '^int main(' "$1" || main=
    # shellcheck disable=SC2086 # lists
    "$cc" $options -I"$here" "$1" $main -o "$work/program" -L"$build" -lcotan \
        -lm -Wl,-rpath,"$build"
}
# In an empty folder.
runs() {
    compiles "$1" && rm -rf "$work/run" && mkdir "$work/run" && (cd "$work/run" && "$work/program")
}
compiles_there() {
    # shellcheck disable=SC2086 # a list
    "$cc" $options -I"$root" -D_GNU_SOURCE -x c -fsyntax-only "$1"
}
squeeze() { tr -s ' \n' ' '; }
stands_there() {
    file=$(head -n 1 "$1")
    block=$(tail -n +2 "$1" | squeeze)
    case $(squeeze <"$file") in
    *"$block"*) ;;
    *) echo "$file does not hold: $block" && return 1 ;;
    esac
}

# A line of shell: its command, and presets and targets that it names.
can_run() (
    # Word splitting is meant.
    # shellcheck disable=SC2086
    set -f -- $1
    while case $1 in sudo | [A-Z]*=*) true ;; *) false ;; esac do shift; done
    if [ "$1" = ./run ]; then ./run help | grep -q "^  $2 "; else command -v "$1" >/dev/null; fi ||
        { echo "no command '$1 ${2:-}'" && exit 1; }
    while [ $# -gt 1 ]; do
        case $1 in
        --preset) grep -q "\"name\": \"$2\"" CMakePresets.json ;;
        --target) grep -qrE "(target|executable)\($2([ )]|\$)" --include=CMakeLists.txt . ;;
        *) true ;;
        esac || { echo "no ${1#--} '$2'" && exit 1; }
        shift
    done
)

# --- All blocks of some files --------------------------------------------------------------------

failures=0
blocks=0
check() { # WHAT COMMAND...
    what=$1
    shift
    blocks=$((blocks + 1))
    if "$@" >"$work/log" 2>&1; then return; fi
    echo "FAIL $what"
    sed 's/^/     | /' "$work/log"
    failures=$((failures + 1))
}

documents() { # FILE...
    rm -rf "$work/out"
    mkdir "$work/out"
    : >"$work/out/shell"
    awk -v out="$work/out" -f "$here/code_blocks.awk" "$@" || exit 1
    for block in "$work/out"/*; do
        case $block in
        *.run.c) check "a recipe of $(sed -n 's/^#line //p' "$block" | sed q)" runs "$block" ;;
        *.c) check "a block of $(sed -n 's/^#line //p' "$block" | sed q)" compiles "$block" ;;
        *.added) check "a block of $(sed -n 's/^#line //p' "$block")" compiles_there "$block" ;;
        *.part) check "a block that names $(head -n 1 "$block")" stands_there "$block" ;;
        esac
    done
    while read -r place line; do check "$place $line" can_run "$line"; done <"$work/out/shell"
}

# --- Wrong blocks are seen -----------------------------------------------------------------------

cat >"$work/wrong.md" <<'TEXT'
```c
ct_tensor *y = ct_no_such_function(x);
```
```c
static int f(void) { return "text"; }
int n = f();
```
<!-- added to examples/custom_op.c -->
```c
static int not_c = &op_no_such_op;
```
<!-- part of examples/custom_op.c -->
```c
CT_OP(op_no_such_op)
```
<!-- runs -->
```c
assert(ct_item(ct_scalar(CT_F64, 2)) == 3);
```
<!-- runs -->
```c
ct_tensor *two = ct_sum(ct_scalar(CT_F64, 2), CT_AXES(1));
```
```sh
./run no_such_command   # one
cmake --preset no_such_preset
cmake --build build --target no_such_target
no_such_program
```
TEXT
cat >"$work/wrong.h" <<'TEXT'
/* Shows how it is used:
 *     int scope = ct_scope_open("text");
 * And a table, which is not C:
 *     f2 f4   f8 */
extern int x;
TEXT
documents "$work/wrong.md" "$work/wrong.h" >"$work/seen"
if [ $failures -ne $blocks ] || [ $blocks -ne 11 ]; then
    echo "FAIL of 11 wrong blocks $blocks were found, and $failures seen to be wrong:"
    cat "$work/seen"
    exit 1
fi

# --- The documents -------------------------------------------------------------------------------

failures=0
blocks=0
# shellcheck disable=SC2046 # lists
documents $(cd "$build/include/cotan" && find . -name '*.h' ! -name cotan.h) \
    ./*.md docs/*.md tests/*/*.md
echo "$blocks blocks and commands, $failures wrong"
[ $failures -eq 0 ]
