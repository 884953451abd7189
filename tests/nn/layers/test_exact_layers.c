/* Modules whose parameters are CT_P61: their initial weights have values, and what a layer computes
 * is exactly what the op computes. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "nn/attention.h"
#include "nn/layers.h"
#include "nn/recurrent.h"

static bool has_values(ct_tensor *t) {
    const ct_p61 *elements = ct_data_p61(t);
    bool all = elements != NULL;
    for (int64_t i = 0; all && i < ct_numel(t); i++) all = ct_p61_has_value(elements[i]);
    return all;
}

static void expect_values(ct_module *module) {
    MADE(module);
    ct_slot_list slots;
    OK(ct_module_parameters(module, &slots));
    for (int64_t i = 0; i < slots.count; i++) {
        EXPECT(has_values(ct_slot_read(slots.items[i].slot)), "%s", slots.items[i].path);
    }
    ct_slot_list_free(&slots);
    ct_module_free(module);
}

TEST(exact_layers, initial_weights_have_values) {
    expect_values(ct_dense_new(3, 4, (ct_dense_options){.dtype = CT_P61}));
    expect_values(ct_conv2d_new(2, 3, (ct_conv2d_options){.dtype = CT_P61}));
    expect_values(ct_lstm_new(2, 3, (ct_recurrent_options){.dtype = CT_P61}));
    ct_batch_norm_options options = ct_batch_norm_defaults();
    options.dtype = CT_P61;
    expect_values(ct_batch_norm_new(3, options));
}

TEST(exact_layers, dense_is_a_product) {
    ct_tensor *x = ct_random_uniform(ct_from(CT_I64, CT_SHAPE(2), (int64_t[]){1, 2}), CT_P61,
                                     CT_SHAPE(5, 3));
    ct_module *dense = ct_dense_new(3, 4, (ct_dense_options){.dtype = CT_P61});
    ct_slot_list slots;
    OK(ct_module_parameters(dense, &slots));
    ct_tensor *y = ct_forward(dense, x, CT_TRAINING);
    ct_tensor *z = ct_matmul(x, ct_slot_read(slots.items[0].slot));
    z = ct_add(z, ct_slot_read(slots.items[1].slot));
    const ct_p61 *a = ct_data_p61(y), *b = ct_data_p61(z);
    MADE(a), MADE(b);
    for (int i = 0; i < 20; i++) EXPECT(a[i].field == b[i].field && ct_p61_has_value(a[i]));
    ct_slot_list_free(&slots);
    ct_module_free(dense);
}
