/* Private: what ct_fit writes to its log. */
#ifndef COTAN_PROGRESS_H
#define COTAN_PROGRESS_H

#include "optim/train/history.h"

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
/* The line of a finished or broken-off epoch of at least one step. */
void cti_progress_line(cti_progress *progress, const ct_epoch *epoch, bool validated);
/* A line of its own. */
void cti_progress_note(cti_progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
