#!/bin/sh
# What users of the library do with it, on a build that is there:
#
#     test_consumers.sh BUILD
#
# Its headers alone, in C and C++; programs by way of pkg-config and of CMake, with either library,
# from an installation that has been moved; cotan as a part of another project. Each with gcc and
# clang, as far as they are there. Exit status 0 when all holds.
set -u

if [ $# -ne 1 ]; then
    echo "usage: test_consumers.sh BUILD" >&2
    exit 2
fi
build=$(realpath "$1")
tests=$(dirname "$(dirname "$(realpath "$0")")")
source=$(dirname "$tests")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
failures=0

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
not() { ! "$@"; }
there() { command -v "$1" >/dev/null || { echo "skip $1 is not there" && false; }; }

strict='-Wall -Wextra -Wpedantic -Werror'

# --- The installation, in another place than it was made for --------------------------------------

check "installs" cmake --install "$build" --prefix "$work/first"
mkdir "$work/my place"
prefix="$work/my place/cotan"
mv "$work/first" "$prefix"
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name cotan.pc)")
library=$(dirname "$(find "$prefix" -name libcotan.so)")
export PKG_CONFIG_PATH
check "installs our license" grep -q "The cotan authors" "$prefix/share/doc/cotan/LICENSE"
check "installs BLIS's license" grep -q "University of Texas" \
    "$prefix/share/doc/cotan/LICENSE.blis"

# --- Each header alone ----------------------------------------------------------------------------

# headers_alone COMPILER...: each public header by itself, and all of them after each other.
headers_alone() {
    for header in $(cd "$prefix/include" && find cotan -name '*.h'); do
        printf '#include <%s>\nextern int not_empty;\n' "$header" >"$work/header.in"
        # shellcheck disable=SC2086 # a list
        "$@" $strict -fsyntax-only -I"$prefix/include" "$work/header.in" || return 1
    done
}
for cc in gcc clang; do
    there $cc && check "each header alone, $cc" headers_alone $cc -std=c17 -x c
done

# --- pkg-config -----------------------------------------------------------------------------------

# pkg_config COMPILER SOURCE STANDARD LIBRARY: builds and runs a program.
pkg_config() {
    static=
    [ "$4" = shared ] || static=--static
    flags=$(pkg-config --cflags cotan) && libraries=$(pkg-config --libs $static cotan) || return 1
    [ "$4" = shared ] || libraries=$(printf '%s' "$libraries" | sed 's/-lcotan/-l:libcotan.a/')
    rm -f "$work/program"
    # pkg-config quotes as a shell does.
    eval "$1 -std=$3 $strict $flags -I$tests/consumers/own $tests/consumers/$2 -o $work/program \
        $libraries" && LD_LIBRARY_PATH=$library "$work/program"
}
for cc in gcc clang; do
    there $cc || continue
    for kind in shared static; do
        check "C17, $cc, pkg-config, $kind" pkg_config $cc consumer.c c17 $kind
    done
done
for cxx in g++ clang++; do
    there $cxx || continue
    for standard in c++11 c++14 c++17 c++20 c++2b; do
        check "each header alone, $cxx, $standard" headers_alone $cxx -std=$standard -x c++
        check "$standard, $cxx, pkg-config, shared" pkg_config $cxx consumer.cpp $standard shared
    done
    check "C++11, $cxx, pkg-config, static" pkg_config $cxx consumer.cpp c++11 static
done

# --- CMake ----------------------------------------------------------------------------------------

# project NAME OPTION...: configures, builds and runs both programs.
project() {
    name=$1
    shift
    cmake -G Ninja -S "$tests/consumers" -B "$work/$name" "$@" &&
        cmake --build "$work/$name" && "$work/$name/with_static" && "$work/$name/with_shared"
}
# A claim of the user's, and the same with a sum in place of the mean.
sed 's/mean(ct_mul(dy, y))/ct_sum_keep(ct_mul(dy, y), CT_AXES(-1))/' \
    "$source/examples/own_claim.c" >"$work/wrong_claim.c"
check "find_package in a project of C" project c -DLANGUAGE=C -DHOW=package \
    -Dcotan_ROOT="$prefix" "-DCLAIMS=$source/examples/own_claim.c;$work/wrong_claim.c"
check "a claim of a project's own holds" "$work/c/own_claim"
refused_as_shown() { # with the line that README shows, which no rounding changes
    "$work/c/wrong_claim" >"$work/refused"
    [ $? -eq 1 ] && line=$(grep -m 1 "^  x: the term through '1 / rms'" "$source/README.md") &&
        grep -qxF "$line" "$work/refused"
}
check "a claim that is wrong is refused" refused_as_shown
if there c++; then
    check "find_package in a project of C++ alone" project cxx -DLANGUAGE=CXX -DHOW=package \
        -Dcotan_ROOT="$prefix"
fi

# As a part of another project: the two libraries, nothing else, and no option of theirs in the
# project's own commands. Without optimization, so that it does not take long.
check "add_subdirectory" project part -DLANGUAGE=C -DHOW=subdirectory -DCOTAN="$source" \
    -DCMAKE_BUILD_TYPE=Debug -DCMAKE_EXPORT_COMPILE_COMMANDS=ON \
    -DCMAKE_C_FLAGS=-ffast-math
commands=$work/part/compile_commands.json
check "a part brings no tests, no examples" not grep -qE '/(tests/.*test_|examples/)' "$commands"
check "a part brings no -Werror" not grep -q -e -Werror "$commands"
check "a part leaves the project's options alone" \
    not grep -qE 'consumer\.c.*-(Wconversion|fopenmp|ffp-contract)|_GNU_SOURCE.*consumer\.c' \
    "$commands"
keeps_ieee() { ! grep '"command".*cotan_' "$commands" | grep -v -e '-ffast-math .*-fno-fast-math'; }
check "a part keeps to IEEE 754 in a project with -ffast-math" keeps_ieee
check "a part installs nothing" sh -c \
    "cmake --install '$work/part' --prefix '$work/empty' && ! find '$work/empty' | grep libcotan"
check "FetchContent" cmake -G Ninja -S "$tests/consumers" -B "$work/fetched" -DLANGUAGE=C \
    -DHOW=FetchContent -DCOTAN="$source"

# --- Systems that are not supported ---------------------------------------------------------------

refused() {
    ! cmake -S "$source" -B "$work/$1" -DCMAKE_SYSTEM_NAME="$1" >"$work/refusal" 2>&1 &&
        grep -q "cotan builds on Linux alone, not on $1." "$work/refusal"
}
for system in Darwin Windows; do
    check "$system is refused in one sentence" refused $system
done

[ "$failures" -eq 0 ]
