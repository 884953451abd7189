/* Private: the parts that ct_fit is made of, each in the .c of its name. */
#ifndef COTAN_TRAIN_H
#define COTAN_TRAIN_H

#include "optim/fit.h"

/* --- measure.c: what is measured of a batch --------------------------------------------------- */

typedef ct_tensor *cti_metric(ct_tensor *scores, ct_tensor *labels);

typedef struct {
    const ct_loss *loss; /* NULL: `objective` */
    ct_objective *objective;
    void *context;      /* of the objective */
    cti_metric *metric; /* NULL: none */
    const ct_metric *metrics;
    int64_t n_metrics;
} cti_measures;

/* Of one batch. The roots are to be evaluated together: the loss, then the metric if there is one,
 * then the sums of the metrics, then what options.also added. */
typedef struct {
    ct_output outputs[CT_OUTPUTS];
    ct_tensor *roots[2 + CT_METRICS + CT_ALSO];
    int64_t n, first_sums;
} cti_measured;

/* Of an epoch so far; {0} at first. A mean over items is kept as the sum over batches of (mean
 * times size). */
typedef struct {
    double loss, metric;
    int64_t items;
    struct {
        double *sums; /* owned */
        int64_t n;
    } metrics[CT_METRICS];
} cti_sums;

/* Checks what may be missing in what is the user's own. */
ct_status cti_check_measures(const char *function, const cti_measures *measures);
bool cti_lists_metric(const ct_metric metrics[], int64_t n, const char *name);
/* Nothing is evaluated yet, but there is room in the sums for what will be. */
ct_status cti_measure(ct_module *model, const cti_measures *measures, ct_mode mode,
                      const ct_batch *batch, cti_sums *sums, cti_measured *out);
/* After the evaluation. Cannot fail. */
void cti_measured_add(const cti_measured *measured, const cti_measures *measures, int64_t items,
                      cti_sums *sums);
/* The metrics at the end of a pass; their sums go where they want them. */
ct_status cti_sums_values(const cti_sums *sums, const cti_measures *measures,
                          double values[CT_METRICS]);
void cti_no_values(double values[CT_METRICS]); /* NaN */
void cti_sums_free(cti_sums *sums);
double cti_sums_mean(double sum, int64_t items); /* NaN without items */

/* --- meet.c: what the ranks of a group decide together ---------------------------------------- */

/* How all ranks fared, of which this one did so; with CT_OK each of at most 4 flags is true that
 * was so on any rank. Without a group nothing changes. */
ct_status cti_meet(ct_status status, bool *const flags[], int n);
/* The same, and an error unless all have the same values in the slots, and the same rules of when
 * to end and with which weights. */
ct_status cti_meet_alike(ct_status status, ct_module *model, ct_optimizer *optimizer,
                         const ct_fit_options *options, int64_t batches);
/* The same, and an error unless all have measured the same, so that they decide the same. */
ct_status cti_meet_measured(ct_status status, double loss, double val_loss);
ct_status cti_mix_value(uint64_t *hash, ct_tensor *t); /* the bytes of its elements */

/* --- fit_options.c: the options of ct_fit ----------------------------------------------------- */

ct_status cti_fit_check(const ct_fit_options *options);
/* The model is that of the best epoch. */
bool cti_begins_at_best(const ct_position *start);
/* A hash of what decides when training ends, and which weights it leaves. */
ct_status cti_fit_rules(const ct_fit_options *options, int64_t batches, ct_module *model,
                        uint64_t *rules);
/* How many epochs there are in all: where only steps were asked for, as many as hold them. */
int64_t cti_fit_epochs(const ct_fit_options *options, int64_t batches);

/* --- batch.c: what a step begins with that is not finite -------------------------------------- */

typedef struct {
    char text[720]; /* "": all of it is finite */
} cti_cause;

/* Of the rows of all ranks, on each of them. */
ct_status cti_batch_cause(const ct_batch *batch, cti_cause *cause);
/* Of the parameters that the optimizer trains now. */
ct_status cti_parameters_cause(ct_optimizer *optimizer, cti_cause *cause);

/* --- evaluate.c: passes over a source in inference mode --------------------------------------- */

/* `what`: what messages call the source. `stop` (may be NULL) is asked before each batch; when it
 * says so, *stopped is true and the means are NaN. */
ct_status cti_evaluate(const char *function, const char *what, ct_module *model,
                       const cti_measures *measures, ct_source *source, bool (*stop)(void),
                       bool *stopped, ct_evaluation *result);

/* --- best.c: the weights of the best epoch, to give back at the end --------------------------- */

/* {0} holds nothing. */
typedef struct ct_best {
    ct_slot_list slots; /* of the model, kept */
    ct_tensor **values; /* what was in them, kept */
    int64_t epoch;      /* when that was; 0 = nothing */
} cti_best;

/* Holds values of the model's slots, in the order of ct_module_list, instead of those held before;
 * NULL: those that they have now. On an error nothing has changed. */
ct_status cti_best_make(cti_best *best, ct_module *model, int64_t epoch, ct_tensor *const values[]);
/* An error when what is held is of another model. */
ct_status cti_best_check(const char *function, const cti_best *best, ct_module *model);
/* Puts what is held back into the slots. Cannot fail. */
void cti_best_restore(const cti_best *best);
ct_status cti_best_hash(const cti_best *best, uint64_t *hash); /* of the values */
void cti_best_free(cti_best *best);

/* --- outputs.c: what layers give -------------------------------------------------------------- */

typedef struct {
    const char *path; /* of the module, interned */
    ct_tensor *value; /* borrowed from the graph */
} cti_output;
typedef struct {
    cti_output *items; /* owned */
    int64_t count;
} cti_outputs;

/* The outputs of all modules with nodes in the graph of the loss, in the order of the forward: of
 * each the node that was made last among those that are read outside of it. */
ct_status cti_outputs_of(ct_tensor *loss, cti_outputs *out);
void cti_outputs_free(cti_outputs *outputs); /* also after an error */

/* --- monitor.c: what options.monitor does ----------------------------------------------------- */

/* Before the evaluation of step `number`, from 1 on: adds what it looks at to the step. */
ct_status cti_monitor_want(ct_monitor *monitor, int64_t number, ct_fit_step *step);
/* After its commit: writes. */
ct_status cti_monitor_step(ct_monitor *monitor, const ct_step_record *last,
                           const ct_fit_step *step);
/* After an epoch of which this was the last step. */
ct_status cti_monitor_epoch(ct_monitor *monitor, const ct_fit_options *options, int64_t step,
                            const ct_epoch *epoch);

/* --- interrupt.c: Ctrl-C and SIGTERM during training ------------------------------------------ */

/* From begin to end the first SIGINT or SIGTERM only sets a flag, and the second one, of either
 * kind, acts as by default. What was installed before comes back at the end. Nests, also over
 * threads: the first begin installs, the last end restores. A process that ignores one of them goes
 * on ignoring it. */
void cti_interrupt_begin(void);
void cti_interrupt_end(void);
/* True when one of them came since the first begin. */
bool cti_interrupt_seen(void);

/* --- progress.c: the log ---------------------------------------------------------------------- */

typedef struct {
    FILE *out;                /* NULL: silent */
    bool terminal, metric;    /* metric: there is an accuracy to show */
    const ct_metric *metrics; /* more of them, in an epoch's line */
    int64_t n_metrics;
    int64_t epochs, batches; /* of the whole run; batches in one epoch */
    int64_t epoch, first;    /* the running one, from 0; the batch it began at */
    int width;               /* of the line on the terminal */
    double started, drawn;   /* seconds; when the epoch began, the bar was drawn */
} cti_progress;

void cti_progress_begin(cti_progress *progress, FILE *out, int64_t epochs, int64_t batches,
                        bool metric);
void cti_progress_epoch(cti_progress *progress, int64_t epoch, int64_t first);
/* After step number `steps` of the epoch. Draws the bar at most ten times a second. */
void cti_progress_step(cti_progress *progress, int64_t steps, const cti_sums *sums);
/* The line of a finished or unfinished epoch of at least one step. */
void cti_progress_line(cti_progress *progress, const ct_epoch *epoch, bool validated);
/* A line of its own. */
void cti_progress_note(cti_progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
