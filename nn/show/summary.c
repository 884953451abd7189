/* The summary of a model: layers, output shapes and parameter counts, laid out as Keras does.
 * Shapes are those of the graph of one forward in inference mode, which is never evaluated.
 * Invariant: nothing is written before everything is known, and no slot changes. */
#include "nn/show/layer_list.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/context.h"
#include "tensor/io/writer.h"

#include <string.h>

typedef struct {
    char layer[512];
    char shape[CT_MAX_RANK * 22 + 8];
    int64_t parameters; /* not counted in a row above */
    bool shared;        /* some of its parameters are counted above */
} row;

typedef struct {
    cti_layer_list layers;
    row *rows;
    ct_slot_list slots; /* of the whole model */
    bool *counted;      /* slot -> some row counts it */
    int64_t total, trainable;
} summary;

/* --- Texts ------------------------------------------------------------------------------------ */

typedef struct {
    char text[32];
} count_text;

/* 93556 as "93,556". */
static count_text format_count(int64_t count) {
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)count);
    count_text out;
    size_t used = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) out.text[used++] = ',';
        out.text[used++] = digits[i];
    }
    out.text[used] = '\0';
    return out;
}

/* "(None, 26, 26, 32)": the first dimension is the batch. */
static void format_shape(ct_shape shape, int64_t batch, char *out, size_t size) {
    size_t used = (size_t)snprintf(out, size, "(");
    for (int d = 0; d < shape.rank; d++) {
        const char *before = d ? ", " : "";
        if (d == 0 && shape.dims[0] == batch) {
            used += (size_t)snprintf(out + used, size - used, "%sNone", before);
        } else {
            used += (size_t)snprintf(out + used, size - used, "%s%lld", before,
                                     (long long)shape.dims[d]);
        }
    }
    snprintf(out + used, size - used, shape.rank == 1 ? ",)" : ")");
}

/* --- Counting --------------------------------------------------------------------------------- */

/* Streams of random keys are slots too, but no parameters: 0. */
static ct_status parameters_in(ct_slot *slot, int64_t *n) {
    ct_tensor *value = ct_slot_read(slot);
    *n = ct_dtype_is_float(ct_dtype_of(value)) ? ct_numel(value) : 0;
    return value ? CT_OK : ct_error();
}

static ct_status count_slot(summary *s, ct_slot *slot, row *r) {
    int64_t n;
    if (parameters_in(slot, &n) != CT_OK) return ct_error();
    for (int64_t k = 0; k < s->slots.count; k++) {
        if (s->slots.items[k].slot != slot) continue;
        if (s->counted[k]) r->shared = true;
        else r->parameters += n;
        s->counted[k] = true;
    }
    return CT_OK;
}

static ct_status count_row(summary *s, ct_module *module, row *r) {
    ct_slot_list slots;
    if (ct_module_list(module, &slots) != CT_OK) return ct_error();
    ct_status status = CT_OK;
    for (int64_t i = 0; i < slots.count && status == CT_OK; i++) {
        status = count_slot(s, slots.items[i].slot, r);
    }
    ct_slot_list_free(&slots);
    return status;
}

static ct_status count_all(summary *s) {
    for (int64_t i = 0; i < s->slots.count; i++) {
        int64_t n;
        if (parameters_in(s->slots.items[i].slot, &n) != CT_OK) return ct_error();
        s->total += n;
        if (s->slots.items[i].trainable) s->trainable += n;
    }
    return CT_OK;
}

/* The dtype of the inputs that the model is made for: i64 where the first layer takes ids, else
 * that of its first parameter. */
static ct_dtype input_dtype(const summary *s) {
    if (s->layers.count && s->layers.items[0].module->kind->takes_ids) return CT_I64;
    for (int64_t i = 0; i < s->slots.count; i++) {
        ct_dtype dtype = ct_dtype_of(ct_slot_read(s->slots.items[i].slot));
        if (ct_dtype_is_float(dtype)) return dtype;
    }
    return CT_F32;
}

/* Sets y[i + 1], the output of layer i; y[0] is the model's input, and `in` room for inputs.
 * Messages give the layer's path within the model. */
static ct_status pass_through(const summary *s, int64_t i, ct_tensor *y[], ct_tensor *in[]) {
    const cti_layer *layer = &s->layers.items[i];
    for (int64_t k = 0; k < layer->n; k++) in[k] = y[s->layers.inputs[layer->first + k] + 1];
    const char *outside = cti_context()->path;
    char parent[512];
    snprintf(parent, sizeof parent, "%.*s", (int)layer->parent_length, layer->path);
    if (*parent && ct_path_push(parent) != CT_OK) return ct_error();
    ct_status status = CT_OK;
    if (layer->n == 1) y[i + 1] = ct_forward(layer->module, in[0], CT_INFERENCE);
    else status = ct_forward_many(layer->module, in, (int)layer->n, &y[i + 1], 1, CT_INFERENCE);
    cti_context()->path = outside;
    return y[i + 1] ? status : ct_error();
}

static ct_status fill_rows(summary *s, ct_tensor *y[], ct_tensor *in[]) {
    ct_shape input = ct_shape_of(y[0]);
    int64_t batch = input.rank > 0 ? input.dims[0] : 0;
    for (int64_t i = 0; i < s->layers.count; i++) {
        const cti_layer *layer = &s->layers.items[i];
        row *r = &s->rows[i];
        if (pass_through(s, i, y, in) != CT_OK) return ct_error();
        if (count_row(s, layer->module, r) != CT_OK) return ct_error();
        snprintf(r->layer, sizeof r->layer, "%s (%s)",
                 cti_show(layer->path, strlen(layer->path)).text, layer->module->kind->name);
        format_shape(ct_shape_of(y[i + 1]), batch, r->shape, sizeof r->shape);
    }
    return CT_OK;
}

static ct_status fill(summary *s, ct_module *model, ct_shape input) {
    if (ct_module_list(model, &s->slots) != CT_OK) return ct_error();
    s->rows = cti_alloc((size_t)s->layers.count, sizeof *s->rows);
    s->counted = cti_alloc((size_t)s->slots.count, sizeof *s->counted);
    size_t n_inputs = (size_t)s->layers.n_inputs;
    ct_tensor **y = cti_alloc((size_t)s->layers.count + 1, sizeof *y);
    ct_tensor **in = cti_alloc(n_inputs, sizeof *in);
    ct_status status = s->rows && s->counted && y && in ? CT_OK : CT_ERR_MEMORY;
    if (status == CT_OK) status = count_all(s);
    if (status == CT_OK) {
        y[0] = ct_broadcast(ct_scalar(input_dtype(s), 0.0), input);
        status = y[0] ? fill_rows(s, y, in) : ct_error();
    }
    cti_free(y);
    cti_free(in);
    return status;
}

/* --- Writing ---------------------------------------------------------------------------------- */

static void write_rule(FILE *out, char line, int width) {
    for (int i = 0; i < width; i++) fputc(line, out);
    fputc('\n', out);
}

static void write_table(FILE *out, const summary *s, const char *title) {
    int layer = 29, shape = 26;
    for (int64_t i = 0; i < s->layers.count; i++) {
        int l = (int)strlen(s->rows[i].layer) + 2, h = (int)strlen(s->rows[i].shape) + 2;
        if (l > layer) layer = l;
        if (h > shape) shape = h;
    }
    int width = layer + shape + 10;
    fprintf(out, "Model: \"%s\"\n", cti_show(title, strlen(title)).text);
    write_rule(out, '_', width);
    fprintf(out, "%-*s%-*s%s\n", layer, "Layer (type)", shape, "Output Shape", "Param #");
    write_rule(out, '=', width);
    for (int64_t i = 0; i < s->layers.count; i++) {
        const row *r = &s->rows[i];
        fprintf(out, "%-*s%-*s%s%s\n", layer, r->layer, shape, r->shape,
                format_count(r->parameters).text, r->shared ? " (shared)" : "");
    }
    write_rule(out, '=', width);
    fprintf(out, "Total params: %s\n", format_count(s->total).text);
    fprintf(out, "Trainable params: %s\n", format_count(s->trainable).text);
    fprintf(out, "Non-trainable params: %s\n", format_count(s->total - s->trainable).text);
    write_rule(out, '_', width);
}

ct_status ct_summary(FILE *out, ct_module *model, ct_shape input) {
    CTI_CALLED;
    if (!out || !model) {
        return cti_null("ct_summary: '%s' is NULL", out ? "model" : "out");
    }
    summary s = {0};
    int64_t scope = ct_scope_open();
    ct_status status = cti_layer_list_make(model, &s.layers);
    if (status == CT_OK) status = fill(&s, model, input);
    if (status == CT_OK) write_table(out, &s, cti_module_title(model));
    ct_scope_close(scope);
    cti_free(s.rows);
    cti_free(s.counted);
    ct_slot_list_free(&s.slots);
    cti_layer_list_free(&s.layers);
    if (status == CT_OK && ferror(out)) status = ct_fail(CT_ERR_IO, "ct_summary: writing failed");
    return status;
}
