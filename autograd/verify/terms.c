/* Which term of a closed form is wrong: the derivative is taken apart into what flows through the
 * named tensors of f, and the closed form is put together of these again, exactly.
 * It tries the mistakes that people make, not all there are.
 * Invariant: a diagnosis is an identity in the field that holds for all elements of an input. */
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "autograd/verify/verify_private.h"
#include "tensor/base/alloc.h"
#include "tensor/graph/walk.h"
#include "tensor/p61.h"

#include <math.h>
#include <string.h>

/* --- What flows through a name ---------------------------------------------------------------- */

static bool has_name(const ct_tensor *t) { return t->n_inputs > 0 && t->name && t->name[0]; }

static bool is_named(const ct_tensor *t, const char *name) {
    return has_name(t) && strcmp(t->name, name) == 0;
}

typedef struct {
    const char *name;
    const ct_tensor *node;
} stop;

static ct_tensor *stopped(void *context, ct_tensor *t, ct_tensor *image,
                          ct_tensor *const images[]) {
    (void)images;
    const stop *s = context;
    return t == s->node || (s->name && is_named(t, s->name)) ? ct_stop_gradient(image) : image;
}

ct_tensor *cti_term_stopped(ct_tensor *y, const char *name, const ct_tensor *node) {
    ct_tensor *out = NULL;
    cti_graph_map(&y, 1, &out, stopped, &(stop){name, node});
    return out;
}

ct_status cti_term_names(const cti_instance *of, const char *names[CTI_TERMS], int64_t *n) {
    cti_walk walk;
    ct_tensor *y = of->y;
    *n = 0;
    ct_status status = cti_walk_new(&walk, &y, 1, cti_walk_whole_graph);
    for (int64_t i = walk.count; status == CT_OK && i-- > 0 && *n < CTI_TERMS;) {
        const ct_tensor *t = walk.items[i];
        bool known = !has_name(t) || t == y;
        for (int64_t k = 0; k < *n && !known; k++) known = strcmp(names[k], t->name) == 0;
        if (!known) names[(*n)++] = t->name;
    }
    if (status == CT_OK) cti_walk_free(&walk);
    return status;
}

ct_status cti_term_flow(const cti_subject *s, const cti_instance *of, const char *name,
                        ct_tensor *out[]) {
    int64_t n = s->claim->n_inputs;
    ct_tensor *rest[CT_CLAIM_INPUTS], *y = cti_term_stopped(of->y, name, NULL);
    if (!y) return ct_error();
    ct_status status = ct_vjp(of->y, of->x[n], of->x, n, out);
    if (status == CT_OK) status = ct_vjp(y, of->x[n], of->x, n, rest);
    for (int64_t i = 0; i < n && status == CT_OK; i++) {
        out[i] = ct_sub(out[i], rest[i]);
        if (!out[i]) status = ct_error();
    }
    return status;
}

/* --- Terms of one input's derivative ---------------------------------------------------------- */

/* A factor that people forget, or take once too often. */
typedef struct {
    char name[64];
    ct_p61 *values; /* one for each element of the input */
} candidate;

#define MOST_CANDIDATES 40

typedef struct {
    cti_zone zone;
    const char *input;
    int64_t n; /* elements */
    const ct_p61 *derived, *closed;
    int64_t n_terms; /* that are not 0 */
    const char *names[CTI_TERMS + 1];
    ct_p61 *terms[CTI_TERMS + 1];
    int64_t n_candidates;
    candidate candidates[MOST_CANDIDATES];
} anatomy;

static bool is_zero(const ct_p61 *a, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (a[i].field != 0) return false;
    }
    return true;
}

static bool equal(const ct_p61 *a, const ct_p61 *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (a[i].field != b[i].field) return false;
    }
    return true;
}

static ct_p61 *copy_of(anatomy *a, ct_tensor *t) {
    const ct_p61 *data = ct_data(t);
    ct_p61 *copy = data ? cti_zone_alloc(&a->zone, (size_t)a->n, sizeof *copy) : NULL;
    return copy ? memcpy(copy, data, (size_t)a->n * sizeof *copy) : NULL;
}

/* What is left when all terms are taken away: what flows through no name. */
static ct_status add_rest(anatomy *a) {
    ct_p61 *rest = cti_zone_alloc(&a->zone, (size_t)a->n, sizeof *rest);
    if (!rest) return CT_ERR_MEMORY;
    memcpy(rest, a->derived, (size_t)a->n * sizeof *rest);
    for (int64_t k = 0; k < a->n_terms; k++) {
        for (int64_t i = 0; i < a->n; i++) rest[i] = ct_p61_sub(rest[i], a->terms[k][i]);
    }
    if (is_zero(rest, a->n)) return CT_OK;
    a->names[a->n_terms] = NULL;
    a->terms[a->n_terms++] = rest;
    return CT_OK;
}

/* A name that everything flows through says nothing. */
static ct_status find_terms(anatomy *a, const cti_subject *s, const cti_instance *of,
                            int64_t input) {
    const char *names[CTI_TERMS];
    int64_t n;
    ct_status status = cti_term_names(of, names, &n);
    for (int64_t k = 0; k < n && status == CT_OK; k++) {
        ct_tensor *flow[CT_CLAIM_INPUTS];
        status = cti_term_flow(s, of, names[k], flow);
        if (status == CT_OK) status = ct_eval(&flow[input], 1);
        ct_p61 *values = status == CT_OK ? copy_of(a, flow[input]) : NULL;
        if (!values) return ct_error();
        if (is_zero(values, a->n) || equal(values, a->derived, a->n)) continue;
        a->names[a->n_terms] = names[k];
        a->terms[a->n_terms++] = values;
    }
    return status == CT_OK ? add_rest(a) : status;
}

/* --- A number times each term ----------------------------------------------------------------- */

/* Row-reduces [terms | closed], element by element; false when no numbers do it, or several. */
static bool solve(const anatomy *a, ct_p61 factors[]) {
    int64_t n = a->n_terms, rows = 0;
    ct_p61 m[CTI_TERMS + 2][CTI_TERMS + 2] = {0};
    for (int64_t i = 0; i < a->n; i++) {
        ct_p61 *row = m[rows];
        for (int64_t k = 0; k < n; k++) row[k] = a->terms[k][i];
        row[n] = a->closed[i];
        int64_t pivot = 0;
        for (int64_t r = 0; r < rows; r++) {
            int64_t p = 0;
            while (m[r][p].field == 0) p++;
            ct_p61 f = row[p];
            for (int64_t k = 0; k <= n; k++) row[k] = ct_p61_sub(row[k], ct_p61_mul(f, m[r][k]));
        }
        while (pivot <= n && row[pivot].field == 0) pivot++;
        if (pivot > n) continue;
        if (pivot == n) return false;
        ct_p61 lead = row[pivot];
        for (int64_t k = 0; k <= n; k++) row[k] = ct_p61_div(row[k], lead);
        for (int64_t r = 0; r < rows; r++) {
            ct_p61 f = m[r][pivot];
            for (int64_t k = 0; k <= n; k++) m[r][k] = ct_p61_sub(m[r][k], ct_p61_mul(f, row[k]));
        }
        rows++;
    }
    for (int64_t r = 0; r < rows && rows == n; r++) {
        int64_t p = 0;
        while (m[r][p].field == 0) p++;
        factors[p] = m[r][n];
    }
    return rows == n;
}

/* Appends to a line. */
static void say(ct_verify_line *line, const char *before, const char *text) {
    size_t used = strlen(line->text);
    snprintf(line->text + used, sizeof line->text - used, "%s%s", before, text);
}

typedef struct {
    char text[96];
} phrase;

static phrase term_called(const anatomy *a, int64_t k) {
    phrase p;
    if (a->n_terms == 1) snprintf(p.text, sizeof p.text, "all of it");
    else if (a->names[k]) snprintf(p.text, sizeof p.text, "the term through '%.60s'", a->names[k]);
    else snprintf(p.text, sizeof p.text, "the direct term");
    return p;
}

bool cti_term_is_said(const ct_verify_line *line, const char *name) {
    char term[96];
    snprintf(term, sizeof term, "through '%.60s'", name);
    return strstr(line->text, term) != NULL;
}

bool cti_factor_said(ct_p61 factor, ct_verify_line *out) {
    int64_t n, d;
    if (!ct_p61_to_fraction(factor, &n, &d)) return false;
    /* Other numbers of the field are fractions by accident, of another value. */
    double value = (double)n / (double)d;
    if (!(fabs(factor.shadow - value) <= 1e-6 * fmax(1, fabs(value)))) return false;
    const char *why = d > 2 && n == d - 1   ? " = (m - 1) / m"
                      : d > 1 && n == d + 1 ? " = m / (m - 1)"
                                            : "";
    if (n == 0) snprintf(out->text, sizeof out->text, " is missing");
    else if (n == -1 && d == 1) snprintf(out->text, sizeof out->text, " has the wrong sign");
    else if (d == 1) snprintf(out->text, sizeof out->text, " has the factor %lld", (long long)n);
    else
        snprintf(out->text, sizeof out->text, " has the factor %lld/%lld%s", (long long)n,
                 (long long)d, why);
    return true;
}

static bool say_numbers(const anatomy *a, ct_verify_line *out) {
    ct_p61 factors[CTI_TERMS + 1] = {{0}};
    if (a->n_terms == 0 || !solve(a, factors)) return false;
    bool same = a->n_terms > 1;
    for (int64_t k = 1; k < a->n_terms; k++) same &= factors[k].field == factors[0].field;
    ct_verify_line line = {""};
    for (int64_t k = 0; k < (same ? 1 : a->n_terms); k++) {
        ct_verify_line factor;
        if (factors[k].field == 1) continue;
        if (!cti_factor_said(factors[k], &factor)) return false;
        say(&line, line.text[0] ? "; " : "", same ? "all of it" : term_called(a, k).text);
        say(&line, "", factor.text);
    }
    if (!line.text[0]) return false;
    cti_line(out, "%s: ", a->input);
    say(out, "", line.text);
    return true;
}

/* --- An input or an intermediate result as a factor ------------------------------------------- */

/* Axes of size 1 in front are none. */
static ct_shape trimmed(ct_shape s) {
    ct_shape t = {0};
    for (int d = 0; d < s.rank; d++) {
        if (t.rank || s.dims[d] != 1) t.dims[t.rank++] = s.dims[d];
    }
    return t;
}

static bool stretches(ct_shape from, ct_shape to) {
    if (from.rank > to.rank) return false;
    for (int d = 1; d <= from.rank; d++) {
        int64_t size = from.dims[from.rank - d];
        if (size != 1 && size != to.dims[to.rank - d]) return false;
    }
    return true;
}

static ct_status add_candidate(anatomy *a, ct_tensor *t, ct_shape shape, const char *what,
                               const char *name) {
    ct_shape own = trimmed(ct_shape_of(t));
    if (a->n_candidates == MOST_CANDIDATES || !stretches(own, shape)) return CT_OK;
    ct_tensor *wide = ct_broadcast(ct_reshape(t, own), shape);
    ct_status status = wide ? ct_eval(&wide, 1) : ct_error();
    candidate *c = &a->candidates[a->n_candidates];
    if (status == CT_OK) c->values = copy_of(a, wide);
    if (status != CT_OK || !c->values) return ct_error();
    snprintf(c->name, sizeof c->name, *what ? "%s(%.40s)" : "%s%.40s", what, name);
    a->n_candidates++;
    return CT_OK;
}

/* Of the nearest tensor below that has one. */
static const char *name_below(const ct_tensor *t) {
    while (t->n_inputs && !has_name(t)) t = t->inputs[0];
    return t->name && t->name[0] ? t->name : "..";
}

static ct_status find_candidates(anatomy *a, const cti_subject *s, const cti_instance *of,
                                 ct_shape shape) {
    ct_status status = CT_OK;
    for (int64_t i = 0; i <= s->claim->n_inputs && status == CT_OK; i++) {
        status = add_candidate(a, of->x[i], shape, "", cti_claim_input_name(s->claim, i));
    }
    cti_walk walk;
    ct_tensor *y = of->y, *found[MOST_CANDIDATES];
    int64_t n = 0;
    if (status == CT_OK) status = cti_walk_new(&walk, &y, 1, cti_walk_whole_graph);
    if (status != CT_OK) return status;
    for (int64_t i = 0; i < walk.count && n < MOST_CANDIDATES; i++) {
        ct_tensor *t = walk.items[i];
        bool root = ct_is(t, &ct_op_sqrt) || ct_is(t, &ct_op_rsqrt);
        bool alike = ct_dtype_of(t) == CT_P61 && !t->rows; /* on all ranks, which try the same */
        if (alike && (has_name(t) || root)) found[n++] = t;
    }
    cti_walk_free(&walk);
    for (int64_t i = 0; i < n && status == CT_OK; i++) {
        ct_tensor *t = found[i];
        bool named = has_name(t);
        status = add_candidate(a, t, shape, named ? "" : t->op->name,
                               named ? t->name : name_below(t));
    }
    return status;
}

/* Whether closed = derived with `part` times c, or divided by c, in place of `part`. */
static bool explains(const anatomy *a, const ct_p61 *part, const candidate *c, bool divided) {
    for (int64_t i = 0; i < a->n; i++) {
        ct_p61 wrong = divided ? ct_p61_div(part[i], c->values[i])
                               : ct_p61_mul(part[i], c->values[i]);
        ct_p61 all = ct_p61_add(ct_p61_sub(a->derived[i], part[i]), wrong);
        if (all.field != a->closed[i].field) return false;
    }
    return true;
}

static bool say_factor(const anatomy *a, ct_verify_line *out) {
    for (int64_t k = -1; k < a->n_terms; k++) {
        const ct_p61 *part = k < 0 ? a->derived : a->terms[k];
        for (int64_t c = 0; c < 2 * a->n_candidates; c++) {
            const candidate *by = &a->candidates[c / 2];
            if (!explains(a, part, by, c % 2)) continue;
            cti_line(out, "%s: %s %s the factor %s%s", a->input,
                     k < 0 ? "all of it" : term_called(a, k).text, c % 2 ? "lacks" : "has",
                     by->name, c % 2 ? "" : " once too often");
            return true;
        }
    }
    return false;
}

/* --- Terms of the closed form ----------------------------------------------------------------- */

static bool has_values(const ct_p61 *a, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (!ct_p61_has_value(a[i])) return false;
    }
    return true;
}

/* What is lost of the closed form where one of its tensors is 0; nothing if that is divided by. */
static ct_status add_share(anatomy *a, ct_tensor *closed, const ct_tensor *node) {
    ct_tensor *zeros = ct_full(CT_P61, ct_shape_of(node), 0);
    ct_tensor *without = zeros ? cti_graph_with(closed, node, zeros) : NULL;
    ct_tensor *share = ct_sub(closed, without);
    ct_p61 *values = share ? copy_of(a, share) : NULL;
    if (!values) return ct_error();
    if (!has_values(values, a->n) || is_zero(values, a->n)) return CT_OK;
    if (equal(values, a->derived, a->n)) return CT_OK; /* the whole */
    a->names[a->n_terms] = node->name;
    a->terms[a->n_terms++] = values;
    return CT_OK;
}

static ct_status find_shares(anatomy *a, ct_tensor *closed) {
    cti_walk walk;
    ct_tensor *named[CTI_TERMS];
    int64_t n = 0;
    ct_status status = cti_walk_new(&walk, &closed, 1, cti_walk_whole_graph);
    if (status != CT_OK) return status;
    for (int64_t i = walk.count; i-- > 0 && n < CTI_TERMS;) {
        ct_tensor *t = walk.items[i];
        if (has_name(t) && t != closed && t->dtype == CT_P61) named[n++] = t;
    }
    cti_walk_free(&walk);
    for (int64_t k = 0; k < n && status == CT_OK; k++) status = add_share(a, closed, named[k]);
    return status == CT_OK && a->n_terms ? add_rest(a) : status;
}

ct_status cti_term_shares(const cti_subject *s, const cti_pair *pair, ct_verify_line *out,
                          bool *found) {
    anatomy *a = cti_alloc(1, sizeof *a);
    if (!a) return CT_ERR_MEMORY;
    ct_p61 factors[CTI_TERMS + 1];
    a->n = ct_numel(pair->closed);
    a->derived = ct_data(pair->closed), a->closed = ct_data(pair->derived); /* roles change */
    ct_status status = find_shares(a, pair->closed);
    *found = status == CT_OK && a->n_terms && solve(a, factors);
    ct_verify_line line = {""};
    for (int64_t k = 0; k < a->n_terms && *found; k++) {
        ct_verify_line factor;
        if (factors[k].field == 1) continue;
        *found = a->names[k] && cti_factor_said(factors[k], &factor);
        if (!*found) break;
        say(&line, line.text[0] ? "; the closed form's '" : "the closed form's '", a->names[k]);
        if (factors[k].field == 0) say(&line, "' ", "does not belong there");
        else say(&line, "' is right", " where it"), say(&line, "", factor.text);
    }
    if (*found) cti_line(out, "%s: %.180s", cti_claim_input_name(s->claim, pair->input), line.text);
    cti_zone_free(&a->zone);
    cti_free(a);
    return status;
}

ct_status cti_term_diagnose(const cti_subject *s, const cti_instance *of, const cti_pair *pair,
                            ct_verify_line *out) {
    anatomy *a = cti_alloc(1, sizeof *a);
    if (!a) return CT_ERR_MEMORY;
    a->input = cti_claim_input_name(s->claim, pair->input);
    a->n = ct_numel(pair->derived);
    a->derived = ct_data(pair->derived), a->closed = ct_data(pair->closed);
    ct_status status = find_terms(a, s, of, pair->input);
    if (status == CT_OK && !say_numbers(a, out)) {
        status = find_candidates(a, s, of, ct_shape_of(pair->derived));
        if (status == CT_OK && !say_factor(a, out)) status = cti_guess(s, of, pair, out);
    }
    cti_zone_free(&a->zone);
    cti_free(a);
    return status;
}
