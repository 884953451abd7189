#!/bin/sh
# Whether sources keep to 100 columns and 600 lines (tables that a program wrote have more), and the
# library's functions to 40.
#
#     check_lengths.sh REPOSITORY
#
# Prints what does not; exit status 0 when all do.
set -eu
cd "$1"
find tensor autograd nn optim datasets examples tests -name '*.[ch]' -o -name '*.cpp' | sort |
    xargs awk '
        length > 100 { print FILENAME ":" FNR ": " length " columns"; bad = 1 }
        FNR == 601 && FILENAME !~ /^tests\/reference\// {
            print FILENAME ": more than 600 lines"
            bad = 1
        }
        FNR == 1 { head = "" }
        /^[a-zA-Z_].*\(.*\{$/ || (/^[a-zA-Z_].*\($|^[a-zA-Z_].*,$/ && head == "") { head = FNR }
        head == FNR || head == "" { body = 0 }
        /\{$/ { body = 1 }
        /;$/ && !body { head = "" } # a prototype
        /^}/ {
            if (head != "" && FNR - head >= 40 && FILENAME !~ /^tests\//) {
                print FILENAME ":" head ": a function of " FNR - head + 1 " lines"
                bad = 1
            }
            head = ""
        }
        END { exit bad }' >&2
