/* The progress bar on terminals of all widths: it is drawn over and never wraps; what it leaves out
 * first. The values themselves are test_fit.c's. */
#include "tests/support/nn_support.h"

#include "optim/train/train.h"
#include "tensor/base/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

typedef struct {
    int master;
    FILE *out;
    cti_progress progress;
} screen;

static void resize(screen *s, int columns) {
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    cr_assert_eq(ioctl(s->master, TIOCSWINSZ, &size), 0);
}

/* Of the `epoch`-th of 3 epochs, with 1875 batches. */
static screen open_screen(int columns, int64_t epoch) {
    screen s = {.master = posix_openpt(O_RDWR | O_NOCTTY)};
    cr_assert(s.master >= 0 && grantpt(s.master) == 0 && unlockpt(s.master) == 0);
    s.out = fopen(ptsname(s.master), "w");
    MADE(s.out);
    resize(&s, columns);
    cti_progress_begin(&s.progress, s.out, 3, 1875, true);
    cti_progress_epoch(&s.progress, epoch, 0);
    return s;
}

static void close_screen(screen *s) {
    fclose(s->out);
    close(s->master);
}

static const ct_epoch done = {.loss = 0.1234,
                              .accuracy = 0.9876,
                              .val_loss = 0.2345,
                              .val_accuracy = 0.8765,
                              .seconds = 11.25,
                              .steps = 1875};

/* As if a step had taken 6 s, so that what the test itself takes changes no width. */
static void draw(screen *s, int64_t steps, double loss) {
    cti_sums sums = {.loss = loss, .metric = 0.9876, .items = 1};
    s->progress.drawn = 0;
    s->progress.started = cti_now() - 6.0 * (double)steps;
    cti_progress_step(&s->progress, steps, &sums);
}

/* What has been written since the last call; a mark of its own ends it. */
static const char *written(screen *s) {
    static char text[1 << 16];
    size_t length = 0;
    fputs("#", s->out);
    fflush(s->out);
    do {
        ssize_t part = read(s->master, text + length, sizeof text - 1 - length);
        cr_assert_gt(part, 0);
        length += (size_t)part;
    } while (text[length - 1] != '#');
    text[length - 1] = '\0';
    return text;
}

/* "6012.34" is "6000.00": time goes by while a test runs. */
static void expect_bar(screen *s, const char *wanted) {
    const char *text = written(s);
    char got[512];
    snprintf(got, sizeof got, "%s", text + (*text == '\r'));
    char *digits = strstr(got, " ms/step");
    if (digits) memcpy(digits - 6, "000.00", 6);
    size_t blanks = strlen(got);
    while (blanks > 0 && got[blanks - 1] == ' ') got[--blanks] = '\0';
    cr_expect_eq(*text, '\r');
    cr_expect_str_eq(got, wanted);
}

TEST(progress, fits_the_terminal) {
    static const struct {
        int columns;
        const char *bar;
    } all[] = {
        {120, "epoch 2/3 [====..........................] 250/1875, 6000.00 ms/step, "
              "loss 0.1234, accuracy 0.9876"},
        {80, "epoch 2/3 [=..........] 250/1875, 6000.00 ms/step, loss 0.1234, accuracy 0.9876"},
        {0, "epoch 2/3 [=..........] 250/1875, 6000.00 ms/step, loss 0.1234, accuracy 0.9876"},
        {70, "epoch 2/3 [==................] 250/1875, loss 0.1234, accuracy 0.9876"},
        {50, "epoch 2/3 250/1875, loss 0.1234, accuracy 0.9876"},
        {40, "epoch 2/3 [.....] 250/1875, loss 0.1234"},
        {30, "epoch 2/3 [=.......] 250/1875"},
        {20, "epoch 2/3 250/1875"},
        {8, "epoch 2"},
        {1, ""},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        screen s = open_screen(all[i].columns, 1);
        draw(&s, 250, 0.1234);
        expect_bar(&s, all[i].bar);
        close_screen(&s);
    }
}

TEST(progress, shows_losses_of_any_size) {
    static const struct {
        double loss;
        const char *text;
    } all[] = {
        {999999, "loss 999999.0000,"},     {1e6, "loss 1.0000e+06,"},
        {-3.5e38, "loss -3.5000e+38,"},    {(double)INFINITY, "loss inf,"},
        {-(double)INFINITY, "loss -inf,"}, {(double)NAN, "loss nan,"},
        {-(double)NAN, "loss nan,"},
    };
    screen s = open_screen(120, 0);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        draw(&s, 1 + (int64_t)i, all[i].loss);
        const char *text = written(&s);
        cr_expect_not_null(strstr(text, all[i].text), "%s", text);
    }
    close_screen(&s);
}

/* --- What is seen ----------------------------------------------------------------------------- */

/* Rows that the cursor has come down. At the right edge the next character begins a new row. */
static int rows(const char *text, int columns) {
    int row = 0, column = 0;
    for (; *text; text++) {
        if (*text == '\r') column = 0;
        else if (*text == '\n') row++;
        else {
            if (column == columns) {
                column = 0;
                row++;
            }
            column++;
        }
    }
    return row;
}

TEST(progress, an_epoch_is_one_line_however_often_it_is_drawn) {
    for (int columns = 1; columns < 150; columns++) {
        screen s = open_screen(columns, 0);
        for (int64_t steps = 1; steps <= 1875; steps += 100) {
            draw(&s, steps, 1.0 / (double)steps);
            cr_assert_eq(rows(written(&s), columns), 0, "%d columns", columns);
        }
        cti_progress_line(&s.progress, &done, true);
        const char *text = written(&s);
        int length = (int)strcspn(text + 1, "\r\n");
        cr_expect_eq(rows(text, columns), 1 + (length - 1) / columns, "%d columns: %s", columns,
                     text);
        close_screen(&s);
    }
}

TEST(progress, follows_a_window_that_changes) {
    screen s = open_screen(120, 1);
    draw(&s, 250, 0.1234);
    written(&s);
    resize(&s, 40);
    for (int i = 0; i < 2; i++) {
        draw(&s, 250, 0.1234);
        const char *text = written(&s);
        cr_expect_eq(rows(text, 40), 0, "%s", text);
    }
    resize(&s, 80);
    draw(&s, 250, 0.1234);
    expect_bar(&s, "epoch 2/3 [=..........] 250/1875, 6000.00 ms/step, loss 0.1234, "
                   "accuracy 0.9876");
    close_screen(&s);
}
