/* Who is told of the modules that run: in which order, how deep, with which path and tensors. */
#include "nn/module_private.h"
#include "tests/support/nn_support.h"
#include "tests/support/show_support.h"

typedef struct {
    cti_observer base;
    char said[1024];
    int left; /* calls that succeed; negative: all */
    bool doubles;
} listener;

static ct_status listen(cti_observer *self, ct_module *module, ct_tensor *const in[], int n_in,
                        ct_tensor *out[], int n_out) {
    listener *l = (listener *)self;
    size_t used = strlen(l->said);
    snprintf(l->said + used, sizeof l->said - used, "%d %s %s %d->%d\n", self->depth,
             module->kind->name, cti_context()->path, n_in, n_out);
    if (!in[0] || !out[0]) return ct_fail(CT_ERR_STATE, "listen: no tensor");
    if (l->left-- == 0) return ct_fail(CT_ERR_STATE, "listen: enough");
    if (l->doubles) out[0] = ct_scale(out[0], 2);
    return CT_OK;
}

static listener listening(void) { return (listener){.base = {.called = listen}, .left = -1}; }

TEST(observer, is_told_of_each_call_when_it_ends) {
    ct_module *model = CT_SEQUENTIAL(
        "m", ct_residual_new(ct_dense_new(2, 2, (ct_dense_options){0}), NULL),
        ct_weight_norm_new(ct_dense_new(2, 2, (ct_dense_options){0})),
        ct_activation_new(&ct_activation_softmax));
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(1, 2), 1);
    listener l = listening();
    MADE(model);
    cr_expect_null(cti_observe(&l.base));
    MADE(ct_forward(model, x, CT_TRAINING));
    cr_expect_str_eq(l.said, "2 Dense m/residual/dense 1->1\n1 Residual m/residual 1->1\n"
                             "2 Dense m/weight_norm/dense 1->1\n1 WeightNorm m/weight_norm 1->1\n"
                             "1 Activation m/activation 1->1\n0 Sequential m 1->1\n");
    cr_expect_eq(l.base.depth, 0);
    *l.said = '\0';
    MADE(ct_logits(model, x, CT_TRAINING));
    cr_expect_eq(strlen(l.said),
                 strlen("2 Dense m/residual/dense 1->1\n1 Residual m/residual 1->1\n"
                        "2 Dense m/weight_norm/dense 1->1\n1 WeightNorm "
                        "m/weight_norm 1->1\n1 Activation m/activation 1->1\n"
                        "0 Sequential m 1->1\n"));
    cr_expect_eq(cti_observe(NULL), &l.base);
    *l.said = '\0';
    MADE(ct_forward(model, x, CT_TRAINING));
    cr_expect_str_eq(l.said, "");
    ct_module_free(model);
}

TEST(observer, may_change_outputs_or_fail) {
    ct_module *model = ct_sequential_new("m", (ct_module *[]){ct_flatten_new()}, 1);
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(1, 2), 1);
    listener l = listening();
    l.doubles = true;
    cti_observe(&l.base);
    cr_expect_eq(element(ct_forward(model, x, CT_TRAINING), 0), 4);
    for (int left = 0; left < 2; left++) {
        l.left = left;
        cr_expect_null(ct_forward(model, x, CT_TRAINING));
        expect_error(CT_ERR_STATE,
                     left ? "listen: enough (in m)" : "listen: enough (in m/flatten)");
        cr_expect_eq(l.base.depth, 0);
    }
    cr_expect_null(ct_forward(model, NULL, CT_TRAINING));
    ct_error_clear();
    cr_expect_eq(l.base.depth, 0);
    cti_observe(NULL);
    ct_module_free(model);
}

/* A summary made in between has an observer of its own. */
TEST(observer, is_not_told_of_summaries) {
    ct_module *model = ct_flatten_new();
    listener l = listening();
    FILE *out = fopen("/dev/null", "w");
    MADE(out);
    cti_observe(&l.base);
    OK(ct_summary(out, model, (ct_show_options){.input = CT_SHAPE(1, 2)}));
    cr_expect_neq(ct_summary(out, model, (ct_show_options){.input = CT_SCALAR}), CT_OK);
    ct_error_clear();
    cr_expect_eq(cti_observe(NULL), &l.base);
    cr_expect_str_eq(l.said, "");
    fclose(out);
    ct_module_free(model);
}
