#!/bin/sh
# A rank under valgrind: COTAN_RANK=tests/support/rank_valgrind.sh build/tests/test_ranks.
# Every exit status of valgrind's own is one of a rank that did not end well.
exec valgrind --quiet --error-exitcode=9 --leak-check=full --show-leak-kinds=definite \
    --errors-for-leak-kinds=definite --vex-guest-max-insns=20 "$@"
