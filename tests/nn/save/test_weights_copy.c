/* Weights given from model to model: all of them by path, or none. */
#include "tests/support/nn_support.h"

static ct_module *named(ct_module *module, const char *name) {
    OK(ct_module_rename(module, name));
    return module;
}

static ct_module *dense(int64_t inputs, int64_t units, const char *name, ct_dtype dtype) {
    return named(ct_dense_new(inputs, units, (ct_dense_options){.dtype = dtype}), name);
}

TEST(weights_copy, every_bit_of_every_slot) {
    ct_seed_set(1);
    ct_module *a = small_cnn(0.5);
    ct_seed_set(2);
    ct_module *b = small_cnn(0.5);
    MADE(a), MADE(b);
    uint64_t wanted = state_hash(a, NULL);
    cr_assert_neq(state_hash(b, NULL), wanted);
    OK(ct_weights_copy(b, a));
    cr_expect_eq(state_hash(b, NULL), wanted);
    cr_expect_eq(state_hash(a, NULL), wanted);
    OK(ct_weights_copy(b, b));
    cr_expect_eq(state_hash(b, NULL), wanted);
    ct_module_free(a);
    /* They are its own. */
    cr_expect_eq(state_hash(b, NULL), wanted);
    ct_module_free(b);
}

/* As the network of targets of reinforcement learning, which follows now and then. */
TEST(weights_copy, training_one_leaves_the_other) {
    ct_module *net = small_mlp(), *target = small_mlp();
    OK(ct_weights_copy(target, net));
    uint64_t before = state_hash(target, NULL);
    ct_optimizer *sgd = ct_sgd_new(net, (ct_sgd_options){.rate = ct_rate(0.1)});
    ct_tensor *x = uniform01(CT_F32, CT_SHAPE(5, 4), 1);
    OK(ct_optimizer_step(sgd, ct_sum_all(ct_square(ct_forward(net, x, CT_TRAINING))), NULL, 0));
    cr_expect_eq(state_hash(target, NULL), before);
    cr_expect_neq(state_hash(net, NULL), before);
    /* What the optimizer holds goes on from what it is given. */
    OK(ct_weights_copy(net, target));
    cr_expect_eq(state_hash(net, NULL), before);
    OK(ct_optimizer_step(sgd, ct_sum_all(ct_square(ct_forward(net, x, CT_TRAINING))), NULL, 0));
    cr_expect_neq(state_hash(net, NULL), before);
    ct_optimizer_free(sgd);
    ct_module_free(net), ct_module_free(target);
}

/* A part of a model is a model too; its own name does not matter, nor the order of its children. */
TEST(weights_copy, of_parts_in_another_order) {
    ct_module *from = CT_SEQUENTIAL("encoder", dense(2, 3, "a", CT_F32), dense(3, 2, "b", CT_F32));
    ct_module *part = CT_SEQUENTIAL("body", dense(3, 2, "b", CT_F32), dense(2, 3, "a", CT_F32));
    ct_module *whole = CT_SEQUENTIAL("net", part, dense(2, 1, "head", CT_F32));
    MADE(from), MADE(whole);
    OK(ct_weights_copy(whole->children[0], from));
    cr_expect(same_bits(read_slot(whole, "body/a/kernel"), read_slot(from, "a/kernel")));
    cr_expect(same_bits(read_slot(whole, "body/b/kernel"), read_slot(from, "b/kernel")));
    ct_module_free(from), ct_module_free(whole);
}

/* Takes both. */
static void refused(ct_module *model, ct_module *from, ct_status status, const char *message) {
    uint64_t before = model ? state_hash(model, NULL) : 0;
    cr_expect_eq(ct_weights_copy(model, from), status, "%s", message);
    expect_error(status, message);
    if (model) cr_expect_eq(state_hash(model, NULL), before, "%s", message);
    ct_module_free(model), ct_module_free(from);
}

static ct_module *two(ct_module *second) {
    return CT_SEQUENTIAL("net", dense(2, 3, "a", CT_F32), second);
}

TEST(weights_copy, says_what_does_not_fit) {
    refused(two(dense(3, 2, "b", CT_F32)), two(dense(3, 5, "b", CT_F32)), CT_ERR_SHAPE,
            "ct_weights_copy: 'b/kernel' is [3,2] here, [3,5] there");
    refused(two(dense(3, 2, "b", CT_F32)), two(dense(3, 2, "b", CT_F64)), CT_ERR_SHAPE,
            "ct_weights_copy: 'b/kernel' is f32 here, f64 there");
    refused(two(dense(3, 2, "b", CT_F32)), two(dense(3, 2, "c", CT_F32)), CT_ERR_SHAPE,
            "ct_weights_copy: 'b/kernel' is only here");
    refused(two(ct_flatten_new()), two(dense(3, 2, "c", CT_F32)), CT_ERR_SHAPE,
            "ct_weights_copy: 'c/kernel' is only there");
    refused(NULL, two(ct_flatten_new()), CT_ERR_NULL, "ct_weights_copy: 'model' is NULL");
    refused(two(ct_flatten_new()), NULL, CT_ERR_NULL, "ct_weights_copy: 'from' is NULL");
}
