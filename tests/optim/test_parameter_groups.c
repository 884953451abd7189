/* Parameter groups: which one holds a parameter, what it changes, and what is refused. */
#include "tests/support/nn_support.h"

/* Two kernels and two biases. */
static ct_module *model_new(void) {
    ct_seed_set(4);
    ct_module *model = CT_SEQUENTIAL("net", ct_dense_new(4, 5, (ct_dense_options){.dtype = CT_F64}),
                                     ct_dense_new(5, 3, (ct_dense_options){.dtype = CT_F64}));
    MADE(model);
    return model;
}

static ct_tensor *loss_of(ct_module *model, uint32_t salt) {
    ct_tensor *y = ct_forward(model, centred(CT_F64, CT_SHAPE(6, 4), salt, 1, 0), CT_TRAINING);
    return ct_mse(y, centred(CT_F64, CT_SHAPE(6, 3), salt + 50, 1, 0));
}

static void train(ct_module *model, ct_optimizer *optimizer, int steps) {
    for (int k = 0; k < steps; k++) {
        OK(ct_optimizer_step(optimizer, loss_of(model, (uint32_t)k), NULL, 0));
    }
}

static void expect_equal(ct_module *a, ct_module *b, const char *path) {
    ct_tensor *gap = ct_sub(read_slot(a, path), read_slot(b, path));
    cr_expect_eq(ct_item(ct_sum_all(ct_abs(gap))), 0, "%s", path);
}

static void expect_different(ct_module *a, ct_module *b, const char *path) {
    ct_tensor *gap = ct_sub(read_slot(a, path), read_slot(b, path));
    cr_expect_gt(ct_item(ct_sum_all(ct_abs(gap))), 0, "%s", path);
}

/* --- What a group changes --------------------------------------------------------------------- */

static const char *const paths[] = {"dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"};

/* Groups that say nothing leave every bit as it is. */
TEST(parameter_groups, of_zeros_change_nothing) {
    ct_module *plain = model_new(), *grouped = model_new();
    const ct_parameter_group groups[] = {{.pattern = "*bias"},
                                         {.holds = ct_holds_vectors, .no_decay = true}};
    ct_adam_options options = ct_adamw_defaults(0.01);
    ct_optimizer *one = ct_adamw_new(plain, options);
    options.step.groups = groups, options.step.n_groups = 2;
    ct_optimizer *two = ct_adamw_new(grouped, options);
    train(plain, one, 5);
    train(grouped, two, 5);
    cr_expect_eq(state_hash(plain, one), state_hash(grouped, two));
    ct_optimizer_free(one), ct_optimizer_free(two);
    ct_module_free(plain), ct_module_free(grouped);
}

/* Kernels go as with weight decay, vectors as without. Each is trained alone, as decay of one
 * changes the gradients of all. */
TEST(parameter_groups, no_decay_on_vectors_is_one_line) {
    ct_module *batch_norms[3];
    ct_adam_options options = ct_adamw_defaults(0.01);
    for (int k = 0; k < 3; k++) {
        ct_seed_set(5);
        ct_module *bn = ct_batch_norm_new(4, ct_batch_norm_defaults());
        batch_norms[k] = CT_SEQUENTIAL("m", bn, ct_dense_new(4, 2, (ct_dense_options){0}));
        MADE(batch_norms[k]);
        options.weight_decay = k == 1 ? 0 : 0.1;
        options.step.groups = k == 2 ? &ct_group_no_decay : NULL, options.step.n_groups = k == 2;
        ct_optimizer *adam = ct_adamw_new(batch_norms[k], options);
        MADE(adam);
        ct_tensor *y = ct_forward(batch_norms[k], centred(CT_F32, CT_SHAPE(6, 4), 1, 1, 0),
                                  CT_TRAINING);
        OK(ct_optimizer_step(adam, ct_sum_all(ct_square(y)), NULL, 0));
        ct_optimizer_free(adam);
    }
    static const char *const vectors[] = {"batch_norm/gamma", "batch_norm/beta", "dense/bias"};
    for (int i = 0; i < 3; i++) expect_equal(batch_norms[2], batch_norms[1], vectors[i]);
    expect_different(batch_norms[2], batch_norms[0], "batch_norm/gamma");
    expect_equal(batch_norms[2], batch_norms[0], "dense/kernel");
    expect_different(batch_norms[2], batch_norms[1], "dense/kernel");
    for (int k = 0; k < 3; k++) ct_module_free(batch_norms[k]);
}

TEST(parameter_groups, the_first_one_that_holds_it_counts) {
    ct_module *model = model_new(), *plain = model_new();
    ct_parameter_group groups[] = {
        {.pattern = "dense/kernel", .rate_factor = 2},
        {.pattern = "*kernel", .rate_factor = 4},
        {.pattern = "dense_1*", .holds = ct_holds_vectors, .rate_factor = 8}};
    ct_sgd_options options = {.rate = ct_rate(0.25)};
    ct_optimizer *one = ct_sgd_new(plain, options);
    options.step.groups = groups, options.step.n_groups = 3;
    ct_optimizer *sgd = ct_sgd_new(model, options);
    groups[0].rate_factor = 100; /* they are copied */
    ct_tensor *before[4];
    for (int i = 0; i < 4; i++) before[i] = read_slot(model, paths[i]);
    train(model, sgd, 1);
    train(plain, one, 1);
    static const double factors[] = {2, 1, 4, 8};
    for (int i = 0; i < 4; i++) {
        ct_tensor *moved = ct_sub(before[i], read_slot(model, paths[i]));
        ct_tensor *wanted = ct_scale(ct_sub(before[i], read_slot(plain, paths[i])), factors[i]);
        cr_expect_lt(ct_item(ct_max(ct_abs(ct_sub(moved, wanted)), CT_ALL)), 1e-15, "%s", paths[i]);
    }
    ct_optimizer_free(one), ct_optimizer_free(sgd);
    ct_module_free(plain), ct_module_free(model);
}

/* Moments of what is never trained would be memory for nothing. */
TEST(parameter_groups, a_frozen_group_is_no_part_of_the_optimizer) {
    ct_module *model = model_new();
    const ct_parameter_group body = {.pattern = "dense/*", .frozen = true};
    ct_adam_options options = ct_adamw_defaults(0.01);
    options.step.groups = &body, options.step.n_groups = 1;
    ct_optimizer *adam = ct_adamw_new(model, options);
    MADE(adam);
    ct_slot_list list;
    OK(ct_optimizer_list(adam, &list));
    cr_expect_eq(list.count, 1 + 2 * 2);
    cr_expect_str_eq(list.items[1].path, "adam/dense_1/kernel/m");
    ct_slot_list_free(&list);
    ct_tensor *before[4];
    for (int i = 0; i < 4; i++) before[i] = read_slot(model, paths[i]);
    train(model, adam, 2);
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(ct_slot_holds(slot_at(model, paths[i]), before[i]), i < 2, "%s", paths[i]);
    }
    ct_optimizer_free(adam);
    ct_module_free(model);
}

/* Frozen ones between others: what is kept stays in order. */
TEST(parameter_groups, of_frozen_biases) {
    ct_module *model = model_new();
    const ct_parameter_group biases = {.holds = ct_holds_vectors, .frozen = true};
    ct_sgd_options options = {.rate = ct_rate(0.1), .momentum = 0.5};
    options.step.groups = &biases, options.step.n_groups = 1;
    ct_optimizer *sgd = ct_sgd_new(model, options);
    ct_slot_list list;
    OK(ct_optimizer_list(sgd, &list));
    cr_assert_eq(list.count, 3);
    cr_expect_str_eq(list.items[1].path, "sgd/dense/kernel/momentum");
    cr_expect_str_eq(list.items[2].path, "sgd/dense_1/kernel/momentum");
    ct_slot_list_free(&list);
    train(model, sgd, 2);
    cr_expect_eq(ct_item(ct_sum_all(ct_abs(read_slot(model, "dense/bias")))), 0);
    ct_optimizer_free(sgd);
    ct_module_free(model);
}

/* --- Rules of one's own ----------------------------------------------------------------------- */

static char seen[256];

static ct_tensor *note(const void *options, const ct_step *step, ct_tensor *p, ct_tensor *g,
                       ct_tensor *const state[], ct_tensor *next[]) {
    (void)options, (void)state, (void)next;
    size_t length = strlen(seen);
    const char *text = step->group ? step->group->context : "-";
    snprintf(seen + length, sizeof seen - length, "%s %s %g; ", step->path, text, step->decay);
    return ct_sub(p, ct_mul(g, step->rate));
}

TEST(parameter_groups, rules_see_path_and_group) {
    static const ct_optimizer_kind kind = {.name = "note", .update = note};
    ct_module *model = model_new();
    char text[] = "head";
    const ct_parameter_group groups[] = {
        {.pattern = "dense_1/bias", .context = text, .no_decay = true},
        {.pattern = "dense_1/*", .context = text, .decay_factor = 0.5}};
    ct_step_options step = {.groups = groups, .n_groups = 2};
    ct_optimizer *o = ct_optimizer_new(&kind, model, ct_rate(0.1), step, NULL, 0);
    MADE(o);
    train(model, o, 1);
    cr_expect_str_eq(seen, "dense/kernel - 1; dense/bias - 1; dense_1/kernel head 0.5; "
                           "dense_1/bias head 0; ");
    ct_optimizer_free(o);
    ct_module_free(model);
}

/* --- Refusals --------------------------------------------------------------------------------- */

static void expect_refused(const ct_parameter_group *groups, int64_t n, ct_status status,
                           const char *message) {
    ct_module *model = model_new();
    ct_adam_options options = ct_adam_defaults(0.01);
    options.step.groups = groups, options.step.n_groups = n;
    cr_expect_null(ct_adam_new(model, options));
    expect_error(status, message);
    ct_module_free(model);
}

static bool fails(void *context, const ct_named_slot *parameter) {
    (void)context, (void)parameter;
    return ct_matmul(ct_scalar(CT_F32, 1), ct_scalar(CT_F32, 1)) != NULL;
}

TEST(parameter_groups, that_cannot_be_meant_are_refused) {
    const ct_parameter_group typo[] = {{.pattern = "*bias"}, {.pattern = "*/biass"}},
                             nobody = {.rate_factor = 2},
                             negative[] = {{.pattern = "*", .rate_factor = -1},
                                           {.pattern = "*", .decay_factor = (double)NAN}},
                             all = {.pattern = "*", .frozen = true};
    expect_refused(typo, 2, CT_ERR_STATE,
                   "ct_adam_new: groups[1]: no parameter's path matches '*/biass'; the first one "
                   "is 'dense/kernel'");
    expect_refused(&nobody, 1, CT_ERR_NULL,
                   "ct_adam_new: groups[0] has neither 'pattern' nor 'holds'");
    expect_refused(negative, 1, CT_ERR_RANGE,
                   "ct_adam_new: groups[0].rate_factor must be in [0,1e+300), got -1");
    expect_refused(&negative[1], 1, CT_ERR_RANGE,
                   "ct_adam_new: groups[0].decay_factor must be in [0,1e+300), got nan");
    expect_refused(&all, 1, CT_ERR_STATE,
                   "ct_adam_new: nothing is left to train: the groups freeze all 4 parameters");
    const ct_parameter_group behind[] = {{.pattern = "*", .rate_factor = 2},
                                         {.pattern = "dense/*", .rate_factor = 3}};
    expect_refused(behind, 2, CT_ERR_STATE,
                   "ct_adam_new: groups[1]: all that 'dense/*' matches is held by groups before "
                   "it; a parameter belongs to the first that fits");
    expect_refused(&all, 0, CT_ERR_RANGE, "ct_adam_new: 'groups' is given and n_groups is 0");
    const ct_parameter_group failing = {.holds = fails};
    expect_refused(&failing, 1, CT_ERR_SHAPE,
                   "ct_matmul: argument 'a' needs rank >= 1, got a scalar");
    expect_refused(NULL, 2, CT_ERR_NULL, "ct_adam_new: 'groups' is NULL");
    expect_refused(&all, -1, CT_ERR_RANGE, "ct_adam_new: n_groups must be >= 0, got -1");
}

static ct_tensor *wrong_shape(const void *options, const ct_step *step, ct_tensor *p, ct_tensor *g,
                              ct_tensor *const state[], ct_tensor *next[]) {
    (void)options, (void)step, (void)g, (void)state, (void)next;
    return ct_reshape(p, CT_SHAPE(77));
}

static ct_status wrong_scalar(const void *options, ct_tensor *step, ct_tensor *rate,
                              ct_tensor *scalars[]) {
    (void)options, (void)step, (void)scalars;
    return ct_reshape(rate, CT_SHAPE(77)) ? CT_OK : ct_error();
}

static void expect_error_of_its_own(ct_optimizer_kind kind) {
    kind.name = "own";
    ct_module *model = model_new();
    ct_optimizer *o = ct_optimizer_new(&kind, model, ct_rate(0.1), (ct_step_options){0}, NULL, 0);
    MADE(o);
    ct_tensor *x = ct_full(CT_F64, CT_SHAPE(2, 4), 1);
    ct_tensor *loss = ct_sum_all(ct_forward(model, x, CT_TRAINING));
    cr_expect_neq(ct_optimizer_step(o, loss, NULL, 0), CT_OK);
    cr_expect_eq(strncmp(ct_error_message(), "ct_reshape: ", 12), 0, "%s", ct_error_message());
    ct_error_clear();
    ct_optimizer_free(o);
    ct_module_free(model);
}

TEST(parameter_groups, what_a_rule_calls_is_called_by_the_user) {
    expect_error_of_its_own((ct_optimizer_kind){.update = wrong_shape});
    expect_error_of_its_own((ct_optimizer_kind){.prepare = wrong_scalar, .update = note});
}
