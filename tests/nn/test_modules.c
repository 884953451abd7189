/* Modules: names and paths, lists of slots, freezing, ownership, modules of one's own,
 * initializers. */
#include "tests/support/nn_support.h"

static ct_module *relu(void) { return ct_activation_new(&ct_activation_relu); }

static ct_module *dense(void) { return ct_dense_new(2, 2, (ct_dense_options){0}); }

/* --- Names ------------------------------------------------------------------------------------ */

static void expect_paths(ct_module *model, const char *const wanted[], int64_t n) {
    ct_slot_list list;
    OK(ct_module_list(model, &list));
    cr_expect_eq(list.count, n, "%lld slots", (long long)list.count);
    for (int64_t i = 0; i < list.count && i < n; i++) {
        cr_expect_str_eq(list.items[i].path, wanted[i]);
    }
    ct_slot_list_free(&list);
}

TEST(modules, names_are_unique_among_siblings) {
    ct_module *named = dense();
    OK(ct_module_rename(named, "dense_1"));
    ct_module *model = CT_SEQUENTIAL("net", ct_conv2d_new(1, 1, (ct_conv2d_options){0}),
                                     ct_conv2d_new(1, 1, (ct_conv2d_options){0}), named, dense(),
                                     dense(), ct_batch_norm_new(1, ct_batch_norm_defaults()),
                                     ct_global_avg_pool2d_new(),
                                     CT_SEQUENTIAL("", dense(), relu()));
    MADE(model);
    static const char *const names[] = {"conv2d",  "conv2d_1",   "dense_1",           "dense",
                                        "dense_2", "batch_norm", "global_avg_pool2d", "sequential"};
    for (int64_t i = 0; i < model->n_children; i++) {
        cr_expect_str_eq(model->children[i]->name, names[i]);
    }
    cr_expect_str_eq(model->name, "net");
    expect_paths(model,
                 (const char *[]){"conv2d/kernel", "conv2d/bias", "conv2d_1/kernel",
                                  "conv2d_1/bias", "dense_1/kernel", "dense_1/bias", "dense/kernel",
                                  "dense/bias", "dense_2/kernel", "dense_2/bias",
                                  "batch_norm/gamma", "batch_norm/beta", "batch_norm/moving_mean",
                                  "batch_norm/moving_variance", "sequential/dense/kernel",
                                  "sequential/dense/bias"},
                 16);
    ct_module_free(model);
}

static ct_tensor *identity(ct_module *self, ct_tensor *x, ct_mode mode) {
    (void)self, (void)mode;
    return ct_scope_add(x);
}

TEST(modules, names_of_kinds_with_capital_words) {
    static const ct_module_kind kinds[] = {{.name = "RMSNorm", .forward = identity},
                                           {.name = "Conv2DTranspose", .forward = identity},
                                           {.name = "SimpleRNN", .forward = identity},
                                           {.name = "GRU", .forward = identity}};
    static const char *const names[] = {"rms_norm", "conv2d_transpose", "simple_rnn", "gru"};
    ct_module *children[4];
    for (int i = 0; i < 4; i++) children[i] = ct_module_new(sizeof(ct_module), &kinds[i]);
    ct_module *model = ct_sequential_new("net", children, 4);
    MADE(model);
    for (int i = 0; i < 4; i++) cr_expect_str_eq(model->children[i]->name, names[i]);
    ct_module_free(model);
}

TEST(modules, names_have_no_slash) {
    ct_module *module = relu();
    cr_expect_eq(ct_module_rename(module, "a/b"), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_module_rename: a name has at least one character and no '/', "
                               "got 'a/b'");
    cr_expect_eq(ct_module_rename(module, ""), CT_ERR_RANGE);
    ct_error_clear();
    cr_expect_eq(ct_module_rename(NULL, "a"), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_module_rename: an argument is NULL");
    ct_module_free(module);
}

TEST(modules, nodes_carry_the_path_of_their_module) {
    ct_module *model = CT_SEQUENTIAL("outer", CT_SEQUENTIAL("inner", dense()));
    ct_tensor *y = ct_forward(model, centred(CT_F32, CT_SHAPE(1, 2), 1, 1, 0), CT_TRAINING);
    MADE(y);
    cr_expect_str_eq(ct_path_of(y), "outer/inner/dense");
    cr_expect_str_eq(ct_path_of(ct_neg(y)), "");
    /* Also after an error inside. */
    cr_expect_null(ct_forward(model, ct_scalar(CT_F64, 1), CT_TRAINING));
    ct_error_clear();
    cr_expect_str_eq(ct_path_of(ct_neg(y)), "");
    ct_module_free(model);
}

/* --- Freezing --------------------------------------------------------------------------------- */

static int64_t trainable_in(ct_module *model) {
    ct_slot_list list;
    OK(ct_module_list(model, &list));
    int64_t n = 0;
    for (int64_t i = 0; i < list.count; i++) n += list.items[i].trainable;
    ct_slot_list_free(&list);
    return n;
}

TEST(modules, freezing_reaches_all_below) {
    ct_module *inner = CT_SEQUENTIAL("inner", dense(), dense());
    ct_module *model = CT_SEQUENTIAL("net", dense(), inner);
    cr_expect_eq(trainable_in(model), 6);
    ct_module_freeze(inner, true);
    cr_expect_eq(trainable_in(model), 2);
    ct_module_freeze(model, true);
    cr_expect_eq(trainable_in(model), 0);
    ct_module_freeze(inner, false);
    cr_expect_eq(trainable_in(model), 4);
    ct_module_free(model);
}

TEST(modules, slots_of_a_frozen_module_are_born_frozen) {
    ct_module *module = dense();
    ct_module_freeze(module, true);
    OK(ct_module_add_slot(module, "late", ct_scalar(CT_F32, 1), true));
    cr_expect_eq(trainable_in(module), 0);
    ct_slot_list list;
    OK(ct_module_list(module, &list));
    cr_assert_eq(list.count, 3);
    for (int i = 0; i < 3; i++) cr_expect(list.items[i].parameter);
    ct_slot_list_free(&list);
    ct_module_freeze(module, false);
    cr_expect_eq(trainable_in(module), 3);
    ct_module_free(module);
}

TEST(modules, an_optimizer_needs_parameters) {
    ct_module *model = CT_SEQUENTIAL("net", relu());
    cr_expect_null(ct_sgd_new(model, (ct_sgd_options){.rate = ct_rate(0.1)}));
    expect_error(CT_ERR_STATE, "ct_sgd_new: the model has no parameters");
    ct_module_free(model);
}

/* --- Ownership -------------------------------------------------------------------------------- */

TEST(modules, containers_free_their_children_when_one_is_null) {
    int64_t live = ct_mem_read().live_bytes;
    cr_expect_null(CT_SEQUENTIAL("net", dense(), NULL, relu()));
    expect_error(CT_ERR_NULL, "ct_sequential_new: child 1 is NULL");
    /* The first cause is what is reported. */
    cr_expect_null(CT_SEQUENTIAL("net", dense(), ct_dense_new(0, 1, (ct_dense_options){0})));
    expect_error(CT_ERR_RANGE, "ct_dense_new: inputs must be >= 1, got 0");
    cr_expect_null(ct_residual_new(NULL, dense()));
    expect_error(CT_ERR_NULL, "ct_residual_new: child 0 is NULL");
    cr_expect_null(CT_SEQUENTIAL("a/b", dense(), relu()));
    ct_error_clear();
    ct_scope_close(0);
    ct_cache_clear();
    /* Interned names stay. */
    cr_expect_lt(ct_mem_read().live_bytes - live, 1024);
}

/* Layers that are made of others, or that look at what they were given. */
static ct_module *composed_layers(void) {
    return CT_SEQUENTIAL("composed", ct_separable_conv2d_new(2, 2, 1, (ct_conv2d_options){0}),
                         ct_weight_norm_new(dense()), ct_gaussian_noise_new(1),
                         ct_embedding_new(3, 2, (ct_embedding_options){.pads = true}));
}

static ct_status build(void) {
    ct_seed_set(0);
    ct_module *model = CT_SEQUENTIAL("net", small_cnn_layers(0.5), composed_layers());
    ct_status status = model ? CT_OK : ct_error();
    ct_module_free(model);
    return status;
}

TEST(modules, building_survives_every_failing_allocation) {
    int64_t failed = 0;
    for (int persistent = 0; persistent < 2; persistent++) {
        ct_status status = CT_ERR_MEMORY;
        for (int64_t k = 1; status != CT_OK; k++) {
            ct_mem_fail_at(k, persistent);
            status = build();
            ct_mem_fail_at(0, false);
            if (status != CT_OK) {
                cr_expect_eq(ct_error(), CT_ERR_MEMORY, "%s", ct_error_message());
                failed++;
            }
            ct_error_clear();
            cr_assert_eq(live_now(), live_before(), "allocation %lld", (long long)k);
        }
    }
    cr_expect_gt(failed, 100);
}

TEST(modules, null_flows) {
    ct_tensor *x = ct_scalar(CT_F32, 1);
    cr_expect_null(ct_forward(NULL, x, CT_TRAINING));
    expect_error(CT_ERR_NULL, "ct_forward: 'module' is NULL");
    ct_module *module = relu();
    cr_expect_null(ct_logits(module, NULL, CT_TRAINING));
    expect_error(CT_ERR_NULL, "ct_logits: 'x' is NULL");
    ct_module_free(module);
    ct_module_free(NULL);
    ct_slot_list_free(NULL);
    cr_expect_null(ct_module_read(NULL, 0));
    expect_error(CT_ERR_NULL, "ct_module_read: 'module' is NULL");
    cr_expect_eq(ct_module_add_slot(NULL, "s", x, true), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_module_add_slot: 'module' is NULL");
    ct_module_freeze(NULL, true);
    ct_slot_list list;
    cr_expect_eq(ct_module_list(NULL, &list), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_module_list: 'module' is NULL");
    cr_expect_eq(list.count, 0);
}

/* --- A module of one's own -------------------------------------------------------------------- */

typedef struct {
    ct_module base;
    double power;
} powers;

static ct_tensor *powers_forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    (void)mode;
    ct_tensor *exponent = ct_scalar(ct_dtype_of(x), ((powers *)self)->power);
    return ct_mul(ct_module_read(self, 0), ct_pow(x, exponent));
}

static const ct_module_kind powers_kind = {.name = "Powers", .forward = powers_forward};

static ct_module *powers_new(double power) {
    powers *module = (powers *)ct_module_new(sizeof *module, &powers_kind);
    if (!module) return NULL;
    module->power = power;
    if (ct_module_add_slot(&module->base, "factor", ct_scalar(CT_F64, 1), true) == CT_OK) {
        return &module->base;
    }
    ct_module_free(&module->base);
    return NULL;
}

TEST(modules, of_ones_own_train_like_any_other) {
    ct_module *model = CT_SEQUENTIAL("net", powers_new(2), powers_new(1));
    MADE(model);
    ct_optimizer *sgd = ct_sgd_new(model, (ct_sgd_options){.rate = ct_rate(0.05)});
    ct_tensor *x = ct_from(CT_F64, CT_SHAPE(3), (double[]){0.5, 1, 1.5});
    ct_tensor *target = ct_scale(ct_square(x), 3);
    double last = INFINITY;
    for (int step = 0; step < 60; step++) {
        ct_tensor *loss = ct_mse(ct_forward(model, x, CT_TRAINING), target);
        OK(ct_optimizer_step(sgd, loss, NULL, 0));
        cr_expect_leq(ct_item(loss), last);
        last = ct_item(loss);
    }
    EXPECT_NEAR(
        ct_item(ct_mul(read_slot(model, "powers/factor"), read_slot(model, "powers_1/factor"))),
        3.0, 1e-3);
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

/* Paths are what files and groups are about: two slots never have one. */
TEST(modules, slots_and_children_are_called_differently) {
    ct_module *module = ct_module_new(sizeof *module, &powers_kind);
    ct_tensor *one = ct_scalar(CT_F32, 1);
    OK(ct_module_add_slot(module, "s", one, true));
    cr_expect_eq(ct_module_add_slot(module, "s", one, true), CT_ERR_STATE);
    expect_error(CT_ERR_STATE, "ct_module_add_slot: Powers has a slot 's' already");
    cr_expect_eq(ct_module_add_slot(module, "ids", ct_scalar(CT_I64, 1), true), CT_ERR_DTYPE);
    expect_error(CT_ERR_DTYPE, "ct_module_add_slot: 'ids' is i64, which cannot be trained");
    cr_expect_eq(ct_module_add_slot(module, "a/b", one, true), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_module_add_slot: a name has at least one character and no '/', "
                               "got 'a/b'");
    cr_expect_eq(ct_module_add_slot(module, "", one, true), CT_ERR_RANGE);
    ct_error_clear();
    ct_module_free(module);
    ct_module *net = CT_SEQUENTIAL("net", ct_dense_new(2, 2, (ct_dense_options){0}),
                                   ct_dense_new(2, 2, (ct_dense_options){0}));
    OK(ct_module_rename(net->children[1], "dense"));
    ct_slot_list list;
    cr_expect_eq(ct_module_list(net, &list), CT_ERR_STATE);
    expect_error(CT_ERR_STATE, "ct_module_list: two children of 'net' are called 'dense'");
    OK(ct_module_number(net));
    OK(ct_module_list(net, &list));
    cr_expect_str_eq(list.items[2].path, "1/kernel");
    ct_slot_list_free(&list);
    cr_expect_eq(ct_module_number(NULL), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_module_number: 'module' is NULL");
    ct_module_free(net);
}

TEST(modules, have_at_most_eight_slots) {
    ct_module *module = ct_module_new(sizeof *module, &powers_kind);
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    for (int i = 0; i < CT_MODULE_SLOTS; i++) {
        OK(ct_module_add_slot(module, names[i], ct_scalar(CT_F32, 1), true));
    }
    cr_expect_eq(ct_module_add_slot(module, "s", ct_scalar(CT_F32, 1), true), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_module_add_slot: a module has at most 8 slots");
    cr_expect_null(ct_module_read(module, 8));
    expect_error(CT_ERR_RANGE, "ct_module_read: slot 8 of 8");
    ct_module_free(module);
}
