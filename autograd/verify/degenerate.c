/* Checks that show nothing: a derivative that is 0 in a whole input or in a slice of it, right or
 * wrong. Under a cotangent of ones the mean takes everything away, in one channel or in all; of a
 * constant channel, or of one value, nothing is left whatever the cotangent.
 * What is 0 in the field is looked at in more draws, next to a random cotangent: a relu that was
 * not taken comes back, and a cotangent that hides something is told from an f that has nothing.
 * Invariant: what is called degenerate was 0 in every draw. */
#include "autograd/verify/verify_private.h"
#include "tensor/base/zone.h"

#include <math.h>
#include <stdio.h>

#define DRAWS 12
#define NOTHING 1e-9 /* of what the cotangent, or the largest element, is */

/* Of one input, for each element. */
typedef struct {
    int64_t n;
    bool *seen;   /* not 0 under the cotangent of the check, in some draw */
    bool *random; /* the same of a random one */
    double size;  /* of the largest under a random one of size 1, in the last draw */
} elements;

static double largest(const double *a, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(a[i]));
    return most;
}

static ct_status mark_draw(const cti_subject *s, const cti_draw *draw, elements all[]) {
    cti_instance of;
    ct_status status = cti_instance_begin(s, CT_F64, draw, &of);
    if (status == CT_OK) status = cti_instance_derive(s, draw, 1, &of);
    if (status == CT_OK) status = cti_instance_eval(&of);
    if (status != CT_OK) return status;
    ct_tensor *c = of.x[s->claim->n_inputs];
    double given = largest(ct_data_f64(c), ct_numel(c));
    for (int64_t k = 0; k < of.n; k++) {
        const double *data = ct_data_f64(of.pairs[k].derived);
        elements *e = &all[k];
        if (!draw->cotangent) e->size = largest(data, e->n) / given;
        /* Of arrays nothing but the size tells what is rounding; the field has told it else. */
        double nothing = NOTHING * given * (s->closed ? fmax(e->size, 1) : e->size);
        for (int64_t i = 0; i < e->n; i++) {
            (draw->cotangent ? e->seen : e->random)[i] |= !(fabs(data[i]) <= nothing);
        }
    }
    return CT_OK;
}

static ct_status mark(const cti_subject *s, const ct_verify_options *options, elements all[]) {
    ct_status status = CT_OK;
    for (uint64_t d = 0; d < 2 * DRAWS && status == CT_OK; d++) {
        cti_draw draw = {.seed = options->seed,
                         .stream = (50 + d / 2) << 50,
                         .together = d / 2 % 3 == 1,
                         .spread = d / 2 % 3 == 2 ? CTI_SPREAD : 1,
                         .cotangent = d % 2 ? options->cotangent : NULL};
        if (d % 2 && !draw.cotangent) continue;
        int64_t scope = ct_scope_open();
        status = mark_draw(s, &draw, all);
        ct_scope_close(scope);
    }
    return status;
}

/* --- A slice ---------------------------------------------------------------------------------- */

/* x[:,0]: an index for each axis, or all of it. */
typedef struct {
    ct_shape shape;
    int64_t at[CT_MAX_RANK]; /* -1: all */
} slice;

static bool holds(const slice *s, int64_t element) {
    for (int d = s->shape.rank; d-- > 0; element /= s->shape.dims[d]) {
        if (s->at[d] >= 0 && s->at[d] != element % s->shape.dims[d]) return false;
    }
    return true;
}

static bool all_within(const slice *s, const bool marked[]) {
    for (int64_t i = 0; i < ct_shape_numel(s->shape); i++) {
        if (holds(s, i) && !marked[i]) return false;
    }
    return true;
}

static int64_t size_of(const slice *s) {
    int64_t n = 1;
    for (int d = 0; d < s->shape.rank; d++) n *= s->at[d] < 0 ? s->shape.dims[d] : 1;
    return n;
}

/* The largest slice around an element, in which all are marked: whole axes, one after another. */
static slice slice_around(ct_shape shape, int64_t element, const bool marked[]) {
    slice s = {.shape = shape};
    for (int d = shape.rank; d-- > 0; element /= shape.dims[d]) s.at[d] = element % shape.dims[d];
    for (int d = 0; d < shape.rank; d++) {
        int64_t index = s.at[d];
        s.at[d] = -1;
        if (!all_within(&s, marked)) s.at[d] = index;
    }
    return s;
}

/* The first slice of more than an element; of a vector any. */
static bool find_slice(ct_shape shape, const bool marked[], slice *found) {
    for (int64_t i = 0; i < ct_shape_numel(shape); i++) {
        if (!marked[i]) continue;
        *found = slice_around(shape, i, marked);
        if (shape.rank <= 1 || size_of(found) > 1) return true;
    }
    return false;
}

typedef struct {
    char text[80];
} words;

static words write_slice(const char *name, const slice *s) {
    words w;
    int used = snprintf(w.text, sizeof w.text, "%.40s", name);
    if (size_of(s) == ct_shape_numel(s->shape)) return w;
    for (int d = 0; d < s->shape.rank && used < (int)sizeof w.text; d++) {
        char index[24] = ":";
        if (s->at[d] >= 0) snprintf(index, sizeof index, "%lld", (long long)s->at[d]);
        used += snprintf(w.text + used, sizeof w.text - (size_t)used, "%s%s%s", d ? "," : "[",
                         index, d == s->shape.rank - 1 ? "]" : "");
    }
    return w;
}

/* --- What is said ----------------------------------------------------------------------------- */

/* Whether the cotangent is one number in all of the slice. */
static bool is_constant(ct_tensor *cotangent, const slice *s, double *value) {
    if (!ct_shape_equal(ct_shape_of(cotangent), s->shape)) return false;
    const double *data = ct_data_f64(cotangent);
    bool first = true, same = data != NULL;
    for (int64_t i = 0; same && i < ct_numel(cotangent); i++) {
        if (!holds(s, i)) continue;
        if (first) *value = data[i];
        same = data[i] == *value;
        first = false;
    }
    return same;
}

static void say_hidden(const char *where, ct_tensor *cotangent, const slice *s,
                       ct_verify_line *line) {
    double value = 0;
    cti_line(line,
             "degenerate: under the cotangent given the derivative with regard to %s is 0, right "
             "or wrong; a random one would tell",
             where);
    if (!is_constant(cotangent, s, &value)) return;
    cti_line(line,
             "degenerate: under the cotangent given the derivative with regard to %s is 0, right "
             "or wrong: it is %.3g in all of it; one that varies there, as a random one, would "
             "tell",
             where, value);
}

static void say_nothing(const char *where, const slice *s, ct_verify_line *line) {
    bool whole = size_of(s) == ct_shape_numel(s->shape);
    cti_line(line,
             "degenerate: the derivative with regard to %s is 0 whatever the cotangent: none would "
             "do (%sa constant channel, what f does not read); nothing is shown of it",
             where, whole ? "one value per channel, " : "");
}

/* Of one input: what the cotangent hides, or what is nowhere. */
static void judge(const cti_subject *s, const ct_verify_options *options, const bool zero[],
                  const elements *e, bool scratch[], int64_t input, cti_degenerate *out) {
    const char *name = cti_claim_input_name(s->claim, input);
    for (int hidden = options->cotangent != NULL; hidden >= 0; hidden--) {
        slice found;
        for (int64_t i = 0; i < e->n; i++) {
            bool seen = options->cotangent ? e->seen[i] : e->random[i];
            scratch[i] = zero[i] && !seen && e->random[i] == (bool)hidden;
        }
        if (!find_slice(s->claim->inputs[input].shape, scratch, &found)) continue;
        words where = write_slice(name, &found);
        ct_verify_line *line = &out->lines[out->n++];
        if (hidden) say_hidden(where.text, options->cotangent, &found, line);
        else say_nothing(where.text, &found, line);
        out->hidden |= hidden;
    }
}

ct_status cti_verify_degenerate(const cti_subject *s, const ct_verify_options *options,
                                const cti_findings *found, cti_degenerate *out) {
    elements all[CTI_PAIRS] = {{0}};
    cti_zone zone = {0};
    int64_t n = 0, most = 0;
    *out = (cti_degenerate){0};
    for (; n < found->n && found->rows[n].order == 1; n++) {
        int64_t size = s->layout.pairs[n].numel;
        bool *flags = cti_zone_alloc(&zone, 2 * (size_t)size, sizeof *flags);
        if (!flags) return cti_zone_free(&zone), CT_ERR_MEMORY;
        all[n] = (elements){size, flags, flags + size, 0};
        if (size > most) most = size;
    }
    bool *scratch = cti_zone_alloc(&zone, (size_t)most, sizeof *scratch);
    ct_status status = scratch ? mark(s, options, all) : CT_ERR_MEMORY;
    for (int64_t k = 0; k < n && status == CT_OK; k++) {
        judge(s, options, found->zeros[k], &all[k], scratch, s->layout.pairs[k].input, out);
    }
    cti_zone_free(&zone);
    return status;
}
