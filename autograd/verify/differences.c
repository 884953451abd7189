/* Finite differences of f against what is derived: what neither side of a claim can hide, such as
 * an op whose derivative is as wrong as the closed form.
 * The differences are those of ct_gradcheck; fixed inputs stay what they are.
 * Invariant: f is called as the other stages call it. */
#include "autograd/ops.h"
#include "autograd/verify/verify_private.h"
#include "tensor/graph/walk.h"

/* A subject as a function of the inputs that are not fixed. */
typedef struct {
    const cti_subject *s;
    ct_tensor *const *x;
} open_inputs;

static ct_tensor *call(void *context, ct_tensor *const given[], int64_t n) {
    const open_inputs *open = context;
    const ct_claim *claim = open->s->claim;
    ct_tensor *x[CT_CLAIM_INPUTS];
    int64_t used = 0;
    for (int64_t i = 0; i < claim->n_inputs; i++) {
        bool takes = !claim->inputs[i].fixed && used < n;
        x[i] = takes ? given[used++] : open->x[i];
    }
    return open->s->f(claim->context, x, claim->n_inputs);
}

/* Where f holds something constant on purpose, differences are of another function. */
static ct_status holds_constant(ct_tensor *y, bool *holds) {
    cti_walk walk;
    *holds = false;
    ct_status status = cti_walk_new(&walk, &y, 1, cti_walk_whole_graph);
    for (int64_t i = 0; status == CT_OK && i < walk.count; i++) {
        *holds |= ct_is(walk.items[i], &ct_op_stop_gradient);
    }
    if (status == CT_OK) cti_walk_free(&walk);
    return status;
}

ct_status cti_verify_differences(const cti_subject *s, const ct_verify_options *options,
                                 ct_verify_report *report, ct_verify_line *line) {
    cti_draw draw = {.seed = options->seed, .stream = UINT64_C(13) << 50};
    cti_instance of;
    ct_tensor *open[CT_CLAIM_INPUTS];
    int64_t n = 0, scope = ct_scope_open();
    bool holds = false;
    ct_gradcheck_report checked = {.passed = true};
    ct_status status = cti_instance_begin(s, CT_F64, &draw, &of);
    if (status == CT_OK) status = holds_constant(of.y, &holds);
    for (int64_t i = 0; i < s->claim->n_inputs && status == CT_OK; i++) {
        if (!s->claim->inputs[i].fixed) open[n++] = of.x[i];
    }
    if (status == CT_OK && n > 0) {
        ct_gradcheck_options sparse = {.seed = options->seed, .full_limit = 1};
        status = ct_gradcheck(call, &(open_inputs){s, of.x}, open, n, sparse, &checked);
    }
    ct_scope_close(scope);
    if (status != CT_OK) return status;
    report->differences = checked.compared;
    report->differences_missed = checked.missed;
    if (checked.passed) return CT_OK;
    cti_line(line,
             "%lld of %lld finite differences of f are not what is derived (%.9g, derived "
             "%.9g)%s",
             (long long)checked.missed, (long long)checked.compared, checked.worst.numeric,
             checked.worst.analytic,
             holds ? "; ct_stop_gradient holds something constant in f" : "");
    report->passed &= holds;
    return CT_OK;
}
