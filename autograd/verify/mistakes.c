/* What a person may have done to one op of f on the way back: taken another tensor for an operand
 * (x for x - mean, a matrix not transposed), another function's slope, a factor once too often,
 * another value for the op's own (a sum that was not divided by n, inside of a root).
 * It tries one mistake at a time, at each op; terms by name are in terms.c.
 * Invariant: what it says is an identity in the field that holds for all elements of an input. */
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "autograd/verify/verify_private.h"
#include "tensor/graph/node.h"
#include "tensor/graph/walk.h"

#define MOST_NODES 80
#define MOST_TRIES 1000

typedef struct {
    const cti_subject *s;
    const cti_instance *of;
    const cti_pair *pair;
    const char *input; /* whose derivative it is */
    ct_verify_line *out;
    bool found;
    int64_t n_nodes, tries;
    ct_tensor *nodes[MOST_NODES]; /* of f and its inputs, the nearest to its value first */
} search;

/* What varies between ranks is left as it is: each rank would try its own rows. */
static bool has_replicated_inputs(const ct_tensor *t) {
    bool replicated = true;
    for (int i = 0; i < t->n_inputs; i++) replicated &= !t->inputs[i]->rows;
    return replicated;
}

static ct_status find_nodes(search *k) {
    cti_walk walk;
    ct_tensor *y = k->of->y;
    ct_status status = cti_walk_new(&walk, &y, 1, cti_walk_whole_graph);
    for (int64_t i = walk.count; status == CT_OK && i-- > 0 && k->n_nodes < MOST_NODES;) {
        ct_tensor *t = walk.items[i];
        if (t->dtype == CT_P61 && !t->rows) k->nodes[k->n_nodes++] = t;
    }
    if (status == CT_OK) cti_walk_free(&walk);
    return status;
}

static bool equal(const ct_p61 *a, ct_tensor *t) {
    const ct_p61 *b = ct_data(t);
    for (int64_t i = 0; i < ct_numel(t); i++) {
        if (a[i].field != b[i].field) return false;
    }
    return true;
}

/* The derivative of the input in question, where t has the value that it has and the derivatives of
 * `like`. NULL after an error. */
static const ct_p61 *derive(search *k, ct_tensor *t, ct_tensor *like) {
    int64_t n = k->s->claim->n_inputs;
    ct_tensor *moved = ct_add(ct_stop_gradient(ct_sub(t, like)), like), *derived[CT_CLAIM_INPUTS];
    ct_tensor *y = moved ? cti_graph_with(k->of->y, t, moved) : NULL;
    if (!y || ct_vjp(y, k->of->x[n], k->of->x, n, derived) != CT_OK) return NULL;
    k->tries++;
    return ct_data(derived[k->pair->input]);
}

/* Whether that is the closed form. */
static ct_status explains(search *k, ct_tensor *t, ct_tensor *like) {
    const ct_p61 *data = derive(k, t, like);
    if (!data) return ct_error();
    k->found = equal(data, k->pair->closed);
    return CT_OK;
}

static cti_written called(const ct_tensor *t) {
    cti_written f = {""};
    cti_write_called(t, 2, f.text, sizeof f.text);
    return f;
}

/* --- Another tensor for an operand ------------------------------------------------------------ */

static ct_tensor *op_of(const ct_tensor *t, ct_tensor *a, ct_tensor *b) {
    ct_tensor *copy = a && b ? cti_node_like(t) : NULL;
    if (copy) ct_set(&copy->inputs[0], a), ct_set(&copy->inputs[1], b);
    return copy;
}

/* The derivative with regard to the other operand has q in place of this one. */
static ct_tensor *with_operand(const ct_tensor *t, int operand, ct_tensor *q) {
    ct_tensor *a = t->inputs[0], *b = t->inputs[1], *held = ct_stop_gradient(q);
    ct_tensor *wrong = operand ? op_of(t, a, held) : op_of(t, held, b);
    ct_tensor *right = operand ? op_of(t, ct_stop_gradient(a), b)
                               : op_of(t, a, ct_stop_gradient(b));
    return ct_add(wrong, right);
}

static ct_status try_operand(search *k, ct_tensor *t, int operand, ct_tensor *q, const char *what) {
    ct_status status = q ? explains(k, t, with_operand(t, operand, q)) : ct_error();
    if (status == CT_OK && k->found) {
        cti_written now = {""}, belongs = cti_written_of(t->inputs[operand]);
        if (!what) cti_write_both(q, t->inputs[operand], now.text, belongs.text);
        cti_line(k->out, "%s: %s stands where %s belongs, in what flows to %s", k->input,
                 what ? what : now.text, belongs.text, cti_written_of(t->inputs[!operand]).text);
    }
    return status;
}

/* As wide as t but for axes of size 1; NULL where it is not. */
static ct_tensor *shaped(ct_tensor *q, const ct_tensor *t) {
    ct_shape from = ct_shape_of(q), to = ct_shape_of(t);
    int d = 0;
    for (int i = 0; i < from.rank; i++) {
        if (from.dims[i] == 1) continue;
        while (d < to.rank && to.dims[d] == 1) d++;
        if (d == to.rank || to.dims[d++] != from.dims[i]) return NULL;
    }
    for (; d < to.rank; d++) {
        if (to.dims[d] != 1) return NULL;
    }
    return ct_reshape(q, to);
}

/* Whether an operand plays a part in the other's derivative; and then all that may stand there. */
static ct_status try_operands(search *k, ct_tensor *t, int operand) {
    ct_tensor *right = t->inputs[operand], *one = ct_full(CT_P61, ct_shape_of(right), 1);
    const ct_p61 *data = one ? derive(k, t, with_operand(t, operand, one)) : NULL;
    if (!data) return ct_error();
    if (equal(data, k->pair->derived)) return CT_OK;
    ct_shape s = ct_shape_of(right);
    bool square = s.rank >= 2 && s.dims[s.rank - 1] == s.dims[s.rank - 2];
    ct_status status = try_operand(k, t, operand, one, "1");
    if (status == CT_OK && !k->found) status = try_operand(k, t, operand, ct_scale(one, 0), "0");
    if (status == CT_OK && !k->found && square) {
        status = try_operand(k, t, operand, ct_transpose(right), "its transpose");
    }
    if (status == CT_OK && !k->found && s.rank == 4) {
        status = try_operand(k, t, operand, ct_flip(right, CT_AXES(0, 1)), "it, flipped,");
    }
    for (int64_t i = 0; status == CT_OK && i < k->n_nodes && !k->found; i++) {
        ct_tensor *q = k->nodes[i] == right ? NULL : shaped(k->nodes[i], right);
        if (q) status = try_operand(k, t, operand, q, NULL);
    }
    return status;
}

/* --- Another function's slope ----------------------------------------------------------------- */

/* By the value v of a function of one operand. */
static ct_tensor *slope_of_line(ct_tensor *v) { return ct_full(CT_P61, ct_shape_of(v), 1); }
static ct_tensor *slope_of_exp(ct_tensor *v) { return v; }
static ct_tensor *square_of(ct_tensor *v) { return ct_mul(v, v); }
static ct_tensor *rest_of(ct_tensor *v) { return ct_sub(slope_of_line(v), v); }
static ct_tensor *slope_of_sigmoid(ct_tensor *v) { return ct_mul(v, rest_of(v)); }
static ct_tensor *slope_of_tanh(ct_tensor *v) { return rest_of(square_of(v)); }

static const struct {
    ct_tensor *(*slope)(ct_tensor *value);
    const char *called;
} slopes[] = {{slope_of_line, "1"},
              {slope_of_exp, "its value v"},
              {rest_of, "1 - v, of its value v,"},
              {slope_of_sigmoid, "v (1 - v), of its value v,"},
              {slope_of_tanh, "1 - v^2, of its value v,"},
              {square_of, "v^2, of its value v,"}};
enum { SLOPES = sizeof slopes / sizeof *slopes };

static ct_status try_slopes(search *k, ct_tensor *t) {
    ct_status status = CT_OK;
    for (int i = 0; i < SLOPES && status == CT_OK && !k->found; i++) {
        ct_tensor *slope = ct_stop_gradient(slopes[i].slope(t));
        ct_tensor *like = slope ? ct_mul(slope, t->inputs[0]) : NULL;
        status = like ? explains(k, t, like) : ct_error();
        if (status != CT_OK || !k->found) continue;
        cti_line(k->out, "%s: %s stands where the slope of %s belongs", k->input, slopes[i].called,
                 cti_written_of(t).text);
    }
    return status;
}

/* --- A factor once too often ------------------------------------------------------------------ */

static ct_status try_factors(search *k, ct_tensor *t) {
    ct_status status = CT_OK;
    for (int64_t i = 0; status == CT_OK && i < 2 * k->n_nodes && !k->found; i++) {
        ct_tensor *factor = shaped(k->nodes[i / 2], t), *like = NULL;
        if (!factor) continue;
        factor = ct_stop_gradient(factor);
        like = i % 2 ? ct_div(t, factor) : ct_mul(t, factor);
        status = like ? explains(k, t, like) : ct_error();
        if (status != CT_OK || !k->found) continue;
        cti_line(k->out, "%s: what flows through %s %s the factor %s%s", k->input, called(t).text,
                 i % 2 ? "lacks" : "has", cti_written_of(k->nodes[i / 2]).text,
                 i % 2 ? "" : " once too often");
    }
    return status;
}

/* --- Another value ---------------------------------------------------------------------------- */

/* Whether q for t explains it: where what is derived takes the value of t, or as another f, whose
 * derivative the closed form is. */
static ct_status try_value(search *k, ct_tensor *t, ct_tensor *q, const char *what,
                           const char *says) {
    int64_t n = k->s->claim->n_inputs, i = k->pair->input;
    ct_tensor *y = q ? cti_graph_with(k->of->y, t, q) : NULL, *of_other[CT_CLAIM_INPUTS];
    ct_tensor *taken = y ? cti_graph_with(k->pair->derived, t, q) : NULL;
    ct_status status = taken ? ct_vjp(y, k->of->x[n], k->of->x, n, of_other) : ct_error();
    if (status == CT_OK) status = ct_eval((ct_tensor *[]){taken, of_other[i]}, 2);
    if (status != CT_OK) return status;
    k->tries++;
    bool in_derivative = equal(ct_data(taken), k->pair->closed);
    k->found = in_derivative || equal(ct_data(of_other[i]), k->pair->closed);
    if (k->found) {
        cti_line(k->out, "%s: %s%s%s", k->input,
                 in_derivative ? "" : "the derivative of another f: ", what, says);
    }
    return CT_OK;
}

/* What is counted wrongly: n for 1, n for n - 1, 1 for n, where n values are one. */
static ct_status try_counts(search *k, ct_tensor *t) {
    int64_t values = t->inputs[0]->numel / t->numel;
    double n = (double)values;
    const double factors[] = {n, n / (n - 1), (n - 1) / n, 1 / n};
    ct_status status = CT_OK;
    for (int i = 0; i < 4 && n > 2 && status == CT_OK && !k->found; i++) {
        ct_verify_line said;
        if (!cti_factor_said(ct_p61_from(factors[i]), &said)) continue;
        status = try_value(k, t, ct_scale(t, factors[i]), cti_written_of(t).text, said.text);
    }
    return status;
}

/* What stands nearer to the inputs, as where an op is forgotten. */
static ct_status try_earlier(search *k, int64_t at) {
    ct_tensor *t = k->nodes[at];
    ct_status status = CT_OK;
    for (int64_t i = at + 1; i < k->n_nodes && status == CT_OK && !k->found; i++) {
        ct_tensor *q = shaped(k->nodes[i], t);
        if (!q) continue;
        ct_verify_line says;
        cti_line(&says, " stands where %s belongs", cti_written_of(t).text);
        status = try_value(k, t, q, cti_written_of(k->nodes[i]).text, says.text);
    }
    return status;
}

ct_status cti_guess_value(const cti_subject *s, const cti_instance *of, const cti_pair *pair,
                          ct_verify_line *out, bool *found) {
    search k = {.s = s, .of = of, .pair = pair, .out = out};
    k.input = cti_claim_input_name(s->claim, pair->input);
    ct_status status = find_nodes(&k);
    for (int64_t i = 0; i < k.n_nodes && status == CT_OK && !k.found; i++) {
        ct_tensor *t = k.nodes[i];
        if (t->n_inputs == 0 || k.tries >= MOST_TRIES) continue;
        bool reduces = t->n_inputs == 1 && t->numel < t->inputs[0]->numel;
        if (reduces && has_replicated_inputs(t)) status = try_counts(&k, t);
        if (status == CT_OK && !k.found) status = try_earlier(&k, i);
    }
    *found = k.found;
    return status;
}

/* --- All -------------------------------------------------------------------------------------- */

static ct_status try_node(search *k, ct_tensor *t) {
    bool plain = t->n_inputs && !t->op->release && has_replicated_inputs(t);
    for (int i = 0; i < t->n_inputs; i++) plain &= t->inputs[i]->dtype == CT_P61;
    if (!plain) return CT_OK;
    ct_status status = CT_OK;
    if (t->n_inputs == 2) status = try_operands(k, t, 0);
    if (t->n_inputs == 2 && status == CT_OK && !k->found) status = try_operands(k, t, 1);
    bool alike = t->n_inputs == 1 && ct_shape_equal(ct_shape_of(t), ct_shape_of(t->inputs[0]));
    if (alike && status == CT_OK && !k->found) status = try_slopes(k, t);
    if (t != k->of->y && status == CT_OK && !k->found) status = try_factors(k, t);
    return status == CT_OK ? ct_error() : status;
}

/* The derivative itself, turned. */
static ct_status try_turned(search *k) {
    ct_tensor *derived = k->pair->derived, *turned = NULL;
    ct_shape s = ct_shape_of(derived);
    bool square = s.rank == 2 && s.dims[0] == s.dims[1];
    if (square) turned = ct_transpose(derived);
    else if (s.rank == 4) turned = ct_flip(derived, CT_AXES(0, 1));
    else return CT_OK;
    const ct_p61 *data = ct_data(turned);
    if (!data) return ct_error();
    k->found = equal(data, k->pair->closed);
    if (k->found) {
        cti_line(k->out, "%s: all of it is %s", k->input, square ? "transposed" : "flipped");
    }
    return CT_OK;
}

ct_status cti_guess_mistake(const cti_subject *s, const cti_instance *of, const cti_pair *pair,
                            ct_verify_line *out, bool *found) {
    search k = {.s = s, .of = of, .pair = pair, .out = out};
    k.input = cti_claim_input_name(s->claim, pair->input);
    ct_status status = find_nodes(&k);
    if (status == CT_OK) status = try_turned(&k);
    for (int64_t i = 0; i < k.n_nodes && status == CT_OK; i++) {
        if (k.found || k.tries >= MOST_TRIES) break;
        status = try_node(&k, k.nodes[i]);
    }
    *found = k.found;
    return status;
}
