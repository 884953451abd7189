/* Forms: how files of other libraries call slots and lay them out.
 * It reads no file; slot_file.c does. What PyTorch calls a layer's slots is said by the layer.
 * Invariant: a name that does not fit is no place, never a part of one. */
#include "nn/weights.h"

#include <stdio.h>
#include <string.h>

/* --- Rows ------------------------------------------------------------------------------------- */

/* The length of what comes before the last `parts` parts of a path. "a/b/kernel", 1 -> "a/b/". */
static size_t folder_length(const char *path, int parts) {
    size_t length = strlen(path);
    while (length > 0 && (path[length - 1] != '/' || --parts > 0)) length--;
    return length;
}

/* Whether a row's slot is "kernel", or with a child before it "query/kernel". */
static bool is_called(const char *slot, const char *child, const char *name) {
    size_t length = child ? strlen(child) : 0;
    if (!child) return strcmp(slot, name) == 0;
    return strncmp(slot, child, length) == 0 && slot[length] == '/' &&
           strcmp(slot + length + 1, name) == 0;
}

/* What a kind's rows say of a slot of its own, or of its child's, after *skip others that hold
 * too. */
static const ct_weights_slot *row_of(const ct_weights_slot *row, const char *child,
                                     const char *name, int *skip) {
    for (; row && row->slot; row++) {
        if (is_called(row->slot, child, name) && (*skip)-- == 0) return row;
    }
    return NULL;
}

static const ct_weights_slot *pytorch_rows(const ct_module *module) {
    return module ? module->kind->pytorch : NULL;
}
static const ct_weights_slot *keras_rows(const ct_module *module) {
    return module ? module->kind->keras : NULL;
}

/* The row for a slot, and the length of the folder that its name goes to. The parent's rows come
 * first, as they stand for the whole; of a path that is "" the last, as a tensor that a pair of
 * names gives to one slot is a part of something only where it does not fit otherwise. */
static const ct_weights_slot *find_row(const ct_named_slot *slot, const char *path,
                                       const ct_weights_slot *rows(const ct_module *), int *skip,
                                       size_t *folder) {
    const char *name = ct_slot_name(slot->slot), *child = slot->module->name;
    const ct_weights_slot *own = rows(slot->module), *row = NULL;
    if (!*path) row = row_of(own, NULL, name, skip);
    if (!row) row = row_of(rows(slot->parent), child, name, skip);
    *folder = folder_length(path, row ? 2 : 1);
    return row || !*path ? row : row_of(own, NULL, name, skip);
}

/* --- PyTorch ---------------------------------------------------------------------------------- */

/* `file`, then the folder with dots, then the name; the name in place of a star in `file`. */
static bool write_name(const char *file, const char *folder, size_t length, const char *name,
                       const char *ending, char out[CT_WEIGHTS_NAME]) {
    const char *star = strchr(file, '*');
    size_t begin = star ? (size_t)(star - file) : strlen(file);
    const char *end = star ? star + 1 : ending ? ending : "";
    int needed = snprintf(out, CT_WEIGHTS_NAME, "%.*s%.*s%s%s", (int)begin, file, (int)length,
                          folder, name, end);
    for (size_t i = begin; i < begin + length && i < CT_WEIGHTS_NAME - 1; i++) {
        if (out[i] == '/') out[i] = '.';
    }
    return needed < CT_WEIGHTS_NAME;
}

static bool pytorch_place(const ct_named_slot *slot, const char *file, const char *path,
                          int attempt, ct_weights_place *out) {
    size_t folder;
    int rest = attempt;
    if (!slot->module) return false;
    const ct_weights_slot *row = find_row(slot, path, pytorch_rows, &rest, &folder);
    if (!row && (*path || attempt > 0)) return false;
    if (row) out->layout = row->layout;
    if (!*path) { /* a pair of names gave the whole, which cannot be two */
        return !(row && row->second) && write_name(file, "", 0, "", NULL, out->name);
    }
    return write_name(file, path, folder, row->name, row->ending, out->name) &&
           (!row->second || write_name(file, path, folder, row->second, row->ending, out->second));
}

const ct_weights_form ct_weights_pytorch = {.place = pytorch_place,
                                            .ignored = ".num_batches_tracked"};

/* --- Keras ------------------------------------------------------------------------------------ */

/* `file`, "layers/PART" for each part of the folder, then the name. */
static bool write_path(const char *file, const char *folder, size_t length, const char *name,
                       char out[CT_WEIGHTS_NAME]) {
    size_t used = (size_t)snprintf(out, CT_WEIGHTS_NAME, "%s", file);
    for (const char *end = folder + length; folder < end && used < CT_WEIGHTS_NAME;) {
        size_t part = strcspn(folder, "/");
        used += (size_t)snprintf(out + used, CT_WEIGHTS_NAME - used, "%slayers/%.*s",
                                 used ? "/" : "", (int)part, folder);
        folder += part + 1;
    }
    if (used >= CT_WEIGHTS_NAME) return false;
    used += (size_t)snprintf(out + used, CT_WEIGHTS_NAME - used, "/%s", name);
    return used < CT_WEIGHTS_NAME;
}

static bool keras_place(const ct_named_slot *slot, const char *file, const char *path, int attempt,
                        ct_weights_place *out) {
    size_t folder;
    if (!slot->module || ct_dtype_of(ct_slot_read(slot->slot)) == CT_I64) return false; /* keys */
    const ct_weights_slot *row = find_row(slot, path, keras_rows, &attempt, &folder);
    if (!row && attempt > 0) return false;
    char usual[32];
    snprintf(usual, sizeof usual, "vars/%d", slot->number);
    if (row) out->layout = row->layout;
    if (!*path) return snprintf(out->name, CT_WEIGHTS_NAME, "%s", file) < CT_WEIGHTS_NAME;
    return write_path(file, path, folder, row ? row->name : usual, out->name);
}

const ct_weights_form ct_weights_keras = {.place = keras_place,
                                          .ignored = "/seed_generator/vars/0"};
