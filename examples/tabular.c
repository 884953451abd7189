/* Regression on a table: columns of numbers in, one number out.
 * The table is Friedman's (1991): ten columns in 0..1, of which five matter, and noise of variance
 * 1, so that no model explains more than about 96 % of what varies. Yours is a tensor too. */
#include "twin.h"

#include <stdio.h>

enum { ROWS = 2000, COLUMNS = 10, HIDDEN = 24, BATCH = 16 };

/* Rows of x and y, and where three fifths and four fifths of them end. */
typedef struct {
    ct_tensor *x, *y;
    int64_t known, seen, rows;
} table;

static ct_tensor *column(ct_tensor *x, int64_t i) { return ct_slice(x, 1, i, i + 1, 1); }

/* y = 10 sin(pi x0 x1) + 20 (x2 - 1/2)^2 + 10 x3 + 5 x4 + noise. Nothing is computed here: ops
 * record what is wanted, and whoever reads the numbers has them computed. */
static table friedman(void) {
    ct_tensor *x = ct_random_uniform(ct_seed_draw(), CT_F32, CT_SHAPE(ROWS, COLUMNS));
    ct_tensor *wave = ct_sin(ct_scale(ct_mul(column(x, 0), column(x, 1)), 3.14159265358979));
    ct_tensor *bowl = ct_square(ct_offset(column(x, 2), -0.5));
    ct_tensor *y = ct_add(ct_scale(wave, 10), ct_scale(bowl, 20));
    y = ct_add(y, ct_add(ct_scale(column(x, 3), 10), ct_scale(column(x, 4), 5)));
    y = ct_add(y, ct_random_normal(ct_seed_draw(), CT_F32, CT_SHAPE(ROWS, 1)));
    return (table){.x = x, .y = y};
}

/* Each column with mean 0 and deviation 1 over the rows to train on: networks learn best from
 * numbers around 1, and nothing may be learned from the other rows. */
static ct_tensor *standardized(ct_tensor *x, int64_t known) {
    ct_tensor *rows = ct_slice(x, 0, 0, known, 1);
    ct_tensor *centred = ct_sub(x, ct_mean(rows, CT_AXES(0)));
    return ct_div(centred, ct_std(rows, CT_AXES(0)));
}

static ct_source *batches(table t, int64_t first, int64_t end, bool shuffle) {
    ct_batches_options options = {.size = BATCH, .shuffle = shuffle};
    return ct_batches_new(ct_slice(t.x, 0, first, end, 1), ct_slice(t.y, 0, first, end, 1),
                          options);
}

static ct_module *model_new(ct_dtype dtype) {
    ct_dense_options dense = {.dtype = dtype};
    ct_batch_norm_options norm = ct_batch_norm_pytorch();
    norm.dtype = dtype;
    return CT_SEQUENTIAL("tabular", ct_dense_new(COLUMNS, HIDDEN, dense),
                         ct_batch_norm_new(HIDDEN, norm), ct_activation_new(&ct_activation_relu),
                         ct_dense_new(HIDDEN, HIDDEN, dense), ct_batch_norm_new(HIDDEN, norm),
                         ct_activation_new(&ct_activation_relu), ct_dense_new(HIDDEN, 1, dense));
}

/* On rows that had no part in training: R2 is the share of y's variance that the model explains.
 * The mean error is in the table's own unit. */
static ct_status report(ct_module *model, table t, ct_tensor *y_before) {
    ct_tensor *y = ct_slice(t.y, 0, t.seen, t.rows, 1);
    ct_tensor *error = ct_sub(ct_predict(model, ct_slice(t.x, 0, t.seen, t.rows, 1), 0), y);
    ct_tensor *unit = ct_std(ct_slice(y_before, 0, 0, t.known, 1), CT_ALL);
    ct_tensor *unexplained = ct_div(ct_mean_all(ct_square(error)), ct_var(y, CT_ALL));
    ct_tensor *mean_error = ct_mul(ct_mean_all(ct_abs(error)), unit);
    if (ct_eval((ct_tensor *[]){unexplained, mean_error}, 2) != CT_OK) return ct_error();
    printf("on %lld new rows: R2 %.3f, mean absolute error %.3f\n", (long long)(t.rows - t.seen),
           1 - ct_item(unexplained), ct_item(mean_error));
    return CT_OK;
}

static ct_status train(const char *twin, int64_t steps) {
    table t = twin ? (table){.x = twin_tensor(twin, "x"), .y = twin_tensor(twin, "y")} : friedman();
    t.rows = ct_dim(t.x, 0);
    t.known = t.rows * 3 / 5;
    t.seen = t.rows * 4 / 5;
    ct_tensor *y_before = t.y;
    t.x = standardized(t.x, t.known);
    t.y = standardized(t.y, t.known);
    ct_source *known = batches(t, 0, t.known, !twin), *unseen = batches(t, t.known, t.seen, false);
    ct_module *model = model_new(twin ? CT_F64 : CT_F32);
    ct_optimizer *adam = ct_adam_new(model, ct_adam_pytorch(0.01));
    /* Ends when ten epochs have not improved the validation, and goes back to the best one. */
    ct_fit_options options = {.epochs = 100,
                              .max_steps = steps,
                              .validation = unseen,
                              .patience = 10,
                              .restore_best = true,
                              .log = twin ? NULL : stdout,
                              .record_steps = true};
    ct_history history = {0};
    ct_status status = twin_weights(twin, "model", model);
    if (status == CT_OK) status = ct_fit(model, adam, &ct_loss_mse, known, options, &history);
    if (twin) twin_losses(&history);
    else if (status == CT_OK) status = report(model, t, y_before);
    ct_history_free(&history);
    ct_optimizer_free(adam), ct_module_free(model);
    ct_source_free(known), ct_source_free(unseen);
    return status;
}

int main(int argc, char *argv[]) {
    return twin_main("tabular", "Regression on a table.", train, NULL, argc, argv);
}
