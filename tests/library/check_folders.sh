#!/bin/sh
# What each folder may use, checked on its objects.
#
#     check_folders.sh CC BLIS OPENMP TENSOR AUTOGRAD NN OPTIM DATASETS
#
# CC is the compiler, BLIS the archive, OPENMP the libraries, the others objects: lists with ':'
# between them. Exit status 0 when all holds.
#  - Each folder links as a shared object, all symbols defined, against its allowed folders alone.
#  - Within a folder, each sub-folder uses those before it alone, and what lies beside them.
#  - The headers of tensor/plan/ and tensor/run/ are included by those two alone.
#  - nn/ and optim/ compute nothing themselves: no function of libm, none of BLIS, nothing that
#    makes an op; they print nowhere but to a FILE that they were given.
#  - Ops are defined in autograd/ and nowhere else.
set -eu

if [ $# -ne 8 ]; then
    echo "usage: check_folders.sh CC BLIS OPENMP TENSOR AUTOGRAD NN OPTIM DATASETS" >&2
    exit 2
fi
cc=$1 blis=$2 openmp=$(printf '%s' "$3" | tr ':' ' ')
tensor=$4 autograd=$5 nn=$6 optim=$7 datasets=$8
root=$(dirname "$(readlink -f -- "$0")")/../..
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

objects() { printf '%s\n' "$1" | tr ':' '\n'; }

# link NAME OBJECTS LIBRARY...
link() {
    name=$1 list=$2
    shift 2
    objects "$list" >"$work/$name.rsp"
    if "$cc" -shared -nodefaultlibs -Wl,-z,defs -o "$work/$name.so" "@$work/$name.rsp" "$@" -lc \
        -lgcc >"$work/log" 2>&1; then
        echo "$name: links against its allowed folders alone"
    else
        echo "$name: does not link against its allowed folders alone:" >&2
        grep -E 'undefined|DSO missing' "$work/log" >&2 || cat "$work/log" >&2
        failed=1
    fi
}

# shellcheck disable=SC2086 # $openmp is a list
link tensor "$tensor" "$blis" $openmp -lm -lpthread
# shellcheck disable=SC2086
link autograd "$autograd" "$work/tensor.so" $openmp -lm
link nn "$nn" "$work/autograd.so" "$work/tensor.so"
link optim "$optim" "$work/nn.so" "$work/autograd.so" "$work/tensor.so"
# shellcheck disable=SC2086
link datasets "$datasets" "$work/tensor.so" -lz $openmp -lm

# The layers within a folder, from the lowest; '+' stands between those of one height.
layers() {
    case $1 in
    tensor) echo base+field ranks graph plan run value io ;;
    autograd) echo kernels ops compose+derive check verify draw ;;
    nn) echo layers save+show+models+claims ;;
    optim) echo rules train ;;
    datasets) echo formats+digits ;;
    esac
}

# layered FOLDER OBJECTS: no symbol of a higher layer, or of another of the same height, is used.
layered() {
    for object in $(objects "$2"); do
        sub=$(basename "$(dirname "$object")")
        nm "$object" | awk -v sub_folder="$sub" '
            $(NF - 1) ~ /^[TDBRVW]$/ { print "defines", sub_folder, $NF }
            $(NF - 1) == "U" { print "uses", sub_folder, $NF }'
    done | awk -v folder="$1" -v layers="$(layers "$1")" '
        BEGIN {
            n = split(layers, heights)
            for (h = 1; h <= n; h++) {
                m = split(heights[h], names, "+")
                for (k = 1; k <= m; k++) height[names[k]] = h
            }
        }
        !($2 in height) { next }
        $1 == "defines" { home[$3] = $2 }
        $1 == "uses" { used[$2 " " $3] }
        END {
            for (use in used) {
                split(use, part)
                at = home[part[2]]
                if (at == "" || at == part[1] || height[at] < height[part[1]]) continue
                print folder "/" part[1] ": uses " part[2] " of " folder "/" at
                bad = 1
            }
            exit bad
        }' >&2 || failed=1
}
layered tensor "$tensor"
layered autograd "$autograd"
layered nn "$nn"
layered optim "$optim"
layered datasets "$datasets"

# How plans are made and run is nobody else's business but the tests'.
for closed in plan run; do
    cd "$root"
    if grep -rn "#include \"tensor/$closed/" tensor autograd nn optim datasets examples |
        grep -v -e '^tensor/run/' -e "^tensor/$closed/" >&2; then
        echo "headers of tensor/$closed are included elsewhere" >&2
        failed=1
    fi
done

# The names that libm exports, without version tags.
libm=$("$cc" -print-file-name=libm.so.6)
nm -D --defined-only "$libm" | awk '{ sub(/@.*/, "", $3); print $3 }' | sort -u >"$work/libm"
if ! grep -qx sqrt "$work/libm"; then
    echo "cannot list the functions of $libm" >&2
    exit 1
fi

# refuse NAME WHAT PATTERN-FILE: none of the folder's undefined symbols may be in the file.
refuse() {
    found=$(comm -12 "$work/$1.undefined" "$3" | tr '\n' ' ')
    if [ -n "$found" ]; then
        echo "$1: uses $2: $found" >&2
        failed=1
    fi
}

printf '%s\n' ct_node ct_attr ct_op_of ct_no_gradient ct_infer_same ct_infer_float | sort \
    >"$work/making_ops"
printf '%s\n' printf vprintf puts putchar perror stdout stderr __printf_chk __vprintf_chk abort \
    exit _exit __assert_fail | sort >"$work/printing"
for folder in nn optim; do
    eval "list=\$$folder"
    objects "$list" | xargs nm -u | awk 'NF == 2 { sub(/@.*/, "", $2); print $2 }' | sort -u \
        >"$work/$folder.undefined"
    grep '^bli_' "$work/$folder.undefined" >"$work/blis" || true
    refuse "$folder" "BLIS" "$work/blis"
    refuse "$folder" "libm" "$work/libm"
    refuse "$folder" "what makes ops" "$work/making_ops"
    refuse "$folder" "what prints or ends the process" "$work/printing"
done

for folder in tensor nn optim datasets; do
    eval "list=\$$folder"
    for object in $(objects "$list"); do
        if objdump -h "$object" | grep -q ' ct_ops '; then
            echo "$folder: $object defines an op" >&2
            failed=1
        fi
    done
done
[ "$failed" -eq 0 ] && echo "nn, optim: no libm, no BLIS, no ops of their own, no printing"
exit "$failed"
