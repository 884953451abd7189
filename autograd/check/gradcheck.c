/* The gradient checker: drives a function at perturbed inputs and compares.
 * It knows no op and no derivative; what it needs of them is ct_vjp. What differences at many steps
 * say together is in steps.c.
 * Invariant: an evaluation opens a scope and closes it, so a check holds no more memory than one
 * evaluation and its matrices; it works on leaves of its own, and all it made goes with it. */
#include "autograd/gradcheck.h"

#include "autograd/check/arguments.h"
#include "autograd/check/steps.h"
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/zone.h"
#include "tensor/random.h"
#include "tensor/varying.h"

#include <math.h>
#include <string.h>

#define SMALLEST 1e-6 /* size of a value that is not 0 because something larger was rounded */

typedef struct {
    /* The function, and the leaves it is checked at. */
    ct_function *f;
    void *context;
    ct_tensor **x;
    int64_t n, n_in, n_out; /* inputs; elements of all of them; elements of the output */
    ct_shape y_shape;
    /* The options, completed for this order. */
    int order, directions;
    double step, relative, absolute;
    bool step_given; /* by the user: no other one is tried */
    int64_t full_limit;
    bool full;             /* every entry of the Jacobian is compared */
    uint64_t seed, stream; /* of random numbers: seed and the next stream */
    /* Working memory, all of it of the zone. */
    cti_zone zone;
    ct_tensor **point;                     /* n: operands or results of the call at hand */
    double *y, *y_down, *column;           /* n_out */
    double *u;                             /* n_out: the dense cotangent */
    double *rows;                          /* derivatives: the Jacobian and J^T u, or J^T u alone */
    double *up, *down, *moved, *direction; /* elements of the largest input; direction is zeros */
    double *rung, *rung_moved;             /* column and moved at one of many steps */
    double *ladder;                        /* [comparisons of a column, rungs]: differences */
    bool *bent;                            /* [comparisons]: not straight over the largest step */
    int *moving;  /* [comparisons]: rungs at which their value still moves */
    bool climbed; /* the ladder holds those of the column at hand */
    bool *alive;  /* n: the input has a derivative that is not 0 */
    bool dead;    /* nothing but zeros was compared since this was set */
    double worst_ratio;
    ct_gradcheck_report *report;
} check;

/* n numbers of random sign and of sizes in [1/2, 3/2), so that none of them hides an error. */
static void draw(check *c, double *out, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t word[4];
        ct_philox(word, (uint64_t)i, c->stream, c->seed);
        out[i] = (word[1] & 1 ? 1 : -1) * (0.5 + (double)word[0] * 0x1p-32);
    }
    c->stream++;
}

/* --- Calling the function ----------------------------------------------------------------- */

static ct_tensor *call_user(check *c, ct_tensor *const inputs[]) {
    CTI_CALLS_USER;
    return c->f(c->context, inputs, c->n);
}

static ct_tensor *call(check *c, ct_tensor *const inputs[]) {
    ct_tensor *y = call_user(c, inputs);
    if (!y) {
        cti_null("ct_gradcheck: f returned NULL");
        return NULL;
    }
    if (ct_dtype_of(y) != CT_F64) {
        return ct_fail_null(CT_ERR_DTYPE, "ct_gradcheck: f must return f64, got %s",
                            ct_dtype_name(ct_dtype_of(y)));
    }
    if (ct_varying_axis(y) >= 0) {
        return ct_fail_null(CT_ERR_STATE,
                            "ct_gradcheck: f's value varies between ranks along axis %d; ct_sum",
                            ct_varying_axis(y));
    }
    if (c->y && !ct_shape_equal(ct_shape_of(y), c->y_shape)) {
        return ct_fail_null(CT_ERR_STATE, "ct_gradcheck: f returned %s, before that %s",
                            ct_shape_format(ct_shape_of(y)).text, ct_shape_format(c->y_shape).text);
    }
    return y;
}

/* y = f(inputs), as numbers. */
static ct_status values_at(check *c, ct_tensor *const inputs[], double *y) {
    int64_t scope = ct_scope_open();
    ct_tensor *value = call(c, inputs);
    const double *data = value ? ct_data_f64(value) : NULL;
    if (data && c->n_out) memcpy(y, data, (size_t)c->n_out * sizeof *y);
    ct_scope_close(scope);
    return data ? CT_OK : ct_error();
}

/* y = f with `elements` in the place of input k. */
static ct_status values_with(check *c, int64_t k, const double *elements, double *y) {
    int64_t scope = ct_scope_open();
    ct_status status = CT_ERR_MEMORY;
    ct_tensor *leaf = ct_from(CT_F64, ct_shape_of(c->x[k]), elements);
    if (leaf) {
        memcpy(c->point, c->x, (size_t)c->n * sizeof(ct_tensor *));
        c->point[k] = leaf;
        status = values_at(c, c->point, y);
    }
    ct_scope_close(scope);
    return status;
}

/* g = J^T cotangent, over all inputs one behind the other. */
static ct_status gradient(check *c, const double *cotangent, double *g) {
    int64_t scope = ct_scope_open();
    ct_tensor *y = call(c, c->x);
    ct_tensor *u = y ? ct_from(CT_F64, c->y_shape, cotangent) : NULL;
    ct_status status = u ? ct_vjp(y, u, c->x, c->n, c->point) : ct_error();
    if (status == CT_OK) status = ct_eval(c->point, c->n);
    for (int64_t k = 0; k < c->n && status == CT_OK; k++) {
        int64_t numel = ct_numel(c->x[k]);
        const double *data = ct_data_f64(c->point[k]);
        if (!data) status = ct_error();
        else if (numel) memcpy(g, data, (size_t)numel * sizeof *g);
        g += numel;
    }
    ct_scope_close(scope);
    return status;
}

/* --- Differences -------------------------------------------------------------------------- */

/* A straight line through the inputs: input k moves along `direction`, and J goes with it. */
typedef struct {
    int64_t input, index; /* of the element that moves; -1: many */
    const double *direction;
    const double *u; /* the dense cotangent */
    const double *g; /* J^T u, when many elements move */
    double largest;  /* derivative along it, as far as outputs are looked at singly */
} line;

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* d f / d t along a line, by a step of t; *moved is how far t goes when rounding is done. */
static ct_status difference(check *c, const line *l, double step, double *moved, double *column) {
    int64_t k = l->input, n = ct_numel(c->x[k]);
    const double *x = ct_data_f64(c->x[k]);
    for (int64_t j = 0; j < n; j++) {
        double h = step * fmax(1.0, fabs(x[j])) * l->direction[j];
        c->up[j] = x[j] + h;
        c->down[j] = x[j] - h;
        moved[j] = (c->up[j] - c->down[j]) / (2 * step);
    }
    ct_status status = values_with(c, k, c->up, column);
    if (status == CT_OK) status = values_with(c, k, c->down, c->y_down);
    for (int64_t i = 0; i < c->n_out && status == CT_OK; i++) {
        column[i] = (column[i] - c->y_down[i]) / (2 * step);
    }
    return status;
}

/* The size that steps have to come down to: the element's, and of many or of a 0 that of the
 * smallest one that is not 0. */
static double smallest(const check *c, const line *l) {
    const double *x = ct_data_f64(c->x[l->input]);
    if (l->index >= 0 && x[l->index] != 0) return fabs(x[l->index]);
    double size = 1;
    for (int64_t j = 0; j < ct_numel(c->x[l->input]); j++) {
        if (x[j] != 0) size = fmin(size, fabs(x[j]));
    }
    return size;
}

/* Whether values still move when all elements do. Where they do not, they are rounded inside, and
 * that they stand still says nothing about a derivative. */
static ct_status push(check *c, const line *l, int r) {
    int64_t n = ct_numel(c->x[l->input]);
    const double *x = ct_data_f64(c->x[l->input]);
    for (int64_t j = 0; j < n; j++) {
        double uneven = 1 + 0.5 * sin((double)j);
        c->up[j] = x[j] + cti_rung(r) * fmax(1.0, fabs(x[j])) * uneven;
    }
    ct_status status = values_with(c, l->input, c->up, c->y_down);
    for (int64_t i = 0; i < c->n_out && status == CT_OK; i++) {
        if (c->y_down[i] == c->y[i]) continue;
        if (!l->g) c->moving[i] = r + 1;
        c->moving[l->g ? 0 : c->n_out] = r + 1;
    }
    return status;
}

/* Whether two one-sided differences are those of another function on each side: a kink, or a step
 * beyond all that the data knows. Where they agree, the function is what that step says, and if it
 * stands still at small ones it is rounded inside. */
static bool disagree(double ahead, double behind) {
    return !(fabs(ahead - behind) <= 0.5 * fmax(fabs(ahead), fabs(behind)));
}

/* From the differences at a step, whose value behind is still in y_down. */
static void look_for_bends(check *c, const line *l, double step) {
    double ahead = 0, behind = 0;
    for (int64_t i = 0; i < c->n_out; i++) {
        double back = c->y[i] - c->y_down[i], forth = 2 * step * c->rung[i] - back;
        ahead += l->u[i] * forth;
        behind += l->u[i] * back;
        if (!l->g) c->bent[i] = disagree(forth, back);
    }
    c->bent[l->g ? 0 : c->n_out] = disagree(ahead, behind);
}

/* The differences of a line at all steps. Where many elements move, rounding moves them a little
 * differently at each step; what J makes of that is taken out, so that the steps compare. */
static ct_status climb(check *c, const line *l) {
    int64_t n = ct_numel(c->x[l->input]);
    double usual = l->g ? dot(l->g, c->moved, n) : 0;
    int rungs = cti_rungs(smallest(c, l));
    memset(c->moving, 0, (size_t)(l->g ? 1 : c->n_out + 1) * sizeof *c->moving);
    for (int r = 0; r < rungs; r++) {
        double *rung = c->rung, *moved = c->rung_moved;
        ct_status status = push(c, l, r);
        if (status == CT_OK) status = difference(c, l, cti_rung(r), moved, rung);
        if (status != CT_OK) return status;
        if (r == 0) look_for_bends(c, l, cti_rung(0));
        double along = dot(l->u, rung, c->n_out);
        if (l->g) {
            c->ladder[r] = along - (dot(l->g, moved, n) - usual);
            continue;
        }
        double by = moved[l->index];
        for (int64_t i = 0; i < c->n_out; i++) c->ladder[i * CTI_RUNGS + r] = rung[i] / by;
        c->ladder[c->n_out * CTI_RUNGS + r] = along / by;
    }
    c->climbed = true;
    return CT_OK;
}

/* --- Comparing ---------------------------------------------------------------------------- */

/* Whether the entry is right but for `nothing`, which a derivative of 0 may differ by. */
static bool judge(const check *c, ct_gradcheck_entry *entry, double nothing) {
    entry->error = fabs(entry->analytic - entry->numeric);
    if (!isfinite(entry->error)) entry->error = INFINITY;
    entry->allowed = c->relative * fabs(entry->analytic) + nothing;
    return isfinite(entry->error) && entry->error <= entry->allowed;
}

static void note(check *c, ct_gradcheck_entry entry, bool within, double step, double uncertainty) {
    ct_gradcheck_report *report = c->report;
    report->compared++;
    report->missed += !within;
    report->passed &= within;
    double nothing = entry.allowed - c->relative * fabs(entry.analytic);
    if (!(fabs(entry.analytic) <= nothing && fabs(entry.numeric) <= nothing)) c->dead = false;
    double ratio = entry.error == 0 ? 0 : entry.error / entry.allowed;
    if (ratio <= c->worst_ratio) return;
    c->worst_ratio = ratio;
    report->worst = entry;
    report->worst_step = step;
    report->worst_uncertainty = uncertainty;
}

/* What the ladder says when the value may be rounded as something of size 1 is, and where that
 * disagrees and the function is not straight, when it is rounded as its own size is. Two that
 * disagree are off by as much. */
static bool judge_ladder(const check *c, ct_gradcheck_entry *entry, double f, double moved,
                         int64_t row, double bounds[2], double *uncertainty, double *step) {
    const double *ladder = c->ladder + row * CTI_RUNGS;
    entry->numeric = cti_extrapolate(ladder, CTI_USUAL_RUNGS, fmax(1.0, f) / fabs(moved),
                                     uncertainty, step);
    if (judge(c, entry, fmin(bounds[1], bounds[0] + 10 * *uncertainty))) return true;
    ct_gradcheck_entry own = *entry;
    double doubt, by;
    own.numeric = cti_extrapolate(ladder, c->moving[row], f / fabs(moved), &doubt, &by);
    if (c->bent[row] && judge(c, &own, fmin(bounds[1], bounds[0] + 10 * doubt))) {
        *entry = own;
        *uncertainty = doubt;
        *step = by;
        return true;
    }
    double apart = fabs(own.numeric - entry->numeric);
    double against = cti_contradiction(ladder, c->moving[row], f / fabs(moved), entry->numeric,
                                       *step);
    *uncertainty = fmax(*uncertainty, against);
    if (isfinite(apart)) *uncertainty = fmax(*uncertainty, apart);
    return false;
}

/* `f` is the size of the value whose rounding the difference carries, `moved` how far the input
 * moves by a step of 1, `row` the comparison's in the ladder. The usual step is taken at its word
 * where it agrees by far, as the value's own rounding lets it; values that are 0 come out of
 * something larger that was rounded. */
static ct_status compare(check *c, const line *l, ct_gradcheck_entry entry, double f, double moved,
                         int64_t row) {
    double size = fmax(1.0, f), most = c->absolute * size, step = 0, uncertainty = 0;
    double least = fmin(most, c->absolute * fmax(SMALLEST, f) / fabs(moved));
    entry.order = c->order;
    entry.input = l->input;
    entry.index = l->index;
    bool within = judge(c, &entry, c->step_given ? most : least);
    if (!c->step_given && !(within && 10 * entry.error <= entry.allowed)) {
        ct_status status = c->climbed ? CT_OK : climb(c, l);
        if (status != CT_OK) return status;
        most = fmax(most, 10 * c->relative * fmax(l->largest, fabs(entry.analytic)));
        within = judge_ladder(c, &entry, f, moved, row, (double[]){least, most}, &uncertainty,
                              &step);
    }
    note(c, entry, within, step, uncertainty);
    return CT_OK;
}

/* An input whose every derivative is 0. At order 2 that is ordinary: linear functions. */
static void note_dead(check *c, int64_t k) {
    ct_gradcheck_report *report = c->report;
    if (c->order > 1 || !c->dead || c->n_out == 0 || ct_numel(c->x[k]) == 0) return;
    if (!report->degenerate) report->degenerate_input = k;
    report->degenerate = true;
}

/* Root of the sum of (u f)^2: the size of <u, f>'s rounding, whatever the signs of u. An f that
 * did not move is rounded the same on both sides and adds nothing. */
static double size_of_product(const double *u, const double *f, const double *by, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        if (by[i] != 0) sum += u[i] * f[i] * u[i] * f[i];
    }
    return sqrt(sum);
}

/* --- The full Jacobian -------------------------------------------------------------------- */

/* rows[i][j] = d y_i / d x_j, and one more row: J^T u for the dense cotangent u. */
static ct_status analytic_rows(check *c) {
    ct_status status = CT_OK;
    for (int64_t i = 0; i <= c->n_out && status == CT_OK; i++) {
        memset(c->y_down, 0, (size_t)c->n_out * sizeof(double));
        if (i < c->n_out) c->y_down[i] = 1;
        status = gradient(c, i < c->n_out ? c->y_down : c->u, c->rows + i * c->n_in);
    }
    return status;
}

static ct_status compare_column(check *c, line *l, const double *rows) {
    double moved = c->moved[l->index];
    ct_status status = CT_OK;
    for (int64_t i = 0; i < c->n_out; i++) l->largest = fmax(l->largest, fabs(rows[i * c->n_in]));
    c->climbed = false;
    for (int64_t i = 0; i < c->n_out && status == CT_OK; i++) {
        ct_gradcheck_entry entry = {
            .output = i, .analytic = rows[i * c->n_in], .numeric = c->column[i] / moved};
        status = compare(c, l, entry, fabs(c->y[i]), moved, i);
    }
    if (status != CT_OK) return status;
    ct_gradcheck_entry entry = {.output = -1,
                                .analytic = rows[c->n_out * c->n_in],
                                .numeric = dot(l->u, c->column, c->n_out) / moved};
    return compare(c, l, entry, size_of_product(l->u, c->y, c->column, c->n_out), moved, c->n_out);
}

/* Element by element of input k. */
static ct_status check_input(check *c, int64_t k, const double *rows) {
    ct_status status = CT_OK;
    for (int64_t j = 0; j < ct_numel(c->x[k]) && status == CT_OK; j++) {
        line l = {.input = k, .index = j, .direction = c->direction, .u = c->u};
        c->direction[j] = 1;
        status = difference(c, &l, c->step, c->moved, c->column);
        if (status == CT_OK) status = compare_column(c, &l, rows + j);
        c->direction[j] = 0;
    }
    return status;
}

static ct_status check_full(check *c) {
    int64_t at = 0;
    draw(c, c->u, c->n_out);
    ct_status status = analytic_rows(c);
    for (int64_t k = 0; k < c->n && status == CT_OK; k++) {
        c->dead = true;
        status = check_input(c, k, c->rows + at);
        at += ct_numel(c->x[k]);
        if (status == CT_OK) note_dead(c, k);
    }
    return status;
}

/* --- Random projections ------------------------------------------------------------------- */

static ct_status project(check *c, const line *l) {
    int64_t n = ct_numel(c->x[l->input]);
    ct_status status = difference(c, l, c->step, c->moved, c->column);
    c->dead = true;
    c->climbed = false;
    if (status != CT_OK || n == 0) return status;
    ct_gradcheck_entry entry = {.output = -1,
                                .analytic = dot(l->g, c->moved, n),
                                .numeric = dot(l->u, c->column, c->n_out)};
    status = compare(c, l, entry, size_of_product(l->u, c->y, c->column, c->n_out), 1, 0);
    if (!c->dead) c->alive[l->input] = true;
    return status;
}

static ct_status check_projection(check *c) {
    const double *g = c->rows;
    draw(c, c->u, c->n_out);
    ct_status status = gradient(c, c->u, c->rows);
    for (int64_t k = 0; k < c->n && status == CT_OK; k++) {
        draw(c, c->direction, ct_numel(c->x[k]));
        line l = {.input = k, .index = -1, .direction = c->direction, .u = c->u, .g = g};
        status = project(c, &l);
        g += ct_numel(c->x[k]);
    }
    return status;
}

static ct_status check_projections(check *c) {
    ct_status status = CT_OK;
    for (int i = 0; i < c->directions && status == CT_OK; i++) status = check_projection(c);
    for (int64_t k = 0; k < c->n && status == CT_OK; k++) {
        c->dead = !c->alive[k];
        note_dead(c, k);
    }
    return status;
}

/* --- One order ---------------------------------------------------------------------------- */

static double or_default(double value, double fallback) { return value > 0 ? value : fallback; }

static void complete(check *c, ct_gradcheck_options o) {
    bool first = c->order == 1;
    c->step_given = o.step > 0;
    c->step = or_default(o.step, 1e-6);
    c->relative = or_default(o.relative, first ? 1e-6 : 1e-5);
    c->absolute = or_default(o.absolute, first ? 3e-9 : 1e-7);
    c->full_limit = o.full_limit ? o.full_limit : 4096;
    c->directions = o.directions ? o.directions : 8;
    c->seed = o.seed;
}

/* Leaves with the inputs' values: f sees them row-major whatever they are views of. */
static ct_status take_inputs(check *c, ct_tensor *const inputs[]) {
    int64_t largest = 0;
    c->point = c->x + c->n;
    for (int64_t k = 0; k < c->n; k++) {
        c->x[k] = ct_detach(inputs[k]);
        if (!c->x[k]) return ct_error();
        int64_t numel = ct_numel(c->x[k]);
        if (__builtin_add_overflow(c->n_in, numel, &c->n_in)) {
            return ct_fail(CT_ERR_RANGE, "ct_gradcheck: more than 2^63-1 elements");
        }
        if (numel > largest) largest = numel;
    }
    double *memory = cti_zone_alloc(&c->zone, 5 * (size_t)largest, sizeof *memory);
    if (!memory) return CT_ERR_MEMORY;
    c->up = memory, c->down = memory + largest, c->moved = memory + 2 * largest;
    c->rung_moved = memory + 3 * largest, c->direction = memory + 4 * largest;
    return CT_OK;
}

static ct_status take_output(check *c) {
    ct_tensor *y = call(c, c->x);
    if (!y) return ct_error();
    c->y_shape = ct_shape_of(y);
    c->n_out = ct_numel(y);
    int64_t entries;
    c->full = !__builtin_mul_overflow(c->n_out, c->n_in, &entries) && entries <= c->full_limit;
    c->report->full &= c->full;
    size_t n = c->full ? (size_t)c->n_out + 1 : 1, width = (size_t)c->n_in + CTI_RUNGS;
    double *memory = cti_zone_alloc(&c->zone, 5 * (size_t)c->n_out + n * width, sizeof *memory);
    c->bent = cti_zone_alloc(&c->zone, n, sizeof *c->bent);
    c->moving = cti_zone_alloc(&c->zone, n, sizeof *c->moving);
    if (!memory || !c->bent || !c->moving) return CT_ERR_MEMORY;
    c->y = memory, c->y_down = memory + c->n_out, c->column = memory + 2 * c->n_out;
    c->rung = memory + 3 * c->n_out, c->u = memory + 4 * c->n_out;
    c->ladder = memory + 5 * c->n_out, c->rows = c->ladder + n * CTI_RUNGS;
    return CT_OK;
}

static ct_status check_repeats(check *c) {
    ct_status status = values_at(c, c->x, c->y);
    if (status == CT_OK) status = values_at(c, c->x, c->column);
    if (status == CT_OK && memcmp(c->y, c->column, (size_t)c->n_out * sizeof(double)) != 0) {
        return ct_fail(CT_ERR_STATE, "ct_gradcheck: f gave other values when it was called again; "
                                     "random numbers must come from a key that stays the same");
    }
    return status;
}

static ct_status check_order(check *c, ct_tensor *const inputs[], ct_gradcheck_options options) {
    complete(c, options);
    int64_t scope = ct_scope_open();
    c->x = cti_zone_alloc(&c->zone, 2 * (size_t)c->n, sizeof *c->x);
    c->alive = cti_zone_alloc(&c->zone, (size_t)c->n, sizeof *c->alive);
    ct_status status = c->x && c->alive ? take_inputs(c, inputs) : CT_ERR_MEMORY;
    if (status == CT_OK) status = take_output(c);
    if (status == CT_OK) status = check_repeats(c);
    if (status == CT_OK) status = c->full ? check_full(c) : check_projections(c);
    ct_scope_close(scope);
    return status;
}

/* --- The second derivative ---------------------------------------------------------------- */

typedef struct {
    ct_function *f;
    void *context;
} derivative;

/* (x, cotangent) -> J(x)^T cotangent, all inputs one behind the other. */
static ct_tensor *derive(void *context, ct_tensor *const inputs[], int64_t n) {
    const derivative *d = context;
    int64_t n_x = n - 1;
    ct_tensor *y = d->f(d->context, inputs, n_x), *all = NULL;
    ct_tensor **g = y ? cti_alloc((size_t)n_x, sizeof *g) : NULL;
    if (g && ct_vjp(y, inputs[n_x], inputs, n_x, g) == CT_OK) {
        for (int64_t k = 0; k < n_x; k++) g[k] = ct_reshape(g[k], CT_SHAPE(ct_numel(g[k])));
        all = ct_concat(g, n_x, 0);
    }
    cti_free(g);
    return all;
}

static ct_status check_second(const check *first, ct_tensor *const inputs[],
                              ct_gradcheck_options options) {
    derivative d = {first->f, first->context};
    check c = {.f = derive,
               .context = &d,
               .n = first->n + 1,
               .order = 2,
               .stream = 1u << 16,
               .report = first->report,
               .seed = options.seed,
               .worst_ratio = first->worst_ratio};
    int64_t scope = ct_scope_open();
    ct_tensor **all = cti_zone_alloc(&c.zone, (size_t)c.n, sizeof *all);
    double *cotangent = cti_zone_alloc(&c.zone, (size_t)first->n_out, sizeof *cotangent);
    ct_status status = CT_ERR_MEMORY;
    if (all && cotangent) {
        draw(&c, cotangent, first->n_out);
        memcpy(all, inputs, (size_t)first->n * sizeof(ct_tensor *));
        all[first->n] = ct_from(CT_F64, first->y_shape, cotangent);
        status = all[first->n] ? check_order(&c, all, options) : ct_error();
    }
    cti_zone_free(&c.zone);
    ct_scope_close(scope);
    return status;
}

ct_status ct_gradcheck(ct_function f, void *context, ct_tensor *const inputs[], int64_t n,
                       ct_gradcheck_options options, ct_gradcheck_report *report) {
    CTI_CALLED;
    if (!f || !inputs || !report) {
        return ct_fail(CT_ERR_NULL, "ct_gradcheck: '%s' is NULL",
                       !f        ? "f"
                       : !inputs ? "inputs"
                                 : "report");
    }
    ct_status status = cti_gradcheck_options_check(options);
    if (status == CT_OK) status = cti_gradcheck_inputs_check(inputs, n);
    if (status != CT_OK) return status;
    ct_gradcheck_report made = {.passed = true, .full = true, .degenerate_input = -1};
    made.worst = (ct_gradcheck_entry){.order = 1, .input = -1, .index = -1, .output = -1};
    check c = {.f = f, .context = context, .n = n, .order = 1, .report = &made, .worst_ratio = -1};
    status = check_order(&c, inputs, options);
    if (status == CT_OK && options.order == 2) status = check_second(&c, inputs, options);
    cti_zone_free(&c.zone);
    if (status == CT_OK) *report = made;
    return status;
}
