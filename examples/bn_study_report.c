/* report.html: the study on one page that needs no other file, no script and no network.
 * It measures and judges nothing.
 * Invariant: whatever was not written here passes through `escape`; pictures are images, so that
 * nothing in them can act on the page. */
#include "bn_study.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char style[] =
    "body{font:16px/1.5 system-ui,sans-serif;color:#1c1e21;background:#fff;max-width:62rem;"
    "margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.7rem;margin-bottom:.2rem}h2{font-size:1.25rem;margin-top:2.2rem;"
    "border-bottom:1px solid #ccd0d5;padding-bottom:.2rem}\n"
    "p.about,figcaption,td.figures{color:#4b4f56}figcaption{font-size:.9rem}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "th,td{padding:.3rem .7rem;text-align:left;vertical-align:top}\n"
    "th{font-weight:600;border-bottom:2px solid #606770}"
    "tr.first td{border-top:1px solid #ccd0d5}td.n,th.n{text-align:right}\n"
    ".wide{overflow-x:auto}figure{margin:1rem 0}img{max-width:100%;height:auto}"
    ".answer{white-space:nowrap;font-weight:600}pre{overflow-x:auto;font-size:.85rem;"
    "line-height:1.35;background:#f5f6f7;padding:.8rem}\n"
    ".columns{display:flex;flex-wrap:wrap;gap:2rem}.columns>*{max-width:100%}\n"
    "img.model{width:14rem}img.step{border:1px solid #ccd0d5}\n"
    "@media(max-width:44rem){.verdicts td{display:block;padding:.1rem 0}"
    ".verdicts tr.first td+td{border-top:0}}\n";

static void escape(FILE *out, const char *text) {
    for (; *text; text++) {
        switch (*text) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '"': fputs("&quot;", out); break;
        case '\'': fputs("&#39;", out); break;
        default: fputc(*text, out);
        }
    }
}

/* RFC 4648, section 4. */
static void base64(FILE *out, const char *bytes, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        unsigned group = 0;
        for (size_t k = 0; k < 3; k++) {
            group = group << 8 | (i + k < n ? (unsigned char)bytes[i + k] : 0);
        }
        for (size_t k = 0; k < 4; k++) {
            fputc(i + k <= n ? digits[group >> (18 - 6 * k) & 63] : '=', out);
        }
    }
}

static void write_picture(FILE *out, const study *s, const char *base, const char *class,
                          const char *caption) {
    char name[96];
    size_t length;
    snprintf(name, sizeof name, "%s.svg", base);
    char *svg = study_file_read(s, name, "</svg>", &length);
    fprintf(out, "<figure>");
    if (svg) {
        fprintf(out, "<img class=\"%s\" alt=\"", class);
        escape(out, caption);
        fprintf(out, "\" src=\"data:image/svg+xml;base64,");
        base64(out, svg, length);
        fprintf(out, "\">");
    }
    fprintf(out, "<figcaption>");
    escape(out, caption);
    if (!svg) {
        bool curve = strcmp(class, "curve") == 0;
        fprintf(out, " (not drawn: %s is missing or failed; %s.%s, beside this page, is its text)",
                curve ? "gnuplot" : "graphviz", base, curve ? "gp" : "dot");
    }
    fprintf(out, "</figcaption></figure>\n");
    free(svg);
}

/* --- The table -------------------------------------------------------------------------------- */

static void write_value(FILE *out, double value, int digits) {
    if (isnan(value)) fprintf(out, "<td class=\"n\">&ndash;</td>");
    else fprintf(out, "<td class=\"n\">%.*f</td>", digits, value);
}

static void write_run(FILE *out, const study_setting *c, int k, int64_t first, int64_t n) {
    const study_run *run = &c->run[k];
    fprintf(out, "<tr%s><td>%s</td><td class=\"n\">%g</td><td>%s</td>",
            k == WITHOUT || !c->run[WITHOUT].ran ? " class=\"first\"" : "", c->activation->name,
            c->rate, k == WITH ? "with" : "without");
    for (int column = 0; column < 2; column++) {
        for (int64_t e = first; e < first + n; e++) {
            const ct_epoch *epoch = e < run->history.n_epochs ? &run->history.epochs[e] : NULL;
            write_value(out,
                        !epoch   ? (double)NAN
                        : column ? epoch->accuracy
                                 : epoch->val_accuracy,
                        4);
        }
    }
    write_value(out, run->ms_per_step, 2);
    fprintf(out, "</tr>\n");
}

static void write_table(FILE *out, const study *s) {
    int64_t first, n = study_shown_epochs(s, &first);
    fprintf(out,
            "<div class=\"wide\"><table>\n<tr><th rowspan=\"2\">activation</th>"
            "<th rowspan=\"2\" class=\"n\">learning rate</th><th rowspan=\"2\">BatchNorm</th>"
            "<th colspan=\"%lld\">validation accuracy after epoch</th>"
            "<th colspan=\"%lld\">training accuracy in epoch</th>"
            "<th rowspan=\"2\" class=\"n\">ms per step, median</th></tr>\n<tr>",
            (long long)n, (long long)n);
    for (int64_t e = 0; e < 2 * n; e++) {
        fprintf(out, "<th class=\"n\">%lld</th>", (long long)(first + e % n + 1));
    }
    fprintf(out, "</tr>\n");
    for (int i = 0; i < s->n_settings; i++) {
        for (int k = 0; k < 2; k++) {
            if (s->settings[i].run[k].ran) write_run(out, &s->settings[i], k, first, n);
        }
    }
    fprintf(out, "</table></div>\n");
}

/* --- The rest --------------------------------------------------------------------------------- */

static void write_head(FILE *out, const study *s) {
    const study_options *o = &s->options;
    fprintf(out,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<title>BatchNorm study</title>\n<style>\n%s</style></head>\n<body>\n"
            "<h1>BatchNorm study</h1>\n<p class=\"about\">One small convolutional network, "
            "trained with and without BatchNorm on ",
            style);
    escape(out, study_data_of(s).text);
    fprintf(out, ". %lld epoch%s of %lld steps, batch %lld, Adam, no shuffling, seed %lld.",
            (long long)o->epochs, o->epochs == 1 ? "" : "s", (long long)s->steps_per_epoch,
            (long long)o->batch, (long long)o->seed);
    if (o->steps) fprintf(out, " At most %lld steps in a run.", (long long)o->steps);
    if (s->interrupted) fprintf(out, " <strong>Interrupted before the end.</strong>");
    fprintf(out, "<br>");
    escape(out, ct_info());
    fprintf(out, "</p>\n");
}

static void write_verdicts(FILE *out, const study_verdict verdicts[STUDY_VERDICTS]) {
    fprintf(out, "<h2>Verdicts</h2>\n<table class=\"verdicts\">\n");
    for (int i = 0; i < STUDY_VERDICTS; i++) {
        fprintf(out, "<tr class=\"first\"><td>");
        escape(out, verdicts[i].claim);
        fprintf(out, "</td><td class=\"answer\">");
        escape(out, verdicts[i].answer);
        fprintf(out, "</td><td class=\"figures\">");
        escape(out, verdicts[i].figures);
        fprintf(out, "</td></tr>\n");
    }
    fprintf(out, "</table>\n");
}

static int write_summary(FILE *out, const study *s, bool batch_norm) {
    study_text text;
    if (!study_text_open(&text)) return EXIT_FAILURE;
    ct_module *model = study_model(s->settings[0].activation, batch_norm);
    ct_status status = ct_summary(
        text.out, model, (ct_show_options){.input = CT_SHAPE(s->options.batch, 28, 28, 1)});
    ct_module_free(model);
    bool whole = fclose(text.out) == 0 && status == CT_OK;
    if (whole) {
        fprintf(out, "<pre>");
        escape(out, text.text);
        fprintf(out, "</pre>\n");
    }
    free(text.text);
    return whole ? 0 : study_failed();
}

/* Beside each other, as the pictures have one scale in a row. */
static void write_layers(FILE *out, const study *s) {
    fprintf(out, "<h2>What layers do</h2>\n<p class=\"about\">Distributions over training of what "
                 "the hidden layers' activations give in a batch: the middle half dark, 5 to 95 of "
                 "100 light, a line for the median. Below, the norms of the gradients of the "
                 "kernels. The folder layers, beside this page, has more of them, as CSV and for "
                 "<code>tensorboard --logdir layers</code>.</p>\n");
    for (int i = 0; i < s->n_settings; i++) {
        const study_setting *c = &s->settings[i];
        if (!c->run[WITHOUT].ran && !c->run[WITH].ran) continue;
        char base[96], caption[96];
        snprintf(base, sizeof base, "layers_%s_%g", c->activation->name, c->rate);
        snprintf(caption, sizeof caption, "%s, learning rate %g", c->activation->name, c->rate);
        write_picture(out, s, base, "curve", caption);
    }
}

static int write_page(FILE *out, const study *s, const study_verdict verdicts[STUDY_VERDICTS]) {
    write_head(out, s);
    fprintf(out, "<h2>Results</h2>\n");
    write_table(out, s);
    write_verdicts(out, verdicts);
    fprintf(out,
            "<h2>Accuracy during training</h2>\n<p class=\"about\">Training accuracy is the "
            "running mean of the epoch. Validation accuracy is measured on all test images "
            "after each epoch (dots), in between on the first %d of them.</p>\n",
            STUDY_VALIDATION_PART);
    for (int i = 0; i < s->n_settings; i++) {
        const study_setting *c = &s->settings[i];
        if (!c->run[WITHOUT].ran && !c->run[WITH].ran) continue;
        char caption[96];
        snprintf(caption, sizeof caption, "%s, learning rate %g", c->activation->name, c->rate);
        write_picture(out, s, study_curve_name(c).text, "curve", caption);
    }
    if (study_monitors(s)) write_layers(out, s);
    fprintf(out, "<h2>The network</h2>\n<div class=\"columns\">");
    write_picture(out, s, "model", "model", "The network with BatchNorm, layer by layer");
    fprintf(out, "<div>");
    int status = 0;
    for (int k = 0; k < 2 && status == 0; k++) status = write_summary(out, s, k == WITH);
    fprintf(out, "</div></div>\n");
    fprintf(out, "<h2>One training step</h2>\n");
    write_picture(out, s, "step", "step",
                  "A step with BatchNorm, layer by layer: the loss (blue) and the gradients that "
                  "were derived from it (orange), each layer's beside it. Numbers beside arrows "
                  "count values; ./run graph --graph seed --backward draws every op.");
    fprintf(out, "<h2>The gradient that nobody wrote</h2>\n");
    write_picture(out, s, "batch_norm", "step",
                  "BatchNorm as primitive ops, as derived and as evaluated. Each term of the "
                  "textbook's formula has the colour of the boxes that compute it.");
    fprintf(out, "</body>\n</html>\n");
    return status;
}

int study_report_save(const study *s, const study_verdict verdicts[STUDY_VERDICTS]) {
    study_text text;
    if (!study_text_open(&text)) return EXIT_FAILURE;
    int status = write_page(text.out, s, verdicts);
    int saved = study_text_save(s, &text, "report.html");
    return status ? status : saved;
}
