/* A small GPT.
 * There is no arithmetic here: it is blocks of layers.
 * Invariant: each block normalizes what it adds to the sequence, and not the sequence itself. */
#include "nn/attention.h"
#include "nn/models.h"
#include "nn/options_private.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"

/* As GPT-2 begins: standard deviation 0.02. */
static ct_initializer narrow(void) {
    ct_initializer init = ct_truncated_normal;
    init.value = 0.02;
    return init;
}

static ct_module *normalization(const ct_gpt_options *o) {
    ct_layer_norm_options options = ct_layer_norm_defaults();
    options.epsilon = 1e-5;
    options.dtype = o->dtype;
    return ct_layer_norm_new(o->width, options);
}

static ct_module *dense(const ct_gpt_options *o, int64_t inputs, int64_t units, bool no_bias) {
    ct_dense_options options = {.kernel = narrow(), .no_bias = no_bias, .dtype = o->dtype};
    return ct_dense_new(inputs, units, options);
}

static ct_module *block(const ct_gpt_options *o) {
    ct_attention_options attention = {
        .causal = true, .dropout = o->dropout, .kernel = narrow(), .dtype = o->dtype};
    ct_module *attend = CT_SEQUENTIAL("attend", normalization(o),
                                      ct_multi_head_attention_new(o->width, o->heads, attention),
                                      ct_dropout_new(o->dropout));
    ct_module *mlp = CT_SEQUENTIAL("mlp", normalization(o), dense(o, o->width, 4 * o->width, false),
                                   ct_activation_new(&ct_activation_gelu),
                                   dense(o, 4 * o->width, o->width, false),
                                   ct_dropout_new(o->dropout));
    return CT_SEQUENTIAL("block", ct_residual_new(attend, NULL), ct_residual_new(mlp, NULL));
}

static ct_status check(const ct_gpt_options *o) {
    const struct {
        const char *name;
        int64_t size;
    } sizes[] = {{"vocabulary", o->vocabulary},
                 {"length", o->length},
                 {"width", o->width},
                 {"layers", o->layers},
                 {"heads", o->heads},
                 {"4 width", o->width > 0 && o->width <= INT32_MAX ? 4 * o->width : 1}};
    ct_status status = CT_OK;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && status == CT_OK; i++) {
        status = cti_check_size("ct_gpt_new", sizes[i].name, sizes[i].size);
    }
    if (status != CT_OK) return status;
    return cti_check_number("ct_gpt_new", "dropout", o->dropout, 0, 1);
}

ct_module *ct_gpt_new(ct_gpt_options options) {
    CTI_CALLED;
    if (check(&options) != CT_OK) return NULL;
    ct_module **layers = cti_alloc((size_t)options.layers + 5, sizeof *layers);
    if (!layers) return NULL;
    int64_t n = 0;
    ct_embedding_options tokens = {.embeddings = narrow(), .dtype = options.dtype};
    ct_positions_options places = {.embeddings = narrow(), .dtype = options.dtype};
    layers[n++] = ct_embedding_new(options.vocabulary, options.width, tokens);
    layers[n++] = ct_positions_new(options.length, options.width, places);
    layers[n++] = ct_dropout_new(options.dropout);
    for (int64_t i = 0; i < options.layers; i++) layers[n++] = block(&options);
    layers[n++] = normalization(&options);
    layers[n++] = dense(&options, options.width, options.vocabulary, true);
    ct_module *model = ct_sequential_new("gpt", layers, n);
    cti_free(layers);
    return model;
}
