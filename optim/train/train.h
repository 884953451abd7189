/* Private: the parts that ct_fit is made of, each in the .c of its name. */
#ifndef COTAN_TRAIN_H
#define COTAN_TRAIN_H

#include "optim/fit.h"

/* --- evaluate.c: passes over a source in inference mode --------------------------------------- */

/* A mean over items, kept as the sum over batches of (mean times size). */
typedef struct {
    double loss, metric;
    int64_t items;
} cti_sums;

/* `loss` and `metric` are evaluated scalars; metric may be NULL. */
void cti_sums_add(cti_sums *sums, double loss, double metric, int64_t items);
double cti_sums_mean(double sum, int64_t items); /* NaN without items */

typedef ct_tensor *cti_metric(ct_tensor *scores, ct_tensor *labels);

/* Checks what may be missing in a loss of the user's own. */
ct_status cti_check_loss(const char *function, const ct_loss *loss);
/* One batch as scalars that are not evaluated yet; *measured stays NULL without a metric. */
ct_status cti_measure(ct_module *model, const ct_loss *loss, cti_metric *metric, ct_mode mode,
                      const ct_batch *batch, ct_tensor **value, ct_tensor **measured);
/* `what`: what messages call the source. `stop` (may be NULL) is asked before each batch; when it
 * says so, *stopped is true and the means are NaN. */
ct_status cti_evaluate(const char *function, const char *what, ct_module *model,
                       const ct_loss *loss, cti_metric *metric, ct_source *source,
                       bool (*stop)(void), bool *stopped, double *mean_loss, double *mean_metric);

/* --- best.c: the weights of the best epoch, to give back at the end --------------------------- */

/* {0} holds nothing. */
typedef struct {
    ct_slot_list slots; /* of the model */
    ct_tensor **values; /* what was in them, kept */
    int64_t epoch;      /* when that was; 0 = nothing */
} cti_best;

/* Holds the values of the model's slots instead of those held before. On an error nothing has
 * changed. */
ct_status cti_best_hold(cti_best *best, ct_module *model, int64_t epoch);
/* Puts what is held back into the slots. Cannot fail. */
void cti_best_restore(const cti_best *best);
void cti_best_free(cti_best *best);

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
    FILE *out;               /* NULL: silent */
    bool terminal, metric;   /* metric: there is an accuracy to show */
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
