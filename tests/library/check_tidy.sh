#!/bin/sh
# Whether clang-tidy finds nothing in the library; .clang-tidy says what it looks for.
#
#     check_tidy.sh CLANG_TIDY REPOSITORY BUILD
#
# BUILD holds compile_commands.json, of all but the ranks over MPI; tidy.h says what one file alone
# does not, but to the file that it speaks of. Exit status 0 when there is no finding; some minutes.
set -eu
cd "$2"
"$1" -p "$3" --quiet tensor/base/error.c
find tensor autograd nn optim datasets -name '*.c' ! -path tensor/base/error.c ! -path 'tensor/mpi/*' |
    sort |
    xargs -n 4 -P "$(nproc)" "$1" -p "$3" --quiet \
        --extra-arg=-include --extra-arg="$PWD/tests/library/tidy.h"
