/* The BatchNorm study: a small network on digits, trained with and without BatchNorm under several
 * activations and learning rates; see --help.
 * This file is the course of events; its parts are in bn_study_*.c.
 * Invariant: what was measured is written and then printed, also when a run was broken off and
 * when nobody reads what is printed. */
#include "bn_study.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int study_failed(void) {
    ct_status status = ct_error();
    fprintf(stderr, "bn_study: %s\n", ct_error_message());
    ct_error_clear();
    if (status == CT_ERR_IO) return EXIT_IO;
    return status == CT_ERR_FORMAT ? EXIT_DATA : EXIT_FAILURE;
}

int study_agree(int status) {
    ct_group *ranks = ct_group_current();
    if (!ranks) return status;
    ct_status mine = CT_OK;
    if (status) mine = ct_fail(status == EXIT_IO ? CT_ERR_IO : CT_ERR_STATE, "bn_study: failed");
    ct_status all = ct_group_agree(ranks, mine);
    if (status) ct_error_clear(); /* who failed has said why */
    else if (all != CT_OK) status = study_failed();
    return status;
}

study_data study_data_of(const study *s) {
    study_data out;
    const char *name = s->data->name;
    bool built_in = strcmp(name, "built-in digits") == 0;
    snprintf(out.text, sizeof out.text, "%s%s: %lld training and %lld test images",
             built_in ? "" : "the files in ", built_in ? name : show(name).text,
             (long long)ct_dim(s->data->train_images, 0),
             (long long)ct_dim(s->data->test_images, 0));
    return out;
}

/* --- Options ---------------------------------------------------------------------------------- */

static const char about[] =
    "Trains one small network on digits, with and without BatchNorm, and says what BatchNorm\n"
    "changed: a table, verdicts, and in the output folder results.json, history.csv, pictures,\n"
    "what each layer did (layers, for TensorBoard too) and report.html.\n"
    "Without --activation and --lr: relu and sigmoid at 0.001 and 0.01.";

static int read_options(study_options *o, int argc, char *argv[]) {
    *o = (study_options){.batch_norm = "both", .epochs = 3, .batch = 32, .seed = 1, .out = "out"};
    const option list[] = {
        {"--data", "DIR", "folder with MNIST; else COTAN_DATA, the cache, built-in digits",
         OPTION_TEXT, &o->data, 0, 0},
        {"--activation", "relu|sigmoid", "one activation instead of both", OPTION_CHOICE,
         &o->activation, 0, 0},
        {"--lr", "X", "one learning rate", OPTION_NUMBER, &o->rate, 0, 1000},
        {"--bn", "on|off|both", "with BatchNorm, without, or both (default)", OPTION_CHOICE,
         &o->batch_norm, 0, 0},
        {"--epochs", "N", "passes over the training images; default 3", OPTION_INTEGER, &o->epochs,
         1, 1000000},
        {"--steps", "N", "at most N steps per run, for a quick look", OPTION_INTEGER, &o->steps, 1,
         1000000000},
        {"--batch", "N", "images per step; default 32", OPTION_INTEGER, &o->batch, 1, 1000000000},
        {"--seed", "N", "of the initial weights; default 1", OPTION_INTEGER, &o->seed, 0,
         1000000000},
        {"--threads", "N", "default: the number of processors", OPTION_INTEGER, &o->threads, 1,
         256},
        {"--out", "DIR", "output folder; default 'out'", OPTION_TEXT, &o->out, 0, 0},
        {"--quiet", NULL, "only the table and the verdicts", OPTION_FLAG, &o->quiet, 0, 0},
    };
    return options_parse("bn_study", about, list, (int)(sizeof list / sizeof *list), argc, argv);
}

static void choose_settings(study *s) {
    const ct_activation *activations[] = {&ct_activation_relu, &ct_activation_sigmoid};
    const double rates[] = {0.001, 0.01};
    for (int i = 0; i < STUDY_SETTINGS; i++) {
        const ct_activation *activation = activations[i / 2];
        bool wanted = !s->options.activation ||
                      strcmp(s->options.activation, activation->name) == 0;
        if (s->options.rate > 0 && i % 2) continue;
        double rate = s->options.rate > 0 ? s->options.rate : rates[i % 2];
        if (wanted) s->settings[s->n_settings++] = (study_setting){activation, rate, {{0}, {0}}};
    }
}

/* --- Beginning -------------------------------------------------------------------------------- */

static void say(const study *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(const study *s, const char *format, ...) {
    if (s->options.quiet || !study_writes()) return;
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    fflush(stdout);
}

/* Larger batches cost nothing in inference and save time. */
static int64_t test_batch(int64_t items) { return items < 250 ? items : 250; }

static ct_status open_sources(study *s) {
    const ct_dataset *d = s->data;
    int64_t n = ct_dim(d->test_images, 0);
    int64_t part = n < STUDY_VALIDATION_PART ? n : STUDY_VALIDATION_PART;
    ct_batches_options train = {.size = s->options.batch, .divide_by = 255};
    ct_batches_options test = {.size = test_batch(n), .divide_by = 255};
    ct_batches_options few = {.size = test_batch(part), .limit = part, .divide_by = 255};
    s->train = ct_batches_new(d->train_images, d->train_labels, train);
    s->test = ct_batches_new(d->test_images, d->test_labels, test);
    s->part = ct_batches_new(d->test_images, d->test_labels, few);
    s->steps_per_epoch = ct_source_count(s->train);
    return s->train && s->test && s->part ? CT_OK : ct_error();
}

static int count_parameters(const study *s) {
    for (int k = 0; k < 2; k++) {
        int64_t trained, followed;
        ct_module *model = study_model(s->settings[0].activation, k == WITH);
        ct_status status = model ? study_count(model, &trained, &followed) : ct_error();
        ct_module_free(model);
        if (status != CT_OK) return study_failed();
        say(s, "%s BatchNorm: %lld parameters and %lld moving statistics\n",
            k == WITH ? "with" : "without", (long long)trained, (long long)followed);
    }
    return 0;
}

static int begin(study *s) {
    const study_options *o = &s->options;
    int status = study_writes() ? study_folder_make(o->out) : 0;
    if (status) return status;
    if (o->threads && ct_threads_set((int)o->threads) != CT_OK) return study_failed();
    if (ct_threads() == 0) return study_failed();
    s->data = ct_dataset_open(o->data);
    if (!s->data) return study_failed();
    int64_t n_train = ct_dim(s->data->train_images, 0);
    if (o->batch > n_train) {
        fprintf(stderr, "bn_study: --batch: must be 1..%lld (training items), got %lld\n",
                (long long)n_train, (long long)o->batch);
        return EXIT_USAGE;
    }
    if (open_sources(s) != CT_OK) return study_failed();
    if (study_writes()) study_layers_clear(s);
    say(s, "%s\n", ct_info());
    say(s, "data: %s\n", study_data_of(s).text);
    if (ct_group_current()) {
        say(s, "what layers do is not looked at, as that is of one process\n");
    }
    return count_parameters(s);
}

/* --- Middle and end --------------------------------------------------------------------------- */

static int run_all(study *s) {
    const char *wanted = s->options.batch_norm;
    for (int i = 0; i < 2 * s->n_settings && !study_interrupted(); i++) {
        study_setting *setting = &s->settings[i / 2];
        int k = i % 2;
        if (strcmp(wanted, k == WITH ? "off" : "on") == 0) continue;
        say(s, "\n%s, learning rate %g, %s BatchNorm\n", setting->activation->name, setting->rate,
            k == WITH ? "with" : "without");
        ct_status status = study_train(s, setting, k == WITH, &setting->run[k]);
        int failed = status == CT_OK ? 0 : study_failed();
        /* After every run, so that no accident costs more than one. */
        int saved = study_writes() ? study_results_save(s) : 0;
        failed = study_agree(failed ? failed : saved);
        if (failed) return failed;
    }
    return 0;
}

/* On rank 0. */
static int conclude(study *s, int measured) {
    if (measured == 0) measured = study_results_save(s);
    study_verdict verdicts[STUDY_VERDICTS];
    study_judge(s, verdicts);
    int curves = study_curves_save(s), layers = study_monitors(s) ? study_layers_save(s) : 0;
    if (curves == 0) curves = layers;
    int pictures = study_pictures_save(s);
    int report = study_report_save(s, verdicts);
    study_print(s, verdicts);
    if (report == 0) say(s, "wrote %s/report.html\n", s->options.out);
    return measured ? measured : curves ? curves : pictures ? pictures : report;
}

static int finish(study *s) {
    int status = study_costs_measure(s) == CT_OK ? 0 : study_failed();
    s->interrupted = study_interrupted();
    return study_agree(study_writes() ? conclude(s, status) : status);
}

static void clear(study *s) {
    for (int i = 0; i < 2 * s->n_settings; i++) {
        study_run *run = &s->settings[i / 2].run[i % 2];
        ct_history_free(&run->history);
        free(run->seconds);
        free(run->points);
    }
    ct_source_free(s->train);
    ct_source_free(s->test);
    ct_source_free(s->part);
    ct_dataset_free(s->data);
}

static int run(study *s) {
    int status = study_agree(begin(s));
    if (status) return status;
    status = run_all(s);
    bool any = s->settings[0].run[WITHOUT].ran || s->settings[0].run[WITH].ran;
    int finished = any ? finish(s) : 0;
    return status ? status : finished;
}

int main(int argc, char *argv[]) {
    study s = {.n_settings = 0};
    ct_group *ranks = study_join(&argc, &argv);
    int status = ct_error() == CT_OK ? read_options(&s.options, argc, argv) : study_failed();
    if (status < 0) {
        program_begin();
        program_catch_interrupts();
        choose_settings(&s);
        status = program_end("bn_study", run(&s));
        clear(&s);
    }
    ct_group_free(ranks);
    return status;
}
