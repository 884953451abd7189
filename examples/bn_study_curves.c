/* One picture per setting, "Accuracy During Training", through gnuplot.
 * It draws nothing itself: it writes the points and a script, which stay for the user.
 * Invariant: names of files are made from the activation and the rate alone. */
#include "bn_study.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_WINDOW 100 /* steps */
#define MOST_POINTS 1000 /* of a training curve: about the pixels that there are */

enum { WIDTH = 900, HEIGHT = 560 };

study_name study_curve_name(const study_setting *setting) {
    study_name name;
    snprintf(name.text, sizeof name.text, "accuracy_%s_%g", setting->activation->name,
             setting->rate);
    return name;
}

/* --- Points ----------------------------------------------------------------------------------- */

/* `least` is the lowest of the curves after their first tenth. */
static void write_point(FILE *out, const study_run *run, int64_t step, double accuracy,
                        double *least) {
    fprintf(out, "%lld %.6g\n", (long long)step, accuracy);
    if (step * 10 >= run->history.n_steps) *least = fmin(*least, accuracy);
}

/* The running mean since the epoch began, as Keras logs it; while the epoch is young, of the last
 * LEAST_WINDOW steps, so that the first batches of an epoch do not show as noise. */
static void write_training(FILE *out, const study *s, const study_run *run, double *least) {
    const ct_step_record *steps = run->history.steps;
    int64_t n = run->history.n_steps, first = 0, every = n / MOST_POINTS + 1;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t since = i / s->steps_per_epoch * s->steps_per_epoch;
        int64_t wanted = i + 1 - LEAST_WINDOW < since ? i + 1 - LEAST_WINDOW : since;
        sum += steps[i].accuracy;
        for (; first < wanted; first++) sum -= steps[first].accuracy;
        if (i % every == 0 || i == n - 1) {
            write_point(out, run, steps[i].step, sum / (double)(i + 1 - first), least);
        }
    }
}

static void write_validation(FILE *out, const study_run *run, bool all_images_alone,
                             double *least) {
    for (int64_t i = 0; i < run->n_points; i++) {
        const study_point *p = &run->points[i];
        if (all_images_alone && !p->all_images) continue;
        write_point(out, run, p->step, p->accuracy, least);
    }
}

void study_block_end(FILE *out) { fprintf(out, "NaN NaN NaN NaN NaN NaN NaN\n\n\n"); }

static int save_points(const study *s, const study_setting *c, const char *name, double *least) {
    study_text text;
    if (!study_text_open(&text)) return EXIT_FAILURE;
    fprintf(text.out, "# step accuracy; blocks: training, validation, validation on all images;\n"
                      "# first the three without BatchNorm, then the three with it\n");
    for (int k = 0; k < 2; k++) {
        write_training(text.out, s, &c->run[k], least);
        study_block_end(text.out);
        write_validation(text.out, &c->run[k], false, least);
        study_block_end(text.out);
        write_validation(text.out, &c->run[k], true, least);
        study_block_end(text.out);
    }
    return study_text_save(s, &text, name);
}

/* --- Script ----------------------------------------------------------------------------------- */

/* The vertical axis begins below what the curves show after their first tenth. */
static double lowest_shown(double least) {
    if (least > 0.93) return 0.9;
    return least > 0.85 ? 0.8 : least > 0.6 ? 0.5 : 0;
}

/* Okabe and Ito's vermilion and blue: told apart by every kind of eye. */
static const char *const colours[] = {"#d55e00", "#0072b2"};
static const char *const labels[] = {"without BatchNorm", "with BatchNorm"};

static void write_plot(FILE *out, const study_setting *c, const char *data) {
    const char *separator = "plot";
    for (int k = 0; k < 2; k++) {
        const study_run *run = &c->run[k];
        if (run->history.n_steps == 0) continue;
        fprintf(out, "%s '%s' index %d using 1:2 with lines lw 2 lc rgb '%s' title 'training, %s'",
                separator, data, 3 * k, colours[k], labels[k]);
        separator = ", \\\n    ";
        if (run->n_points == 0) continue;
        fprintf(out,
                ", \\\n     '%s' index %d using 1:2 with lines lw 2 dt (12,6) lc rgb '%s' "
                "notitle",
                data, 3 * k + 1, colours[k]);
        fprintf(out,
                ", \\\n     '%s' index %d using 1:2 with points pt 7 ps 0.9 lc rgb '%s' "
                "notitle",
                data, 3 * k + 2, colours[k]);
        fprintf(out,
                ", \\\n     NaN with linespoints lw 2 dt (12,6) pt 7 ps 0.9 lc rgb '%s' "
                "title 'validation, %s'",
                colours[k], labels[k]);
    }
    fputc('\n', out);
}

bool study_script_open(study_text *text, const char *base) {
    if (!study_text_open(text)) return false;
    fprintf(text->out,
            "# gnuplot %s.gp, in this folder, makes %s.svg and %s.png\n"
            "set encoding utf8\nset grid lc rgb '#d0d0d0' lt 1 lw 1\n"
            "set border 3 lc rgb '#404040'\nset tics nomirror\nset xrange [0:*]\n",
            base, base, base);
    return true;
}

void study_script_svg(FILE *out, const char *base, int width, int height) {
    fprintf(out,
            "set terminal svg size %d,%d dynamic noenhanced font 'sans-serif,15' "
            "background '#ffffff'\nset output '%s.svg'\n",
            width, height, base);
}

void study_script_png(FILE *out, const char *base, int width, int height) {
    fprintf(out,
            "set terminal pngcairo size %d,%d noenhanced font 'sans,13'\nset output '%s.png'\n",
            width, height, base);
}

static int save_script(const study *s, const study_setting *c, const char *base, const char *name,
                       double least) {
    study_text text;
    if (!study_script_open(&text, base)) return EXIT_FAILURE;
    char data[96];
    snprintf(data, sizeof data, "%s.dat", base);
    FILE *out = text.out;
    fprintf(out,
            "set label 1 'Accuracy During Training: %s, learning rate %g' "
            "at screen 0.5,0.955 center font ',18'\n"
            "set tmargin at screen 0.8\n"
            "set xlabel 'training steps'\nset ylabel 'accuracy'\n"
            "set format y '%%.2f'\nset yrange [%g:1]\n"
            "set key at screen 0.5,0.92 center top horizontal maxcols 2 samplen 3 width 2\n",
            c->activation->name, c->rate, lowest_shown(least));
    study_script_svg(out, base, WIDTH, HEIGHT);
    write_plot(out, c, data);
    study_script_png(out, base, WIDTH, HEIGHT);
    fprintf(out, "replot\n");
    return study_text_save(s, &text, name);
}

/* --- Pictures --------------------------------------------------------------------------------- */

/* gnuplot does not say when its picture found no room. */
static bool is_whole(const study *s, const char *base, const char *ending, const char *tail) {
    char name[96];
    size_t length;
    snprintf(name, sizeof name, "%s.%s", base, ending);
    char *picture = study_file_read(s, name, tail, &length);
    free(picture);
    return picture != NULL;
}

int study_curve_draw(const study *s, const char *base) {
    char script[96];
    snprintf(script, sizeof script, "%s.gp", base);
    char *arguments[] = {(char[]){"gnuplot"}, script, NULL};
    study_file_remove(s, base, "svg");
    study_file_remove(s, base, "png");
    tool_result result = study_tool_run(s, arguments);
    if (result == TOOL_MISSING) {
        fprintf(stderr,
                "bn_study: 'gnuplot' not found in PATH; wrote %s/%s and its data (install "
                "gnuplot-nox)\n",
                s->options.out, script);
        return 0;
    }
    if (result == TOOL_DONE && is_whole(s, base, "svg", "</svg>") &&
        is_whole(s, base, "png", "IEND\xae\x42\x60\x82")) {
        return 0;
    }
    fprintf(stderr, "bn_study: gnuplot could not draw %s/%s\n", s->options.out, script);
    return EXIT_IO;
}

int study_curves_save(const study *s) {
    int status = 0;
    for (int i = 0; i < s->n_settings && status == 0; i++) {
        const study_setting *c = &s->settings[i];
        if (c->run[0].history.n_steps + c->run[1].history.n_steps == 0) continue;
        study_name base = study_curve_name(c);
        char data[96], script[96];
        snprintf(data, sizeof data, "%s.dat", base.text);
        snprintf(script, sizeof script, "%s.gp", base.text);
        double least = 1;
        status = save_points(s, c, data, &least);
        if (status == 0) status = save_script(s, c, base.text, script, least);
        if (status == 0) status = study_curve_draw(s, base.text);
    }
    return status;
}
