/* An autoencoder of dense layers.
 * There is no arithmetic here: it is a list of layers and its mirror image.
 * Invariant: no hidden activation follows the code or what comes out. */
#include "nn/models.h"
#include "nn/options_private.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"

#include <stdio.h>

/* From widths[at] by steps of `step` over n layers, with `last` after them unless NULL. */
static ct_module *half(const char *name, const int64_t *widths, int64_t n, int64_t step,
                       const ct_autoencoder_options *o, const ct_activation *last) {
    ct_module **layers = cti_alloc((size_t)(2 * n), sizeof *layers);
    if (!layers) return NULL;
    int64_t made = 0;
    ct_dense_options dense = {.dtype = o->dtype};
    for (int64_t i = 0; i < n; i++, widths += step) {
        layers[made++] = ct_dense_new(widths[0], widths[step], dense);
        const ct_activation *after = i + 1 < n ? o->hidden : last;
        if (after) layers[made++] = ct_activation_new(after);
    }
    ct_module *module = ct_sequential_new(name, layers, made);
    cti_free(layers);
    return module;
}

static ct_status check(const char *function, const int64_t *widths, int64_t n,
                       const ct_autoencoder_options *o) {
    for (int64_t i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "widths[%lld]", (long long)i);
        if (cti_check_size(function, name, widths[i]) != CT_OK) return ct_error();
    }
    if (o->hidden->apply && o->output->apply) return CT_OK;
    return ct_fail(CT_ERR_NULL, "%s: '%s->apply' is NULL", function,
                   o->hidden->apply ? "output" : "hidden");
}

ct_module *ct_autoencoder_new(const int64_t widths[], int64_t n, ct_autoencoder_options options) {
    CTI_CALLED;
    if (cti_check_array("ct_autoencoder_new", "widths", widths, "n", n) != CT_OK) return NULL;
    if (n < 2 || n > INT32_MAX) {
        return ct_fail_null(CT_ERR_RANGE, "ct_autoencoder_new: needs at least two widths, got %lld",
                            (long long)n);
    }
    if (!options.hidden) options.hidden = &ct_activation_relu;
    if (!options.output) options.output = &ct_activation_sigmoid;
    if (check("ct_autoencoder_new", widths, n, &options) != CT_OK) return NULL;
    ct_module *encoder = half("encoder", widths, n - 1, 1, &options, NULL);
    ct_module *decoder = half("decoder", widths + n - 1, n - 1, -1, &options, options.output);
    return CT_SEQUENTIAL("autoencoder", encoder, decoder);
}
