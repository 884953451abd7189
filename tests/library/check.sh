#!/bin/sh
# Whether the library works for others than the machine and compiler it is written on, and what
# tools find in it that take their time.
#
#     check.sh             programs in C and C++ against the build that is there
#     check.sh --all       everything
#     check.sh NAME...     these of: consumers mpi ranks mutants page claims valgrind tidy clang tsan
#                          fuzz avx512 avx2 arm musl, and clang_fast, which is a part of clang
#
# One line for each check says how it went; logs stay in build*/check-1.log, check-2.log and so on.
# `./run check` installs what is needed and builds first. Exit status 0 when nothing failed.
set -u

names="consumers mpi ranks mutants page claims valgrind tidy clang tsan fuzz avx512 avx2 \
arm musl"
case ${1:-} in
'') chosen=consumers ;;
--all) chosen=$names ;;
*) chosen=$* ;;
esac
for name in $chosen; do
    case " $names clang_fast " in
    *" $name "*) ;;
    *)
        echo "usage: check.sh [--all | NAME...] with NAME of: $names" >&2
        exit 2
        ;;
    esac
done
cd "$(dirname "$0")/../.." || exit 1
failures=0

# check FOLDER WHAT COMMAND...: the command must succeed; what it says goes into FOLDER/check-N.log.
checks=0
check() {
    checks=$((checks + 1))
    log=$1/check-$checks.log
    printf '%s ... ' "$2"
    mkdir -p "$1"
    shift 2
    if "$@" >"$log" 2>&1; then echo ok; else
        echo "FAILED, see $log"
        tail -n 20 "$log" | sed 's/^/     | /'
        failures=$((failures + 1))
        return 1
    fi
}

consumers_check() { tests/library/test_consumers.sh build || failures=$((failures + 1)); }

# Open MPI and MPICH have different binary interfaces, so each has a build of its own.
mpi_build() {
    cmake -G Ninja -S . -B "build-$1" -DCMAKE_BUILD_TYPE=Release -DCOTAN_EXAMPLES=ON \
        -DCOTAN_TESTS=ON -DCOTAN_MPI=ON -DMPI_C_COMPILER="mpicc.$1" \
        -DMPIEXEC_EXECUTABLE="mpirun.$1" &&
        cmake --build "build-$1" --target cotan_shared cotan_static cotan_mpi rank rank_mpi \
            ranks bn_study_on_ranks
}
mpi_check() {
    for mpi in openmpi mpich; do
        check build-$mpi "$mpi: gcc compiles" mpi_build $mpi || continue
        check build-$mpi "$mpi: ranks" tests/mpi/test_mpi.sh mpirun.$mpi build-$mpi
    done
}

# What takes minutes of it: a thousand trainings with pauses, in most of which a rank is lost; one
# SHA-256 of all slots for any number of ranks and threads, over sockets and both MPIs.
disturbed() {
    COTAN_CASES=1000 build/tests/test_disturbed_ranks --jobs 1
    status=$?
    grep -q '^1000 runs' "$log" && return $status
}
ranks_check() {
    check build "ranks: gcc compiles" build build -DCOTAN_EXAMPLES=ON || return
    check build "ranks: 1000 trainings, disturbed" disturbed
    for mpi in openmpi mpich; do
        check build-$mpi "$mpi: gcc compiles" mpi_build $mpi || return
    done
    check build "ranks: one SHA-256 of all slots" tests/mpi/test_bits.sh 200 \
        mpirun.openmpi build-openmpi mpirun.mpich build-mpich && sed 's/^/  /' "$log"
    check build "ranks: ./run ranks" ./run ranks -n 3 --steps 5 --out build/ranks-out
}

mutants_check() {
    check build "ranks: mutants of sums are seen" tests/library/mutants.sh && sed 's/^/  /' "$log"
}

# Clicks in a browser; the pages and screenshots stay in build/page.
page_check() {
    if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null; then
        echo "pages in a browser ... skipped: chromium is not installed"
        return
    fi
    check build "pages: gcc compiles" build build -DCOTAN_EXAMPLES=ON || return
    python=python3 # where another one comes first in PATH, Debian's package is not its own
    python3 -c 'import websocket' 2>/dev/null || python=/usr/bin/python3
    check build "pages in a browser" $python tests/autograd/draw/page.py build
}

# Right formulas that no certificate may refuse, more of them than ./run test has time for.
right_claims() {
    COTAN_CASES=10000 build/tests/test_right_claims --jobs 1
    status=$?
    grep -q '^10000 right claims' build/check-$checks.log && return $status
}
claims_check() {
    check build "claims: gcc compiles" build build -DCOTAN_EXAMPLES=ON || return
    check build "claims: 10000 right ones" right_claims
}

# --- Tools ----------------------------------------------------------------------------------------

# build FOLDER OPTION...: all of the library and its tests; a warning is an error.
build() {
    folder=$1
    shift
    cmake -G Ninja -S . -B "$folder" -DCOTAN_TESTS=ON -DCOTAN_EXAMPLES=OFF "$@" &&
        cmake --build "$folder"
}
preset() { cmake --preset "$1" && cmake --build --preset "$1"; }

# rank_scenarios BUILD: what ranks do, without Criterion, whose processes a tool may not follow.
rank_scenarios() {
    for p in 2 3; do
        for scenario in 'sums 8' 'large_sum 300007' 'different 1' 'failed 1' 'memory 1' 'leaves 1' \
            some_leave 'trains 0' 'trains 1' 'step_without_memory 1' 'draws_after_failures 1' \
            fits_without_memory; do
            echo "$p ranks: $scenario"
            # shellcheck disable=SC2086 # with its argument
            "$1/tests/rank" -n $p $scenario || return 1
        done
    done
}

valgrind_ranks() (
    COTAN_RANK=tests/support/rank_valgrind.sh COTAN_SCALE=10
    export COTAN_RANK COTAN_SCALE
    rank_scenarios build && build/tests/test_disturbed_ranks --jobs 1
)
valgrind_check() {
    check build "gcc compiles" build build || return
    check build "valgrind: core suites" cmake --build build --target memcheck
    check build "valgrind: ranks" valgrind_ranks
}

tidy_check() {
    check build "clang-tidy finds nothing" tests/library/check_tidy.sh clang-tidy-14 . build
}

# The core suites: Criterion's processes would start threads after a fork, which the sanitizer does
# not follow. clang's OpenMP is not compiled with it, and tells it what is ordered (archer); it is
# not to spin where there are more threads than processors. gradcheck's many small evaluations are
# of one thread and would take hours. It delivers signals late, and of two the smaller number first,
# which fit_stop's tests of a second signal are about.
tsan_suites() {
    suites=$(build-tsan/tests/selftest --list | sed -n 's|/.*||p' | sort -u |
        grep -v -e gradcheck -e '^fit_stop$')
    # shellcheck disable=SC2086 # a list
    TSAN_OPTIONS=ignore_noninstrumented_modules=1 KMP_BLOCKTIME=0 CT_NUM_THREADS=3 \
        build-tsan/tests/selftest --scale 1 $suites
}
tsan_ranks() (
    TSAN_OPTIONS=ignore_noninstrumented_modules=1 KMP_BLOCKTIME=0 CT_NUM_THREADS=2 COTAN_SCALE=10
    export TSAN_OPTIONS KMP_BLOCKTIME CT_NUM_THREADS COTAN_SCALE
    rank_scenarios build-tsan
)
tsan_check() {
    check build-tsan "thread sanitizer: clang compiles" preset tsan || return
    check build-tsan "thread sanitizer: core suites" tsan_suites
    check build-tsan "thread sanitizer: ranks" tsan_ranks
}

fuzz() { # TARGET: half a minute from nothing; what it fails on stays in build-fuzz
    "build-fuzz/fuzz/$1" -max_total_time=30 -max_len=65536 -timeout=5 -rss_limit_mb=512 \
        -artifact_prefix=build-fuzz/
}
fuzz_check() {
    check build-fuzz "fuzzing: clang compiles" preset fuzz || return
    for target in $(cd build-fuzz/fuzz && find . -maxdepth 1 -name 'fuzz_*' -type f | sort); do
        target=$(basename "$target")
        check build-fuzz "fuzzing: $target" fuzz "$target"
    done
}

# --- Other compilers and processors ---------------------------------------------------------------

clang_check() {
    check build-clang "clang compiles" preset clang || return
    check build-clang "clang: all suites" ctest --preset clang
}
# Without what takes its time and what another compiler does not change.
clang_fast_check() {
    check build-clang "clang compiles" preset clang || return
    slow='check_|forking|selftest|test_(checkpoint|consumers|deep|fetch|primitives|programs|suite)'
    check build-clang "clang: fast suites" ctest --preset clang -E "^($slow)"
}

# without SET NAME: all suites as on x86-64 processors that do not have these instructions.
without() {
    check "build-no-$1" "without $2: gcc compiles" build "build-no-$1" \
        -DCMAKE_C_FLAGS="-include $PWD/tests/library/no_$1.h" || return
    check "build-no-$1" "without $2: all suites" ctest -j 2 --test-dir "build-no-$1" \
        --output-on-failure
}
avx512_check() {
    if grep -q avx512f /proc/cpuinfo; then without avx512 AVX-512; else
        echo "without AVX-512 ... as here, where ./run test ran"
    fi
}
avx2_check() {
    if grep -q avx2 /proc/cpuinfo; then without avx2 AVX2; else
        echo "without AVX2 ... as here, where ./run test ran"
    fi
}

# --- 64-bit ARM -----------------------------------------------------------------------------------

# Debian's packages for ARM in a folder, with a package list of their own: the system's stay as they
# are.
arm_root() {
    root=$PWD/build-aarch64/root
    [ ! -e "$root/done" ] || return 0
    apt=$PWD/build-aarch64/apt
    mkdir -p "$root" "$apt/lists/partial" "$apt/archives/partial" || return 1
    cat >"$apt/conf" <<TEXT
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Dir::State "$apt";
Dir::State::status "/dev/null";
Dir::Cache "$apt";
TEXT
    APT_CONFIG=$apt/conf apt-get update &&
        APT_CONFIG=$apt/conf apt-get install -y --download-only libblis-serial-dev zlib1g-dev \
            libcriterion-dev libgomp1 || return 1
    for package in "$apt"/archives/*.deb; do dpkg-deb -x "$package" "$root" || return 1; done
    touch "$root/done"
}

arm_build() {
    root=$PWD/build-aarch64/root
    PKG_CONFIG_SYSROOT_DIR=$root
    PKG_CONFIG_LIBDIR=$root/usr/lib/aarch64-linux-gnu/pkgconfig:$root/usr/share/pkgconfig
    export PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_LIBDIR
    build build-aarch64 -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
        -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_SYSROOT="$root" \
        -DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER
}

# Criterion starts each test as a process of its own, so the kernel has to know how to run programs
# for ARM. Without that, the core suites run, in one process.
binfmt=/proc/sys/fs/binfmt_misc
arm_programs_run() {
    sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    [ -e $binfmt/register ] || $sudo mount -t binfmt_misc none $binfmt || return 1
    [ ! -e $binfmt/qemu-aarch64 ] || return 0
    magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    printf '%s' ":qemu-aarch64:M::$magic:$mask:$(command -v qemu-aarch64):F" |
        $sudo tee $binfmt/register >/dev/null || return 1
    trap '$sudo sh -c "echo -1 >$binfmt/qemu-aarch64"' EXIT
}

arm_suites() {
    QEMU_LD_PREFIX=$PWD/build-aarch64/root
    export QEMU_LD_PREFIX
    COTAN_SCALE=10 ctest -j 2 --test-dir build-aarch64 --output-on-failure
}

arm_check() {
    check build-aarch64 "64-bit ARM: packages" arm_root || return
    check build-aarch64 "64-bit ARM: gcc compiles" arm_build || return
    if check build-aarch64 "64-bit ARM: programs run" arm_programs_run; then
        check build-aarch64 "64-bit ARM: all suites" arm_suites
    else
        check build-aarch64 "64-bit ARM: core suites" \
            qemu-aarch64 -L build-aarch64/root build-aarch64/tests/selftest
    fi
}

# --- musl -----------------------------------------------------------------------------------------

# BLIS, zlib and OpenMP stay those of glibc; tests/library/musl.c has the few functions that they
# miss.
musl_compile() {
    work=build-musl
    system=$(gcc -print-multiarch)
    mkdir -p $work/include $work/objects $work/tests || return 1
    ln -sfn "$(gcc -print-file-name=include)/omp.h" $work/include/omp.h
    ln -sfn /usr/include/zlib.h $work/include/zlib.h
    for header in /usr/include/zconf.h "/usr/include/$system/zconf.h"; do
        [ ! -e "$header" ] || ln -sfn "$header" $work/include/zconf.h
    done
    ln -sfn "$(gcc -print-file-name=libgomp.so.1)" $work/libgomp.so.1
    ln -sfn "$(gcc -print-file-name=libz.so.1)" $work/libz.so.1
    options="-std=c17 -O2 -fPIC -fopenmp -ffp-contract=off -fno-math-errno -fno-trapping-math
        -Wall -Wextra -Wpedantic -Werror -D_GNU_SOURCE -DCOTAN_SELFTEST
        -I. -Ibuild/include -isystem /usr/include/$system/blis-serial -idirafter $work/include"
    export options
    { find tensor autograd nn optim datasets -name '*.c' ! -path 'tensor/mpi/*' && echo tests/library/musl.c &&
        echo build/autograd/draw/page_files.c; } |
        compile_to $work/objects '' &&
        # Not the texts of its errors, nor what a suite's own CMake target is told.
        { find tests/autograd tests/tensor/graph tests/tensor/plan tests/tensor/run tests/library \
            -name 'test_*.c' ! -name test_math32.c ! -path '*/draw/*' &&
            find tests/support -name '*.c' ! -name 'rank*.c' &&
            find tests -name 'primitive_*.c'; } |
        compile_to $work/tests -Wno-pedantic
}

# compile_to FOLDER OPTION: the sources named on standard input; one that names element types, once
# for each of them.
compile_to() {
    # shellcheck disable=SC2016 # for the inner shell
    xargs -P "$(nproc)" -I '{}' sh -c '
        object=$2/$(echo "$1" | tr / _)
        types=$(sed -n "s,^#include \"autograd/kernels/element.h\" /\* \(.*\) \*/,\1,p" "$1")
        [ -n "$types" ] || exec musl-gcc $options $3 -c "$1" -o "$object.o"
        for type in $types; do
            musl-gcc $options $3 -DCTI_ELEMENT="$type" \
                "-DCTI_ELEMENT_HEADER=\"autograd/kernels/element/$type.h\"" -c "$1" \
                -o "$object.$type.o" || exit
        done' - '{}' "$1" "$2"
}

musl_link() {
    archive=/usr/lib/$(gcc -print-multiarch)/blis-serial/libblis.a
    libraries="$archive $work/libz.so.1 $work/libgomp.so.1 -lgcc"
    # shellcheck disable=SC2086 # lists
    musl-gcc -shared -Wl,-z,nodelete -o $work/libcotan.so $work/objects/*.o $libraries &&
        musl-gcc -o $work/selftest $work/tests/*.o $work/objects/*.o $libraries &&
        musl-gcc -D_GNU_SOURCE -I. -Ibuild/include -o $work/forking tests/library/forking.c \
            $work/tests/tests_support_support.c.o $work/objects/*.o $libraries &&
        musl-gcc -Ibuild/include -Itests/consumers/own -o $work/consumer \
            tests/consumers/consumer.c -Wl,--allow-shlib-undefined $work/libcotan.so
}

musl_run() { LD_LIBRARY_PATH=$work "$work/$1"; }

musl_check() {
    check build-musl "musl: gcc compiles" musl_compile &&
        check build-musl "musl: links" musl_link || return
    check build-musl "musl: libcotan.so is loaded, and trains" musl_run consumer
    check build-musl "musl: core suites" musl_run selftest
    check build-musl "musl: children of fork()" musl_run forking
}

# --------------------------------------------------------------------------------------------------

for name in $chosen; do "${name}_check"; done
[ "$failures" -eq 0 ] || { echo "$failures checks failed" && exit 1; }
echo "all checks passed"
