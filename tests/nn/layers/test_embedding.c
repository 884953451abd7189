/* Embedding: rows of a table, of which one may stand for nothing. Values and gradients are also in
 * test_layer_parity. */
#include "tests/support/nn_support.h"

static ct_tensor *ids(void) {
    return ct_from(CT_I64, CT_SHAPE(2, 3), (int64_t[]){1, 3, 1, 0, 2, 1});
}

static ct_module *padded(int64_t pad_id) {
    ct_seed_set(3);
    return ct_embedding_new(4, 2, (ct_embedding_options){.pads = true, .pad_id = pad_id});
}

TEST(embedding, gives_rows_of_the_table) {
    ct_module *layer = ct_embedding_new(4, 2, (ct_embedding_options){0});
    MADE(layer);
    ct_tensor *y = ct_forward(layer, ids(), CT_TRAINING), *table = read_slot(layer, "embeddings");
    cr_expect(ct_shape_equal(ct_shape_of(y), CT_SHAPE(2, 3, 2)));
    for (int64_t i = 0; i < 12; i++) {
        int64_t id = (int64_t)element(ids(), i / 2);
        cr_expect_eq(element(y, i), element(table, 2 * id + i % 2));
    }
    y = ct_forward(layer, ct_scalar(CT_I64, 2), CT_INFERENCE);
    cr_expect(ct_shape_equal(ct_shape_of(y), CT_SHAPE(2)));
    y = ct_forward(layer, ct_full(CT_I64, CT_SHAPE(0, 3), 0), CT_INFERENCE);
    cr_expect(ct_shape_equal(ct_shape_of(y), CT_SHAPE(0, 3, 2)));
    ct_module_free(layer);
}

TEST(embedding, the_padding_row_begins_as_zeros_alone) {
    ct_module *layer = padded(0);
    ct_seed_set(3);
    ct_module *plain = ct_embedding_new(4, 2, (ct_embedding_options){0});
    ct_tensor *table = read_slot(layer, "embeddings"), *other = read_slot(plain, "embeddings");
    for (int64_t i = 0; i < 8; i++) {
        cr_expect_eq(element(table, i), i < 2 ? 0 : element(other, i));
        cr_expect_neq(element(other, i), 0);
    }
    ct_module_free(layer);
    ct_module_free(plain);
}

TEST(embedding, the_padding_row_stays_in_training) {
    ct_module *layer = padded(1);
    ct_optimizer *adam = ct_adam_new(layer, ct_adam_defaults(0.1));
    ct_tensor *before = read_slot(layer, "embeddings");
    ct_tensor *y = ct_forward(layer, ids(), CT_TRAINING);
    ct_tensor *loss = ct_mean_all(ct_square(ct_offset(y, 1.0)));
    OK(ct_optimizer_step(adam, loss, NULL, 0));
    ct_tensor *after = read_slot(layer, "embeddings");
    for (int64_t i = 0; i < 8; i++) {
        cr_expect_eq(element(after, i) == element(before, i), i / 2 == 1, "%lld", (long long)i);
    }
    ct_optimizer_free(adam);
    ct_module_free(layer);
}
