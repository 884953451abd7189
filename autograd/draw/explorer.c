/* Pictures as JSON that Google's Model Explorer opens: one collection with one graph, whose
 * namespaces are the frames (github.com/google-ai-edge/model-explorer, graph_builder.py).
 * What is shown is picture.c's choice, and layout Model Explorer's.
 * Invariant: the same picture gives the same bytes, and names enter them as valid UTF-8 only. */
#include "autograd/draw/formats.h"
#include "autograd/draw/plain.h"
#include "tensor/base/alloc.h"
#include "tensor/io/json.h"

static void put(cti_writer *out, const char *text) {
    cti_write_json_string(out, cti_plain(text).text);
}

static void put_number(cti_writer *out, int64_t number) {
    cti_write_format(out, "\"%lld\"", (long long)number);
}

/* --- Attributes --------------------------------------------------------------------------- */

/* Of a list that may be empty before. */
static void put_key(cti_writer *out, const char *key) {
    bool first = out->used && out->text[out->used - 1] == '[';
    cti_write_format(out, "%s{\"key\":\"%s\",\"value\":", first ? "" : ",", key);
}

/* Nothing where there is no text. */
static void put_attribute(cti_writer *out, const char *key, const char *value) {
    if (!value) return;
    put_key(out, key);
    put(out, value);
    cti_write_text(out, "}");
}

static void put_count(cti_writer *out, const char *key, int64_t number) {
    put_key(out, key);
    put_number(out, number);
    cti_write_text(out, "}");
}

static void put_attributes(const cti_picture *p, cti_writer *out, const cti_picture_node *node) {
    static const char *const orders[] = {"none", "first", "second", "higher"};
    static const char *const in_both[] = {"both", "", "", "both, but changed"};
    char formula[CTI_WORDS];
    cti_write_text(out, ",\"attrs\":[");
    put_attribute(out, "name", node->name);
    put_attribute(out, "op", node->kind);
    put_attribute(out, "operands", node->operands);
    put_attribute(out, "attributes", node->detail);
    put_attribute(out, "type", node->type);
    put_attribute(out, "module", node->path);
    put_attribute(out, "derivative", orders[node->order]);
    put_attribute(out, "its own derivative", cti_picture_formula(node, out, formula));
    if (node->slot) put_attribute(out, "held by a slot", "yes");
    if (node->root) put_attribute(out, "root", "yes");
    if (node->varies) put_attribute(out, "varies between ranks", "yes");
    if (node->sums) put_attribute(out, "sums over all ranks", "yes");
    if (node->bytes) put_count(out, "bytes", node->bytes);
    if (p->timed) put_count(out, "permille of the time", (int64_t)(1000 * node->share + 0.5));
    cti_look look = cti_look_of(node->side);
    bool one = look == CTI_LOOK_FIRST || look == CTI_LOOK_SECOND;
    if (p->sides) put_attribute(out, "in", one ? p->sides[look - 1] : in_both[look]);
    if (node->origin >= 0) { /* a link */
        put_key(out, "derived from");
        cti_write_format(out, "{\"type\":\"node_ids\",\"nodeIds\":[\"n%lld\"]}}",
                         (long long)node->origin);
    }
    cti_write_text(out, "]");
}

/* --- Nodes -------------------------------------------------------------------------------- */

/* "cnn, derivative/conv_1, derivative". `path` is room for it. */
static void put_namespace(const cti_picture *p, cti_writer *out, int64_t frame, cti_writer *path) {
    int64_t depth = 0;
    for (int64_t f = frame; f >= 0; f = p->frames[f].parent) depth++;
    path->used = 0;
    for (int64_t k = 0; k < depth; k++) {
        int64_t f = frame;
        for (int64_t up = k + 1; up < depth; up++) f = p->frames[f].parent;
        const cti_picture_frame *shown = &p->frames[f];
        cti_write_text(path, k ? "/" : "");
        cti_write_text(path, cti_plain(shown->name).text);
        cti_write_text(path, cti_derivative_names[shown->order]);
        if (shown->pass >= 0) cti_write_format(path, "pass %lld", (long long)shown->pass);
    }
    cti_write_bytes(path, "", 1);
    cti_write_text(out, ",\"namespace\":");
    if (path->status == CT_OK) cti_write_json_string(out, path->text);
    else out->status = path->status;
}

static void put_edges(const cti_picture *p, cti_writer *out, int64_t first, int64_t last) {
    cti_write_text(out, ",\"incomingEdges\":[");
    for (int64_t k = first; k < last; k++) {
        cti_write_format(out,
                         "%s{\"sourceNodeId\":\"n%lld\",\"sourceNodeOutputId\":\"0\","
                         "\"targetNodeInputId\":\"%lld\"}",
                         k > first ? "," : "", (long long)p->arrows[k].from,
                         (long long)(k - first));
    }
    cti_write_text(out, "],\"inputsMetadata\":[");
    for (int64_t k = first; k < last; k++) {
        const cti_picture_arrow *arrow = &p->arrows[k];
        cti_write_format(out, "%s{\"id\":\"%lld\",\"attrs\":[", k > first ? "," : "",
                         (long long)(k - first));
        if (arrow->operand) put_count(out, "operand", arrow->operand);
        if (arrow->count > 1) put_count(out, "values", arrow->count);
        if (arrow->staged) put_attribute(out, "staged update", "yes");
        if (arrow->carried) put_attribute(out, "value used in a derivative", "yes");
        cti_write_text(out, "]}");
    }
    cti_write_text(out, "]");
}

/* (·, 0.5), whose dot is not in Model Explorer's font. */
static void put_operands(cti_writer *out, const char *operands) {
    for (; *operands; operands++) {
        if (*operands != '\xc2') cti_write_bytes(out, *operands == '\xb7' ? "." : operands, 1);
    }
}

/* Edges show the attribute "shape". */
static void put_node(const cti_picture *p, cti_writer *out, int64_t i, cti_writer *room) {
    const cti_picture_node *node = &p->nodes[i];
    room->used = 0;
    cti_write_text(room, cti_plain(node->name).text);
    cti_write_text(room, node->name && node->kind ? p->joint : "");
    cti_write_text(room, cti_plain(node->kind).text);
    put_operands(room, node->operands ? node->operands : "");
    cti_write_bytes(room, "", 1);
    cti_write_format(out, "%s\n{\"id\":\"n%lld\",\"label\":", i ? "," : "", (long long)i);
    if (room->status == CT_OK) cti_write_json_string(out, room->text);
    put_namespace(p, out, node->frame, room);
    put_attributes(p, out, node);
    cti_write_text(out, ",\"outputsMetadata\":[{\"id\":\"0\",\"attrs\":[");
    put_attribute(out, "shape", node->type);
    cti_write_text(out, "]}]");
}

void cti_explorer_write(const cti_picture *p, cti_writer *out) {
    cti_writer room = {0};
    cti_write_text(out, "{\"label\":");
    put(out, p->title ? p->title : "cotan");
    cti_write_text(out, ",\"graphs\":[{\"id\":");
    put(out, p->title ? p->title : "graph");
    cti_write_text(out, ",\"nodes\":[");
    for (int64_t i = 0, k = 0; i < p->n_nodes; i++) {
        int64_t first = k;
        while (k < p->n_arrows && p->arrows[k].to == i) k++;
        put_node(p, out, i, &room);
        put_edges(p, out, first, k);
        cti_write_text(out, "}");
    }
    cti_write_text(out, "]}]}\n");
    cti_free(room.text);
}
