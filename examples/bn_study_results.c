/* The numbers of the study: a table and verdicts on standard output, results.json and history.csv.
 * Nothing is measured or judged here.
 * Invariant: what was not measured is "-" in the table, null in JSON and empty in CSV. */
#include "bn_study.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_EPOCHS 5

static const char *const with_or_without[] = {"without", "with"};

/* --- On standard output ----------------------------------------------------------------------- */

int64_t study_shown_epochs(const study *s, int64_t *first) {
    int64_t most = 1;
    for (int i = 0; i < s->n_settings; i++) {
        for (int k = 0; k < 2; k++) {
            int64_t n = s->settings[i].run[k].history.n_epochs;
            if (n > most) most = n;
        }
    }
    int64_t n = most < SHOWN_EPOCHS ? most : SHOWN_EPOCHS;
    *first = most - n;
    return n;
}

static void print_value(const char *format, double value, int width) {
    if (isnan(value)) printf("%*s", width, "-");
    else printf(format, width, value);
}

static void print_run(const study_setting *c, int k, int64_t first, int64_t n) {
    const study_run *run = &c->run[k];
    printf("%-10s %6g  %-9s", c->activation->name, c->rate, with_or_without[k]);
    for (int column = 0; column < 2; column++) {
        printf("  ");
        for (int64_t e = first; e < first + n; e++) {
            const ct_epoch *epoch = e < run->history.n_epochs ? &run->history.epochs[e] : NULL;
            double value = !epoch ? (double)NAN : column ? epoch->accuracy : epoch->val_accuracy;
            print_value("%*.4f", value, 7);
        }
    }
    print_value("%*.2f", run->ms_per_step, 11);
    putchar('\n');
}

static void print_header(int64_t first, int64_t n) {
    int width = (int)(7 * n);
    printf("\n%-10s %6s  %-9s  %*s  %*s%11s\n%-27s", "activation", "rate", "BatchNorm", width,
           n > 2 ? "validation accuracy" : "val. acc.", width,
           n > 2 ? "training accuracy" : "train acc.", "ms", "");
    for (int column = 0; column < 2; column++) {
        printf("  ");
        for (int64_t e = first; e < first + n; e++) printf("%7lld", (long long)e + 1);
    }
    printf("%11s\n", "per step");
}

/* Indented, in lines of at most 96 columns. */
static void print_wrapped(const char *text) {
    int column = 3;
    printf("   ");
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (column + 1 + length > 96) column = printf("\n   ") - 1;
        column += printf(" %.*s", length, text);
        text += length + (text[length] == ' ');
    }
    putchar('\n');
}

void study_print(const study *s, const study_verdict verdicts[STUDY_VERDICTS]) {
    int64_t first, n = study_shown_epochs(s, &first);
    if (s->interrupted) printf("\nInterrupted before the end.\n");
    printf("\ndata: %s\n", study_data_of(s).text);
    print_header(first, n);
    for (int i = 0; i < s->n_settings; i++) {
        for (int k = 0; k < 2; k++) {
            if (s->settings[i].run[k].ran) print_run(&s->settings[i], k, first, n);
        }
    }
    printf("\nVerdicts\n");
    for (int i = 0; i < STUDY_VERDICTS; i++) {
        printf("  %s: %s\n", verdicts[i].claim, verdicts[i].answer);
        print_wrapped(verdicts[i].figures);
    }
    putchar('\n');
    fflush(stdout);
}

/* --- results.json ----------------------------------------------------------------------------- */

static json_t *number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static json_t *epochs_json(const study_run *run) {
    json_t *list = json_array();
    for (int64_t i = 0; i < run->history.n_epochs; i++) {
        const ct_epoch *e = &run->history.epochs[i];
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:o, s:o, s:o}", "loss", number(e->loss), "accuracy",
                            number(e->accuracy), "val_loss", number(e->val_loss), "val_accuracy",
                            number(e->val_accuracy), "seconds", number(run->seconds[i])));
    }
    return list;
}

static json_t *data_json(const study *s) {
    const char *name = s->data->name;
    json_t *text = json_string(name); /* NULL for a name that is no UTF-8 */
    if (!text) text = json_string(show(name).text);
    return json_pack("{s:o, s:I, s:I}", "name", text, "training_images",
                     (json_int_t)ct_dim(s->data->train_images, 0), "test_images",
                     (json_int_t)ct_dim(s->data->test_images, 0));
}

static json_t *spread_json(study_spread spread) {
    return json_pack("{s:o, s:o, s:o}", "lower_quartile", number(spread.low), "median",
                     number(spread.median), "upper_quartile", number(spread.high));
}

static json_t *costs_json(const study *s) {
    json_t *list = json_array();
    for (int i = 0; i < s->n_costs; i++) {
        const study_cost *c = &s->costs[i];
        json_array_append_new(
            list, json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:o}", "activation",
                            c->activation->name, "pairs", (json_int_t)c->pairs, "slower_with",
                            (json_int_t)c->slower, "faster_with", (json_int_t)c->faster,
                            "ms_without", spread_json(c->ms[WITHOUT]), "ms_with",
                            spread_json(c->ms[WITH]), "ratio", spread_json(c->ratio)));
    }
    return list;
}

static int save_json(const study *s) {
    json_t *runs = json_array();
    for (int i = 0; i < s->n_settings; i++) {
        const study_setting *c = &s->settings[i];
        for (int k = 0; k < 2; k++) {
            const study_run *run = &c->run[k];
            if (!run->ran) continue;
            json_array_append_new(
                runs, json_pack("{s:s, s:o, s:b, s:o, s:o}", "activation", c->activation->name,
                                "lr", number(c->rate), "batch_norm", k == WITH, "ms_per_step",
                                number(run->ms_per_step), "epochs", epochs_json(run)));
        }
    }
    json_t *root = json_pack("{s:o, s:o, s:o}", "data", data_json(s), "step_cost", costs_json(s),
                             "runs", runs);
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(root);
    if (!text) {
        fprintf(stderr, "bn_study: results.json: out of memory\n");
        return EXIT_FAILURE;
    }
    study_text file;
    int status = study_text_open(&file) ? 0 : EXIT_FAILURE;
    if (status == 0) fprintf(file.out, "%s\n", text);
    free(text);
    return status ? status : study_text_save(s, &file, "results.json");
}

/* --- history.csv ------------------------------------------------------------------------------ */

static void csv_row(FILE *out, const study_setting *c, int k, int64_t step, int64_t epoch,
                    const char *split, double loss, double accuracy) {
    fprintf(out, "%s,%g,%d,%lld,%lld,%s,", c->activation->name, c->rate, k == WITH, (long long)step,
            (long long)epoch, split);
    if (isfinite(loss)) fprintf(out, "%.9g", loss);
    fputc(',', out);
    if (isfinite(accuracy)) fprintf(out, "%.9g", accuracy);
    fputc('\n', out);
}

static void csv_run(FILE *out, const study *s, const study_setting *c, int k) {
    const study_run *run = &c->run[k];
    int64_t next = 0, per_epoch = s->steps_per_epoch;
    for (int64_t i = 0; i <= run->history.n_steps; i++) {
        if (i > 0) {
            const ct_step_record *r = &run->history.steps[i - 1];
            csv_row(out, c, k, r->step, (r->step - 1) / per_epoch + 1, "train", r->loss,
                    r->accuracy);
        }
        for (; next < run->n_points && run->points[next].step == i; next++) {
            const study_point *p = &run->points[next];
            csv_row(out, c, k, i, (i + per_epoch - 1) / per_epoch,
                    p->all_images ? "validation" : "validation_part", p->loss, p->accuracy);
        }
    }
}

static int save_csv(const study *s) {
    study_text text;
    if (!study_text_open(&text)) return EXIT_FAILURE;
    fprintf(text.out, "activation,lr,batch_norm,step,epoch,split,loss,accuracy\n");
    for (int i = 0; i < s->n_settings; i++) {
        for (int k = 0; k < 2; k++) {
            if (s->settings[i].run[k].ran) csv_run(text.out, s, &s->settings[i], k);
        }
    }
    return study_text_save(s, &text, "history.csv");
}

int study_results_save(const study *s) {
    int status = save_json(s);
    return status ? status : save_csv(s);
}
