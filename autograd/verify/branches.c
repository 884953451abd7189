/* Branches of both sides: which ones no draw takes, and whether both sides agree next to those that
 * are taken. Draws alone do not come near: x > 1e-7 differs from x > 0 in one of ten million. So
 * where a comparison changes between two draws, both sides are compared in f64 shortly before
 * and after the change.
 * Invariant: no point is nearer to a change than NEAR of the way: rounding decides nothing. */
#include "autograd/ops.h"
#include "autograd/verify/verify_private.h"
#include "tensor/base/shape_rules.h"
#include "tensor/graph/walk.h"

#include <math.h>

#define MOST_DECISIONS 32
#define DRAWS 8 /* every other one wide */
#define NEAR 1e-9
#define ALLOWED 1e-6 /* in the max norm: as much as one branch differs from another at least */

/* A point on the way from one draw to another. */
typedef struct {
    cti_instance of;
    int64_t n;
    ct_tensor *decided[MOST_DECISIONS];
    const ct_tensor *by[MOST_DECISIONS];
} point;

/* What decides in t, or what it has decided; NULL: nothing. */
static ct_tensor *decision_of(ct_tensor *t) {
    if (!t->op || t->n_inputs == 0) return NULL;
    if (t->op->branches) return ct_cast(t->op->branches(t), CT_F64);
    return t->op->algebra == CT_DECISION ? ct_cast(t, CT_F64) : NULL;
}

static ct_status find_decisions(point *p) {
    ct_tensor *sides[2 * CTI_PAIRS];
    cti_walk walk;
    ct_status status = cti_walk_new(&walk, sides, cti_instance_sides(&p->of, sides),
                                    cti_walk_whole_graph);
    if (status != CT_OK) return status;
    p->n = 0;
    for (int64_t i = 0; i < walk.count && p->n < MOST_DECISIONS; i++) {
        ct_tensor *decision = decision_of(walk.items[i]);
        if (!decision) continue;
        p->by[p->n] = walk.items[i];
        p->decided[p->n++] = decision;
    }
    cti_walk_free(&walk);
    return p->n ? ct_eval(p->decided, p->n) : CT_OK;
}

static ct_status visit(const cti_subject *s, cti_draw draw, double part, point *p) {
    draw.part = part;
    ct_status status = cti_instance_begin(s, CT_F64, &draw, &p->of);
    if (status == CT_OK) status = cti_instance_derive(s, &draw, 1, &p->of);
    if (status == CT_OK) status = cti_instance_eval(&p->of);
    return status == CT_OK ? find_decisions(p) : status;
}

/* Which numbers a try takes: in turn usual and wide ones. */
static cti_draw draw_number(const ct_verify_options *options, uint64_t attempt) {
    return (cti_draw){.seed = options->seed,
                      .stream = UINT64_C(30) << 50,
                      .attempt = attempt,
                      .spread = attempt % 2 ? CTI_SPREAD : 1};
}

/* --- One change ------------------------------------------------------------------------------- */

/* Element `at` of decision `k` is `before` at the one end, and something else at the other. */
typedef struct {
    cti_draw draw;
    int64_t k, at;
    double before;
} change;

static ct_status bisect(const cti_subject *s, const change *c, double *low, double *high) {
    *low = 0;
    *high = 1;
    while (*high - *low > NEAR / 2) {
        point p;
        double middle = (*low + *high) / 2;
        int64_t scope = ct_scope_open();
        ct_status status = visit(s, c->draw, middle, &p);
        bool is_there = status == CT_OK && c->k < p.n && c->at < ct_numel(p.decided[c->k]);
        bool is_before = is_there && ct_data_f64(p.decided[c->k])[c->at] == c->before;
        ct_scope_close(scope);
        if (status != CT_OK) return status;
        *(is_before ? low : high) = middle;
    }
    return CT_OK;
}

/* Compares both sides in the max norm; says what is wrong. */
static void compare(const cti_subject *s, const point *p, ct_verify_line *line) {
    for (int64_t k = 0; k < p->of.n && !line->text[0]; k++) {
        const cti_pair *pair = &p->of.pairs[k];
        const double *a = ct_data_f64(pair->derived), *b = ct_data_f64(pair->closed);
        int64_t worst = 0;
        double size = 0;
        for (int64_t i = 0; i < ct_numel(pair->derived); i++) {
            size = fmax(size, fmax(fabs(a[i]), fabs(b[i])));
            if (fabs(a[i] - b[i]) > fabs(a[worst] - b[worst])) worst = i;
        }
        if (!isfinite(size) || fabs(a[worst] - b[worst]) <= ALLOWED * size) continue;
        cti_line(line, "%s: differs near a branch, element %lld: derived %.9g, closed %.9g",
                 cti_claim_input_name(s->claim, pair->input), (long long)worst, a[worst], b[worst]);
    }
}

/* Where all of a derivative cancels, as that of a softmax far from 0, what is left is rounding. A
 * branch that one side takes and the other does not is more than that. */
static ct_status excuse_rounding(const point *p, const cti_draw *draw, ct_verify_line *line) {
    bool agrees = false;
    ct_status status = cti_instance_agrees(&p->of, draw->seed + draw->stream, &agrees);
    if (status == CT_OK && agrees) line->text[0] = '\0';
    return status;
}

static ct_status try_change(const cti_subject *s, const change *c, ct_verify_line *line) {
    double low, high;
    ct_status status = bisect(s, c, &low, &high);
    const double ends[] = {fmax(0, low - NEAR), fmin(1, high + NEAR)};
    for (int i = 0; i < 2 && status == CT_OK && !line->text[0]; i++) {
        point p;
        int64_t scope = ct_scope_open();
        status = visit(s, c->draw, ends[i], &p);
        if (status == CT_OK) compare(s, &p, line);
        if (line->text[0]) status = excuse_rounding(&p, &c->draw, line);
        ct_scope_close(scope);
    }
    return status;
}

/* --- All -------------------------------------------------------------------------------------- */

/* Of each decision the first element that differs between two draws. */
static int64_t find_changes(const point ends[2], const cti_draw *draw, change found[MOST_DECISIONS],
                            bool known[MOST_DECISIONS]) {
    int64_t n = 0;
    for (int64_t k = 0; k < ends[0].n && k < ends[1].n; k++) {
        const double *a = ct_data_f64(ends[0].decided[k]), *b = ct_data_f64(ends[1].decided[k]);
        int64_t size = cti_least(ct_numel(ends[0].decided[k]), ct_numel(ends[1].decided[k]));
        for (int64_t i = 0; i < size && !known[k]; i++) {
            if (a[i] == b[i]) continue;
            found[n++] = (change){*draw, k, i, a[i]};
            known[k] = true;
        }
    }
    return n;
}

ct_status cti_verify_branches(const cti_subject *s, const ct_verify_options *options,
                              ct_verify_line *line) {
    bool known[MOST_DECISIONS] = {false};
    ct_status status = CT_OK;
    for (uint64_t d = 0; d < DRAWS && status == CT_OK && !line->text[0]; d++) {
        cti_draw draw = draw_number(options, d);
        point ends[2];
        change found[MOST_DECISIONS];
        int64_t n = 0, scope = ct_scope_open();
        status = visit(s, draw, 0, &ends[0]);
        if (status == CT_OK) status = visit(s, draw, 1, &ends[1]);
        if (status == CT_OK) n = find_changes(ends, &draw, found, known);
        ct_scope_close(scope);
        for (int64_t i = 0; i < n && status == CT_OK && !line->text[0]; i++) {
            status = try_change(s, &found[i], line);
        }
    }
    return status;
}

/* --- Branches that no draw takes -------------------------------------------------------------- */

/* Of each decision the first value, and whether there is another one. */
typedef struct {
    double first[MOST_DECISIONS];
    bool varies[MOST_DECISIONS];
} outcomes;

static void take_outcomes(const point *p, bool is_first, outcomes *seen) {
    for (int64_t k = 0; k < p->n; k++) {
        const double *data = ct_data_f64(p->decided[k]);
        if (is_first) seen->first[k] = data[0];
        for (int64_t i = 0; i < ct_numel(p->decided[k]); i++) {
            seen->varies[k] |= data[i] != seen->first[k];
        }
    }
}

/* Returns how many; the line has the first. */
static int64_t say_untaken(const point *p, const outcomes *seen, ct_verify_line *line) {
    int64_t n = 0;
    char formula[80] = "", more[48] = "";
    for (int64_t k = p->n; k-- > 0;) {
        if (seen->varies[k]) continue;
        formula[0] = '\0';
        cti_write_formula(p->by[k], 3, formula, sizeof formula);
        n++;
    }
    if (n > 1) snprintf(more, sizeof more, ", and of %lld more,", (long long)n - 1);
    if (n) {
        cti_line(line, "one branch of %s%s was never taken: nothing is said of it", formula, more);
    }
    return n;
}

ct_status cti_verify_untaken(const cti_subject *s, const ct_verify_options *options,
                             ct_verify_line *line, int64_t *untaken) {
    ct_status status = CT_OK;
    outcomes seen = {{0}, {false}};
    for (uint64_t d = 0; d < DRAWS && status == CT_OK; d++) {
        point p;
        int64_t scope = ct_scope_open();
        status = visit(s, draw_number(options, d), 0, &p);
        if (status == CT_OK) take_outcomes(&p, d == 0, &seen);
        if (status == CT_OK && d == DRAWS - 1) *untaken = say_untaken(&p, &seen, line);
        ct_scope_close(scope);
    }
    return status;
}
