/* A user's program in C++11 or later: a model with a module and an op of its own, trained for some
 * steps, and gradients. It includes <cotan/cotan.h>, and has a file of its own whose name is that
 * of a header of cotan.
 * Invariant: the exit status is 0 only if every expectation holds and all memory is given back. */
#include <cotan/cotan.h>

#include "tensor/tensor.h"

#include <cmath>
#include <cstdio>
#include <vector>

#ifndef OWN_TENSOR
#error "the user's tensor/tensor.h was not found"
#endif

static bool good = true;

static void expect(bool holds, const char *what) {
    if (holds) return;
    good = false;
    std::fprintf(stderr, "consumer: %s; record: %s\n", what, ct_error_message());
}

/* --- An op of its own: the cube --------------------------------------------------------------- */

static CT_CLONES void consumer_cube_f64(int64_t n, void *y, const void *const x[],
                                        const ct_tile *tile) {
    (void)tile;
    const double *from = static_cast<const double *>(x[0]);
    double *to = static_cast<double *>(y);
    for (int64_t i = 0; i < n; i++) to[i] = from[i] * from[i] * from[i];
}

static ct_tensor *vjp_cube(ct_tensor *g, ct_tensor *y, int i) {
    return ct_mul(g, ct_scale(ct_square(ct_input(y, i)), 3.0));
}

static ct_op make_cube() {
    ct_op op = ct_op();
    op.name = "cube";
    op.kind = CT_MAP;
    op.n_inputs = 1;
    op.infer = ct_infer_float;
    op.tile[CT_F64] = consumer_cube_f64;
    op.vjp[0] = vjp_cube;
    return op;
}

namespace {
CT_OP(op_cube) = make_cube();
}

static ct_tensor *cube(void *, ct_tensor *const x[], int64_t) {
    return ct_node(&op_cube, x, 1, nullptr, 0);
}

static void check_op() {
    const std::vector<double> values = {-2, -0.5, 0.25, 1, 3, 4};
    ct_tensor *x = ct_from(CT_F64, CT_SHAPE(2, values.size() / 2), values.data());
    ct_gradcheck_options options = ct_gradcheck_options();
    options.order = 2;
    ct_gradcheck_report report;
    expect(ct_gradcheck(cube, nullptr, &x, 1, options, &report) == CT_OK && report.passed,
           "the derivatives of an op of one's own");
    ct_tensor *y = ct_node(&op_cube, &x, 1, nullptr, 0);
    expect(ct_is(y, &op_cube) && ct_is(ct_mul(x, y), &ct_op_mul), "which op a tensor is of");
}

/* --- Macros that are compound literals in C --------------------------------------------------- */

static ct_module *made_as(int number) {
    static int made;
    expect(made++ == number, "the modules of CT_SEQUENTIAL are made from left to right");
    return ct_flatten_new();
}

static void check_macros() {
    ct_module_free(CT_SEQUENTIAL("m", made_as(0), made_as(1), made_as(2)));
    ct_tensor *a = ct_full(CT_F64, CT_SHAPE(2, 3), 2), *b = ct_scalar(CT_F64, 5);
    ct_tensor *joined = CT_CONCAT(0, a, ct_broadcast(b, CT_SHAPE(1, 3)), a);
    expect(ct_shape_equal(ct_shape_of(joined), CT_SHAPE(5, 3)), "CT_CONCAT");
    expect(ct_shape_equal(ct_shape_of(b), CT_SCALAR), "CT_SCALAR");
    expect(ct_item(ct_sum(joined, CT_ALL)) == 39, "CT_ALL");
    expect(ct_item(ct_max(ct_sum(joined, CT_AXES(-1)), CT_AXES(0))) == 15, "CT_AXES");
    ct_tensor *dx;
    expect(ct_grad(ct_sum_all(ct_mul(a, a)), &a, 1, &dx) == CT_OK, "ct_grad");
    expect(ct_data_f64(dx) && ct_data_f64(dx)[5] == 4, "a gradient");
}

/* --- A module of its own, and training -------------------------------------------------------- */

struct doubling : ct_module {};

static ct_tensor *doubling_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    return ct_scale(ct_forward(self->children[0], x, mode), 2);
}

static ct_module_kind doubling_kind() {
    ct_module_kind kind = ct_module_kind();
    kind.name = "Doubling";
    kind.forward = doubling_forward;
    return kind;
}

static ct_module *doubling_new(ct_module *inner) {
    static const ct_module_kind kind = doubling_kind();
    ct_module *module = ct_module_new(sizeof(doubling), &kind);
    if (ct_module_add_children(module, &inner, 1) == CT_OK) return module;
    ct_module_free(module);
    return nullptr;
}

static double step(ct_module *model, ct_optimizer *optimizer) {
    const float inputs[4][2] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}};
    const int64_t labels[4] = {0, 1, 1, 0};
    int64_t scope = ct_scope_open();
    ct_tensor *x = ct_from(CT_F32, CT_SHAPE(4, 2), inputs);
    ct_tensor *y = ct_from(CT_I64, CT_SHAPE(4), labels);
    ct_tensor *loss = ct_cross_entropy(ct_logits(model, x, CT_TRAINING), y);
    expect(ct_optimizer_step(optimizer, loss, nullptr, 0) == CT_OK, "a step");
    double value = ct_item(loss);
    ct_scope_close(scope);
    return value;
}

static void check_training() {
    ct_seed_set(1);
    ct_module *model = CT_SEQUENTIAL("xor", ct_dense_new(2, 16, ct_dense_options()),
                                     ct_batch_norm_new(16, ct_batch_norm_keras()),
                                     ct_activation_new(&ct_activation_tanh),
                                     doubling_new(ct_dense_new(16, 2, ct_dense_options())));
    ct_sgd_options options = ct_sgd_options();
    options.rate = ct_rate(0.5);
    ct_optimizer *sgd = ct_sgd_new(model, options);
    double first = step(model, sgd), last = first;
    for (int k = 0; k < 100; k++) last = step(model, sgd);
    expect(std::isfinite(first) && last < 0.1 * first, "training lowers the loss");
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

int main() {
    check_macros();
    check_op();
    check_training();
    expect(ct_error() == CT_OK, "an error stayed behind");
    ct_scope_close(0);
    ct_cache_clear();
    return good ? 0 : 1;
}
