/* What may be wrong with a closed form where no named term is: what flows through one op of f, or
 * an input that was forgotten.
 * It tries one mistake at a time.
 * Invariant: a guess is an identity in the field that holds for all elements of an input. */
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "autograd/verify/verify_private.h"
#include "tensor/base/alloc.h"
#include "tensor/graph/node.h"
#include "tensor/graph/walk.h"

#include <string.h>

#define MOST_NODES 80

/* --- An op of f as a formula ------------------------------------------------------------------ */

static void append(char text[], size_t size, const char *more) {
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s", more);
}

static const ct_tensor *plain(const ct_tensor *t) {
    while (t->op == &ct_op_broadcast || t->op == &ct_op_reshape) t = t->inputs[0];
    return t;
}

void cti_write_formula(const ct_tensor *t, int depth, char text[], size_t size) {
    t = plain(t);
    if (t->name && t->name[0]) {
        append(text, size, t->name);
    } else if (t->n_inputs == 0 && t->numel == 1 && t->buffer && !t->structural) {
        char number[24];
        snprintf(number, sizeof number, "%g", cti_value(t->buffer->data, t->dtype, 0));
        append(text, size, number);
    } else if (t->n_inputs == 0 || depth == 0) {
        append(text, size, "..");
    } else {
        append(text, size, t->op->name);
        for (int k = 0; k < t->n_inputs; k++) {
            append(text, size, k ? ", " : "(");
            cti_write_formula(t->inputs[k], depth - 1, text, size);
        }
        append(text, size, ")");
    }
}

cti_written cti_written_of(const ct_tensor *t) {
    cti_written f = {""};
    cti_write_formula(t, 2, f.text, sizeof f.text);
    return f;
}

void cti_write_both(const ct_tensor *a, const ct_tensor *b, char of_a[CTI_CALLED_SIZE],
                    char of_b[CTI_CALLED_SIZE]) {
    for (int depth = 2; depth <= 6; depth++) {
        of_a[0] = of_b[0] = '\0';
        cti_write_formula(a, depth, of_a, CTI_CALLED_SIZE);
        cti_write_formula(b, depth, of_b, CTI_CALLED_SIZE);
        if (strcmp(of_a, of_b) != 0) return;
    }
    bool first = a->id < b->id;
    snprintf(of_a, CTI_CALLED_SIZE, "the %s ", first ? "earlier" : "later");
    snprintf(of_b, CTI_CALLED_SIZE, "the %s ", first ? "later" : "earlier");
    cti_write_formula(a, 2, of_a, CTI_CALLED_SIZE);
    cti_write_formula(b, 2, of_b, CTI_CALLED_SIZE);
}

/* --- What flows through one op ---------------------------------------------------------------- */

void cti_write_called(const ct_tensor *t, int depth, char text[], size_t size) {
    t = plain(t);
    const char *quote = t->name && t->name[0] ? "'" : "";
    append(text, size, quote);
    cti_write_formula(t, depth, text, size);
    append(text, size, quote);
}

/* The number by which `part` in derived has to be multiplied to give closed, if there is one. */
static bool single_factor(const ct_p61 *derived, const ct_p61 *closed, const ct_p61 *rest,
                          int64_t n, ct_p61 *factor) {
    bool known = false;
    for (int64_t i = 0; i < n; i++) {
        ct_p61 part = ct_p61_sub(derived[i], rest[i]), wanted = ct_p61_sub(closed[i], rest[i]);
        if (part.field == 0) {
            if (wanted.field != 0) return false;
            continue;
        }
        ct_p61 ratio = ct_p61_div(wanted, part);
        if (known && ratio.field != factor->field) return false;
        *factor = ratio;
        known = true;
    }
    return known;
}

static ct_status try_node(const cti_subject *s, const cti_instance *of, const cti_pair *pair,
                          const ct_tensor *node, ct_verify_line *out, bool *found) {
    int64_t n = s->claim->n_inputs;
    ct_tensor *y = cti_term_stopped(of->y, NULL, node), *rest[CT_CLAIM_INPUTS];
    if (!y) return ct_error();
    ct_status status = ct_vjp(y, of->x[n], of->x, n, rest);
    if (status == CT_OK) status = ct_eval(&rest[pair->input], 1);
    if (status != CT_OK) return status;
    ct_p61 factor;
    ct_verify_line said;
    *found = single_factor(ct_data(pair->derived), ct_data(pair->closed),
                           ct_data(rest[pair->input]), ct_numel(pair->derived), &factor) &&
             cti_factor_said(factor, &said);
    if (!*found) return CT_OK;
    char formula[80] = "";
    cti_write_called(node, 3, formula, sizeof formula);
    cti_line(out, "%s: the term through %s%s", cti_claim_input_name(s->claim, pair->input), formula,
             said.text);
    return CT_OK;
}

/* The ops of f, the one nearest to its value first; of what varies between ranks, not each has as
 * many. */
static ct_status ops_of(const cti_instance *of, ct_tensor *nodes[], int64_t *n) {
    cti_walk walk;
    ct_tensor *y = of->y;
    *n = 0;
    ct_status status = cti_walk_new(&walk, &y, 1, cti_walk_whole_graph);
    for (int64_t i = walk.count; status == CT_OK && i-- > 0 && *n < MOST_NODES;) {
        ct_tensor *t = walk.items[i];
        if (t->n_inputs && t->dtype == CT_P61 && !t->rows && t != y) nodes[(*n)++] = t;
    }
    if (status == CT_OK) cti_walk_free(&walk);
    return status;
}

/* --- A forgotten input ------------------------------------------------------------------------ */

static ct_status try_forgotten(const cti_subject *s, const cti_instance *of, const cti_pair *pair,
                               int64_t input, ct_verify_line *out, bool *found) {
    int64_t n = s->claim->n_inputs;
    ct_tensor *x[CT_CLAIM_INPUTS + 1], *derived[CT_CLAIM_INPUTS];
    memcpy(x, of->x, sizeof x);
    x[input] = ct_full(CT_P61, ct_shape_of(of->x[input]), 1);
    ct_tensor *y = x[input] ? s->f(s->claim->context, x, n) : NULL;
    ct_status status = y ? ct_vjp(y, x[n], x, n, derived) : ct_error();
    if (status == CT_OK) status = ct_eval(&derived[pair->input], 1);
    if (status != CT_OK) return status;
    const ct_p61 *a = ct_data(derived[pair->input]), *b = ct_data(pair->closed);
    *found = true;
    for (int64_t i = 0; i < ct_numel(pair->closed); i++) *found &= a[i].field == b[i].field;
    if (*found) {
        cti_line(out, "%s: as if %s were 1: it is forgotten",
                 cti_claim_input_name(s->claim, pair->input), s->claim->inputs[input].name);
    }
    return CT_OK;
}

/* --- What is seen of the elements ------------------------------------------------------------- */

/* Whether what is not 0 stands at other places, as where each element of a window has what belongs
 * to the largest. */
static bool say_places(const cti_pair *pair, const char *input, ct_verify_line *out) {
    const ct_p61 *derived = ct_data(pair->derived), *closed = ct_data(pair->closed);
    long long n = ct_numel(pair->derived), more = 0, less = 0;
    for (int64_t i = 0; i < n; i++) {
        more += derived[i].field == 0 && closed[i].field != 0;
        less += derived[i].field != 0 && closed[i].field == 0;
    }
    if (less) cti_line(out, "%s: %lld of %lld elements have nothing, and should", input, less, n);
    if (more) cti_line(out, "%s: %lld of %lld elements should have nothing", input, more, n);
    if (more && less) {
        cti_line(out, "%s: %lld of %lld elements should have nothing, and %lld others something",
                 input, more, n, less);
    }
    return more || less;
}

/* Whether each element has a factor of its own, as where all windows are divided by one size. */
static bool say_factors(const cti_pair *pair, const char *input, ct_verify_line *out) {
    const ct_p61 *derived = ct_data(pair->derived), *closed = ct_data(pair->closed);
    ct_p61 least = {0}, most = {0};
    bool any = false;
    for (int64_t i = 0; i < ct_numel(pair->derived); i++) {
        ct_verify_line said;
        if (derived[i].field == 0 && closed[i].field == 0) continue;
        ct_p61 factor = ct_p61_div(closed[i], derived[i]);
        if (!cti_factor_said(factor, &said)) return false;
        if (!any || factor.shadow < least.shadow) least = factor;
        if (!any || factor.shadow > most.shadow) most = factor;
        any = true;
    }
    if (any) {
        cti_line(out, "%s: elements have factors of their own, from %.4g to %.4g", input,
                 least.shadow, most.shadow);
    }
    return any;
}

ct_status cti_guess(const cti_subject *s, const cti_instance *of, const cti_pair *pair,
                    ct_verify_line *out) {
    ct_tensor *nodes[MOST_NODES];
    int64_t n;
    bool found = false;
    ct_status status = ops_of(of, nodes, &n);
    for (int64_t i = 0; i < s->claim->n_inputs && status == CT_OK && !found; i++) {
        if (i != pair->input) status = try_forgotten(s, of, pair, i, out, &found);
    }
    for (int64_t k = 0; k < n && status == CT_OK && !found; k++) {
        status = try_node(s, of, pair, nodes[k], out, &found);
    }
    if (status == CT_OK && !found) status = cti_guess_mistake(s, of, pair, out, &found);
    if (status == CT_OK && !found) status = cti_term_shares(s, pair, out, &found);
    if (status == CT_OK && !found) status = cti_guess_value(s, of, pair, out, &found);
    if (status == CT_OK && !found) status = cti_guess_repair(s, of, pair, out, &found);
    const char *input = cti_claim_input_name(s->claim, pair->input);
    if (status != CT_OK || found) return status;
    if (!say_places(pair, input, out) && !say_factors(pair, input, out)) {
        cti_line(out, "%s: no known term or factor explains the difference", input);
    }
    return status;
}
