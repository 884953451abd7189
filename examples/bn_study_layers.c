/* What layers do during training, with and without BatchNorm: one picture per setting, of what
 * ct_fit's monitor has written, through gnuplot.
 * It computes nothing: quantiles and norms are those of layers.csv.
 * Invariant: pictures show this study's runs alone; what an earlier one left is removed first. */
#include "bn_study.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HIDDEN = 4, KERNELS = 5, QUANTILES = 5, WIDTH = 1000, HEIGHT = 1250 };

/* Of the hidden layers what the activation gives, and the weights of all layers. */
static const char *const kernels[KERNELS] = {"conv_1/kernel", "conv_2/kernel", "conv_3/kernel",
                                             "dense_1/kernel", "dense_2/kernel"};

/* --- The folder ------------------------------------------------------------------------------- */

static void remove_old(const char *folder) {
    DIR *directory = opendir(folder);
    if (!directory) return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        bool ours = strcmp(entry->d_name, "layers.csv") == 0 ||
                    strncmp(entry->d_name, "events.out.tfevents.", 20) == 0;
        if (ours) unlinkat(dirfd(directory), entry->d_name, 0);
    }
    closedir(directory);
}

void study_layers_clear(const study *s) {
    for (int i = 0; i < 2 * s->n_settings; i++) {
        char *path;
        study_name name = study_layers_name(&s->settings[i / 2], i % 2);
        if (asprintf(&path, "%s/%s", s->options.out, name.text) < 0) return;
        remove_old(path);
        free(path);
    }
}

/* --- Data ------------------------------------------------------------------------------------- */

/* Of one layer or parameter, step by step: written as a block of the data file. */
typedef struct {
    double low, high; /* of what was written */
} range;

static void extend(range *r, double value) {
    if (!isfinite(value)) return;
    r->low = fmin(r->low, value);
    r->high = fmax(r->high, value);
}

/* step, p5, p25, p50, p75, p95, norm of each line that is of this layer or parameter; an empty
 * line, at which gnuplot's curve breaks, where one of them is not there. */
static void write_block(FILE *out, const char *table, const char *what, const char *path,
                        range *r) {
    bool wrote = false; /* the line before */
    for (const char *line = table; line && *line;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char found[2][64];
        long long step;
        double norm, q[QUANTILES];
        int n = sscanf(line, "%lld,%63[^,],%63[^,],%*d,%*d,%lf,%*f,%*f,%lf,%lf,%lf,%lf,%lf", &step,
                       found[0], found[1], &norm, q, q + 1, q + 2, q + 3, q + 4);
        if (n < 3 || strcmp(found[0], what) != 0 || strcmp(found[1], path) != 0) continue;
        if (n < 9) {
            if (wrote) fprintf(out, "\n");
            wrote = false;
            continue;
        }
        wrote = true;
        fprintf(out, "%lld", step);
        for (int i = 0; i < QUANTILES; i++) fprintf(out, " %.6g", q[i]);
        fprintf(out, " %.6g\n", norm);
        bool output = strcmp(what, "activation") == 0;
        if (output) extend(r, q[0]), extend(r, q[QUANTILES - 1]);
        else if (norm > 0) extend(r, norm);
    }
    study_block_end(out);
}

/* The text of a run's table, which ends in a NUL; empty when there is none. The caller frees it. */
static char *table_of(const study *s, const study_setting *c, int k) {
    char name[96];
    size_t length = 0;
    snprintf(name, sizeof name, "%s/layers.csv", study_layers_name(c, k).text);
    char *text = study_file_read(s, name, "", &length);
    char *ended = realloc(text, length + 1);
    if (ended) ended[length] = '\0';
    else free(text);
    return ended;
}

/* Blocks: hidden layers without BatchNorm, then with it; so do the kernels. */
static int save_data(const study *s, const study_setting *c, const char *name, range ranges[]) {
    study_text text;
    if (!study_text_open(&text)) return EXIT_FAILURE;
    char *tables[2] = {table_of(s, c, WITHOUT), table_of(s, c, WITH)};
    fprintf(text.out,
            "# step, quantiles 0.05 0.25 0.5 0.75 0.95, norm; blocks: %d hidden layers "
            "without BatchNorm, then with it,\n# and the gradients of %d kernels so\n",
            HIDDEN, KERNELS);
    for (int k = 0; k < 2; k++) {
        for (int layer = 0; layer < HIDDEN; layer++) {
            char path[64];
            snprintf(path, sizeof path, "%s_%d", c->activation->name, layer + 1);
            write_block(text.out, tables[k], "activation", path, &ranges[layer]);
        }
    }
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < KERNELS; i++) {
            write_block(text.out, tables[k], "gradient", kernels[i], &ranges[HIDDEN]);
        }
    }
    free(tables[0]);
    free(tables[1]);
    return study_text_save(s, &text, name);
}

/* --- Script ----------------------------------------------------------------------------------- */

static const char *const columns[] = {"without BatchNorm", "with BatchNorm"};
static const char *const colours[] = {"#d55e00", "#0072b2"};

/* 1, 2 or 5 times a power of ten, of which at most so many lie within an axis of that length:
 * where there are more, their numbers touch. */
static double apart_of(double length, int most) {
    static const double parts[] = {1, 2, 5};
    double least = length / most, power = pow(10, floor(log10(least)));
    for (int i = 0; i < 3; i++) {
        if (parts[i] * power >= least) return parts[i] * power;
    }
    return 10 * power;
}

static void plot_layer(FILE *out, const study_setting *c, const char *data, int layer, int k,
                       range r) {
    int block = HIDDEN * k + layer;
    double room = 0.05 * (r.high - r.low) + 1e-6;
    double low = r.low - room, high = r.high + room;
    fprintf(out, "set ylabel '%s %d'\nset yrange [%g:%g]\nset ytics %g\n", c->activation->name,
            layer + 1, low, high, apart_of(high - low, 6));
    fprintf(out, "%s '%s'\n", layer == 0 ? "set title" : "unset title #", columns[k]);
    if (!c->run[k].ran) {
        fprintf(out, "plot NaN notitle\n");
        return;
    }
    fprintf(out,
            "plot '%s' index %d using 1:2:6 with filledcurves fc rgb '%s' fs transparent solid "
            "0.2 notitle, \\\n     '' index %d using 1:3:5 with filledcurves fc rgb '%s' fs "
            "transparent solid 0.35 notitle, \\\n     '' index %d using 1:4 with lines lw 2 lc "
            "rgb '%s' notitle\n",
            data, block, colours[k], block, colours[k], block, colours[k]);
}

/* Both columns have one scale, of whole powers of ten, and one key, below. */
static void plot_gradients(FILE *out, const study_setting *c, const char *data, int k, range r) {
    static const char *const shades[KERNELS] = {"#e69f00", "#56b4e9", "#009e73", "#cc79a7",
                                                "#000000"};
    fprintf(out,
            "unset title\n%s key\nset ylabel '|gradient|'\nset logscale y\n"
            "set yrange [1e%d:1e%d]\nset format y '%%.0e'\nset ytics autofreq\nunset mytics\n"
            "set xlabel 'training steps'\n",
            k == WITH || !c->run[WITH].ran ? "set" : "unset", (int)floor(log10(r.low)),
            (int)floor(log10(r.high)) + 1);
    if (!c->run[k].ran) {
        fprintf(out, "plot NaN notitle\n");
    } else {
        for (int i = 0; i < KERNELS; i++) {
            fprintf(out,
                    "%s '%s' index %d using 1:($7 > 0 ? $7 : 1/0) with lines lw 1.5 dt %d lc rgb "
                    "'%s' title '%.*s'",
                    i ? ", \\\n    " : "plot", data, 2 * HIDDEN + KERNELS * k + i, i + 1, shades[i],
                    (int)strcspn(kernels[i], "/"), kernels[i]);
        }
        fputc('\n', out);
    }
    fprintf(out, "unset logscale y\nset format y '%%g'\nunset xlabel\n");
}

static void write_plots(FILE *out, const study_setting *c, const char *data, const range ranges[]) {
    fprintf(out,
            "set multiplot layout %d,2 margins 0.11,0.97,0.13,0.93 spacing 0.13,0.045 title "
            "'What layers give, and the gradients of their kernels: %s, learning rate %g'\n",
            HIDDEN + 1, c->activation->name, c->rate);
    for (int layer = 0; layer < HIDDEN; layer++) {
        for (int k = 0; k < 2; k++) plot_layer(out, c, data, layer, k, ranges[layer]);
    }
    for (int k = 0; k < 2; k++) plot_gradients(out, c, data, k, ranges[HIDDEN]);
    fprintf(out, "unset multiplot\n");
}

static int save_script(const study *s, const study_setting *c, const char *base, const char *data,
                       const range ranges[]) {
    study_text text;
    if (!study_script_open(&text, base)) return EXIT_FAILURE;
    char name[104];
    snprintf(name, sizeof name, "%s.gp", base);
    FILE *out = text.out;
    const study_run *runs = c->run;
    int64_t steps = runs[0].history.n_steps;
    if (runs[1].history.n_steps > steps) steps = runs[1].history.n_steps;
    fprintf(out,
            "set key at screen 0.5,0.015 center bottom horizontal samplen 2 width 1\n"
            "set xrange [0:%lld]\nset xtics %g\n",
            (long long)steps, fmax(apart_of((double)steps, 6), 1));
    study_script_svg(out, base, WIDTH, HEIGHT);
    write_plots(out, c, data, ranges);
    study_script_png(out, base, WIDTH, HEIGHT);
    write_plots(out, c, data, ranges);
    return study_text_save(s, &text, name);
}

/* --- Pictures --------------------------------------------------------------------------------- */

int study_layers_save(const study *s) {
    int status = 0;
    for (int i = 0; i < s->n_settings && status == 0; i++) {
        const study_setting *c = &s->settings[i];
        if (c->run[0].history.n_steps + c->run[1].history.n_steps == 0) continue;
        range ranges[HIDDEN + 1] = {[HIDDEN] = {1, 1}};
        char base[96], data[104];
        snprintf(base, sizeof base, "layers_%s_%g", c->activation->name, c->rate);
        snprintf(data, sizeof data, "%s.dat", base);
        status = save_data(s, c, data, ranges);
        if (status == 0) status = save_script(s, c, base, data, ranges);
        if (status == 0) status = study_curve_draw(s, base);
    }
    return status;
}
