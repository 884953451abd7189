/* Parameters as tensors: a functional call gives the bits and the derivatives of a forward with
 * those values in the slots, at both orders, and leaves the module as it was, also after an
 * error. */
#include "tests/support/nn_support.h"

#include "autograd/gradcheck.h"

#include <pthread.h>

static const ct_functional_options plain = {0}, staged = {.staged = true};

#define MOST 24

/* The slots of a model with copies of their values. */
typedef struct {
    ct_slot_list slots;
    ct_tensor *values[MOST];
} given;

static given given_of(ct_module *model, ct_status list(ct_module *, ct_slot_list *)) {
    given g = {0};
    OK(list(model, &g.slots));
    cr_assert_leq(g.slots.count, MOST);
    for (int64_t i = 0; i < g.slots.count; i++) {
        g.values[i] = ct_detach(ct_slot_read(g.slots.items[i].slot));
    }
    return g;
}

static ct_tensor *image(ct_dtype dtype) { return centred(dtype, CT_SHAPE(4, 6, 6, 2), 3, 1, 0); }

static ct_module *dense(void) { return ct_dense_new(2, 2, (ct_dense_options){.dtype = CT_F64}); }

static ct_tensor *points(void) { return centred(CT_F64, CT_SHAPE(3, 2), 1, 1, 0); }

/* --- The same as with the values in the slots ------------------------------------------------- */

/* Two orders of the derivative of a loss of y by x[0..n). */
static void derive(ct_tensor *y, ct_tensor *const x[], int64_t n, ct_tensor *first[],
                   ct_tensor *second[]) {
    ct_tensor *loss = ct_mean_all(ct_square(y)), *sum = NULL;
    OK(ct_grad(loss, x, n, first));
    for (int64_t i = 0; i < n; i++) {
        ct_tensor *term = ct_sum_all(ct_square(first[i]));
        sum = sum ? ct_add(sum, term) : term;
    }
    OK(ct_grad(sum, x, n, second));
}

static void expect_as_slots(ct_module *model, ct_tensor *x, ct_mode mode, bool logits) {
    ct_tensor *leaves[MOST], *first[2][MOST], *second[2][MOST];
    given g = given_of(model, ct_module_parameters);
    int64_t n = g.slots.count;
    for (int64_t i = 0; i < n; i++) leaves[i] = ct_slot_read(g.slots.items[i].slot);
    ct_tensor *wanted = logits ? ct_logits(model, x, mode) : ct_forward(model, x, mode);
    ct_tensor *y = ct_functional_call(model, x, mode, &g.slots, g.values,
                                      (ct_functional_options){.logits = logits});
    MADE(y);
    cr_expect(same_bits(y, wanted));
    derive(wanted, leaves, n, first[0], second[0]);
    derive(y, g.values, n, first[1], second[1]);
    for (int64_t i = 0; i < n; i++) {
        cr_expect(same_bits(first[1][i], first[0][i]), "%s", g.slots.items[i].path);
        cr_expect(same_bits(second[1][i], second[0][i]), "%s", g.slots.items[i].path);
    }
    ct_slot_list_free(&g.slots);
}

TEST(functional, the_bits_of_a_forward_and_of_its_derivatives) {
    for (int mode = CT_INFERENCE; mode <= CT_TRAINING; mode++) {
        ct_module *cnn = small_cnn(0), *mlp = small_mlp();
        for (int logits = 0; logits < 2; logits++) {
            expect_as_slots(cnn, image(CT_F32), (ct_mode)mode, logits);
            expect_as_slots(mlp, centred(CT_F32, CT_SHAPE(5, 4), 2, 1, 0), (ct_mode)mode, logits);
        }
        ct_module_free(cnn);
        ct_module_free(mlp);
    }
}

TEST(functional, other_values_are_those_of_a_module_that_holds_them) {
    ct_module *model = small_cnn(0);
    given g = given_of(model, ct_module_list);
    for (int64_t i = 0; i < g.slots.count; i++) {
        if (ct_dtype_of(g.values[i]) != CT_F32) continue;
        g.values[i] = ct_detach(ct_offset(ct_scale(g.values[i], 1.25), 0.125));
    }
    for (int mode = CT_INFERENCE; mode <= CT_TRAINING; mode++) {
        uint64_t before = state_hash(model, NULL);
        ct_tensor *y = ct_functional_call(model, image(CT_F32), (ct_mode)mode, &g.slots, g.values,
                                          plain);
        MADE(y);
        OK(ct_commit(&y, 1, NULL, 0));
        cr_expect_eq(state_hash(model, NULL), before);
        given old = given_of(model, ct_module_list);
        for (int64_t i = 0; i < g.slots.count; i++) {
            OK(ct_slot_write(g.slots.items[i].slot, g.values[i]));
        }
        cr_expect(same_bits(y, ct_forward(model, image(CT_F32), (ct_mode)mode)));
        for (int64_t i = 0; i < g.slots.count; i++) {
            OK(ct_slot_write(g.slots.items[i].slot, old.values[i]));
        }
        ct_slot_list_free(&old.slots);
    }
    ct_slot_list_free(&g.slots);
    ct_module_free(model);
}

TEST(functional, some_items_in_any_order) {
    ct_module *model = CT_SEQUENTIAL("m", dense(), dense());
    given g = given_of(model, ct_module_list);
    ct_named_slot picked[] = {g.slots.items[3], g.slots.items[0]};
    ct_tensor *bias = centred(CT_F64, CT_SHAPE(2), 8, 1, 0);
    ct_tensor *kernel = centred(CT_F64, CT_SHAPE(2, 2), 9, 1, 0);
    ct_tensor *values[] = {bias, kernel};
    ct_slot_list some = {picked, 2}, none = {0};
    ct_tensor *y = ct_functional_call(model, points(), CT_INFERENCE, &some, values, plain);
    ct_tensor *hidden = ct_add(ct_matmul(points(), kernel), g.values[1]);
    cr_expect(same_bits(y, ct_add(ct_matmul(hidden, g.values[2]), bias)));
    y = ct_functional_call(model, points(), CT_INFERENCE, &none, NULL, plain);
    cr_expect(same_bits(y, ct_forward(model, points(), CT_INFERENCE)));
    ct_slot_list_free(&g.slots);
    ct_module_free(model);
}

TEST(functional, f64_values_for_slots_of_f32) {
    ct_batch_norm_options options = ct_batch_norm_defaults();
    options.no_scale = true;
    ct_module *model = CT_SEQUENTIAL("m", ct_dense_new(2, 3, (ct_dense_options){0}),
                                     ct_batch_norm_new(3, options));
    given g = given_of(model, ct_module_list);
    for (int64_t i = 0; i < g.slots.count; i++) g.values[i] = ct_cast(g.values[i], CT_F64);
    ct_functional_options any = {.any_float = true};
    for (int mode = CT_INFERENCE; mode <= CT_TRAINING; mode++) {
        ct_tensor *y = ct_functional_call(model, points(), (ct_mode)mode, &g.slots, g.values, any);
        ct_tensor *less = ct_forward(model, ct_cast(points(), CT_F32), (ct_mode)mode);
        cr_expect_eq(ct_dtype_of(y), CT_F64);
        ct_tensor *gap = ct_max(ct_abs(ct_sub(y, ct_cast(less, CT_F64))), CT_ALL);
        cr_expect(ct_item(gap) < 1e-4 && ct_item(gap) > 0, "%g", ct_item(gap));
    }
    ct_slot_list_free(&g.slots);
    ct_module_free(model);
}

/* --- Statistics, streams, frozen and shared modules ------------------------------------------- */

TEST(functional, staged_updates_are_left_out_unless_asked_for) {
    ct_module *model = small_cnn(0), *twin;
    ct_seed_set(0);
    twin = small_cnn(0);
    given g = given_of(model, ct_module_parameters);
    uint64_t before = state_hash(model, NULL);
    ct_tensor *y = ct_functional_call(model, image(CT_F32), CT_TRAINING, &g.slots, g.values, plain);
    OK(ct_commit(&y, 1, NULL, 0));
    cr_expect_eq(state_hash(model, NULL), before);
    y = ct_functional_call(model, image(CT_F32), CT_TRAINING, &g.slots, g.values, staged);
    OK(ct_commit(&y, 1, NULL, 0));
    ct_tensor *wanted = ct_forward(twin, image(CT_F32), CT_TRAINING);
    OK(ct_commit(&wanted, 1, NULL, 0));
    cr_expect_neq(state_hash(model, NULL), before);
    const char *const paths[] = {"batch_norm/moving_mean", "batch_norm/moving_variance"};
    for (int k = 0; k < 2; k++) {
        cr_expect(same_bits(read_slot(model, paths[k]), read_slot(twin, paths[k])));
    }
    ct_slot_list_free(&g.slots);
    ct_module_free(model);
    ct_module_free(twin);
}

/* What was not read cannot be moved by what was computed from it. */
TEST(functional, a_given_statistic_is_not_updated) {
    ct_module *model = small_cnn(0);
    given g = given_of(model, ct_module_list);
    ct_named_slot mean[1];
    for (int64_t i = 0; i < g.slots.count; i++) {
        if (strcmp(g.slots.items[i].path, "batch_norm/moving_mean") == 0) *mean = g.slots.items[i];
    }
    ct_tensor *value = ct_full(CT_F32, CT_SHAPE(4), 0.5);
    ct_tensor *y = ct_functional_call(model, image(CT_F32), CT_TRAINING, &(ct_slot_list){mean, 1},
                                      &value, staged);
    OK(ct_commit(&y, 1, NULL, 0));
    cr_expect_eq(element(read_slot(model, "batch_norm/moving_mean"), 0), 0);
    cr_expect_neq(element(read_slot(model, "batch_norm/moving_variance"), 0), 1);
    ct_slot_list_free(&g.slots);
    ct_module_free(model);
}

TEST(functional, dropout_takes_its_next_key_or_the_given_one) {
    ct_module *layer = ct_dropout_new(0.5);
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(40, 50), 1), *key = read_slot(layer, "stream");
    ct_slot_list none = {0};
    given g = given_of(layer, ct_module_list);
    uint64_t before = state_hash(layer, NULL);
    ct_tensor *a = ct_functional_call(layer, x, CT_TRAINING, &g.slots, &key, plain);
    ct_tensor *b = ct_functional_call(layer, x, CT_TRAINING, &g.slots, &key, plain);
    cr_expect(same_bits(a, b));
    cr_expect_eq(state_hash(layer, NULL), before);
    cr_expect(same_bits(a, ct_functional_call(layer, x, CT_TRAINING, &none, NULL, plain)));
    cr_expect_neq(state_hash(layer, NULL), before);
    cr_expect_not(same_bits(a, ct_functional_call(layer, x, CT_TRAINING, &none, NULL, plain)));
    ct_slot_list_free(&g.slots);
    ct_module_free(layer);
}

TEST(functional, frozen_modules_take_values_and_stay_frozen) {
    ct_module *model = small_cnn(0);
    ct_module_freeze(model, true);
    expect_as_slots(model, image(CT_F32), CT_TRAINING, false);
    given g = given_of(model, ct_module_parameters);
    cr_expect_eq(g.slots.count, 5);
    cr_expect_not(g.slots.items[0].trainable);
    ct_tensor *y = ct_functional_call(model, image(CT_F32), CT_TRAINING, &g.slots, g.values,
                                      staged);
    cr_expect(same_bits(y, ct_forward(model, image(CT_F32), CT_INFERENCE)));
    ct_slot_list_free(&g.slots);
    ct_module_free(model);
}

TEST(functional, every_use_of_a_shared_module_sees_the_value) {
    ct_module *d = dense(), *model = CT_SEQUENTIAL("m", d, ct_residual_new(d, NULL));
    given g = given_of(model, ct_module_parameters);
    cr_expect_eq(g.slots.count, 2);
    ct_tensor *kernel = g.values[0] = centred(CT_F64, CT_SHAPE(2, 2), 5, 1, 0);
    ct_tensor *bias = g.values[1] = centred(CT_F64, CT_SHAPE(2), 6, 1, 0);
    ct_tensor *y = ct_functional_call(model, points(), CT_TRAINING, &g.slots, g.values, plain);
    ct_tensor *once = ct_add(ct_matmul(points(), kernel), bias);
    cr_expect(same_bits(y, ct_add(once, ct_add(ct_matmul(once, kernel), bias))));
    expect_as_slots(model, points(), CT_TRAINING, false);
    ct_slot_list_free(&g.slots);
    ct_module_free(model);
}

/* --- Gradients through computed parameters ---------------------------------------------------- */

typedef struct {
    ct_module *model;
    ct_slot_list slots;
    ct_tensor *x, *target;
    ct_mode mode;
} task;

static ct_tensor *task_loss(const task *t, ct_tensor *const w[], double shift) {
    ct_tensor *y = ct_functional_call(t->model, ct_offset(t->x, shift), t->mode, &t->slots, w,
                                      plain);
    return ct_mse(y, t->target);
}

/* The loss after one step of descent, as a function of the parameters before it. */
static ct_tensor *loss_after_a_step(void *context, ct_tensor *const w[], int64_t n) {
    const task *t = context;
    ct_tensor *g[MOST], *moved[MOST];
    ct_tensor *inner = task_loss(t, w, 0);
    if (!inner || ct_grad(inner, w, n, g) != CT_OK) return NULL;
    for (int64_t i = 0; i < n; i++) moved[i] = ct_sub(w[i], ct_scale(g[i], 0.3));
    return task_loss(t, moved, 0.25);
}

static ct_module *smooth_model(void) {
    ct_dense_options options = {.dtype = CT_F64};
    ct_batch_norm_options norm = ct_batch_norm_defaults();
    norm.dtype = CT_F64;
    return CT_SEQUENTIAL("smooth", ct_dense_new(3, 4, options), ct_batch_norm_new(4, norm),
                         ct_activation_new(&ct_activation_tanh), ct_dense_new(4, 2, options));
}

static task task_of(ct_module *model, ct_mode mode) {
    task t = {.model = model, .mode = mode};
    t.x = centred(CT_F64, CT_SHAPE(5, 3), 1, 1, 0);
    t.target = centred(CT_F64, CT_SHAPE(5, 2), 2, 1, 0);
    return t;
}

TEST(functional, the_gradient_through_a_step_of_descent) {
    for (int mode = CT_INFERENCE; mode <= CT_TRAINING; mode++) {
        ct_module *model = smooth_model();
        given g = given_of(model, ct_module_parameters);
        task t = task_of(model, (ct_mode)mode);
        t.slots = g.slots;
        ct_gradcheck_report report;
        OK(ct_gradcheck(loss_after_a_step, &t, g.values, g.slots.count, (ct_gradcheck_options){0},
                        &report));
        cr_expect(report.passed && report.full, "input %lld: %g for %g",
                  (long long)report.worst.input, report.worst.analytic, report.worst.numeric);
        ct_slot_list_free(&g.slots);
        ct_module_free(model);
    }
}

/* The parameters that the optimizer moves are those that the slots hold. */
TEST(functional, an_optimizer_steps_through_a_step_of_descent) {
    ct_module *model = smooth_model();
    task t = task_of(model, CT_TRAINING);
    OK(ct_module_parameters(model, &t.slots));
    ct_tensor *w[MOST], *g[MOST], *wanted[MOST];
    for (int64_t i = 0; i < t.slots.count; i++) w[i] = ct_slot_read(t.slots.items[i].slot);
    ct_tensor *loss = loss_after_a_step(&t, w, t.slots.count);
    OK(ct_grad(loss, w, t.slots.count, g));
    for (int64_t i = 0; i < t.slots.count; i++) {
        wanted[i] = ct_sub(w[i], ct_mul(g[i], ct_scalar(CT_F64, 0.5)));
    }
    ct_optimizer *sgd = ct_sgd_new(model, (ct_sgd_options){.rate = ct_rate(0.5)});
    OK(ct_optimizer_step(sgd, loss, NULL, 0));
    for (int64_t i = 0; i < t.slots.count; i++) {
        cr_expect(same_bits(ct_slot_read(t.slots.items[i].slot), wanted[i]), "%s",
                  t.slots.items[i].path);
    }
    cr_expect_eq(element(read_slot(model, "batch_norm/moving_mean"), 0), 0);
    ct_slot_list_free(&t.slots);
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

/* --- Calls inside of calls -------------------------------------------------------------------- */

/* The child with its kernel times x's mean, and whatever its bias is. */
static ct_tensor *scaled_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    ct_module *child = self->children[0];
    ct_slot_list list;
    if (ct_module_list(child, &list) != CT_OK) return NULL;
    ct_tensor *kernel = ct_mul(ct_module_read(child, 0), ct_mean_all(x));
    ct_slot_list first = {list.items, 1};
    ct_tensor *y = ct_functional_call(child, x, mode, &first, &kernel, staged);
    ct_slot_list_free(&list);
    return y ? ct_add(y, ct_module_read(child, 1)) : NULL;
}

static ct_module *with_child(const ct_module_kind *kind, ct_module *child) {
    ct_module *module = ct_module_new(sizeof *module, kind);
    OK(ct_module_add_children(module, &child, 1));
    return module;
}

TEST(functional, an_inner_call_falls_back_on_the_outer_one) {
    static const ct_module_kind kind = {.name = "Scaled", .forward = scaled_forward};
    ct_module *model = with_child(&kind, dense());
    given g = given_of(model, ct_module_list);
    g.values[0] = centred(CT_F64, CT_SHAPE(2, 2), 5, 1, 0);
    g.values[1] = centred(CT_F64, CT_SHAPE(2), 6, 1, 0);
    ct_tensor *x = ct_offset(points(), 1);
    ct_tensor *y = ct_functional_call(model, x, CT_INFERENCE, &g.slots, g.values, plain);
    ct_tensor *product = ct_matmul(x, ct_mul(g.values[0], ct_mean_all(x)));
    cr_expect(same_bits(y, ct_add(ct_add(product, g.values[1]), g.values[1])));
    expect_as_slots(model, x, CT_INFERENCE, false);
    ct_gradcheck_report report;
    OK(ct_gradcheck_module(model, x, CT_TRAINING, (ct_gradcheck_options){.order = 2}, &report));
    cr_expect(report.passed);
    ct_slot_list_free(&g.slots);
    ct_module_free(model);
}

/* An inner call that asks for staged updates gets none where the outer one has none. */
TEST(functional, the_outer_call_decides_on_staged_updates) {
    static const ct_module_kind kind = {.name = "Scaled", .forward = scaled_forward};
    ct_batch_norm_options norm = ct_batch_norm_defaults();
    norm.dtype = CT_F64;
    ct_module *model = with_child(&kind, ct_batch_norm_new(2, norm));
    ct_slot_list none = {0};
    uint64_t before = state_hash(model, NULL);
    ct_tensor *y = ct_functional_call(model, points(), CT_TRAINING, &none, NULL, plain);
    OK(ct_commit(&y, 1, NULL, 0));
    cr_expect_eq(state_hash(model, NULL), before);
    y = ct_functional_call(model, points(), CT_TRAINING, &none, NULL, staged);
    OK(ct_commit(&y, 1, NULL, 0));
    uint64_t after = state_hash(model, NULL);
    cr_expect_neq(after, before);
    y = ct_forward(model, points(), CT_TRAINING);
    OK(ct_commit(&y, 1, NULL, 0));
    cr_expect_neq(state_hash(model, NULL), after);
    ct_module_free(model);
}

/* w x, or with a child's worth of calls left, itself at w / 2 and then once more at its own w. */
typedef struct {
    ct_module base;
    int calls;
} halving;

static ct_tensor *halving_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    halving *h = (halving *)self;
    ct_tensor *y = ct_mul(ct_module_read(self, 0), x);
    if (h->calls == 0) return y;
    ct_slot_list list;
    if (ct_module_list(self, &list) != CT_OK) return NULL;
    ct_tensor *half = ct_scale(ct_module_read(self, 0), 0.5);
    h->calls--;
    ct_tensor *inner = ct_functional_call(self, y, mode, &list, &half, plain);
    h->calls++;
    ct_slot_list_free(&list);
    return inner ? ct_mul(ct_module_read(self, 0), inner) : NULL;
}

TEST(functional, a_module_may_call_itself) {
    static const ct_module_kind kind = {.name = "Halving", .forward = halving_forward};
    halving *h = (halving *)ct_module_new(sizeof *h, &kind);
    OK(ct_module_add_slot(&h->base, "w", ct_scalar(CT_F64, 8), true));
    h->calls = 3;
    ct_tensor *x = ct_scalar(CT_F64, 1);
    /* 8 4 2 1, and the way back: 2 4 8. */
    EXPECT_NEAR(ct_item(ct_forward(&h->base, x, CT_TRAINING)), 64 * 64, 0);
    given g = given_of(&h->base, ct_module_list);
    g.values[0] = ct_scalar(CT_F64, 16);
    EXPECT_NEAR(ct_item(ct_functional_call(&h->base, x, CT_TRAINING, &g.slots, g.values, plain)),
                64 * 64 * 128, 0);
    EXPECT_NEAR(ct_item(ct_module_read(&h->base, 0)), 8, 0);
    ct_slot_list_free(&g.slots);
    ct_module_free(&h->base);
}

/* A network that makes the weights of another. */
static ct_tensor *generated_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    ct_module *maker = self->children[0], *made = self->children[1];
    ct_slot_list list;
    if (ct_module_list(made, &list) != CT_OK) return NULL;
    ct_tensor *code = ct_full(CT_F64, CT_SHAPE(1, 3), 0.5);
    ct_tensor *weights = ct_forward(maker, code, mode);
    ct_tensor *values[] = {ct_reshape(ct_slice(weights, 1, 0, 4, 1), CT_SHAPE(2, 2)),
                           ct_reshape(ct_slice(weights, 1, 4, 6, 1), CT_SHAPE(2))};
    ct_tensor *y = ct_functional_call(made, x, mode, &list, values, plain);
    ct_slot_list_free(&list);
    return y;
}

TEST(functional, weights_made_by_another_network) {
    static const ct_module_kind kind = {.name = "Generated", .forward = generated_forward};
    ct_module *maker = ct_dense_new(3, 6, (ct_dense_options){.dtype = CT_F64}), *made = dense();
    ct_module *model = ct_module_new(sizeof *model, &kind);
    OK(ct_module_add_children(model, (ct_module *[]){maker, made}, 2));
    ct_gradcheck_report report;
    OK(ct_gradcheck_module(model, points(), CT_TRAINING, (ct_gradcheck_options){0}, &report));
    cr_expect(report.passed);
    cr_expect(report.degenerate && report.degenerate_input == 2, "%lld",
              (long long)report.degenerate_input); /* the slots that are never read */
    ct_module_free(model);
}

/* --- Errors ----------------------------------------------------------------------------------- */

static void refused(ct_module *model, const ct_slot_list *slots, ct_tensor *const values[],
                    ct_status status, const char *message) {
    ct_tensor *wanted = ct_forward(model, points(), CT_TRAINING);
    cr_expect_null(ct_functional_call(model, points(), CT_TRAINING, slots, values, plain));
    expect_error(status, message);
    cr_expect(same_bits(ct_forward(model, points(), CT_TRAINING), wanted));
}

TEST(functional, what_does_not_fit_is_refused) {
    ct_module *model = CT_SEQUENTIAL("m", dense(), dense()), *other = dense();
    given g = given_of(model, ct_module_list), o = given_of(other, ct_module_list);
    ct_tensor *kernel = g.values[0];
    g.values[0] = ct_full(CT_F64, CT_SHAPE(2, 3), 1);
    refused(model, &g.slots, g.values, CT_ERR_SHAPE,
            "ct_functional_call: 'dense/kernel' is f64 [2,2], the value for it f64 [2,3]");
    g.values[0] = ct_full(CT_F32, CT_SHAPE(2, 2), 1);
    refused(model, &g.slots, g.values, CT_ERR_DTYPE,
            "ct_functional_call: 'dense/kernel' is f64 [2,2], the value for it f32 [2,2]");
    g.values[0] = NULL;
    refused(model, &g.slots, g.values, CT_ERR_NULL,
            "ct_functional_call: the value for 'dense/kernel' is NULL");
    g.values[0] = kernel;
    refused(model, &o.slots, o.values, CT_ERR_STATE,
            "ct_functional_call: 'kernel' is no slot of the module, or listed twice");
    ct_named_slot twice[] = {g.slots.items[0], g.slots.items[1], g.slots.items[0]};
    ct_tensor *values[] = {kernel, g.values[1], kernel};
    refused(model, &(ct_slot_list){twice, 3}, values, CT_ERR_STATE,
            "ct_functional_call: 'dense/kernel' is no slot of the module, or listed twice");
    refused(model, NULL, g.values, CT_ERR_NULL, "ct_functional_call: 'slots' is NULL");
    refused(model, &g.slots, NULL, CT_ERR_NULL, "ct_functional_call: 'values' is NULL");
    refused(model, &(ct_slot_list){twice, -1}, values, CT_ERR_RANGE,
            "ct_functional_call: slots->count must be >= 0, got -1");
    refused(model, &(ct_slot_list){NULL, 2}, values, CT_ERR_NULL,
            "ct_functional_call: 'slots->items' is NULL");
    twice[1] = (ct_named_slot){0};
    refused(model, &(ct_slot_list){twice, 2}, values, CT_ERR_NULL,
            "ct_functional_call: 'slot' is NULL");
    cr_expect_null(ct_functional_call(NULL, points(), CT_TRAINING, &g.slots, g.values, plain));
    expect_error(CT_ERR_NULL, "ct_functional_call: 'module' is NULL");
    cr_expect_null(ct_functional_call(model, NULL, CT_TRAINING, &g.slots, g.values, plain));
    expect_error(CT_ERR_NULL, "ct_functional_call: 'x' is NULL");
    ct_slot_list_free(&g.slots);
    ct_slot_list_free(&o.slots);
    ct_module_free(model);
    ct_module_free(other);
}

TEST(functional, an_error_inside_leaves_the_slots_and_the_statistics) {
    static const ct_module_kind kind = {.name = "Scaled", .forward = scaled_forward};
    ct_module *model = with_child(&kind, dense());
    given g = given_of(model, ct_module_list);
    g.values[0] = ct_full(CT_F64, CT_SHAPE(2, 2), 3);
    uint64_t before = state_hash(model, NULL);
    ct_tensor *wrong = ct_full(CT_F64, CT_SHAPE(3, 4), 1);
    cr_expect_null(ct_functional_call(model, wrong, CT_TRAINING, &g.slots, g.values, plain));
    expect_error(CT_ERR_SHAPE, "Dense: inner dims must match, got x [3,4], kernel [2,2] (4 vs 2) "
                               "(in dense)");
    cr_expect_eq(state_hash(model, NULL), before);
    cr_expect_eq(ct_module_read(model->children[0], 0), ct_slot_read(g.slots.items[0].slot));
    ct_module *norm = small_cnn(0);
    ct_tensor *y = ct_forward(norm, image(CT_F32), CT_TRAINING);
    before = state_hash(norm, NULL);
    OK(ct_commit(&y, 1, NULL, 0));
    cr_expect_neq(state_hash(norm, NULL), before); /* updates are staged as ever */
    ct_slot_list_free(&g.slots);
    ct_module_free(norm);
    ct_module_free(model);
}

TEST(functional, every_failing_allocation_leaves_the_module) {
    ct_module *model = small_cnn(0);
    uint64_t before = state_hash(model, NULL);
    ct_tensor *x = ct_keep(image(CT_F32));
    ct_slot_list list;
    OK(ct_module_parameters(model, &list));
    ct_tensor *values[MOST];
    for (int64_t i = 0; i < list.count; i++) {
        values[i] = ct_keep(ct_scale(ct_slot_read(list.items[i].slot), 2));
    }
    ct_status status = CT_ERR_MEMORY;
    int64_t failed = 0;
    for (int64_t k = 1; status != CT_OK; k++) {
        int64_t scope = ct_scope_open();
        ct_mem_fail_at(k, false);
        ct_tensor *y = ct_functional_call(model, x, CT_TRAINING, &list, values, plain);
        ct_mem_fail_at(0, false);
        status = y ? CT_OK : ct_error();
        failed += status != CT_OK;
        ct_error_clear();
        ct_module *conv = model->children[0];
        cr_expect_eq(ct_module_read(conv, 0), ct_slot_read(conv->slots[0].slot));
        cr_expect_eq(state_hash(model, NULL), before);
        ct_scope_close(scope);
    }
    cr_expect_gt(failed, 20);
    ct_drop(x);
    for (int64_t i = 0; i < list.count; i++) ct_drop(values[i]);
    ct_slot_list_free(&list);
    ct_module_free(model);
}

/* --- Threads ---------------------------------------------------------------------------------- */

enum { CALLS = 200 };

/* A model of each thread, of which one leaves staged updates out and the other does not. */
static void *work(void *argument) {
    bool keeps = *(bool *)argument, right = true;
    ct_seed_set(1);
    ct_module *model = small_cnn(0);
    ct_slot_list list = {0};
    right = model && ct_module_parameters(model, &list) == CT_OK;
    for (int k = 0; k < CALLS && right; k++) {
        int64_t scope = ct_scope_open();
        ct_tensor *values[MOST], *x = ct_full(CT_F32, CT_SHAPE(2, 6, 6, 2), k);
        for (int64_t i = 0; i < list.count; i++) {
            values[i] = ct_scale(ct_slot_read(list.items[i].slot), 2);
        }
        ct_tensor *y = ct_functional_call(model, x, CT_TRAINING, &list, values,
                                          (ct_functional_options){.staged = keeps});
        right = ct_commit(&y, 1, NULL, 0) == CT_OK;
        ct_scope_close(scope);
    }
    double variance = right ? ct_item(ct_max(ct_module_read(model->children[1], 3), CT_ALL)) : -1;
    *(bool *)argument = right && keeps == (variance != 1);
    ct_slot_list_free(&list);
    ct_module_free(model);
    ct_scope_close(0);
    ct_cache_clear();
    return NULL;
}

TEST(functional, threads_do_not_see_each_others_values) {
    pthread_t threads[2];
    bool right[2] = {true, false};
    int before = ct_threads();
    ct_threads_set(1);
    for (int i = 0; i < 2; i++) cr_assert_eq(pthread_create(&threads[i], NULL, work, &right[i]), 0);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    cr_expect(right[0] && right[1]);
    ct_threads_set(before);
}
