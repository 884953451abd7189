/* The gradient checker: drives a function at perturbed inputs and compares.
 * It knows no op and no derivative; what it needs of them is ct_vjp. The report is printed
 * elsewhere.
 * Invariant: an evaluation opens a scope and closes it, so a check holds no more memory than one
 * evaluation and its matrices. */
#include "autograd/gradcheck.h"

#include "autograd/gradcheck_private.h"
#include "autograd/grad.h"
#include "tensor/caller.h"
#include "tensor/mem.h"

#include <math.h>
#include <string.h>

/* --- Calling the function ----------------------------------------------------------------- */

static ct_tensor *call_user(cti_check *c, ct_tensor *const inputs[]) {
    CTI_CALLS_USER;
    return c->f(c->context, inputs, c->n);
}

ct_tensor *cti_gradcheck_call(cti_check *c, ct_tensor *const inputs[]) {
    ct_tensor *y = call_user(c, inputs);
    if (!y) {
        cti_null("ct_gradcheck: f returned NULL");
        return NULL;
    }
    if (ct_dtype_of(y) != CT_F64) {
        return ct_fail_null(CT_ERR_DTYPE, "ct_gradcheck: f must return f64, got %s",
                            ct_dtype_name(ct_dtype_of(y)));
    }
    if (c->y_known && !ct_shape_equal(ct_shape_of(y), c->y_shape)) {
        return ct_fail_null(CT_ERR_STATE, "ct_gradcheck: f returned %s, before that %s",
                            ct_shape_format(ct_shape_of(y)).text,
                            ct_shape_format(c->y_shape).text);
    }
    return y;
}

/* y = f(inputs), as numbers. */
static ct_status values_at(cti_check *c, ct_tensor *const inputs[], double *y) {
    int64_t scope = ct_scope_open();
    ct_tensor *value = cti_gradcheck_call(c, inputs);
    const double *data = value ? ct_data_f64(value) : NULL;
    if (data && c->n_out) memcpy(y, data, (size_t)c->n_out * sizeof *y);
    ct_scope_close(scope);
    return data ? CT_OK : ct_error();
}

/* y = f with `elements` in the place of input k. */
static ct_status values_with(cti_check *c, int64_t k, const double *elements, double *y) {
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
static ct_status gradient(cti_check *c, const double *cotangent, double *g) {
    int64_t scope = ct_scope_open();
    ct_tensor *y = cti_gradcheck_call(c, c->x);
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

/* --- Comparing ---------------------------------------------------------------------------- */

/* `f` is the size of the value whose rounding the difference carries. */
static void compare(cti_check *c, ct_gradcheck_entry entry, double f) {
    ct_gradcheck_report *report = c->report;
    entry.order = c->order;
    entry.error = fabs(entry.analytic - entry.numeric);
    if (!isfinite(entry.error)) entry.error = INFINITY;
    double nothing = c->absolute * fmax(1.0, f);
    entry.allowed = c->relative * fabs(entry.analytic) + nothing;
    bool within = isfinite(entry.error) && entry.error <= entry.allowed;
    report->compared++;
    report->missed += !within;
    report->passed &= within;
    if (!(fabs(entry.analytic) <= nothing && fabs(entry.numeric) <= nothing)) c->dead = false;
    double ratio = isfinite(entry.error) ? entry.error / entry.allowed : INFINITY;
    if (ratio <= c->worst_ratio) return;
    c->worst_ratio = ratio;
    report->worst = entry;
}

/* An input whose every derivative is 0. At order 2 that is ordinary: linear functions. */
static void note_dead(cti_check *c, int64_t k) {
    ct_gradcheck_report *report = c->report;
    if (c->order > 1 || !c->dead || c->n_out == 0 || ct_numel(c->x[k]) == 0) return;
    if (!report->degenerate) report->degenerate_input = k;
    report->degenerate = true;
}

/* Root of the sum of (u f)^2: the size of <u, f>'s rounding, whatever the signs of u. */
static double size_of_product(const double *u, const double *f, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += u[i] * f[i] * u[i] * f[i];
    return sqrt(sum);
}

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* d f / d t along `direction` from x_k; *moved is the step that rounding made of it. */
static ct_status difference(cti_check *c, int64_t k, const double *direction, double *moved,
                            double *column) {
    int64_t n = ct_numel(c->x[k]);
    const double *x = ct_data_f64(c->x[k]);
    double *up = c->up, *down = c->down;
    for (int64_t j = 0; j < n; j++) {
        double h = c->step * fmax(1.0, fabs(x[j])) * direction[j];
        up[j] = x[j] + h;
        down[j] = x[j] - h;
        moved[j] = (up[j] - down[j]) / (2 * c->step);
    }
    ct_status status = values_with(c, k, up, column);
    if (status == CT_OK) status = values_with(c, k, down, c->y_down);
    for (int64_t i = 0; i < c->n_out && status == CT_OK; i++) {
        column[i] = (column[i] - c->y_down[i]) / (2 * c->step);
    }
    return status;
}

/* --- The full Jacobian -------------------------------------------------------------------- */

/* rows[i][j] = d y_i / d x_j, and one more row: J^T u for the dense cotangent u. */
static ct_status analytic_rows(cti_check *c, double *rows, const double *u) {
    ct_status status = CT_OK;
    for (int64_t i = 0; i <= c->n_out && status == CT_OK; i++) {
        memset(c->y_down, 0, (size_t)c->n_out * sizeof(double));
        if (i < c->n_out) c->y_down[i] = 1;
        status = gradient(c, i < c->n_out ? c->y_down : u, rows + i * c->n_in);
    }
    return status;
}

static void compare_column(cti_check *c, int64_t k, int64_t j, const double *rows,
                           const double *u, const double *column, double moved) {
    for (int64_t i = 0; i < c->n_out; i++) {
        compare(c, (ct_gradcheck_entry){.input = k, .index = j, .output = i,
                                        .analytic = rows[i * c->n_in],
                                        .numeric = column[i] / moved},
                fabs(c->y[i]));
    }
    compare(c, (ct_gradcheck_entry){.input = k, .index = j, .output = -1,
                                    .analytic = rows[c->n_out * c->n_in],
                                    .numeric = dot(u, column, c->n_out) / moved},
            size_of_product(u, c->y, c->n_out));
}

static ct_status check_full(cti_check *c) {
    int64_t cells = (c->n_out + 1) * c->n_in;
    double *rows = cti_alloc((size_t)cells, sizeof *rows);
    double *u = cti_gradcheck_draw(c, c->n_out), *column = c->column;
    ct_status status = rows && u ? analytic_rows(c, rows, u) : CT_ERR_MEMORY;
    for (int64_t k = 0, at = 0; k < c->n && status == CT_OK; k++) {
        c->dead = true;
        for (int64_t j = 0; j < ct_numel(c->x[k]) && status == CT_OK; j++, at++) {
            c->direction[j] = 1;
            status = difference(c, k, c->direction, c->moved, column);
            c->direction[j] = 0;
            if (status == CT_OK) compare_column(c, k, j, rows + at, u, column, c->moved[j]);
        }
        if (status == CT_OK) note_dead(c, k);
    }
    cti_free(rows);
    cti_free(u);
    return status;
}

/* --- Random projections ------------------------------------------------------------------- */

static ct_status check_projection(cti_check *c, double *g) {
    double *u = cti_gradcheck_draw(c, c->n_out);
    ct_status status = u ? gradient(c, u, g) : CT_ERR_MEMORY;
    for (int64_t k = 0; k < c->n && status == CT_OK; k++) {
        int64_t n = ct_numel(c->x[k]);
        double *v = cti_gradcheck_draw(c, n);
        status = v ? difference(c, k, v, c->moved, c->column) : CT_ERR_MEMORY;
        cti_free(v);
        c->dead = true;
        if (status == CT_OK && n) {
            compare(c, (ct_gradcheck_entry){.input = k, .index = -1, .output = -1,
                                            .analytic = dot(g, c->moved, n),
                                            .numeric = dot(u, c->column, c->n_out)},
                    size_of_product(u, c->y, c->n_out));
            if (!c->dead) c->alive[k] = true;
        }
        g += n;
    }
    cti_free(u);
    return status;
}

static ct_status check_projections(cti_check *c) {
    double *g = cti_alloc((size_t)c->n_in, sizeof *g);
    ct_status status = g ? CT_OK : CT_ERR_MEMORY;
    for (int i = 0; i < c->directions && status == CT_OK; i++) status = check_projection(c, g);
    for (int64_t k = 0; k < c->n && status == CT_OK; k++) {
        c->dead = !c->alive[k];
        note_dead(c, k);
    }
    cti_free(g);
    c->report->full = false;
    return status;
}

ct_status cti_gradcheck_run(cti_check *c) {
    int64_t entries;
    bool small = !__builtin_mul_overflow(c->n_out, c->n_in, &entries) && entries <= c->full_limit;
    ct_status status = values_at(c, c->x, c->y);
    if (status == CT_OK) status = values_at(c, c->x, c->column);
    if (status == CT_OK && memcmp(c->y, c->column, (size_t)c->n_out * sizeof(double)) != 0) {
        return ct_fail(CT_ERR_STATE, "ct_gradcheck: f gave other values when it was called again; "
                       "random numbers must come from a key that stays the same");
    }
    if (status != CT_OK) return status;
    return small ? check_full(c) : check_projections(c);
}
