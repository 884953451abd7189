/* The monitor of ct_fit: what it writes is what training computed, and training notices nothing.
 * The format of event files is test_events' business.
 * Invariant: numbers are compared with those of an undisturbed run, step by step. */
#include "tests/support/events_support.h"
#include "tests/support/fit_support.h"

#include "optim/train/train.h"

static ct_monitor *monitor_of(int64_t every, const char *only) {
    ct_monitor *m = ct_monitor_new(
        (ct_monitor_options){.directory = folder, .every = every, .only = only});
    MADE(m);
    return m;
}

static double norm_of(ct_tensor *t) { return ct_item(ct_cast(ct_norm(t), CT_F64)); }

/* --- Numbers ---------------------------------------------------------------------------------- */

/* An undisturbed run; its numbers at a step are those in the file. */
static void expect_step(const event_file *file, bench *b, int64_t number, bool looked) {
    static const char *paths[] = {"dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"};
    ct_batch batch;
    ct_tensor *w[4], *g[4];
    OK(ct_source_seek(b->train, (number - 1) / BATCHES, (number - 1) % BATCHES));
    OK(ct_source_next(b->train, &batch));
    ct_tensor *hidden = ct_forward(b->model->children[0], batch.x, CT_TRAINING);
    ct_tensor *squashed = ct_forward(b->model->children[1], hidden, CT_TRAINING);
    ct_tensor *scores = ct_forward(b->model->children[2], squashed, CT_TRAINING);
    ct_tensor *loss = ct_cross_entropy(scores, batch.y);
    for (int i = 0; i < 4; i++) w[i] = ct_slot_read(slot_at(b->model, paths[i]));
    OK(ct_grad(loss, w, 4, g));
    OK(ct_optimizer_step(b->optimizer, loss, g, 4));
    cr_expect_eq(scalar_of(file, "loss", number), (double)(float)ct_item(loss));
    if (!looked) return;
    for (int i = 0; i < 4; i++) {
        char tag[64];
        snprintf(tag, sizeof tag, "gradient_norm/%s", paths[i]);
        EXPECT_NEAR(scalar_of(file, tag, number), norm_of(g[i]), 1e-6);
        snprintf(tag, sizeof tag, "update_ratio/%s", paths[i]);
        double before = norm_of(w[i]);
        ct_tensor *now = ct_slot_read(slot_at(b->model, paths[i]));
        cr_expect_eq(value_of(file, tag, number).at != NULL, before > 0, "%s", tag);
        if (before > 0) {
            EXPECT_NEAR(scalar_of(file, tag, number), norm_of(ct_sub(now, w[i])) / before, 1e-6);
        }
        snprintf(tag, sizeof tag, "gradients/%s", paths[i]);
        view histogram = field_of(value_of(file, tag, number), 5, 0).bytes;
        cr_expect_eq(double_of(field_of(histogram, 3, 0).bytes), (double)ct_numel(w[i]));
        cr_expect_eq(double_of(field_of(histogram, 2, 0).bytes), ct_item(ct_max(g[i], CT_ALL)));
    }
    const struct {
        const char *tag;
        ct_tensor *value;
    } outputs[] = {{"activations/dense", hidden},
                   {"activations/activation", squashed},
                   {"activations/dense_1", scores}};
    for (int i = 0; i < 3; i++) {
        view histogram = field_of(value_of(file, outputs[i].tag, number), 5, 0).bytes;
        cr_assert_not_null(histogram.at, "%s", outputs[i].tag);
        double largest = ct_item(ct_max(outputs[i].value, CT_ALL));
        cr_expect_eq(double_of(field_of(histogram, 2, 0).bytes), largest);
        cr_expect_eq(double_of(field_of(histogram, 3, 0).bytes),
                     (double)ct_numel(outputs[i].value));
    }
}

FOLDER_TEST(monitor, writes_what_training_computes) {
    enum { EVERY = 5, STEPS = 2 * BATCHES };
    bench b = open_bench(0.05), plain = open_bench(0.05), other = open_bench(0.05);
    ct_monitor *m = monitor_of(EVERY, NULL);
    ct_history history;
    ct_fit_options options = {.epochs = 2, .validation = b.test, .monitor = m};
    OK(fit(&b, options, &history));
    ct_monitor_free(m);
    OK(fit(&plain, (ct_fit_options){.epochs = 2, .validation = plain.test}, NULL));
    cr_expect_eq(state_hash(b.model, b.optimizer), state_hash(plain.model, plain.optimizer));
    event_file file = read_events(NULL);
    for (int64_t number = 1; number <= STEPS; number++) {
        int64_t scope = ct_scope_open();
        expect_step(&file, &other, number, (number - 1) % EVERY == 0);
        ct_scope_close(scope);
    }
    cr_expect_eq(count_values(&file, "loss"), STEPS);
    cr_expect_eq(count_values(&file, "rate"), 3);
    cr_expect_eq(count_values(&file, "activations/dense"), 3);
    cr_expect_eq(count_values(&file, "gradients/dense_1/bias"), 3);
    const ct_epoch *last = &history.epochs[1];
    cr_expect_eq(scalar_of(&file, "epoch/loss", STEPS), (double)(float)last->loss);
    cr_expect_eq(scalar_of(&file, "epoch/val_loss", STEPS), (double)(float)last->val_loss);
    cr_expect_eq(scalar_of(&file, "epoch/accuracy", BATCHES),
                 (double)(float)history.epochs[0].accuracy);
    int graphs = 0;
    for (int64_t i = 0; i < file.count; i++) graphs += file.events[i].graph.at != NULL;
    cr_expect_eq(graphs, 1);
    free_events(&file);
    ct_history_free(&history);
    close_bench(&b), close_bench(&plain), close_bench(&other);
}

/* Steps that are looked at are one evaluation too, and one for the ratios; the rate is no op. */
FOLDER_TEST(monitor, looks_without_evaluations_of_its_own) {
    bench b = open_bench(0.05), plain = open_bench(0.05);
    ct_monitor *m = monitor_of(3, NULL);
    ct_stats_reset();
    OK(fit(&plain, (ct_fit_options){.epochs = 1}, NULL));
    int64_t evaluations = ct_stats_read().evaluations;
    ct_stats_reset();
    OK(fit(&b, (ct_fit_options){.epochs = 1, .monitor = m}, NULL));
    int64_t looked = BATCHES / 3;
    cr_expect_leq(ct_stats_read().evaluations, evaluations + 2 * looked);
    ct_monitor_free(m);
    close_bench(&b), close_bench(&plain);
}

/* --- The table -------------------------------------------------------------------------------- */

static char *table(void) {
    FILE *in = fopen(in_folder("layers.csv"), "r");
    cr_assert_not_null(in);
    char *text = calloc(1, 1 << 16);
    cr_assert_lt(fread(text, 1, 1 << 16, in), 1 << 16);
    fclose(in);
    return text;
}

static int64_t lines_with(const char *text, const char *part) {
    int64_t n = 0;
    for (; (text = strstr(text, part)); text++) n++;
    return n;
}

FOLDER_TEST(monitor, a_table_that_goes_on) {
    bench b = open_bench(0.05);
    for (int i = 0; i < 2; i++) {
        ct_monitor *m = monitor_of(2, "dense_1*");
        ct_fit_options options = {.epochs = 1 + i, .start.epoch = i, .monitor = m};
        OK(fit(&b, options, NULL));
        ct_monitor_free(m);
    }
    char *text = table();
    cr_expect_eq(lines_with(text, "step,what,path,count"), 1);
    cr_expect_eq(lines_with(text, ",activation,dense_1,"), 6);
    cr_expect_eq(lines_with(text, ",gradient,dense_1/kernel,24,0,"), 6);
    cr_expect_eq(lines_with(text, "\n"), 1 + 6 * 3);
    cr_expect_eq(lines_with(text, ",dense,"), 0);
    for (char *line = text; *line; line = strchr(line, '\n') + 1) {
        int commas = 0;
        for (char *c = line; *c != '\n'; c++) commas += *c == ',';
        cr_expect_eq(commas, 14);
    }
    double last[12];
    int n = sscanf(strstr(text, "11,gradient,dense_1/kernel,"),
                   "11,gradient,dense_1/kernel,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf",
                   last, last + 1, last + 2, last + 3, last + 4, last + 5, last + 6, last + 7,
                   last + 8, last + 9, last + 10, last + 11);
    cr_expect_eq(n, 12);
    for (int i = 4; i < 10; i++) cr_expect_leq(last[i], last[i + 1], "quantiles ascend");
    cr_expect_null(strstr(text, "nan"), "an activation has no ratio: an empty field");
    const char *activation = strstr(text, ",activation,dense_1,");
    cr_expect_eq(strchr(activation, '\n')[-1], ',');
    cr_expect(last[2] > 0 && last[11] > 0);
    free(text);
    close_bench(&b);
}

/* --- Layers ----------------------------------------------------------------------------------- */

/* A module of the user's that calls a child, and uses an intermediate of its own. */
static ct_tensor *gated(ct_module *self, ct_tensor *x, ct_mode mode) {
    ct_tensor *gate = ct_sigmoid(x);
    return ct_mul(gate, ct_forward(self->children[0], gate, mode));
}
static const ct_module_kind gated_kind = {.name = "Gated", .forward = gated};

static ct_module *gated_new(ct_module *child) {
    ct_module *module = ct_module_new(sizeof *module, &gated_kind);
    OK(ct_module_add_children(module, &child, 1));
    return module;
}

TEST(monitor, outputs_are_found_in_the_graph) {
    ct_module *shared = ct_dense_new(4, 4, (ct_dense_options){.no_bias = true});
    OK(ct_module_rename(shared, "twice"));
    ct_module *model = CT_SEQUENTIAL(
        "net", ct_flatten_new(), ct_residual_new(CT_SEQUENTIAL("body", shared, shared), NULL),
        ct_activation_new(&ct_activation_linear),
        gated_new(ct_dense_new(4, 4, (ct_dense_options){0})),
        ct_batch_norm_new(4, ct_batch_norm_defaults()), ct_activation_new(&ct_activation_softmax));
    MADE(model);
    ct_tensor *x = centred(CT_F32, CT_SHAPE(3, 2, 2), 1, 1, 0);
    ct_tensor *y = ct_logits(model, x, CT_TRAINING), *loss = ct_mean_all(ct_square(y));
    cti_outputs outputs;
    OK(cti_outputs_of(loss, &outputs));
    static const char *expected[] = {"net/residual/body/twice", "net/residual", "net/gated/dense",
                                     "net/gated", "net/batch_norm"};
    cr_expect_eq(outputs.count, 5);
    for (int64_t i = 0; i < outputs.count && i < 5; i++) {
        cr_expect_str_eq(outputs.items[i].path, expected[i]);
    }
    cr_expect_eq(outputs.items[outputs.count - 1].value, y);
    cti_outputs_free(&outputs);
    ct_module_free(model);
}

/* Names may hold any bytes. */
FOLDER_TEST(monitor, names_of_any_bytes) {
    bench b = open_bench(0.05);
    OK(ct_module_rename(b.model->children[0], "a,\"\xff"));
    ct_monitor *m = monitor_of(1, NULL);
    OK(fit(&b, (ct_fit_options){.max_steps = 1, .monitor = m}, NULL));
    ct_monitor_free(m);
    event_file file = read_events(NULL);
    cr_expect_eq(count_values(&file, "activations/a,\"_"), 1);
    free_events(&file);
    char *text = table();
    cr_expect_eq(lines_with(text, "1,activation,\"a,\"\"\xff\",32,0,"), 1);
    free(text);
    close_bench(&b);
}

FOLDER_TEST(monitor, curves_alone) {
    bench b = open_bench(0.05);
    ct_monitor *m = monitor_of(1, "");
    ct_metric metric = ct_metric_top_k(2);
    ct_history history;
    ct_fit_options options = {
        .epochs = 1, .validation = b.test, .monitor = m, .metrics = &metric, .n_metrics = 1};
    OK(fit(&b, options, &history));
    ct_monitor_free(m);
    event_file file = read_events(NULL);
    cr_expect_eq(count_values(&file, "loss"), BATCHES);
    cr_expect_eq(count_values(&file, "activations/dense"), 0);
    const struct {
        const char *prefix;
        double value;
    } values[] = {{"epoch/", history.epochs[0].metrics[0]},
                  {"epoch/val_", history.epochs[0].val_metrics[0]}};
    for (int i = 0; i < 2; i++) {
        char tag[64];
        snprintf(tag, sizeof tag, "%s%s", values[i].prefix, metric.name);
        cr_expect_eq(scalar_of(&file, tag, BATCHES), (double)(float)values[i].value);
    }
    free_events(&file);
    ct_history_free(&history);
    close_bench(&b);
}

/* --- Errors ----------------------------------------------------------------------------------- */

FOLDER_TEST(monitor, bad_options) {
    cr_expect_null(ct_monitor_new((ct_monitor_options){0}));
    expect_error(CT_ERR_NULL, "ct_monitor_new: 'directory' is NULL");
    cr_expect_null(ct_monitor_new((ct_monitor_options){.directory = folder, .every = -1}));
    expect_error(CT_ERR_RANGE, "ct_monitor_new: every must be >= 0, got -1");
    cr_expect_null(ct_monitor_new((ct_monitor_options){.directory = "/proc/cotan"}));
    cr_expect_eq(strncmp(ct_error_message(), "ct_monitor_new: cannot make", 27), 0);
    ct_error_clear();
    cr_expect_eq(mkdir(in_folder("layers.csv"), 0777), 0);
    cr_expect_null(ct_monitor_new((ct_monitor_options){.directory = folder}));
    cr_expect_eq(ct_error(), CT_ERR_IO);
    ct_error_clear();
    rmdir(in_folder("layers.csv"));
}

/* The update of the step has happened, and is counted. */
FOLDER_TEST(monitor, a_full_disk_ends_training_after_the_step) {
    bench b = open_bench(0.05), plain = open_bench(0.05);
    ct_monitor *m = monitor_of(2, NULL);
    ct_history history;
    arm(2, ENOSPC, true); /* after the loss of the first step */
    cr_expect_eq(fit(&b, (ct_fit_options){.epochs = 1, .monitor = m}, &history), CT_ERR_IO);
    disarm();
    cr_expect_eq(strncmp(ct_error_message(), "ct_fit: ", 8), 0, "%s", ct_error_message());
    ct_error_clear();
    cr_expect(history.position.batch == 1 && history.epochs[0].steps == 1);
    OK(fit(&plain, (ct_fit_options){.max_steps = 1}, NULL));
    cr_expect_eq(state_hash(b.model, b.optimizer), state_hash(plain.model, plain.optimizer));
    ct_history_free(&history);
    OK(fit(&b, (ct_fit_options){.epochs = 1, .start.batch = 1, .monitor = m}, NULL));
    ct_monitor_free(m);
    event_file file = read_events(NULL);
    cr_expect(file.torn == 0 && count_values(&file, "loss") == BATCHES);
    free_events(&file);
    close_bench(&b), close_bench(&plain);
}

static ct_status many(void *context, ct_fit_step *step) {
    (void)context;
    while (step->n_also < CT_ALSO - 3) OK(ct_fit_want(step, step->loss));
    return CT_OK;
}

FOLDER_TEST(monitor, more_tensors_than_a_step_has) {
    bench b = open_bench(0.05);
    ct_monitor *m = monitor_of(1, NULL);
    uint64_t before = state_hash(b.model, b.optimizer);
    ct_fit_options options = {.epochs = 1, .monitor = m, .also = many};
    cr_expect_eq(fit(&b, options, NULL), CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_fit: the monitor looks at more than 256 tensors; its option "
                               "'only' chooses");
    cr_expect_eq(state_hash(b.model, b.optimizer), before);
    ct_monitor_free(m);
    close_bench(&b);
}

FOLDER_TEST(monitor, that_looks_at_nothing_says_so) {
    bench b = open_bench(0.01);
    ct_monitor *m = monitor_of(1, "conv*");
    cr_expect_eq(fit(&b, (ct_fit_options){.epochs = 1, .monitor = m}, NULL), CT_ERR_STATE);
    expect_error(CT_ERR_STATE, "ct_fit: the monitor's option 'only' is 'conv*', which the path of "
                               "no layer and of no parameter matches; \"\" is none");
    ct_monitor_free(m);
    close_bench(&b);
}

static bench starved;
static ct_status train_a_step(void) {
    ct_monitor *m = ct_monitor_new((ct_monitor_options){.directory = folder});
    ct_status status = m ? fit(&starved, (ct_fit_options){.max_steps = 1, .monitor = m}, NULL)
                         : ct_error();
    ct_monitor_free(m);
    ct_cache_clear();
    return status;
}

FOLDER_TEST(monitor, without_memory) {
    starved = open_bench(0.05);
    OK(train_a_step()); /* names are interned, slots as large as they will be */
    cr_expect_gt(memory_sweep(train_a_step), 0);
    close_bench(&starved);
}
