#!/bin/sh
# Whether tests see wrong sums over ranks. A mutant is one line of the sources that is written as
# somebody may write it, or has written it; in a copy, which is built, so that one of the suites
# named with it has to fail. Without a mutant all of them pass.
#
#     mutants.sh [WORD]    all mutants, or those whose name has the word
#
# One line for each says which test failed; the copy, its build and logs stay in build/mutants. A
# mutant whose line is no longer there once, or that does not compile, is a failure too: write it
# anew. Exit status 0 when all were seen.
set -u

suites="test_primitives test_varying test_varying_ops test_varying_layers test_per_grain test_ranks"
cd "$(dirname "$0")/../.." || exit 1
work=$PWD/build/mutants tree=$PWD/build/mutants/tree
word=${1:-}
failures=0 mutants=0

copy() {
    rm -rf "$tree"
    mkdir -p "$tree" || return 1
    cp -r CMakeLists.txt autograd datasets examples nn optim tensor tests "$tree"
}

compile() {
    # shellcheck disable=SC2086 # a list
    cmake --build "$work/build" --target $suites >"$work/build.log" 2>&1
}

configure() {
    cmake -G Ninja -S "$tree" -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DCOTAN_TESTS=ON \
        -DCOTAN_EXAMPLES=OFF -DCOTAN_INSTALL=OFF -DCOTAN_WERROR=OFF \
        "-DCMAKE_C_COMPILER_LAUNCHER=$(command -v ccache)" >"$work/build.log" 2>&1
}

# Of ranks as processes the sums alone: what follows a wrong one takes its time.
pass() { # SUITE
    filter='*'
    [ "$1" != test_ranks ] || filter='ranks/*sum*'
    timeout 300 "$work/build/tests/$1" --jobs 1 --filter "$filter" >"$work/$1.log" 2>&1
}

# The first test that failed, or the suite that did not come to its end.
seen_by() { # SUITE
    test=$(sed -n 's/^\[FAIL\] \([a-z_0-9]*::[a-z_0-9]*\).*/\1/p' "$work/$1.log" | sed -n 1p)
    echo "seen by ${test:-$1}"
}

# In one line of the file FROM becomes TO.
edit() { # FILE FROM TO
    FROM=$2 TO=$3 awk '
        at = index($0, ENVIRON["FROM"]) {
            $0 = substr($0, 1, at - 1) ENVIRON["TO"] substr($0, at + length(ENVIRON["FROM"]))
            lines++
        }
        { print }
        END { exit lines != 1 }' "$1" >"$tree/$1"
}

fail() { # WHAT
    echo "$1"
    failures=$((failures + 1))
}

look() { # SUITE...
    for suite in "$@"; do
        pass "$suite" && continue
        seen_by "$suite"
        return
    done
    fail "SURVIVES $*"
}

mutant() { # NAME FILE FROM TO SUITE...
    case $1 in *"$word"*) ;; *) return ;; esac
    mutants=$((mutants + 1))
    file=$2
    printf '%s ... ' "$1"
    if ! edit "$file" "$3" "$4"; then
        fail "STALE: not in one line of $file: $3"
    elif ! compile; then
        fail "DOES NOT COMPILE: $(grep -m 1 error: "$work/build.log")"
    else
        shift 4
        look "$@"
    fi
    cat "$file" >"$tree/$file" # with a time of now, or it would not be compiled again
}

printf 'no mutant ... '
if ! { copy && configure && compile; }; then
    tail -n 20 "$work/build.log"
    exit 1
fi
for suite in $suites; do
    pass "$suite" || { echo "$suite FAILS" && exit 1; }
done
echo "all suites pass"

# --- The two rules --------------------------------------------------------------------------------

primitives=autograd/ops/ranks.c
mutant 'all_sum is its own transpose' $primitives \
    'return replicate(g, ct_input(y, i)->rows);' \
    'return replicate(ct_all_sum(replicate(g, ct_input(y, i)->rows)), ct_input(y, i)->rows);' \
    test_varying
mutant 'the VJP of replicate is half of a sum' $primitives \
    'return ct_all_sum(g);' 'return ct_scale(ct_all_sum(g), 0.5);' test_varying
mutant 'the VJP of replicate stays on its rank' $primitives \
    'return ct_all_sum(g);' \
    'return ct_sum(cti_marked(ct_scale(g, 1), CTI_REPLICATED), CT_AXES(0));' test_varying
mutant 'the VJP of grain_spread sums over all grains' $primitives \
    'return g ? partial_sums(g, ((const grains_attr *)ct_attr(y))->last) : NULL;' \
    'return ct_replicate(cti_sum_batch(g, ((const grains_attr *)ct_attr(y))->last));' \
    test_per_grain

# --- Gradients of what is the same on all ranks ---------------------------------------------------

stretched='return cti_sum_to(g, ct_shape_of(x), y->rows && !x->rows ? y->batch : -1);'
mutant 'a stretched operand has the gradient of its rank: replicate is missing' \
    autograd/ops/view.c "$stretched" \
    "if (y->rows && !x->rows) g = cti_marked(ct_scale(g, 1), CTI_REPLICATED);
     $stretched" \
    test_varying
mutant 'the gradient of a stretched operand is summed over ranks twice' autograd/ops/view.c \
    "$stretched" \
    "ct_tensor *once = cti_sum_to(g, ct_shape_of(x), y->rows && !x->rows ? y->batch : -1);
     return y->rows && !x->rows ? ct_all_sum(ct_replicate(once)) : once;" \
    test_varying
mutant 'the gradient of a weight is summed over ranks twice' autograd/ops/matmul.c \
    'return ct_all_sum(ct_node(&ct_op_matmul, inputs, 2, NULL, 0));' \
    'return ct_all_sum(ct_replicate(ct_all_sum(ct_node(&ct_op_matmul, inputs, 2, NULL, 0))));' \
    test_varying

mutant 'the kernel gradient of a convolution stays on its rank' autograd/ops/conv.c \
    'return ct_all_sum(cti_node_by_grain(&ct_op_grain_conv2d_kernel, (ct_tensor *[]){x, y}, 2,' \
    '#define ct_all_sum(y) ct_sum(cti_marked(ct_scale(y, 1), CTI_REPLICATED), CT_AXES(0))
     return ct_all_sum(cti_node_by_grain(&ct_op_grain_conv2d_kernel, (ct_tensor *[]){x, y}, 2,' \
    test_varying_ops
mutant 'grains have equally many images in the kernel gradient of a convolution' \
    autograd/kernels/conv_weights.c \
    'ct_span images = cti_grain(&attr->grains, range);' \
    'int64_t most = attr->grains.most, end = attr->grains.ends[attr->grains.n - 1];
     ct_span images = {cti_least(range * most, end), cti_least((range + 1) * most, end)};' \
    test_varying_ops
mutant 'the VJP of the kernel gradient of a convolution is half of it' autograd/ops/conv.c \
    'ct_tensor *of_all = cti_of_all_grains(g);' \
    'ct_tensor *of_all = ct_scale(cti_of_all_grains(g), 0.5);' test_varying_ops
mutant 'grains have equally many rows in the gradient of a table' autograd/ops/take.c \
    'ct_span places = cti_grain(&attr->grains, part);' \
    'int64_t most = attr->grains.most, end = attr->grains.ends[attr->grains.n - 1];
     ct_span places = {cti_least(part * most, end), cti_least((part + 1) * most, end)};' \
    test_varying_ops

# --- Statistics -----------------------------------------------------------------------------------

mutant 'the mean of the mean values of ranks, of equal weights' autograd/compose/moments.c \
    'return ct_mean_keep(x, axes);' \
    'return ct_mean_keep(ct_scale(x, (double)x->rows->total / (double)(
         cti_rows_count(x->rows) * ct_group_size(ct_group_current()))), axes);' \
    test_varying
mutant 'a mean divides by the rows of its rank' autograd/compose/moments.c \
    'count *= (double)cti_global_dim(x, sorted->axis[k]);' \
    'count *= (double)ct_dim(x, sorted->axis[k]);' test_varying
mutant 'BatchNorm normalizes by the statistics of each grain' nn/layers/batch_norm.c \
    'return bn->options.per_grain && x->rows' 'return x->rows' test_varying_layers
mutant 'the moving variance is unbiased for the rows of its rank' nn/layers/batch_norm.c \
    'double n = (double)values_of(bn, x);' \
    'double n = (double)ct_numel(x) / (double)bn->channels;' test_varying_layers

# --- The fixed tree -------------------------------------------------------------------------------

mutant 'grains of a rank are added in turn' tensor/ranks/add.c \
    'int mid = node.first + (node.last - node.first) / 2;' 'int mid = node.last - 1;' \
    test_varying test_ranks
mutant 'four grains are added in turn' tensor/ranks/add.c \
    'element left = ADD(a[i], b[i]), sum = ADD(left, ADD(c[i], d[i]));' \
    'element left = ADD(a[i], b[i]), sum = ADD(ADD(left, c[i]), d[i]);' \
    test_varying test_ranks
mutant 'eight grains are added in halves that are added in turn' tensor/ranks/add.c \
    'element right = ADD(ADD(e[i], f[i]), ADD(g[i], h[i]));' \
    'element right = ADD(ADD(ADD(e[i], f[i]), g[i]), h[i]);' test_varying test_ranks
mutant 'the product of the last grain is left out' autograd/ops/matmul.c \
    'const cti_range all = {0, (int)s->grains};' \
    'const cti_range all = {0, (int)cti_most(s->grains - 1, 1)};' test_primitives
mutant 'sums of ranks are added in turn, one rank after the other' tensor/ranks/schedule.c \
    'int mid = lo + (hi - lo) / 2, ' \
    'int mid = cti_grains_of(owner(b, hi - 1), b->size, b->grains).first, ' \
    test_varying test_ranks
mutant 'of four ranks those far apart are added first, as if they had come first' \
    tensor/ranks/schedule.c \
    'halve_and_double(out, rank, size);' \
    '{
#define OTHER(r) (size == 4 ? (r) % 2 * 2 + (r) / 2 : (r))
         halve_and_double(out, OTHER(rank), size);
         for (int k = 0; k < out->sum.n; k++) {
             out->sum.steps[k].peer = OTHER(out->sum.steps[k].peer);
         }
     }' \
    test_varying test_ranks
mutant 'what another rank sends is not added' tensor/ranks/exchange.c \
    'cti_add_of(e->dtype)(sum, other, (int64_t)(bytes / e->size), sum);' \
    '(void)sum, (void)other;' test_varying
mutant 'what another rank sends takes the place of the sum' tensor/ranks/exchange.c \
    'cti_add_of(e->dtype)(sum, other, (int64_t)(bytes / e->size), sum);' \
    'memcpy(sum, other, bytes);' test_varying

[ $mutants -gt 0 ] || { echo "mutants.sh: no mutant's name has '$word'" >&2 && exit 2; }
[ $failures -eq 0 ] || { echo "$failures of $mutants mutants were not seen" && exit 1; }
echo "$mutants mutants, each seen by a test"
