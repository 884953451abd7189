/* The picture of a model: a box for each call of a module, frames around those that are opened.
 * It shows no ops but those that make an opened module's output; ct_dot_write draws graphs.
 * Invariant: the picture depends on what the forward did, and on names. */
#include "nn/show.h"

#include "autograd/draw/picture.h"
#include "nn/show/flow.h"
#include "nn/show/parameters.h"
#include "tensor/base/array.h"
#include "tensor/base/caller.h"
#include "tensor/graph/node.h"

#include <stdarg.h>
#include <string.h>

typedef struct {
    cti_trace trace;
    cti_parameters parameters; /* places are calls */
    cti_flow flow;
    cti_picture picture;
    int64_t *frame_of; /* by call: its frame, or -1 */
    bool failed;       /* there was no memory for a text */
} plot;

/* A text of the picture, of any length. */
static const char *text_of(plot *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static const char *text_of(plot *p, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    size_t size = (size_t)vsnprintf(NULL, 0, format, arguments) + 1;
    char *text = cti_zone_alloc(&p->picture.zone, size, 1);
    if (text) vsnprintf(text, size, format, again);
    va_end(again);
    va_end(arguments);
    p->failed |= !text;
    return text ? text : "";
}

static const char *shapes_of(plot *p, ct_tensor *const tensors[], int n) {
    const char *text = cti_trace_shapes(&p->trace, tensors, n);
    p->failed |= !text;
    return text ? text : "";
}

/* --- Parameters ------------------------------------------------------------------------------- */

static void count_parameters(plot *p) {
    for (int64_t c = 0; c < p->trace.count; c++) {
        bool opened = cti_flow_opens(&p->flow, c);
        cti_parameters_count(&p->parameters, p->trace.calls[c].module, !opened, c);
    }
}

/* " · 288 params", or "" */
static const char *params_of(plot *p, int64_t call) {
    const cti_module_call *c = &p->trace.calls[call];
    int64_t n = cti_parameters_between(&p->parameters, call, c->end);
    bool shared = cti_parameters_shared(&p->parameters, c->module, call);
    if (n == 0) return shared ? " \xc2\xb7 shared params" : "";
    return text_of(p, " \xc2\xb7 %s params%s", cti_count_format(n).text, shared ? ", shared" : "");
}

/* --- Boxes ------------------------------------------------------------------------------------ */

static cti_picture_node input_box(plot *p, int number) {
    const cti_module_call *model = &p->trace.calls[0];
    return (cti_picture_node){
        .name = model->n_in == 1 ? "input" : text_of(p, "input %d", number),
        .kind = "Input",
        .type = text_of(p, "%s %s", shapes_of(p, &model->in[number], 1),
                        ct_dtype_name(ct_dtype_of(model->in[number]))),
    };
}

static cti_picture_node call_box(plot *p, int64_t number) {
    const cti_module_call *call = &p->trace.calls[number];
    return (cti_picture_node){
        .name = cti_module_title(call->module),
        .kind = cti_module_kind(call->module),
        .type = text_of(p, "%s%s", shapes_of(p, call->out, call->n_out), params_of(p, number)),
    };
}

static const char *word_of(const ct_tensor *t) {
    return !t->op ? "value" : ct_is(t, &ct_op_add) ? "+" : t->op->name;
}

enum { MOST_WORDS = 6 };

/* The ops of a join in order, each once: "sigmoid, tanh, mul, +"; of many the first and the last.
 * Where all of them are views, the last one. */
static const char *words_of(plot *p, const cti_flow_box *box, const ct_tensor *made) {
    const char *words[MOST_WORDS], *text = "";
    int64_t n = 0;
    for (int64_t i = box->first; i < box->end; i++) {
        const char *word = word_of(p->flow.ops[i]);
        int64_t k = 0;
        while (k < n && k < MOST_WORDS && strcmp(words[k], word) != 0) k++;
        if (k < MOST_WORDS && k < n) continue;
        if (n < MOST_WORDS) words[n] = word;
        n++;
    }
    if (n == 0) return word_of(made);
    for (int64_t k = 0; k < n && k < MOST_WORDS; k++) {
        text = text_of(p, "%s%s%s", text, k > 0 ? ", " : "", words[k]);
    }
    if (n <= MOST_WORDS) return text;
    return text_of(p, "%s, .., %s", text, word_of(p->flow.ops[box->end - 1]));
}

/* A sum is as small as it can be: its shape is that of what meets in it. */
static cti_picture_node join_box(plot *p, const cti_flow_box *box) {
    ct_tensor *out = p->trace.calls[box->call].out[box->number], *made = cti_copied(out);
    bool sum = ct_is(made, &ct_op_add) && box->end - box->first < 2;
    return (cti_picture_node){
        .kind = words_of(p, box, made),
        .type = sum ? NULL : shapes_of(p, &out, 1),
        .shape = CTI_ELLIPSE,
    };
}

static int64_t frame_around(const plot *p, const cti_flow_box *box) {
    if (box->kind == CTI_FLOW_INPUT) return -1;
    if (box->kind == CTI_FLOW_JOIN) return p->frame_of[box->call];
    int64_t parent = p->trace.calls[box->call].parent;
    return parent < 0 ? -1 : p->frame_of[parent];
}

static void add_boxes(plot *p) {
    for (int64_t b = 0; b < p->flow.n_boxes; b++) {
        const cti_flow_box *box = &p->flow.boxes[b];
        cti_picture_node node = box->kind == CTI_FLOW_INPUT  ? input_box(p, box->number)
                                : box->kind == CTI_FLOW_CALL ? call_box(p, box->call)
                                                             : join_box(p, box);
        node.pass = node.origin = -1;
        node.frame = frame_around(p, box);
        p->picture.nodes[p->picture.n_nodes++] = node;
    }
}

/* Those of chains have their names alone; those of modules with slots of their own say how many
 * parameters there are, because the boxes do not. */
static ct_status add_frame(plot *p, int64_t number) {
    cti_picture *picture = &p->picture;
    const cti_module_call *call = &p->trace.calls[number];
    const ct_module_kind *kind = call->module->kind;
    if (!cti_grow(&picture->frames, picture->n_frames, sizeof *picture->frames)) {
        return CT_ERR_MEMORY;
    }
    cti_picture_frame frame = {.pass = -1, .parent = p->frame_of[call->parent]};
    frame.name = text_of(p, "%s%s%s%s", cti_module_title(call->module), kind->chain ? "" : ": ",
                         kind->chain ? "" : cti_module_kind(call->module),
                         call->module->n_slots > 0 ? params_of(p, number) : "");
    if (frame.parent >= 0) picture->frames[frame.parent].opened = true;
    p->frame_of[number] = picture->n_frames;
    picture->frames[picture->n_frames++] = frame;
    return CT_OK;
}

/* The model itself has none. */
static ct_status add_frames(plot *p) {
    p->frame_of = cti_zone_alloc(&p->picture.zone, (size_t)p->trace.count, sizeof *p->frame_of);
    if (!p->frame_of) return CT_ERR_MEMORY;
    p->frame_of[0] = -1;
    for (int64_t c = 1; c < p->trace.count; c++) {
        p->frame_of[c] = -1;
        if (cti_flow_opens(&p->flow, c) && add_frame(p, c) != CT_OK) return CT_ERR_MEMORY;
    }
    return CT_OK;
}

/* --- The whole -------------------------------------------------------------------------------- */

static ct_status draw(plot *p) {
    const cti_flow *flow = &p->flow;
    if (cti_picture_new(&p->picture, flow->n_boxes, flow->n_arrows) != CT_OK) {
        return CT_ERR_MEMORY;
    }
    p->picture.joint = ": ";
    count_parameters(p);
    if (add_frames(p) != CT_OK) return CT_ERR_MEMORY;
    add_boxes(p);
    for (int64_t i = 0; i < flow->n_arrows; i++) {
        int64_t from = flow->arrows[i][0], to = flow->arrows[i][1];
        p->picture.arrows[p->picture.n_arrows++] = (cti_picture_arrow){
            .from = from, .to = to, .value = from, .count = 1};
    }
    return p->failed ? CT_ERR_MEMORY : CT_OK;
}

/* To `out`, or to a file at `path`. */
static ct_status write_plot(const char *function, FILE *out, const char *path, ct_module *model,
                            const ct_show_options *options) {
    if (!model) return cti_null("%s: 'model' is NULL", function);
    plot p = {.picture = {0}};
    ct_status status = cti_trace_make(&p.trace, function, model, options);
    if (status == CT_OK) status = cti_parameters_make(&p.parameters, model);
    if (status == CT_OK) status = cti_flow_make(&p.flow, &p.trace, options);
    if (status == CT_OK) status = draw(&p);
    if (status == CT_OK) {
        status = out ? cti_picture_write(&p.picture, function, out)
                     : cti_picture_save(&p.picture, function, path, false, NULL);
    }
    cti_picture_free(&p.picture);
    cti_flow_free(&p.flow);
    cti_parameters_free(&p.parameters);
    cti_trace_free(&p.trace);
    return status;
}

ct_status ct_model_plot(FILE *out, ct_module *model, ct_show_options options) {
    CTI_CALLED;
    if (!out) return ct_fail(CT_ERR_NULL, "ct_model_plot: 'out' is NULL");
    return write_plot("ct_model_plot", out, NULL, model, &options);
}

ct_status ct_model_plot_save(const char *path, ct_module *model, ct_show_options options) {
    CTI_CALLED;
    return write_plot("ct_model_plot_save", NULL, path, model, &options);
}
