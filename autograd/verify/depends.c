/* Which outputs depend on which inputs: the pattern of the Jacobian, in the field.
 * It derives nothing itself; rows are VJPs of cotangents that are 1 at one place.
 * Invariant: a 0 is one of algebra, not of rounding. */
#include "autograd/depends.h"

#include "autograd/grad.h"
#include "autograd/verify/verify_private.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"

#define ATTEMPTS 100000

static ct_tensor *unit(ct_shape shape, int64_t at) {
    int64_t n = ct_shape_numel(shape);
    ct_p61 *elements = cti_alloc((size_t)n, sizeof *elements);
    if (!elements) return NULL;
    elements[at] = ct_p61_whole(1);
    ct_tensor *t = ct_from(CT_P61, shape, elements);
    cti_free(elements);
    return t;
}

/* Row `at` of the mask; *there is false where some derivative has no value. */
static ct_status fill_row(const cti_instance *of, int64_t input, int64_t at, uint8_t *row,
                          bool *there) {
    int64_t scope = ct_scope_open();
    ct_tensor *e = unit(ct_shape_of(of->y), at), *x = of->x[input], *g = NULL;
    ct_status status = e ? ct_vjp(of->y, e, &x, 1, &g) : ct_error();
    const ct_p61 *data = status == CT_OK ? ct_data(g) : NULL;
    if (status == CT_OK && !data) status = ct_error();
    for (int64_t i = 0; data && i < ct_numel(g); i++) {
        *there &= ct_p61_has_value(data[i]);
        row[i] = data[i].field != 0;
    }
    ct_scope_close(scope);
    return status;
}

static ct_status fill(const cti_instance *of, int64_t input, uint8_t *mask, bool *there) {
    int64_t rows = ct_numel(of->y), columns = ct_numel(of->x[input]);
    ct_status status = CT_OK;
    *there = true;
    for (int64_t i = 0; i < rows && status == CT_OK && *there; i++) {
        status = fill_row(of, input, i, mask + i * columns, there);
    }
    return status;
}

static ct_tensor *pattern_of(const cti_subject *s, int64_t input) {
    cti_draw draw = {.seed = 1};
    ct_tensor *mask = NULL;
    ct_status status = CT_OK;
    for (; draw.attempt < ATTEMPTS && !mask && status == CT_OK; draw.attempt++) {
        cti_instance of;
        bool there = false;
        int64_t scope = ct_scope_open();
        status = cti_instance_begin(s, CT_P61, &draw, &of);
        int64_t rows = status == CT_OK ? ct_numel(of.y) : 0, columns = 0;
        if (status == CT_OK) columns = ct_numel(of.x[input]);
        uint8_t *bits = status == CT_OK ? cti_alloc((size_t)(rows * columns), 1) : NULL;
        if (status == CT_OK && !bits) status = CT_ERR_MEMORY;
        if (status == CT_OK) status = fill(&of, input, bits, &there);
        if (there) mask = ct_from(CT_U8, CT_SHAPE(rows, columns), bits);
        if (there && !mask) status = ct_error();
        cti_free(bits);
        mask = ct_scope_yield(scope, mask);
    }
    if (mask || status != CT_OK) return mask;
    return ct_fail_null(CT_ERR_STATE, "ct_depends: no point was found at which all roots exist");
}

ct_tensor *ct_depends(ct_function f, void *context, const ct_claim_input *inputs, int64_t n,
                      int64_t input) {
    CTI_CALLED;
    if (!f || !inputs) return cti_null_in("ct_depends: '%s' is NULL", f ? "inputs" : "f");
    if (n < 1 || n > CT_CLAIM_INPUTS || input < 0 || input >= n) {
        bool many = n < 1 || n > CT_CLAIM_INPUTS;
        return ct_fail_null(CT_ERR_RANGE, "ct_depends: '%s' must be %s, got %lld",
                            many ? "n" : "input", many ? "1..16" : "one of the inputs",
                            (long long)(many ? n : input));
    }
    ct_claim claim = {
        .name = "ct_depends", .f = f, .context = context, .inputs = inputs, .n_inputs = n};
    cti_subject s = {.claim = &claim, .f = f};
    return pattern_of(&s, input);
}
