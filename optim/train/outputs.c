/* What layers give: found in the graph of a loss, by the paths that its nodes carry.
 * It asks no module, so that those of users are seen, and nothing is recorded when nobody looks.
 * Invariant: evaluates nothing; the outputs are nodes of the graph. */
#include "optim/train/train.h"

#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/base/context.h"
#include "tensor/graph/walk.h"

/* A view shows numbers of the node that it looks at: the module's own, or not. */
static bool is_computed_in(const ct_tensor *t, const char *module) {
    while (t->op && t->op->kind == CT_VIEW && t->path == module) t = t->inputs[0];
    return t->op && t->path == module;
}

static bool leaves_its_module(const ct_tensor *t, const char *reader) {
    if (!t->op || t->order > 0 || !*t->path || !ct_dtype_is_float(t->dtype)) return false;
    return !cti_path_within(reader, t->path) && is_computed_in(t, t->path);
}

static ct_status add(cti_outputs *out, ct_tensor *t) {
    int64_t k = 0;
    while (k < out->count && out->items[k].path != t->path) k++; /* interned */
    if (k == out->count) {
        if (!cti_grow(&out->items, out->count, sizeof *out->items)) return CT_ERR_MEMORY;
        out->items[out->count++] = (cti_output){t->path, t};
    } else if (t->id > out->items[k].value->id) {
        out->items[k].value = t;
    }
    return CT_OK;
}

ct_status cti_outputs_of(ct_tensor *loss, cti_outputs *out) {
    *out = (cti_outputs){0};
    cti_walk walk;
    if (cti_walk_new(&walk, &loss, 1, cti_walk_needed) != CT_OK) return CT_ERR_MEMORY;
    ct_status status = CT_OK;
    for (int64_t i = 0; i < walk.count && status == CT_OK; i++) {
        const ct_tensor *reader = walk.items[i];
        for (int k = 0; k < cti_walk_needed(reader) && status == CT_OK; k++) {
            ct_tensor *t = reader->inputs[k];
            if (reader->order > 0 || !leaves_its_module(t, reader->path)) continue;
            status = add(out, t);
        }
    }
    cti_walk_free(&walk);
    return status;
}

void cti_outputs_free(cti_outputs *outputs) {
    cti_free(outputs->items);
    *outputs = (cti_outputs){0};
}
