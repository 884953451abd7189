#!/bin/sh
# Whether all C code has the layout of .clang-format.
#
#     check_format.sh CLANG_FORMAT REPOSITORY
#
# Names each place that does not; exit status 0 when all do. `./run format` mends them.
set -eu
cd "$2"
find tensor autograd nn optim datasets examples tests -name '*.[ch]' -o -name '*.cpp' | sort |
    xargs "$1" --dry-run --Werror
