/* The log of ct_fit: a bar on a terminal that the epoch's line replaces, else only the lines.
 * It measures nothing but time, and a log that cannot be written disturbs nothing.
 * Invariant: without an `out` nothing is written; a bar never stays after its epoch. */
#include "optim/progress.h"

#include <time.h>
#include <unistd.h>

#define BAR_CELLS 30
#define REDRAW_SECONDS 0.1

double cti_seconds(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void cti_progress_begin(cti_progress *p, FILE *out, int64_t epochs, int64_t batches) {
    *p = (cti_progress){.out = out, .epochs = epochs, .batches = batches};
    p->terminal = out && isatty(fileno(out)) == 1;
}

void cti_progress_epoch(cti_progress *p, int64_t epoch, int64_t first) {
    p->epoch = epoch;
    p->first = first;
    p->started = cti_seconds();
    p->drawn = 0;
}

/* Back to the start of the line; blanks over what was longer. */
static void finish_line(cti_progress *p, int64_t width, bool stay) {
    if (width < 0) width = 0;
    int blanks = p->width > width ? (int)(p->width - width) : 0;
    fprintf(p->out, "%*s", blanks, "");
    p->width = stay ? width : 0;
    if (!stay) fputc('\n', p->out);
    fflush(p->out);
}

static int write_value(FILE *out, const char *name, double value) {
    return value == value ? fprintf(out, ", %s %.4f", name, value) : 0;
}

void cti_progress_step(cti_progress *p, int64_t steps, const cti_sums *sums) {
    if (!p->terminal) return;
    double now = cti_seconds();
    if (now - p->drawn < REDRAW_SECONDS) return;
    p->drawn = now;
    int64_t batch = p->first + steps;
    int64_t total = p->batches > batch ? p->batches : batch;
    int cells = (int)(BAR_CELLS * batch / total);
    static const char full[] = "==============================";
    static const char rest[] = "..............................";
    int64_t width = fprintf(p->out, "\repoch %lld/%lld [%.*s%.*s] %lld/%lld, %.2f ms/step",
                            (long long)p->epoch + 1, (long long)p->epochs, cells, full,
                            BAR_CELLS - cells, rest, (long long)batch, (long long)total,
                            1e3 * (now - p->started) / (double)steps) - 1;
    width += write_value(p->out, "loss", cti_sums_mean(sums->loss, sums->items));
    width += write_value(p->out, "accuracy", cti_sums_mean(sums->metric, sums->items));
    finish_line(p, width, true);
}

void cti_progress_line(cti_progress *p, const ct_epoch *epoch) {
    if (!p->out) return;
    if (p->terminal) fputc('\r', p->out);
    double steps = epoch->steps > 0 ? (double)epoch->steps : 1;
    int64_t width = fprintf(p->out, "epoch %lld/%lld: %lld steps, %.1f s, %.2f ms/step",
                            (long long)p->epoch + 1, (long long)p->epochs,
                            (long long)epoch->steps, epoch->seconds, 1e3 * epoch->seconds / steps);
    width += write_value(p->out, "loss", epoch->loss);
    width += write_value(p->out, "accuracy", epoch->accuracy);
    width += write_value(p->out, "val_loss", epoch->val_loss);
    width += write_value(p->out, "val_accuracy", epoch->val_accuracy);
    finish_line(p, width, false);
}

void cti_progress_note(cti_progress *p, const char *text) {
    if (!p->out) return;
    fprintf(p->out, "%s%s\n", p->terminal ? "\r" : "", text);
    fflush(p->out);
}
