/* Metrics against plain loops, over batches of any size; AUC against Keras too.
 * Not a test of training, which only adds sums up.
 * Invariant: the value of all items is that of their batches together. */
#include "tests/reference/losses.h"
#include "tests/support/nn_support.h"

/* The metric of x and y, cut into pieces of `size` rows. */
static double over_batches(const ct_metric *metric, ct_tensor *x, ct_tensor *y, int64_t size) {
    static double sums[1000];
    int64_t rows = ct_dim(x, 0), n = 0;
    memset(sums, 0, sizeof sums);
    for (int64_t first = 0; first < rows; first += size) {
        int64_t end = first + size < rows ? first + size : rows;
        ct_tensor *part = metric->sums(metric, ct_slice(x, 0, first, end, 1),
                                       ct_slice(y, 0, first, end, 1));
        MADE(part);
        cr_assert(ct_dtype_of(part) == CT_F64 && ct_shape_of(part).rank == 1);
        cr_assert(n == 0 || n == ct_numel(part));
        n = ct_numel(part);
        for (int64_t k = 0; k < n; k++) sums[k] += element(part, k);
    }
    return metric->value(metric, sums, n);
}

static void expect_metric(const ct_metric *metric, ct_tensor *x, ct_tensor *y, double wanted,
                          double tolerance) {
    for (int64_t size = 1; size <= ct_dim(x, 0); size += 1 + size / 2) {
        double got = over_batches(metric, x, y, size);
        cr_expect(is_near(got, wanted, tolerance), "%s, %lld rows: %.17g for %.17g", metric->name,
                  (long long)size, got, wanted);
    }
    cr_expect(is_near(over_batches(metric, x, y, ct_dim(x, 0)), wanted, tolerance));
}

/* --- Classes ---------------------------------------------------------------------------------- */

enum { ROWS = 37, K = 5 };

static int64_t best_of(const double *scores) {
    int64_t best = 0;
    for (int64_t k = 1; k < K; k++) best = scores[k] > scores[best] ? k : best;
    return best;
}

typedef struct {
    double right, top[K + 1], confusion[K * K], nll, counted;
} plain;

/* Few scores, so that there are ties. */
static ct_tensor *coarse_scores(void) {
    ct_tensor *x = centred(CT_F64, CT_SHAPE(ROWS, K), 1, 3, 0);
    return ct_detach(ct_floor(x));
}

static plain measure(ct_tensor *scores, ct_tensor *labels, int64_t ignored) {
    plain p = {0};
    for (int64_t i = 0; i < ROWS; i++) {
        double row[K], sum = 0;
        int64_t label = (int64_t)element(labels, i), better = 0;
        for (int64_t k = 0; k < K; k++) row[k] = element(scores, i * K + k);
        if (label == ignored) continue;
        for (int64_t k = 0; k < K; k++) {
            sum += exp(row[k]);
            better += row[k] > row[label] || (row[k] == row[label] && k < label);
        }
        for (int64_t k = 1; k <= K; k++) p.top[k] += better < k;
        p.right += best_of(row) == label;
        p.confusion[label * K + best_of(row)]++;
        p.nll += log(sum) - row[label];
        p.counted++;
    }
    return p;
}

static void macro(const double *confusion, double out[3]) {
    double seen = 0;
    memset(out, 0, 3 * sizeof *out);
    for (int i = 0; i < K; i++) {
        double tp = confusion[i * K + i], said = 0, is = 0;
        for (int j = 0; j < K; j++) said += confusion[j * K + i], is += confusion[i * K + j];
        double p = said > 0 ? tp / said : 0, r = is > 0 ? tp / is : 0;
        out[0] += p, out[1] += r, out[2] += p + r > 0 ? 2 * p * r / (p + r) : 0;
        seen += said + is > 0;
    }
    for (int i = 0; i < 3; i++) out[i] /= seen;
}

static void expect_classes(int64_t ignored, ct_tensor *labels) {
    ct_tensor *scores = coarse_scores();
    plain p = measure(scores, labels, ignored);
    double wanted[3];
    ct_metric all[] = {ct_metric_accuracy,     ct_metric_perplexity,      ct_metric_confusion,
                       ct_metric_macro_f1,     ct_metric_macro_precision, ct_metric_macro_recall,
                       ct_metric_top_k(1),     ct_metric_top_k(2),        ct_metric_top_k(3),
                       ct_metric_top_k(K - 1), ct_metric_top_k(K)};
    enum { N = sizeof all / sizeof *all };
    for (int i = 0; i < N; i++) {
        all[i].ignore = true;
        all[i].ignore_index = ignored;
    }
    macro(p.confusion, wanted);
    expect_metric(&all[0], scores, labels, p.right / p.counted, 1e-15);
    expect_metric(&all[1], scores, labels, exp(p.nll / p.counted), 1e-14);
    expect_metric(&all[2], scores, labels, p.right / p.counted, 1e-15);
    expect_metric(&all[3], scores, labels, wanted[2], 1e-14);
    expect_metric(&all[4], scores, labels, wanted[0], 1e-14);
    expect_metric(&all[5], scores, labels, wanted[1], 1e-14);
    for (int i = 6; i < N; i++) {
        expect_metric(&all[i], scores, labels, p.top[all[i].number] / p.counted, 1e-15);
    }
    ct_tensor *sums = ct_metric_confusion.sums(&all[2], scores, labels);
    for (int64_t i = 0; i < K * K; i++) cr_expect_eq(element(sums, i), p.confusion[i]);
}

TEST(metrics, of_classes) {
    expect_classes(-100, some_labels(ROWS, K, 2));
    expect_classes(3, some_labels(ROWS, K, 2));
    /* A class that is neither a label nor predicted is left out of the mean over classes. */
    double confusion[9] = {3, 1, 0, 1, 2, 0, 0, 0, 0}, f = 2 * 3.0 / 8 + 2 * 2.0 / 6;
    EXPECT_NEAR(ct_metric_macro_f1.value(&ct_metric_macro_f1, confusion, 9), f / 2, 1e-15);
}

/* As ct_accuracy; over any number of axes; f32; one-hot labels. */
TEST(metrics, accuracy_is_that_of_the_losses) {
    ct_tensor *scores = centred(CT_F32, CT_SHAPE(2, 3, 4, K), 3, 1, 0);
    ct_tensor *labels = ct_reshape(some_labels(24, K, 4), CT_SHAPE(2, 3, 4));
    double right = 0;
    for (int64_t i = 0; i < 24; i++) {
        double row[K];
        for (int64_t k = 0; k < K; k++) row[k] = element(scores, i * K + k);
        right += best_of(row) == (int64_t)element(labels, i);
    }
    expect_metric(&ct_metric_accuracy, scores, labels, right / 24, 1e-15);
    expect_metric(&ct_metric_accuracy, scores, ct_one_hot(labels, K, CT_F32), right / 24, 1e-15);
    EXPECT_NEAR(ct_item(ct_accuracy(scores, labels)), right / 24, 1e-7);
    ct_tensor *flat = ct_reshape(scores, CT_SHAPE(24, K));
    ct_tensor *rows = ct_reshape(labels, CT_SHAPE(24));
    cr_expect_eq(ct_item(ct_accuracy(scores, labels)), ct_item(ct_accuracy(flat, rows)));
    double mean = ct_item(ct_cross_entropy(flat, rows));
    expect_metric(&ct_metric_perplexity, scores, labels, exp(mean), 1e-6);
}

TEST(metrics, of_nothing_and_of_nan) {
    ct_tensor *nan = ct_full(CT_F32, CT_SHAPE(2, K), (double)NAN), *labels = some_labels(2, K, 1);
    ct_metric top = ct_metric_top_k(K);
    expect_metric(&top, nan, labels, 0, 0);
    ct_metric accuracy = ct_metric_accuracy;
    accuracy.ignore = true;
    accuracy.ignore_index = 7;
    ct_tensor *ignored = ct_full(CT_I64, CT_SHAPE(2), 7);
    cr_expect(isnan(over_batches(&accuracy, nan, ignored, 2)));
}

/* --- Two classes ------------------------------------------------------------------------------ */

enum { N = 60 };

static ct_tensor *truth_of(ct_dtype dtype) {
    ct_tensor *u = uniform01(CT_F64, CT_SHAPE(N), 40);
    return ct_cast(ct_greater(u, ct_scalar(CT_F64, 0.6)), dtype);
}

static ct_tensor *logits_of(ct_dtype dtype) {
    ct_tensor *z = ct_add(centred(CT_F64, CT_SHAPE(N), 41, 2, 0), truth_of(CT_F64));
    return ct_detach(ct_cast(z, dtype));
}

TEST(metrics, of_two_classes) {
    for (int d = 0; d < 2; d++) {
        ct_tensor *z = logits_of(d ? CT_F32 : CT_F64);
        ct_tensor *t = ct_detach(truth_of(d ? CT_I64 : CT_F64));
        double tp = 0, fp = 0, fn = 0, tn = 0;
        for (int64_t i = 0; i < N; i++) {
            bool yes = element(z, i) > 0, truth = element(t, i) > 0.5;
            tp += yes && truth, fp += yes && !truth, fn += !yes && truth, tn += !yes && !truth;
        }
        expect_metric(&ct_metric_precision, z, t, tp / (tp + fp), 1e-15);
        expect_metric(&ct_metric_recall, z, t, tp / (tp + fn), 1e-15);
        expect_metric(&ct_metric_f1, z, t, 2 * tp / (2 * tp + fp + fn), 1e-15);
        expect_metric(&ct_metric_binary_accuracy, z, t, (tp + tn) / N, 1e-15);
    }
    ct_tensor *low = ct_full(CT_F32, CT_SHAPE(3), -1), *none = ct_full(CT_F32, CT_SHAPE(3), 0);
    expect_metric(&ct_metric_precision, low, none, 0, 0);
    expect_metric(&ct_metric_recall, low, none, 0, 0);
    expect_metric(&ct_metric_f1, low, none, 0, 0);
}

/* The true area, by all pairs, and the share of those that the thresholds do not tell apart. */
static double area(ct_tensor *z, ct_tensor *t, double *same) {
    double won = 0, pairs = 0, close = 0;
    for (int64_t i = 0; i < ct_numel(z); i++) {
        for (int64_t j = 0; j < ct_numel(z); j++) {
            if (element(t, i) < 0.5 || element(t, j) > 0.5) continue;
            double a = element(z, i), b = element(z, j);
            double p = 199 / (1 + exp(-a)), q = 199 / (1 + exp(-b));
            won += a > b ? 1 : a == b ? 0.5 : 0;
            close += ceil(p) == ceil(q);
            pairs++;
        }
    }
    *same = close / pairs;
    return won / pairs;
}

TEST(metrics, auc_is_that_of_keras_and_near_the_true_one) {
    ct_tensor *z = logits_of(CT_F64), *t = ct_detach(truth_of(CT_F64));
    double same, exact = area(z, t, &same), got = over_batches(&ct_metric_auc, z, t, N);
    expect_metric(&ct_metric_auc, z, t, got, 1e-15);
    EXPECT_NEAR(got, auc_keras[0], 1e-6);
    cr_expect(same > 0 && fabs(got - exact) <= same / 2 + 1e-15, "%g %g %g", got, exact, same);
    /* Where all lie between two thresholds, nothing is known. */
    ct_tensor *far = ct_offset(z, 20);
    exact = area(far, t, &same);
    EXPECT_NEAR(over_batches(&ct_metric_auc, far, t, N), 0.5, 1e-15);
    cr_expect(same == 1 && exact > 0.7);
    ct_tensor *order = ct_from(CT_F32, CT_SHAPE(4), (float[]){-INFINITY, -1, 1, INFINITY});
    ct_tensor *ones = ct_from(CT_F32, CT_SHAPE(4), (float[]){0, 0, 1, 1});
    expect_metric(&ct_metric_auc, order, ones, 1, 0);
    expect_metric(&ct_metric_auc, ct_neg(order), ones, 0, 0);
    cr_expect(isnan(over_batches(&ct_metric_auc, order, ct_full(CT_F32, CT_SHAPE(4), 1), 4)));
}

/* --- Numbers ---------------------------------------------------------------------------------- */

TEST(metrics, of_numbers) {
    ct_tensor *t = centred(CT_F64, CT_SHAPE(20, 3), 5, 1, 2),
              *e = centred(CT_F64, CT_SHAPE(20, 3), 6, 0.2, 0);
    ct_tensor *p = ct_detach(ct_add(t, e));
    double mae = 0, r2 = 0;
    for (int64_t c = 0; c < 3; c++) {
        double mean = 0, spread = 0, rest = 0;
        for (int64_t i = 0; i < 20; i++) mean += element(t, 3 * i + c) / 20;
        for (int64_t i = 0; i < 20; i++) {
            double d = element(t, 3 * i + c) - mean;
            double gap = element(p, 3 * i + c) - element(t, 3 * i + c);
            spread += d * d, rest += gap * gap, mae += fabs(gap) / 60;
        }
        r2 += (1 - rest / spread) / 3;
    }
    expect_metric(&ct_metric_mae, p, t, mae, 1e-14);
    ct_tensor *mse = ct_mean_all(ct_square(e)), *mean = ct_mean_all(p);
    expect_metric(&ct_metric_mse, p, t, ct_item(mse), 1e-14);
    expect_metric(&ct_metric_mean, p, t, ct_item(mean), 1e-14);
    expect_metric(&ct_metric_r2, p, t, r2, 1e-13);
    ct_tensor *flat = ct_full(CT_F64, CT_SHAPE(20), 0.1);
    cr_expect(isnan(over_batches(&ct_metric_r2, flat, flat, 3)));
    ct_tensor *column = ct_arange(CT_F32, 0, 20, 1);
    expect_metric(&ct_metric_r2, column, column, 1, 0);
    expect_metric(&ct_metric_mae, ct_arange(CT_F32, 1, 21, 1), column, 1, 0);
}

/* --- Errors ----------------------------------------------------------------------------------- */

static void refuse(ct_metric metric, ct_tensor *x, ct_tensor *y, ct_status status,
                   const char *message) {
    cr_expect_null(metric.sums(&metric, x, y));
    expect_error(status, message);
}

/* A label that is no class is an error, as in the loss; one that is ignored is none. */
TEST(metrics, labels_that_are_no_class) {
    ct_tensor *x = centred(CT_F32, CT_SHAPE(2, 3), 1, 1, 0);
    ct_tensor *labels = ct_from(CT_I64, CT_SHAPE(2), (int64_t[]){1, -1});
    static const ct_metric *const all[] = {&ct_metric_accuracy, &ct_metric_confusion,
                                           &ct_metric_macro_f1, &ct_metric_perplexity};
    static const char *const names[] = {"ct_metric_accuracy", "ct_metric_confusion",
                                        "ct_metric_macro_f1", "ct_metric_perplexity"};
    for (int i = 0; i < 4; i++) {
        char message[128];
        snprintf(message, sizeof message, "%s: label must be in 0..2, got -1 at row 1", names[i]);
        refuse(*all[i], x, labels, CT_ERR_RANGE, message);
        ct_metric metric = *all[i];
        metric.ignore = true, metric.ignore_index = -1;
        MADE(ct_data(metric.sums(&metric, x, labels)));
    }
    refuse(ct_metric_top_k(0), x, some_labels(2, 3, 1), CT_ERR_RANGE,
           "ct_metric_top_k: k must be >= 1, got 0");
    refuse(ct_metric_top_k(4), x, some_labels(2, 3, 1), CT_ERR_RANGE,
           "ct_metric_top_k: k is 4, there are 3 classes");
    ct_metric forgotten = ct_metric_accuracy;
    forgotten.ignore_index = -100;
    refuse(forgotten, x, some_labels(2, 3, 1), CT_ERR_STATE,
           "ct_metric_accuracy: ignore_index is -100, and ignore is false");
}

TEST(metrics, errors) {
    ct_tensor *x = centred(CT_F32, CT_SHAPE(2, 3), 1, 1, 0), *y = ct_slice(x, 1, 0, 2, 1);
    ct_tensor *flat = ct_slice(x, 0, 0, 1, 1);
    refuse(ct_metric_accuracy, x, NULL, CT_ERR_NULL, "ct_metric_accuracy: 'labels' is NULL");
    refuse(ct_metric_accuracy, x, ct_reshape(flat, CT_SHAPE(3)), CT_ERR_SHAPE,
           "ct_metric_accuracy: scores are [2,3], labels [3]");
    refuse(ct_metric_top_k(2), x, some_labels(3, 2, 1), CT_ERR_SHAPE,
           "ct_metric_top_k: scores are [2,3], labels [3]");
    refuse(ct_metric_confusion, ct_reshape(flat, CT_SHAPE(3)), some_labels(1, 2, 1), CT_ERR_SHAPE,
           "ct_metric_confusion: scores are [3], labels [1]");
    refuse(ct_metric_f1, x, y, CT_ERR_SHAPE, "ct_metric_f1: prediction is [2,3], target [2,2]");
    refuse(ct_metric_recall, x, some_labels(2, 3, 1), CT_ERR_SHAPE,
           "ct_metric_recall: prediction is [2,3], target [2]; it is of two classes, of one logit "
           "each: of more see ct_metric_accuracy and ct_metric_macro_f1");
    ct_tensor *one = ct_slice(x, 1, 0, 1, 1);
    refuse(ct_metric_accuracy, one, ct_equal(one, one), CT_ERR_SHAPE,
           "ct_metric_accuracy: scores [2,1] have one class, of which every label is; of one "
           "logit for two classes see ct_binary_cross_entropy and ct_metric_binary_accuracy");
    refuse(ct_metric_mean, NULL, NULL, CT_ERR_NULL, "ct_metric_mean: 'prediction' is NULL");
    refuse(ct_metric_auc, NULL, y, CT_ERR_NULL, "ct_metric_auc: 'prediction' is NULL");
    refuse(ct_metric_r2, x, y, CT_ERR_SHAPE, "ct_metric_r2: prediction is [2,3], target [2,2]");
    refuse(ct_metric_mae, x, ct_cast(x, CT_F64), CT_ERR_DTYPE,
           "ct_metric_mae: dtypes differ: f32 and f64; use ct_cast");
}
