#include "tests/support/show_support.h"

ct_module *nested_model(const char *outer) {
    ct_module *frozen = ct_dense_new(6, 6, (ct_dense_options){0});
    ct_module *block = CT_SEQUENTIAL("block", frozen, ct_dropout_new(0.5));
    ct_module *skip = ct_residual_new(ct_dense_new(6, 6, (ct_dense_options){.no_bias = true}),
                                      NULL);
    ct_module *model = CT_SEQUENTIAL("model", CT_SEQUENTIAL(outer, block, skip),
                                     ct_global_avg_pool2d_new());
    ct_module_freeze(frozen, true);
    return model;
}

/* --- Two inputs ------------------------------------------------------------------------------- */

enum { EMBEDDING, LSTM, FACTS, DENSE };

static ct_status text_and_facts(ct_module *self, ct_tensor *const in[], int n_in, ct_tensor *out[],
                                int n_out, ct_mode mode) {
    if (n_in != 2 || n_out > 2) {
        return ct_fail(CT_ERR_RANGE, "TextAndFacts: 2 inputs and at most 2 outputs, got %d and %d",
                       n_in, n_out);
    }
    ct_tensor *words = ct_forward(self->children[EMBEDDING], in[0], mode);
    ct_tensor *state = ct_forward(self->children[LSTM], words, mode);
    ct_tensor *facts = ct_forward(self->children[FACTS], in[1], mode);
    ct_tensor *gate = ct_sigmoid(ct_mul(facts, ct_module_read(self, 0)));
    out[0] = ct_forward(self->children[DENSE], ct_mul(state, gate), mode);
    if (n_out > 1) out[1] = gate;
    return out[0] ? CT_OK : ct_error();
}

ct_module *text_and_facts_new(void) {
    static const ct_module_kind kind = {.name = "TextAndFacts", .forward_many = text_and_facts};
    ct_module *model = ct_module_new(sizeof *model, &kind);
    ct_module *facts = ct_dense_new(1, 4, (ct_dense_options){0});
    ct_module *spare = ct_dense_new(2, 2, (ct_dense_options){0});
    ct_module *children[] = {ct_embedding_new(10, 3, (ct_embedding_options){0}),
                             ct_lstm_new(3, 4, (ct_recurrent_options){.last_only = true}), facts,
                             ct_dense_new(4, 5, (ct_dense_options){0}), spare};
    ct_module_rename(facts, "facts");
    ct_module_rename(spare, "spare");
    ct_module_add_children(model, children, 5);
    ct_module_add_slot(model, "scale", ct_full(CT_F32, CT_SHAPE(4), 1), true);
    return model;
}

ct_show_options two_inputs(ct_type inputs[2]) {
    inputs[0] = (ct_type){CT_I64, CT_SHAPE(3, 7)};
    inputs[1] = (ct_type){CT_F32, CT_SHAPE(3, 1)};
    return (ct_show_options){.inputs = inputs, .n_inputs = 2};
}

/* --- Steps ------------------------------------------------------------------------------------ */

static ct_tensor *steps(ct_module *self, ct_tensor *x, ct_mode mode) {
    ct_module *cell = self->children[0]->children[0];
    ct_tensor *state = NULL;
    for (int64_t t = 0; t < ct_dim(x, 1); t++) {
        ct_tensor *now = ct_reshape(ct_slice(x, 1, t, t + 1, 1), CT_SHAPE(-1, ct_dim(x, 2)));
        state = ct_forward(cell, state ? ct_add(state, now) : now, mode);
    }
    return state;
}

ct_module *steps_new(ct_module *inner) {
    static const ct_module_kind kind = {.name = "Steps", .forward = steps};
    ct_module *model = ct_module_new(sizeof *model, &kind);
    ct_module_add_children(model, &inner, 1);
    return model;
}
