/* The network of the study, and what it shows about the two modes of BatchNorm.
 * It is not trained here.
 * Invariant: with BatchNorm no layer has a bias, because BatchNorm's beta is one. */
#include "bn_study.h"

#include <math.h>
#include <stdlib.h>

/* Images of a batch that say what the modes are: the same ones, and then others. */
enum { SAME = 16, OTHERS = 16 };

typedef struct {
    ct_module *items[24];
    int64_t n;
} layers;

static void add(layers *l, ct_module *layer, const char *base, int number) {
    char name[48];
    if (number) snprintf(name, sizeof name, "%s_%d", base, number);
    else snprintf(name, sizeof name, "%s", base);
    if (layer && ct_module_rename(layer, name) != CT_OK) {
        ct_module_free(layer);
        layer = NULL;
    }
    l->items[l->n++] = layer;
}

/* BatchNorm number `number`, if there is any, and the activation after it. */
static void add_activation(layers *l, int64_t channels, bool batch_norm,
                           const ct_activation *activation, int number) {
    if (batch_norm) {
        add(l, ct_batch_norm_new(channels, ct_batch_norm_keras()), "batch_norm", number);
    }
    bool last = activation->apply == ct_activation_softmax.apply;
    add(l, ct_activation_new(activation), activation->name, last ? 0 : number);
}

ct_module *study_model(const ct_activation *activation, bool batch_norm) {
    const struct { int64_t inputs, filters; } conv[] = {{1, 32}, {32, 64}, {64, 64}};
    ct_conv2d_options no_padding = {.no_bias = batch_norm};
    ct_dense_options dense = {.no_bias = batch_norm};
    layers l = {.n = 0};
    for (int i = 0; i < 3; i++) {
        add(&l, ct_conv2d_new(conv[i].inputs, conv[i].filters, no_padding), "conv", i + 1);
        add_activation(&l, conv[i].filters, batch_norm, activation, i + 1);
        if (i < 2) add(&l, ct_max_pool2d_new((ct_pool2d_options){0}), "pool", i + 1);
    }
    add(&l, ct_flatten_new(), "flatten", 0);
    add(&l, ct_dense_new(576, 64, dense), "dense", 1);
    add_activation(&l, 64, batch_norm, activation, 4);
    add(&l, ct_dense_new(64, 10, dense), "dense", 2);
    add_activation(&l, 10, batch_norm, &ct_activation_softmax, 5);
    return ct_sequential_new("cnn", l.items, l.n);
}

ct_status study_count(ct_module *model, int64_t *trained, int64_t *followed) {
    ct_slot_list list;
    if (ct_module_list(model, &list) != CT_OK) return ct_error();
    *trained = *followed = 0;
    for (int64_t i = 0; i < list.count; i++) {
        const ct_named_slot *item = &list.items[i];
        *(item->trainable ? trained : followed) += ct_numel(ct_slot_read(item->slot));
    }
    ct_slot_list_free(&list);
    return CT_OK;
}

/* --- Training and inference ------------------------------------------------------------------- */

/* The first test images in company of others, from number `first` on. */
static ct_tensor *company(const study *s, int64_t first) {
    ct_tensor *images = s->data->test_images;
    ct_tensor *bytes = CT_CONCAT(0, ct_slice(images, 0, 0, SAME, 1),
                                 ct_slice(images, 0, first, first + OTHERS, 1));
    return ct_scale(ct_cast(bytes, CT_F32), 1.0 / 255);
}

/* The largest difference of a probability of the same images in two batches. */
static double difference(const study *s, ct_module *model, ct_mode mode) {
    ct_tensor *a = ct_forward(model, company(s, SAME), mode);
    ct_tensor *b = ct_forward(model, company(s, SAME + OTHERS), mode);
    ct_tensor *moved = ct_slice(ct_abs(ct_sub(a, b)), 0, 0, SAME, 1);
    return ct_item(ct_max(moved, CT_ALL));
}

ct_status study_modes_measure(const study *s, ct_module *model, study_modes *modes) {
    if (ct_dim(s->data->test_images, 0) < SAME + 2 * OTHERS) return CT_OK;
    ct_slot_list list;
    if (ct_module_list(model, &list) != CT_OK) return ct_error();
    int64_t scope = ct_scope_open();
    ct_tensor **before = calloc((size_t)list.count, sizeof *before);
    for (int64_t i = 0; before && i < list.count; i++) before[i] = ct_slot_read(list.items[i].slot);
    ct_status status = before ? ct_evaluate(model, &ct_loss_cross_entropy, s->part, NULL, NULL)
                              : ct_fail(CT_ERR_MEMORY, "bn_study: out of memory");
    if (status == CT_OK) {
        *modes = (study_modes){difference(s, model, CT_TRAINING),
                               difference(s, model, CT_INFERENCE), false};
        for (int64_t i = 0; i < list.count; i++) {
            if (!ct_slot_holds(list.items[i].slot, before[i])) modes->moved = true;
        }
        status = ct_error();
    }
    free(before);
    ct_scope_close(scope);
    ct_slot_list_free(&list);
    return status;
}
