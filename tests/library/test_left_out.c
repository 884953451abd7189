/* What a user may leave out of a struct of functions, or do wrong in one: a message, never a crash,
 * and nothing changes. */
#include "tests/support/nn_support.h"

#include "autograd/gradcheck.h"
#include "tensor/op.h"
#include "tensor/profile.h"
#include "tensor/simplify.h"

/* --- Modules ---------------------------------------------------------------------------------- */

static ct_tensor *nothing(ct_module *self, ct_tensor *x, ct_mode mode) {
    (void)self, (void)x, (void)mode;
    return NULL;
}

static void expect_forward(const ct_module_kind *kind, const char *message) {
    ct_module *model = CT_SEQUENTIAL("net", ct_module_new(sizeof(ct_module), kind));
    ct_tensor *x = ct_scalar(CT_F32, 1);
    cr_expect_null(ct_forward(model, x, CT_TRAINING));
    expect_error(CT_ERR_NULL, message);
    cr_expect_null(ct_logits(model, x, CT_TRAINING));
    expect_error(CT_ERR_NULL, message);
    cr_expect_null(ct_predict(model, ct_full(CT_F32, CT_SHAPE(2), 1), 0));
    expect_error(CT_ERR_NULL, message);
    cr_expect_eq(ct_summary(stdout, model, (ct_show_options){.input = CT_SHAPE(2)}), CT_ERR_NULL);
    ct_error_clear();
    ct_module_free(model);
}

TEST(left_out, of_a_module) {
    static const ct_module_kind without = {.name = "Box"};
    static const ct_module_kind empty = {.name = "Box", .forward = nothing};
    static const ct_module_kind nameless = {.forward = nothing};
    expect_forward(&without, "ct_forward: the kind Box has no 'forward' (in net/box)");
    expect_forward(&empty, "ct_forward: Box returned NULL and no error (in net/box)");
    cr_expect_null(ct_module_new(sizeof(ct_module), NULL));
    expect_error(CT_ERR_NULL, "ct_module_new: 'kind' is NULL");
    cr_expect_null(ct_module_new(sizeof(ct_module), &nameless));
    expect_error(CT_ERR_NULL, "ct_module_new: 'kind->name' is NULL");
    cr_expect_null(ct_module_new(1, &empty));
    cr_expect_eq(ct_error(), CT_ERR_RANGE);
    ct_error_clear();
}

TEST(left_out, of_an_activation) {
    static const ct_activation none = {.name = "none"}, nameless = {.apply = ct_relu};
    cr_expect_null(ct_activation_new(&none));
    expect_error(CT_ERR_NULL, "ct_activation_new: 'activation->apply' is NULL");
    ct_module *module = ct_activation_new(&nameless);
    MADE(ct_forward(module, ct_scalar(CT_F32, 1), CT_TRAINING));
    ct_module_free(module);
}

static ct_tensor *made_nothing(const ct_initializer *self, ct_dtype dtype, ct_shape shape,
                               int64_t fan_in, int64_t fan_out) {
    (void)self, (void)dtype, (void)shape, (void)fan_in, (void)fan_out;
    return NULL;
}

static ct_tensor *made_a_number(const ct_initializer *self, ct_dtype dtype, ct_shape shape,
                                int64_t fan_in, int64_t fan_out) {
    (void)dtype, (void)shape, (void)fan_in, (void)fan_out;
    return ct_scalar(CT_F64, self->value);
}

TEST(left_out, of_an_initializer) {
    cr_expect_null(ct_dense_new(2, 3, (ct_dense_options){.kernel = {.value = 0.5}}));
    expect_error(CT_ERR_NULL, "ct_dense_new: the initializer of 'kernel' has a value and no 'make'"
                              "; ct_init_constant makes a constant one");
    cr_expect_null(ct_dense_new(2, 3, (ct_dense_options){.bias = {made_nothing, 0}}));
    expect_error(CT_ERR_NULL, "ct_dense_new: the initializer of 'bias' returned NULL and no error");
    cr_expect_null(ct_conv2d_new(2, 3, (ct_conv2d_options){.kernel_init = {made_a_number, 0}}));
    expect_error(CT_ERR_SHAPE, "ct_conv2d_new: the initializer of 'kernel' made f64 [] for f32 "
                               "[3,3,2,3]");
}

/* --- Optimizers ------------------------------------------------------------------------------- */

static ct_tensor *no_update(const void *options, const ct_step *step, ct_tensor *p, ct_tensor *g,
                            ct_tensor *const state[], ct_tensor *next[]) {
    (void)options, (void)step, (void)p, (void)g, (void)state, (void)next;
    return NULL;
}

static ct_tensor *no_state(const void *options, const ct_step *step, ct_tensor *p, ct_tensor *g,
                           ct_tensor *const state[], ct_tensor *next[]) {
    (void)options, (void)step, (void)state, (void)next;
    return ct_sub(p, g);
}

static ct_tensor *of_another_shape(const void *options, const ct_step *step, ct_tensor *p,
                                   ct_tensor *g, ct_tensor *const state[], ct_tensor *next[]) {
    (void)options, (void)step, (void)p, (void)state, (void)next;
    return ct_sum_all(g);
}

static ct_status no_message(const void *options, ct_tensor *step, ct_tensor *rate,
                            ct_tensor *scalars[CT_OPTIMIZER_SCALARS]) {
    (void)options, (void)step, (void)rate, (void)scalars;
    return CT_ERR_RANGE;
}

static ct_tensor *no_rate(const ct_schedule *self, ct_tensor *step) {
    (void)self, (void)step;
    return NULL;
}

static ct_tensor *two_rates(const ct_schedule *self, ct_tensor *step) {
    (void)self, (void)step;
    return ct_full(CT_F64, CT_SHAPE(2), 1);
}

static void expect_refused(const ct_optimizer_kind *kind, const char *message) {
    ct_module *model = small_mlp();
    cr_expect_null(ct_optimizer_new(kind, model, ct_rate(0.1), (ct_step_options){0}, "", 1));
    cr_expect_str_eq(ct_error_message(), message);
    ct_error_clear();
    ct_module_free(model);
}

TEST(left_out, of_an_optimizer) {
    expect_refused(NULL, "ct_optimizer_new: 'kind' is NULL");
    expect_refused(&(ct_optimizer_kind){.name = "mine"},
                   "ct_optimizer_new: 'kind->update' is NULL");
    expect_refused(&(ct_optimizer_kind){.update = no_state},
                   "ct_optimizer_new: 'kind->name' is NULL");
    expect_refused(&(ct_optimizer_kind){.name = "mine", .update = no_state, .n_states = 4},
                   "ct_optimizer_new: n_states must be 0..3, got 4");
    expect_refused(&(ct_optimizer_kind){.name = "mine", .update = no_state, .n_states = 1},
                   "ct_optimizer_new: kind->state_names[0] is NULL");
}

static void expect_step(const ct_optimizer_kind *kind, ct_schedule rate, const char *message) {
    ct_module *model = small_mlp();
    ct_optimizer *o = ct_optimizer_new(kind, model, rate, (ct_step_options){0}, NULL, 0);
    MADE(o);
    uint64_t before = state_hash(model, o);
    ct_tensor *logits = ct_logits(model, centred(CT_F32, CT_SHAPE(5, 4), 1, 1, 0), CT_TRAINING);
    ct_tensor *loss = ct_cross_entropy(logits, some_labels(5, 3, 2));
    cr_expect_neq(ct_optimizer_step(o, loss, NULL, 0), CT_OK);
    cr_expect_str_eq(ct_error_message(), message);
    ct_error_clear();
    cr_expect_eq(state_hash(model, o), before);
    ct_optimizer_free(o);
    ct_module_free(model);
}

TEST(left_out, by_the_functions_of_an_optimizer) {
    static const ct_optimizer_kind empty = {.name = "mine", .update = no_update},
                                   forgetful = {.name = "mine",
                                                .update = no_state,
                                                .n_states = 1,
                                                .state_names = {"m"}},
                                   silent = {.name = "mine",
                                             .update = no_state,
                                             .prepare = no_message},
                                   wrong = {.name = "mine", .update = of_another_shape},
                                   plain = {.name = "mine", .update = no_state};
    expect_step(&empty, ct_rate(1),
                "ct_optimizer_step: 'update' of 'mine' failed and recorded no error");
    expect_step(&forgetful, ct_rate(1),
                "ct_optimizer_step: the next state of 'mine' failed and recorded no error");
    expect_step(&wrong, ct_rate(1),
                "ct_optimizer_step: 'update' of 'mine' makes f32 [] for 'kernel' of "
                "'dense/kernel', which is f32 [4,8]");
    expect_step(&silent, ct_rate(1),
                "ct_optimizer_step: 'prepare' of 'mine' failed and recorded no error");
    expect_step(&plain, (ct_schedule){.rate = no_rate},
                "ct_optimizer_step: the rate of 'mine' failed and recorded no error");
    expect_step(&plain, (ct_schedule){.rate = two_rates},
                "ct_optimizer_step: the rate of 'mine' must be one number, got [2]");
}

/* --- Sources and losses ----------------------------------------------------------------------- */

static int64_t three(const ct_source *source) { return source ? 3 : 0; }

static int64_t minus_one(const ct_source *source) { return source ? -1 : 0; }

static ct_status fails(ct_source *source, int64_t epoch, int64_t batch) {
    (void)source, (void)epoch, (void)batch;
    return CT_ERR_IO;
}

static ct_status succeeds(ct_source *source, int64_t epoch, int64_t batch) {
    (void)source, (void)epoch, (void)batch;
    return CT_OK;
}

static ct_status fit_on(const ct_source_kind *kind, const ct_loss *loss) {
    ct_module *model = small_mlp();
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.01));
    ct_source source = {kind};
    ct_status status = ct_fit(model, adam, loss, &source, (ct_fit_options){0}, NULL);
    ct_optimizer_free(adam);
    ct_module_free(model);
    return status;
}

static void expect_fit(const ct_source_kind *kind, ct_status status, const char *message) {
    cr_expect_eq(fit_on(kind, &ct_loss_cross_entropy), status);
    expect_error(status, message);
}

TEST(left_out, of_a_source) {
    ct_source_kind kind = {0};
    ct_source source = {NULL}, other = {&kind};
    ct_batch batch;
    cr_expect_eq(ct_source_count(&source), -1);
    expect_error(CT_ERR_NULL, "ct_source_count: the kind of 'a source' has no 'count'");
    cr_expect_eq(ct_source_seek(&other, 0, 0), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_source_seek: the kind of 'a source' has no 'seek'");
    kind.name = "mine";
    cr_expect_eq(ct_source_next(&other, &batch), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_source_next: the kind of 'mine' has no 'next'");
    cr_expect_eq(ct_source_next(&other, NULL), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_source_next: 'out' is NULL");
    ct_source_free(&other);
    ct_source_free(&source);
}

TEST(left_out, of_a_source_for_training) {
    ct_source_kind kind = {.name = "mine"};
    expect_fit(&kind, CT_ERR_NULL, "ct_fit: the kind of 'mine' has no 'count'");
    kind.count = minus_one;
    expect_fit(&kind, CT_ERR_RANGE, "ct_source_count: 'mine' says -1 batches");
    kind.count = three;
    expect_fit(&kind, CT_ERR_NULL, "ct_fit: the kind of 'mine' has no 'seek'");
    kind.seek = fails;
    expect_fit(&kind, CT_ERR_IO, "ct_source_seek: 'mine' failed and recorded no error");
    kind.seek = succeeds;
    expect_fit(&kind, CT_ERR_NULL, "ct_fit: the kind of 'mine' has no 'next'");
}

TEST(left_out, of_a_loss) {
    static const ct_loss loss = {.name = "mine"};
    ct_source source = {&(ct_source_kind){.name = "s", .count = three}};
    cr_expect_eq(fit_on(source.kind, &loss), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_fit: the loss 'mine' has no 'value'");
    ct_module *model = small_mlp();
    double value = 0;
    cr_expect_eq(ct_evaluate(model, &loss, &source, &value, NULL), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_evaluate: the loss 'mine' has no 'value'");
    cr_expect(isnan(value));
    ct_module_free(model);
}

/* --- Ops -------------------------------------------------------------------------------------- */

static ct_status silent_infer(const ct_infer *call, ct_type *out) {
    (void)call, (void)out;
    return CT_ERR_SHAPE;
}

static void no_run(const ct_call *call, int64_t part, void *scratch) {
    (void)call, (void)part, (void)scratch;
}

static ct_reduction pairs_of(const void *attr, ct_shape x) {
    (void)attr;
    return (ct_reduction){ct_shape_numel(x) / 2, 2, 1};
}

static void no_reduce(int64_t outer, int64_t count, int64_t inner, void *y, const void *const x[]) {
    (void)outer, (void)count, (void)inner, (void)y, (void)x;
}

static void no_start(int64_t n, void *y) { (void)n, (void)y; }

static void expect_op(const ct_op *op, const char *message) {
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(2), 1);
    cr_expect_null(ct_node(op, &x, 1, NULL, 0));
    cr_expect_str_eq(ct_error_message(), message);
    ct_error_clear();
}

#define OP(...) (&(ct_op){.name = "mine", .n_inputs = 1, __VA_ARGS__})

TEST(left_out, of_an_op) {
    expect_op(NULL, "ct_node: 'op' is NULL");
    expect_op(&(ct_op){.n_inputs = 1}, "ct_node: 'op->name' is NULL");
    expect_op(OP(.kind = CT_MAP), "mine: the descriptor has no 'infer'");
    expect_op(OP(.infer = silent_infer), "mine: 'infer' failed and recorded no error");
    expect_op(OP(.kind = CT_MAP, .infer = ct_infer_same),
              "mine: not defined for f32; give it .tile[CT_F32] or use ct_cast");
    expect_op(OP(.kind = CT_MAP, .infer = ct_infer_same, .commutative = true),
              "mine: a commutative op takes 2 inputs, not 1");
    expect_op(OP(.kind = CT_VIEW, .infer = ct_infer_same), "mine: the descriptor has no 'view'");
    expect_op(OP(.kind = CT_KERNEL, .infer = ct_infer_same),
              "mine: the descriptor has no 'kernel'");
    expect_op(OP(.kind = CT_KERNEL, .infer = ct_infer_same, .kernel = &(ct_kernel){0}),
              "mine: the descriptor has no 'kernel->run[0]'");
    expect_op(OP(.kind = CT_KERNEL, .infer = ct_infer_same,
                 .kernel = &(ct_kernel){.run = {NULL, no_run}}),
              "mine: the descriptor has no 'kernel->run[0]'");
    expect_op(OP(.kind = CT_REDUCE, .infer = ct_infer_same),
              "mine: the descriptor has no 'geometry'");
    cr_expect_null(ct_node(&(ct_op){.name = "mine", .kind = CT_REDUCE, .infer = ct_infer_same},
                           NULL, 0, NULL, 0));
    expect_error(CT_ERR_RANGE, "mine: a view or a reduction needs an input");
    cr_expect_null(ct_node(OP(.infer = ct_infer_same), NULL, 1, NULL, 0));
    expect_error(CT_ERR_NULL, "ct_mine: argument 1 is NULL");
    expect_op(OP(.kind = CT_REDUCE, .infer = ct_infer_same, .geometry = pairs_of),
              "mine: not defined for f32; give it .reduce[CT_F32] or use ct_cast");
    expect_op(OP(.kind = CT_REDUCE, .infer = ct_infer_same, .geometry = pairs_of,
                 .reduce = {no_reduce}, .start = {no_start}),
              "mine: [2] to [2] is no reduction over the middle of [1,2,1]");
}

static void tile(int64_t n, void *y, const void *const x[], const ct_tile *t) {
    (void)t;
    memcpy(y, x[0], (size_t)n * sizeof(float));
}

TEST(left_out, the_derivative_of_an_op) {
    static const ct_op op = {
        .name = "mine", .n_inputs = 1, .infer = ct_infer_same, .tile = {[CT_F32] = tile}};
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(2), 1), *g;
    ct_tensor *y = ct_sum_all(ct_node(&op, &x, 1, NULL, 0));
    EXPECT_NEAR(ct_item(y), 2, 0);
    cr_expect_eq(ct_grad(y, &x, 1, &g), CT_ERR_GRADIENT);
    expect_error(CT_ERR_GRADIENT, "ct_grad: op 'mine' has no derivative for input 0");
}

static ct_tensor *no_value(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)x, (void)n;
    return NULL;
}

/* --- Arrays and what is written to ------------------------------------------------------------ */

#define NO_ARRAY(call, message)             \
    do {                                    \
        (void)(call);                       \
        expect_error(CT_ERR_NULL, message); \
    } while (0)
#define NO_COUNT(call, message)              \
    do {                                     \
        (void)(call);                        \
        expect_error(CT_ERR_RANGE, message); \
    } while (0)

TEST(left_out, arrays_of_a_derivative) {
    ct_tensor *x = ct_full(CT_F64, CT_SHAPE(2), 1), *y = ct_sum_all(ct_exp(x)), *g = x;
    NO_ARRAY(ct_grad(y, NULL, 1, &g), "ct_grad: 'x' is NULL");
    NO_ARRAY(ct_grad(y, &x, 1, NULL), "ct_grad: 'out' is NULL");
    NO_COUNT(ct_grad(y, &x, -1, &g), "ct_grad: n must be >= 0, got -1");
    NO_ARRAY(ct_vjp(y, y, NULL, 1, &g), "ct_vjp: 'x' is NULL");
    NO_ARRAY(ct_vjp(y, y, &x, 1, NULL), "ct_vjp: 'out' is NULL");
    NO_COUNT(ct_vjp(y, y, &x, -1, &g), "ct_vjp: n must be >= 0, got -1");
    NO_ARRAY(ct_jvp(y, NULL, &x, 1), "ct_jvp: 'x' is NULL");
    NO_ARRAY(ct_jvp(y, &x, NULL, 1), "ct_jvp: 'v' is NULL");
    NO_COUNT(ct_jvp(y, &x, &x, -1), "ct_jvp: n must be >= 0, got -1");
    NO_ARRAY(ct_hvp(y, NULL, &x, 1, &g), "ct_hvp: 'x' is NULL");
    NO_ARRAY(ct_hvp(y, &x, NULL, 1, &g), "ct_hvp: 'v' is NULL");
    NO_ARRAY(ct_hvp(y, &x, &x, 1, NULL), "ct_hvp: 'out' is NULL");
    NO_COUNT(ct_hvp(y, &x, &x, -1, &g), "ct_hvp: n must be >= 0, got -1");
    OK(ct_grad(y, NULL, 0, NULL));
    OK(ct_vjp(y, y, NULL, 0, NULL));
    cr_expect_eq(g, x);
}

TEST(left_out, arrays_of_tensors) {
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(2), 1), *y = x;
    ct_update update = {NULL, x};
    NO_ARRAY(ct_eval(NULL, 1), "ct_eval: 'roots' is NULL");
    NO_COUNT(ct_eval(&x, -1), "ct_eval: n must be >= 0, got -1");
    OK(ct_eval(NULL, 0));
    NO_ARRAY(ct_simplify(NULL, 1, &y), "ct_simplify: 'roots' is NULL");
    NO_ARRAY(ct_simplify(&x, 1, NULL), "ct_simplify: 'out' is NULL");
    NO_COUNT(ct_simplify(&x, -1, &y), "ct_simplify: n must be >= 0, got -1");
    OK(ct_simplify(NULL, 0, NULL));
    NO_ARRAY(ct_commit(NULL, 1, NULL, 0), "ct_commit: 'roots' is NULL");
    NO_ARRAY(ct_commit(&x, 1, NULL, 1), "ct_commit: 'updates' is NULL");
    NO_ARRAY(ct_commit(&x, 1, &update, 1), "ct_commit: update 0 is NULL");
    NO_COUNT(ct_commit(&x, -1, NULL, 0), "ct_commit: n_roots must be >= 0, got -1");
    NO_COUNT(ct_commit(&x, 1, NULL, -1), "ct_commit: n_updates must be >= 0, got -1");
    OK(ct_commit(NULL, 0, NULL, 0));
    NO_ARRAY(ct_concat(NULL, 1, 0), "ct_concat: 'parts' is NULL");
    NO_ARRAY(ct_node(OP(.infer = ct_infer_same, .tile = {[CT_F32] = tile}), &x, 1, NULL, 8),
             "mine: 'attr' is NULL, its size 8");
    NO_ARRAY(ct_gradcheck(no_value, NULL, NULL, 1, (ct_gradcheck_options){0}, NULL),
             "ct_gradcheck: 'inputs' is NULL");
    NO_ARRAY(ct_print(NULL, x), "ct_print: 'out' is NULL");
    NO_ARRAY(ct_profile_passes(NULL), "ct_profile_passes: 'n' is NULL");
    ct_set(NULL, x);
    cr_expect_eq(ct_error(), CT_OK);
    cr_expect_eq(y, x);
}

TEST(left_out, arrays_of_modules_and_slots) {
    ct_module *model = small_mlp();
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.01));
    ct_tensor *loss = ct_scalar(CT_F32, 1);
    ct_slot_list list = {NULL, 7};
    NO_ARRAY(ct_optimizer_step(adam, loss, NULL, 1), "ct_optimizer_step: 'also' is NULL");
    NO_COUNT(ct_optimizer_step(adam, loss, NULL, -1),
             "ct_optimizer_step: n_also must be >= 0, got -1");
    NO_ARRAY(ct_sequential_new("x", NULL, 2), "ct_sequential_new: 'children' is NULL");
    NO_COUNT(ct_sequential_new("x", NULL, -1), "ct_sequential_new: n must be >= 0, got -1");
    NO_ARRAY(ct_module_add_children(model, NULL, 1), "ct_module_add_children: 'children' is NULL");
    NO_COUNT(ct_module_add_children(model, &model, -1),
             "ct_module_add_children: n must be >= 0, got -1");
    OK(ct_module_add_children(model, NULL, 0));
    NO_ARRAY(ct_module_list(model, NULL), "ct_module_list: 'list' is NULL");
    NO_ARRAY(ct_module_list(NULL, NULL), "ct_module_list: 'module' is NULL");
    NO_ARRAY(ct_module_list(NULL, &list), "ct_module_list: 'module' is NULL");
    cr_expect_eq(list.count, 0, "empty after an error");
    NO_ARRAY(ct_optimizer_list(NULL, NULL), "ct_optimizer_list: 'optimizer' is NULL");
    NO_ARRAY(ct_optimizer_list(adam, NULL), "ct_optimizer_list: 'list' is NULL");
    ct_optimizer_free(adam);
    ct_module_free(model);
}

/* --- Others ----------------------------------------------------------------------------------- */

TEST(left_out, of_a_gradcheck_and_an_allocator) {
    ct_tensor *x = ct_scalar(CT_F64, 1);
    ct_gradcheck_report report;
    cr_expect_eq(ct_gradcheck(NULL, NULL, &x, 1, (ct_gradcheck_options){0}, &report), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_gradcheck: 'f' is NULL");
    cr_expect_eq(ct_gradcheck(no_value, NULL, &x, 1, (ct_gradcheck_options){0}, &report),
                 CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_gradcheck: f returned NULL");
    ct_allocator_set((ct_allocator){0});
    expect_error(CT_ERR_NULL, "ct_allocator_set: 'alloc' is NULL");
}
