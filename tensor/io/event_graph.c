/* A graph as TensorFlow's GraphDef, for event files.
 * It evaluates nothing. Pictures of graphs are autograd/draw's; this is what TensorBoard folds.
 * Invariant: names are unique, and a function of the graph's structure and names alone. */
#include "tensor/io/event_file.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/graph/walk.h"

#include <ctype.h>
#include <string.h>

typedef struct {
    cti_walk walk;
    const char **module; /* of each node; a leaf stands in that of the first node that uses it */
    cti_writer text;
} graph;

/* --- Names ------------------------------------------------------------------------------------ */

static void choose_modules(graph *g) {
    for (int64_t i = g->walk.count - 1; i >= 0; i--) {
        const ct_tensor *t = g->walk.items[i];
        if (t->op || !g->module[i]) g->module[i] = t->op ? t->path : "";
        for (int k = 0; k < t->n_inputs; k++) {
            const ct_tensor *in = t->inputs[k];
            if (!in->op) g->module[in->index] = g->module[i];
        }
    }
}

/* Names of users may hold any bytes; TensorFlow's hold these. */
static void put_name(cti_writer *out, const char *text) {
    for (; *text; text++) {
        bool plain = isalnum((unsigned char)*text) || strchr("_.-/", *text);
        cti_write_bytes(out, plain && (unsigned char)*text < 128 ? text : "_", 1);
    }
}

static void put_node_name(graph *g, const ct_tensor *t) {
    if (t->order > 1) cti_write_format(&g->text, "gradients_%d/", t->order);
    else if (t->order == 1) cti_write_text(&g->text, "gradients/");
    const char *module = g->module[t->index];
    put_name(&g->text, module);
    if (*module) cti_write_text(&g->text, "/");
    put_name(&g->text, *t->name ? t->name : t->op ? t->op->name : "number");
    cti_write_format(&g->text, "_%lld", (long long)t->index);
}

/* --- Nodes ------------------------------------------------------------------------------------ */

/* Fields of NodeDef, of AttrValue and of the messages in it. */
enum { NAME = 1, OP, INPUT, DEVICE, ATTR };
enum { KEY = 1, VALUE };
enum { ATTR_LIST = 1, ATTR_TYPE = 6, LIST_SHAPE = 7, SHAPE_DIM = 2, DIM_SIZE = 1 };

static int type_of(ct_dtype dtype) {
    enum { DT_FLOAT = 1, DT_DOUBLE = 2, DT_UINT8 = 4, DT_INT64 = 9, DT_VARIANT = 21 };
    static const int types[CT_DTYPES] = {[CT_F32] = DT_FLOAT,
                                         [CT_F64] = DT_DOUBLE,
                                         [CT_I64] = DT_INT64,
                                         [CT_U8] = DT_UINT8,
                                         [CT_P61] = DT_VARIANT};
    return types[dtype];
}

static void put_attributes(cti_writer *out, const ct_tensor *t) {
    size_t entry = cti_proto_begin(out, ATTR);
    cti_proto_text(out, KEY, "dtype");
    size_t value = cti_proto_begin(out, VALUE);
    cti_proto_integer(out, ATTR_TYPE, type_of(t->dtype));
    cti_proto_end(out, value);
    cti_proto_end(out, entry);
    entry = cti_proto_begin(out, ATTR);
    cti_proto_text(out, KEY, "_output_shapes");
    value = cti_proto_begin(out, VALUE);
    size_t list = cti_proto_begin(out, ATTR_LIST), shape = cti_proto_begin(out, LIST_SHAPE);
    for (int k = 0; k < t->shape.rank; k++) {
        size_t dim = cti_proto_begin(out, SHAPE_DIM);
        cti_proto_integer(out, DIM_SIZE, t->shape.dims[k]);
        cti_proto_end(out, dim);
    }
    cti_proto_end(out, shape);
    cti_proto_end(out, list);
    cti_proto_end(out, value);
    cti_proto_end(out, entry);
}

/* What a view does not show is a staged update. Control inputs come last. */
static void put_inputs(graph *g, const ct_tensor *t, bool control) {
    bool view = t->op && t->op->kind == CT_VIEW;
    for (int k = 0; k < t->n_inputs; k++) {
        if ((view && k > 0) != control) continue;
        size_t name = cti_proto_begin(&g->text, INPUT);
        if (control) cti_write_text(&g->text, "^");
        put_node_name(g, t->inputs[k]);
        cti_proto_end(&g->text, name);
    }
}

static void put_node(graph *g, const ct_tensor *t) {
    size_t node = cti_proto_begin(&g->text, 1);
    size_t name = cti_proto_begin(&g->text, NAME);
    put_node_name(g, t);
    cti_proto_end(&g->text, name);
    cti_proto_text(&g->text, OP, t->op ? t->op->name : t->slot ? "Parameter" : "Const");
    put_inputs(g, t, false);
    put_inputs(g, t, true);
    put_attributes(&g->text, t);
    cti_proto_end(&g->text, node);
}

static ct_status put_graph(graph *g, ct_events *events) {
    enum { VERSIONS = 4, PRODUCER = 1 };
    g->module = cti_alloc((size_t)g->walk.count, sizeof *g->module);
    if (!g->module) return CT_ERR_MEMORY;
    choose_modules(g);
    for (int64_t i = 0; i < g->walk.count; i++) put_node(g, g->walk.items[i]);
    size_t versions = cti_proto_begin(&g->text, VERSIONS);
    cti_proto_integer(&g->text, PRODUCER, 22);
    cti_proto_end(&g->text, versions);
    return cti_events_put(events, 0, CTI_EVENT_GRAPH, &g->text);
}

ct_status ct_events_graph(ct_events *events, ct_tensor *const roots[], int64_t n) {
    CTI_CALLED;
    if (!events) return cti_null("ct_events_graph: 'events' is NULL");
    if (cti_check_roots("ct_events_graph", roots, "n", n) != CT_OK) return ct_error();
    if (n == 0) return ct_fail(CT_ERR_RANGE, "ct_events_graph: needs at least one root");
    graph g = {0};
    if (cti_walk_new(&g.walk, roots, n, cti_walk_whole_graph) != CT_OK) return CT_ERR_MEMORY;
    ct_status status = put_graph(&g, events);
    cti_walk_free(&g.walk);
    cti_free(g.module);
    cti_free(g.text.text);
    return status;
}
