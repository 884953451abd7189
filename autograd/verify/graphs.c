/* Graphs like others, in which some nodes are replaced.
 * It decides nothing about which; its callers do.
 * Invariant: what does not change is shared, and derivatives go through what does. */
#include "autograd/verify/verify_private.h"

#include "tensor/base/alloc.h"
#include "tensor/graph/node.h"
#include "tensor/graph/walk.h"

/* t over the images of its inputs; t itself where none changed, or where it cannot be copied. */
static ct_tensor *image_of(ct_tensor *t, ct_tensor *const images[]) {
    bool changed = false;
    for (int k = 0; k < t->n_inputs; k++) changed |= images[t->inputs[k]->index] != t->inputs[k];
    if (!changed || t->op->release) return t;
    ct_tensor *copy = cti_node_like(t);
    for (int k = 0; k < t->n_inputs && copy; k++) {
        ct_set(&copy->inputs[k], images[t->inputs[k]->index]);
    }
    return copy;
}

ct_status cti_graph_map(ct_tensor *const roots[], int64_t n, ct_tensor *out[], cti_map_fn *map,
                        void *context) {
    cti_walk walk;
    ct_status status = cti_walk_new(&walk, roots, n, cti_walk_whole_graph);
    if (status != CT_OK) return status;
    ct_tensor **images = cti_alloc((size_t)walk.count, sizeof *images);
    if (!images) status = CT_ERR_MEMORY;
    for (int64_t i = 0; i < walk.count && status == CT_OK; i++) {
        ct_tensor *t = walk.items[i], *image = image_of(t, images);
        images[i] = image ? map(context, t, image, images) : NULL;
        cti_walk_resume(&walk);
        if (!images[i]) status = ct_error();
    }
    for (int64_t k = 0; k < n && status == CT_OK; k++) out[k] = images[roots[k]->index];
    cti_free(images);
    cti_walk_free(&walk);
    return status;
}

typedef struct {
    const ct_tensor *node;
    ct_tensor *other;
} replacement;

static ct_tensor *replace(void *context, ct_tensor *t, ct_tensor *image,
                          ct_tensor *const images[]) {
    (void)images;
    const replacement *r = context;
    return t == r->node ? r->other : image;
}

ct_tensor *cti_graph_with(ct_tensor *y, const ct_tensor *node, ct_tensor *other) {
    ct_tensor *out = NULL;
    cti_graph_map(&y, 1, &out, replace, &(replacement){node, other});
    return out;
}
