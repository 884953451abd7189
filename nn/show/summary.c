/* The summary of a model: modules, output shapes and parameter counts, laid out as Keras does.
 * Shapes are those of the calls that trace.c has recorded; nothing is evaluated.
 * Invariant: nothing is written before everything is known, and no slot changes. */
#include "nn/show.h"

#include "nn/show/parameters.h"
#include "nn/show/trace.h"
#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/base/caller.h"
#include "tensor/io/writer.h"

#include <string.h>

/* One for each place of a module, with those below it directly after it; also for modules that are
 * too deep to be shown, because counts go by rows. */
typedef struct {
    ct_module *module;
    int level;    /* 0 for the model itself */
    int64_t end;  /* of the rows below it */
    int64_t call; /* that is shown, or -1 */
    char *label;  /* "conv2d (Conv2D)", indented */
    const char *shapes;
} row;

typedef struct {
    cti_trace trace;
    cti_parameters parameters;
    row *rows;
    int64_t count;
    int depth;     /* the deepest level that is shown */
    bool headless; /* the model itself is not shown */
} summary;

/* --- Rows ------------------------------------------------------------------------------------- */

/* The call of a module that is number `nth` of those that a call made itself; else the last of
 * those; else the first that was made anywhere below. -1: it was not called. */
static int64_t find_call(const cti_trace *trace, int64_t within, const ct_module *module,
                         int64_t nth) {
    int64_t last = -1, first = -1;
    for (int64_t c = within + 1; c < trace->calls[within].end && nth >= 0; c++) {
        const cti_module_call *call = &trace->calls[c];
        if (call->module != module) continue;
        if (first < 0) first = c;
        if (call->parent != within) continue;
        last = c;
        nth--;
    }
    return last >= 0 ? last : first;
}

static ct_status add_row(summary *s, ct_module *module, int level, int64_t call);

/* `within` is the call of the innermost module around them that was called. */
static ct_status add_below(summary *s, const ct_module *module, int level, int64_t within) {
    for (int64_t i = 0; i < module->n_children; i++) {
        ct_module *child = module->children[i];
        int64_t nth = 0;
        for (int64_t k = 0; k < i; k++) nth += module->children[k] == child;
        int64_t call = find_call(&s->trace, within, child, nth), place = s->count;
        if (add_row(s, child, level, call) != CT_OK) return ct_error();
        if (add_below(s, child, level + 1, call >= 0 ? call : within) != CT_OK) return ct_error();
        s->rows[place].end = s->count;
    }
    return CT_OK;
}

static ct_status add_row(summary *s, ct_module *module, int level, int64_t call) {
    if (!cti_grow(&s->rows, s->count, sizeof *s->rows)) return CT_ERR_MEMORY;
    cti_parameters_count(&s->parameters, module, false, s->count);
    s->rows[s->count++] = (row){.module = module, .level = level, .call = call};
    return CT_OK;
}

static bool is_shown(const summary *s, const row *r) {
    return r->level <= s->depth && (r->level > 0 || !s->headless);
}

/* --- Texts ------------------------------------------------------------------------------------ */

enum { WIDEST_LABEL = 56, SHORTEST_NAME = 13 };

/* "residual (Residual)", where a name that is too long for `width` loses its middle. */
static void format_label(const ct_module *module, int indent, char *out, size_t size) {
    const char *name = cti_module_title(module), *kind = cti_module_kind(module);
    cti_shown shown = cti_show(name, strlen(name)), type = cti_show(kind, strlen(kind));
    int length = (int)strlen(shown.text);
    int room = WIDEST_LABEL - indent - (int)strlen(type.text) - 3;
    if (room < SHORTEST_NAME) room = SHORTEST_NAME;
    if (length <= room) {
        snprintf(out, size, "%*s%s (%s)", indent, "", shown.text, type.text);
        return;
    }
    int end = (room - 3) / 2;
    snprintf(out, size, "%*s%.*s...%s (%s)", indent, "", room - 3 - end, shown.text,
             shown.text + length - end, type.text);
}

static ct_status fill_texts(summary *s) {
    for (int64_t i = 0; i < s->count; i++) {
        row *r = &s->rows[i];
        if (!is_shown(s, r)) continue;
        int indent = 2 * (r->level - s->headless);
        size_t size = (size_t)indent + 2 * sizeof(cti_shown) + 4;
        r->label = cti_zone_alloc(&s->trace.zone, size, 1);
        r->shapes = "not used";
        if (r->call >= 0) {
            const cti_module_call *call = &s->trace.calls[r->call];
            r->shapes = cti_trace_shapes(&s->trace, call->out, call->n_out);
        }
        if (!r->label || !r->shapes) return CT_ERR_MEMORY;
        format_label(r->module, indent, r->label, size);
    }
    return CT_OK;
}

/* --- Writing ---------------------------------------------------------------------------------- */

static void write_rule(FILE *out, char line, int width) {
    for (int i = 0; i < width; i++) fputc(line, out);
    fputc('\n', out);
}

static void write_rows(FILE *out, const summary *s, int label, int shapes) {
    for (int64_t i = 0; i < s->count; i++) {
        const row *r = &s->rows[i];
        if (!is_shown(s, r)) continue;
        int64_t n = cti_parameters_between(&s->parameters, i, r->end);
        bool shared = cti_parameters_shared(&s->parameters, r->module, i);
        fprintf(out, "%-*s%-*s%s%s\n", label, r->label, shapes, r->shapes, cti_count_format(n).text,
                shared ? " (shared)" : "");
    }
}

static void write_table(FILE *out, const summary *s) {
    const char *title = cti_module_title(s->rows[0].module);
    int64_t total = s->parameters.total, trainable = s->parameters.trainable;
    int label = 29, shapes = 26;
    for (int64_t i = 0; i < s->count; i++) {
        if (!is_shown(s, &s->rows[i])) continue;
        int l = (int)strlen(s->rows[i].label) + 2, h = (int)strlen(s->rows[i].shapes) + 2;
        if (l > label) label = l;
        if (h > shapes) shapes = h;
    }
    int width = label + shapes + 10;
    fprintf(out, "Model: \"%s\"\n", cti_show(title, strlen(title)).text);
    write_rule(out, '_', width);
    fprintf(out, "%-*s%-*s%s\n", label, "Layer (type)", shapes, "Output Shape", "Param #");
    write_rule(out, '=', width);
    write_rows(out, s, label, shapes);
    write_rule(out, '=', width);
    fprintf(out, "Total params: %s\n", cti_count_format(total).text);
    fprintf(out, "Trainable params: %s\n", cti_count_format(trainable).text);
    fprintf(out, "Non-trainable params: %s\n", cti_count_format(total - trainable).text);
    write_rule(out, '_', width);
}

static ct_status make(summary *s, ct_module *model, const ct_show_options *options) {
    ct_status status = cti_trace_make(&s->trace, "ct_summary", model, options);
    if (status == CT_OK) status = cti_parameters_make(&s->parameters, model);
    if (status == CT_OK) status = add_row(s, model, 0, 0);
    if (status == CT_OK) status = add_below(s, model, 1, 0);
    if (status != CT_OK) return status;
    s->rows[0].end = s->count;
    s->depth = options->depth ? options->depth : INT32_MAX;
    s->headless = model->n_children > 0 && model->n_slots == 0;
    return fill_texts(s);
}

ct_status ct_summary(FILE *out, ct_module *model, ct_show_options options) {
    CTI_CALLED;
    if (!out || !model) {
        return cti_null("ct_summary: '%s' is NULL", out ? "model" : "out");
    }
    summary s = {0};
    ct_status status = make(&s, model, &options);
    if (status == CT_OK) write_table(out, &s);
    cti_free(s.rows);
    cti_parameters_free(&s.parameters);
    cti_trace_free(&s.trace);
    if (status == CT_OK && (fflush(out) || ferror(out)))
        status = ct_fail(CT_ERR_IO, "ct_summary: writing failed");
    return status;
}
