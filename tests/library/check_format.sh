#!/bin/sh
# Whether all C code has the layout of .clang-format.
#
#     check_format.sh CLANG_FORMAT REPOSITORY [-i]
#
# Names each place that does not, exit status 0 when all do; with -i gives it that layout, as
# `./run format` does.
set -eu
cd "$2"
if [ "${3:-}" = -i ]; then set -- "$1" -i; else set -- "$1" --dry-run --Werror; fi
find tensor autograd nn optim datasets examples tests -name '*.[ch]' -o -name '*.cpp' | sort |
    xargs "$@"
