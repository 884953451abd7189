/* test_called.c for metrics and sources: a message names the function that the user called.
 * What it says behind the name is the business of other suites.
 * Invariant: each row calls one function, wrongly or without memory, and nothing else. */
#include "tests/support/called.h"
#include "tests/support/fit_support.h"

static ct_tensor *ones(ct_dtype dtype, ct_shape shape) { return ct_full(dtype, shape, 1); }

TEST(called_data, metrics) {
    ct_tensor *x = ones(CT_F32, CT_SHAPE(2, 3)), *labels = ct_arange(CT_I64, 0, 2, 1);
    ct_tensor *few = ones(CT_F32, CT_SHAPE(2));
    const ct_metric top = ct_metric_top_k(2);
    const struct {
        const char *name;
        const ct_metric *metric;
        ct_tensor *target;
    } rows[] = {{"ct_metric_accuracy", &ct_metric_accuracy, labels},
                {"ct_metric_top_k", &top, labels},
                {"ct_metric_confusion", &ct_metric_confusion, labels},
                {"ct_metric_macro_f1", &ct_metric_macro_f1, labels},
                {"ct_metric_perplexity", &ct_metric_perplexity, labels},
                {"ct_metric_f1", &ct_metric_f1, x},
                {"ct_metric_auc", &ct_metric_auc, x},
                {"ct_metric_mae", &ct_metric_mae, x},
                {"ct_metric_r2", &ct_metric_r2, x}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const ct_metric *m = rows[i].metric;
        WRONG_IN(rows[i].name, m->sums(m, x, few));
        WRONG_IN(rows[i].name, m->sums(m, x, NULL));
        STARVED_IN(rows[i].name, m->sums(m, x, rows[i].target));
    }
}

static ct_status stays(void *context, int64_t epoch, int64_t number, ct_batch *batch) {
    (void)context, (void)epoch, (void)number, (void)batch;
    return CT_OK;
}

TEST(called_data, sources) {
    ct_tensor *x = ones(CT_F32, CT_SHAPE(2, 3)), *none = NULL;
    ct_batches_options options = {.shuffle = true};
    WRONG(ct_batches_many_new, NULL, 1, options);
    WRONG(ct_batches_many_new, &none, 1, options);
    STARVED_IN("ct_batches_many_new", ct_source_free(ct_batches_many_new(&x, 1, options)));
    ct_source *source = NULL;
    WRONG(ct_source_map_new, NULL, stays, NULL);
    STARVED_AFTER(source = ct_batches_many_new(&x, 1, options), "ct_source_map_new",
                  ct_source_free(ct_source_map_new(source, stays, NULL)));
}
