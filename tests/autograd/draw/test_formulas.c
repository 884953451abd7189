/* Formulas and the nodes that compute their terms: every term is found in the graph of the function
 * that it is of, forward and derived, and nothing else is coloured.
 * What the formulas say is held to the derivative of plain arithmetic here, not to a picture. */
#include "tests/support/io_support.h"

#include "autograd/compose.h"
#include "autograd/dot.h"
#include "autograd/grad.h"
#include "nn/loss.h"

#include <math.h>

#define FORMULA_TEST(name) FOLDER_TEST(formulas, name)

static const char *const marks[CT_TERMS] = {"①", "②", "③", "④", "⑤", "⑥"};

static int count(const char *text, const char *part) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) n++;
    return n;
}

static char *text_of(ct_tensor *const roots[], int64_t n, ct_dot_options options) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    cr_assert_eq(ct_dot_write(out, roots, n, options), CT_OK, "%s", ct_error_message());
    fclose(out);
    return text;
}

/* Boxes of a term in the forward pass and in the derivative, which arrows out of them tell apart:
 * here by drawing one order and both. */
static void expect_terms(const ct_formula *formula, ct_tensor *const roots[], int64_t n) {
    char *forward = text_of(roots, n, (ct_dot_options){.formula = formula, .orders = 1});
    char *both = text_of(roots, n, (ct_dot_options){.formula = formula});
    for (int64_t k = 0; k < formula->n_terms; k++) {
        char box[16];
        snprintf(box, sizeof box, "label=\"%s ", marks[k]);
        cr_expect_gt(count(forward, box), 0, "%s: term %d", formula->name, (int)k);
        cr_expect_gt(count(both, formula->terms[k].forward), 0);
        bool derived = count(both, box) > count(forward, box);
        cr_expect(derived || !strcmp(formula->terms[k].derivative, "dx = dz"), "%s: term %d",
                  formula->name, (int)k);
    }
    free(forward), free(both);
}

typedef ct_tensor *layer(ct_tensor *x, ct_tensor *gamma, ct_tensor *beta);
static ct_tensor *batch(ct_tensor *x, ct_tensor *gamma, ct_tensor *beta) {
    return ct_batch_norm(x, gamma, beta, -1, 1e-3, NULL, NULL);
}
static ct_tensor *each(ct_tensor *x, ct_tensor *gamma, ct_tensor *beta) {
    return ct_layer_norm(x, gamma, beta, 1e-3);
}

enum { ROWS = 6, WIDTH = 4 };

static ct_tensor *numbers(ct_shape shape, double seed) {
    double values[ROWS * WIDTH];
    for (int i = 0; i < ROWS * WIDTH; i++) values[i] = sin(seed + 1.7 * i);
    return ct_from(CT_F64, shape, values);
}

static void expect_layer(layer *function, const ct_formula *formula) {
    ct_tensor *x[] = {numbers(CT_SHAPE(ROWS, WIDTH), 1), numbers(CT_SHAPE(WIDTH), 2),
                      numbers(CT_SHAPE(WIDTH), 3)};
    ct_tensor *y = function(x[0], x[1], x[2]), *roots[4] = {y};
    cr_assert_eq(ct_vjp(y, numbers(CT_SHAPE(ROWS, WIDTH), 4), x, 3, roots + 1), CT_OK);
    expect_terms(formula, roots, 4);
}

FORMULA_TEST(every_term_is_in_the_graph) {
    expect_layer(batch, &ct_formula_batch_norm);
    expect_layer(each, &ct_formula_layer_norm);
    ct_tensor *scores = numbers(CT_SHAPE(ROWS, WIDTH), 5), *roots[2];
    roots[0] = ct_cross_entropy(scores, ct_full(CT_I64, CT_SHAPE(ROWS), 1));
    cr_assert_eq(ct_grad(roots[0], &scores, 1, &roots[1]), CT_OK);
    expect_terms(&ct_formula_cross_entropy, roots, 2);
}

/* The closed form, part by part:
 * dx = γ dy / σ − γ c Σ dy c / (m σ³) − γ Σ dy / (m σ). */
FORMULA_TEST(the_closed_form_of_batch_norm_is_right) {
    ct_tensor *x[] = {numbers(CT_SHAPE(ROWS, WIDTH), 1), numbers(CT_SHAPE(WIDTH), 2),
                      numbers(CT_SHAPE(WIDTH), 3)};
    ct_tensor *g = numbers(CT_SHAPE(ROWS, WIDTH), 4), *dx;
    cr_assert_eq(ct_vjp(batch(x[0], x[1], x[2]), g, x, 1, &dx), CT_OK);
    const double *v = ct_data(x[0]), *gamma = ct_data(x[1]), *dy = ct_data(g), *got = ct_data(dx);
    for (int k = 0; k < WIDTH; k++) {
        double mean = 0, square = 0, sum = 0, along = 0;
        for (int i = 0; i < ROWS; i++) mean += v[i * WIDTH + k] / ROWS;
        for (int i = 0; i < ROWS; i++) square += pow(v[i * WIDTH + k] - mean, 2) / ROWS;
        double sigma = sqrt(square + 1e-3);
        for (int i = 0; i < ROWS; i++) sum += dy[i * WIDTH + k];
        for (int i = 0; i < ROWS; i++) along += dy[i * WIDTH + k] * (v[i * WIDTH + k] - mean);
        for (int i = 0; i < ROWS; i++) {
            double c = v[i * WIDTH + k] - mean;
            double wanted = gamma[k] * dy[i * WIDTH + k] / sigma -
                            gamma[k] * c * along / (ROWS * pow(sigma, 3)) -
                            gamma[k] * sum / (ROWS * sigma);
            cr_expect(fabs(got[i * WIDTH + k] - wanted) < 1e-12);
        }
    }
}

FORMULA_TEST(a_formula_of_ones_own) {
    static const ct_term terms[] = {{"energy", "E = Σ x²", "dx = 2 x dE", "· x"},
                                    {NULL, "y = a E", "dE = a dy", "dx = 2 a dy"}};
    static const ct_formula formula = {"energy", terms, 2};
    ct_tensor *x = numbers(CT_SHAPE(WIDTH), 1), *roots[2];
    roots[0] = ct_scale(ct_name(ct_sum_all(ct_square(x)), "energy"), 3);
    cr_assert_eq(ct_grad(roots[0], &x, 1, &roots[1]), CT_OK);
    expect_terms(&formula, roots, 2);
    char *text = text_of(roots, 2, (ct_dot_options){.formula = &formula});
    cr_expect_not_null(strstr(text, "label=\"① energy = sum"), "%s", text);
    cr_expect_not_null(strstr(text, ">② dx = 2 a dy</td>"), "%s", text);
    free(text);
}

FORMULA_TEST(derived_beside_evaluated) {
    ct_tensor *x[] = {numbers(CT_SHAPE(ROWS, WIDTH), 1), numbers(CT_SHAPE(WIDTH), 2),
                      numbers(CT_SHAPE(WIDTH), 3)};
    ct_tensor *y = batch(x[0], x[1], x[2]), *roots[4] = {y};
    cr_assert_eq(ct_vjp(y, numbers(CT_SHAPE(ROWS, WIDTH), 4), x, 3, roots + 1), CT_OK);
    /* Evaluated, the third is one of the sums that the first needs. */
    static const char *const names[] = {"result 0", "result 1", "result 2"};
    for (int k = 0; k < 3; k++) ct_name(roots[1 + k], names[k]);
    ct_dot_options options = {.formula = &ct_formula_batch_norm};
    cr_assert_eq(ct_dot_save_both(in_folder("g.dot"), roots, 4, options), CT_OK, "%s",
                 ct_error_message());
    char command[1200];
    snprintf(command, sizeof command,
             "f='%s'; grep -q 'as derived: 35 ops' \"$f\" && "
             "grep -q 'as evaluated: [0-9]* ops' \"$f\" && "
             "for k in 0 1 2; do [ $(grep -c \"result $k\" \"$f\") -eq 2 ] || exit 1; done && "
             "dot -Tplain \"$f\" >/dev/null 2>'%s'",
             in_folder("g.dot"), in_folder("warnings"));
    cr_expect_eq(system(command), 0);
    cr_expect(file_is(in_folder("warnings"), "", 0), "dot has warned");
    cr_expect_eq(ct_dot_save_both(NULL, roots, 4, options), CT_ERR_NULL);
    cr_expect_str_eq(ct_error_message(), "ct_dot_save_both: 'path' is NULL");
    ct_error_clear();
    cr_expect_eq(ct_dot_save_both("g.dot", roots, 0, options), CT_ERR_RANGE);
    cr_expect_str_eq(ct_error_message(), "ct_dot_save_both: needs at least one root");
    ct_error_clear();
}

static ct_status draw_both(void) {
    ct_tensor *x = ct_full(CT_F64, CT_SHAPE(3, 2), 1), *y = NULL;
    ct_tensor *gamma = ct_full(CT_F64, CT_SHAPE(2), 1);
    y = batch(x, gamma, gamma);
    ct_dot_options options = {.formula = &ct_formula_batch_norm};
    return y ? ct_dot_save_both(in_folder("m.dot"), &y, 1, options) : ct_error();
}

FORMULA_TEST(out_of_memory_is_an_error) { cr_expect_gt(memory_sweep(draw_both), 20); }
