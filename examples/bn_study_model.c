/* The networks of the study: their parameters counted, and what one shows about the two modes of
 * BatchNorm.
 * They are not trained here.
 * Invariant: measuring a network does not change it. */
#include "bn_study.h"

#include <math.h>
#include <stdlib.h>

/* Images of a batch that say what the modes are: the same ones, and then others. */
enum { SAME = 16, OTHERS = 16 };

ct_module *study_model(const ct_activation *activation, bool batch_norm) {
    return ct_digits_cnn_new(
        (ct_digits_cnn_options){.activation = activation, .no_batch_norm = !batch_norm});
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
