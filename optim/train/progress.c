/* The log of ct_fit: a bar on a terminal that the epoch's line replaces, else only the lines.
 * It measures nothing but time, and a log that cannot be written disturbs nothing.
 * Invariant: without an `out` nothing is written; a bar never stays after its epoch, and is never
 * wider than the terminal, where it could not be drawn over. */
#include "optim/train/train.h"

#include "tensor/base/process.h"
#include "tensor/group.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_CELLS = 30, LEAST_CELLS = 4, BAR_BESIDE_TIME = 13, USUAL_COLUMNS = 80 };

#define REDRAW_SECONDS 0.1

void cti_progress_begin(cti_progress *p, FILE *out, int64_t epochs, int64_t batches, bool metric) {
    *p = (cti_progress){.out = out, .epochs = epochs, .batches = batches, .metric = metric};
    /* A launcher may give its ranks a terminal, and write what they print into a file. */
    bool alone = ct_group_size(ct_group_current()) == 1;
    p->terminal = out && alone && isatty(fileno(out)) == 1;
}

void cti_progress_epoch(cti_progress *p, int64_t epoch, int64_t first) {
    p->epoch = epoch;
    p->first = first;
    p->started = cti_now();
    p->drawn = 0;
}

/* --- Pieces of a line ------------------------------------------------------------------------- */

typedef struct {
    char text[64];
} piece;

/* ", loss 0.1234". Not a number is "nan", without the sign that processors give it. */
static piece value_piece(const char *name, double value) {
    bool short_enough = value > -1e6 && value < 1e6;
    piece p;
    snprintf(p.text, sizeof p.text, short_enough ? ", %s %.4f" : ", %s %.4e", name,
             value == value ? value : (double)NAN);
    return p;
}

static piece time_piece(double seconds, int64_t steps) {
    piece p;
    snprintf(p.text, sizeof p.text, ", %.2f ms/step", 1e3 * seconds / (double)steps);
    return p;
}

/* "" when it would leave fewer than `reserve` columns. */
static const char *fitted(const piece *p, int reserve, int *left) {
    int rest = *left - (int)strlen(p->text);
    if (rest < reserve) return "";
    *left = rest;
    return p->text;
}

static piece bar_piece(int left, int64_t batch, int64_t total) {
    static const char full[] = "==============================";
    static const char rest[] = "..............................";
    int cells = left - (int)strlen(" []");
    piece p = {""};
    if (cells < LEAST_CELLS) return p;
    if (cells > BAR_CELLS) cells = BAR_CELLS;
    int done = (int)(cells * batch / total);
    snprintf(p.text, sizeof p.text, " [%.*s%.*s]", done, full, cells - done, rest);
    return p;
}

/* --- Lines ------------------------------------------------------------------------------------ */

/* All but the last column, where terminals differ in when they wrap. */
static int columns(const cti_progress *p) {
    struct winsize size;
    bool known = ioctl(fileno(p->out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return (known ? size.ws_col : USUAL_COLUMNS) - 1;
}

/* Blanks cover the rest of a longer line before. */
static void finish_line(cti_progress *p, int width, bool stay) {
    if (p->width > width) fprintf(p->out, "%*s", p->width - width, "");
    p->width = stay ? width : 0;
    if (!stay) fputc('\n', p->out);
    fflush(p->out);
}

/* The bar gets what the numbers leave; where there is little room the time goes first, then the
 * accuracy, then the loss. */
void cti_progress_step(cti_progress *p, int64_t steps, const cti_sums *sums) {
    if (!p->terminal) return;
    double now = cti_now();
    if (now - p->drawn < REDRAW_SECONDS) return;
    p->drawn = now;
    int64_t batch = p->first + steps;
    int64_t total = p->batches > batch ? p->batches : batch;
    piece head, count, time = time_piece(now - p->started, steps);
    int width = columns(p), left = width;
    left -= snprintf(head.text, sizeof head.text, "epoch %lld/%lld", (long long)p->epoch + 1,
                     (long long)p->epochs);
    left -= snprintf(count.text, sizeof count.text, " %lld/%lld", (long long)batch,
                     (long long)total);
    piece loss = value_piece("loss", cti_sums_mean(sums->loss, sums->items));
    piece accuracy = value_piece("accuracy", cti_sums_mean(sums->metric, sums->items));
    const char *loss_text = fitted(&loss, 0, &left);
    const char *accuracy_text = p->metric ? fitted(&accuracy, 0, &left) : "";
    const char *time_text = fitted(&time, BAR_BESIDE_TIME, &left);
    char line[6 * sizeof(piece)];
    int length = snprintf(line, sizeof line, "%s%s%s%s%s%s", head.text,
                          bar_piece(left, batch, total).text, count.text, time_text, loss_text,
                          accuracy_text);
    if (length > width) length = width;
    if (p->width > width) p->width = width; /* the window has become narrower */
    fprintf(p->out, "\r%.*s", length, line);
    finish_line(p, length, true);
}

static int print_metrics(const cti_progress *p, const char *prefix, const double *values) {
    int width = 0;
    for (int64_t i = 0; i < p->n_metrics; i++) {
        width += fprintf(p->out, ", %s%s%s", prefix, p->metrics[i].name,
                         value_piece("", values[i]).text + strlen(", "));
    }
    return width;
}

void cti_progress_line(cti_progress *p, const ct_epoch *epoch, bool validated) {
    if (!p->out) return;
    if (p->terminal) fputc('\r', p->out);
    int width = fprintf(p->out, "epoch %lld/%lld: %lld steps, %.1f s", (long long)p->epoch + 1,
                        (long long)p->epochs, (long long)epoch->steps, epoch->seconds);
    width += fprintf(p->out, "%s%s", time_piece(epoch->seconds, epoch->steps).text,
                     value_piece("loss", epoch->loss).text);
    bool own = p->metric && !cti_lists_metric(p->metrics, p->n_metrics, "accuracy");
    if (own) width += fprintf(p->out, "%s", value_piece("accuracy", epoch->accuracy).text);
    width += print_metrics(p, "", epoch->metrics);
    if (validated) width += fprintf(p->out, "%s", value_piece("val_loss", epoch->val_loss).text);
    if (validated && own) {
        width += fprintf(p->out, "%s", value_piece("val_accuracy", epoch->val_accuracy).text);
    }
    if (validated) width += print_metrics(p, "val_", epoch->val_metrics);
    finish_line(p, width, false);
}

void cti_progress_note(cti_progress *p, const char *format, ...) {
    if (!p->out) return;
    va_list arguments;
    va_start(arguments, format);
    if (p->terminal) fputc('\r', p->out);
    vfprintf(p->out, format, arguments);
    fputc('\n', p->out);
    fflush(p->out);
    va_end(arguments);
}
