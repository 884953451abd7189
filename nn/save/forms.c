/* Forms: how files of other libraries call slots and lay them out.
 * It reads no file; slot_file.c does. What PyTorch calls a layer's slots is said by the layer.
 * Invariant: a name that does not fit is no place, never a part of one. */
#include "nn/weights.h"

#include <stdio.h>
#include <string.h>

/* "a/b/kernel" -> "a/b/" */
static size_t folder_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* --- PyTorch ---------------------------------------------------------------------------------- */

static bool dotted(const char *file, const char *path, const char *name,
                   char out[CT_WEIGHTS_NAME]) {
    size_t folder = folder_length(path), begin = strlen(file);
    /* Without a path the pair of names gave the whole. */
    int length = snprintf(out, CT_WEIGHTS_NAME, "%s%.*s%s", file, (int)folder, path,
                          *path ? name : "");
    for (size_t i = 0; i < folder && begin + i < CT_WEIGHTS_NAME - 1; i++) {
        if (out[begin + i] == '/') out[begin + i] = '.';
    }
    return length < CT_WEIGHTS_NAME;
}

static bool pytorch_place(const ct_named_slot *slot, const char *file, const char *path,
                          ct_weights_place *out) {
    const char *name = ct_slot_name(slot->slot);
    const ct_pytorch_slot *row = slot->module ? slot->module->kind->pytorch : NULL;
    while (row && row->slot && strcmp(row->slot, name) != 0) row++;
    if (!row || !row->slot) return false;
    out->axes = row->axes;
    return dotted(file, path, row->name, out->name) &&
           (!row->plus || dotted(file, path, row->plus, out->plus));
}

const ct_weights_form ct_weights_pytorch = {.place = pytorch_place,
                                            .ignored = ".num_batches_tracked"};

/* --- Keras ------------------------------------------------------------------------------------ */

static bool keras_place(const ct_named_slot *slot, const char *file, const char *path,
                        ct_weights_place *out) {
    if (ct_dtype_of(ct_slot_read(slot->slot)) == CT_I64) return false; /* a stream of keys */
    size_t used = (size_t)snprintf(out->name, sizeof out->name, "%s", file);
    for (const char *end; (end = strchr(path, '/')) && used < sizeof out->name; path = end + 1) {
        used += (size_t)snprintf(out->name + used, sizeof out->name - used, "%slayers/%.*s",
                                 used ? "/" : "", (int)(end - path), path);
    }
    if (used >= sizeof out->name) return false;
    if (*path) {
        used += (size_t)snprintf(out->name + used, sizeof out->name - used, "/vars/%d",
                                 slot->number);
    }
    return used < sizeof out->name;
}

const ct_weights_form ct_weights_keras = {.place = keras_place,
                                          .ignored = "/seed_generator/vars/0"};
