/* Lists of slots in and out of safetensors files.
 * It does not know what the slots are for.
 * Invariant: everything is checked and made before the first slot changes, and then nothing can
 * fail. */
#include "nn/slot_file.h"

#include "tensor/json.h"
#include "tensor/mem.h"
#include "tensor/safetensors_file.h"
#include "tensor/slot_private.h"
#include "tensor/text.h"

#include <string.h>

#define NAME_SIZE (CTI_SAFETENSORS_NAME + 1)
#define SHOWN_MISMATCHES 4

static int64_t count_slots(const cti_slot_group groups[], int n) {
    int64_t total = 0;
    for (int g = 0; g < n; g++) total += groups[g].slots.count;
    return total;
}

static ct_status full_name(const char *function, const cti_slot_group *group, int64_t i,
                           char name[NAME_SIZE]) {
    int length = snprintf(name, NAME_SIZE, "%s%s", group->prefix, group->slots.items[i].path);
    if (length < NAME_SIZE) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "%s: a slot's path is longer than %d bytes", function,
                   CTI_SAFETENSORS_NAME);
}

/* --- Saving ----------------------------------------------------------------------------------- */

typedef struct {
    ct_named *entries;
    char (*names)[NAME_SIZE];
    int64_t count;
} entries;

static ct_status collect(const cti_slot_group groups[], int n, entries *e) {
    size_t total = (size_t)count_slots(groups, n);
    e->entries = cti_alloc(total, sizeof *e->entries);
    e->names = cti_alloc(total, sizeof *e->names);
    if (!e->entries || !e->names) return CT_ERR_MEMORY;
    for (int g = 0; g < n; g++) {
        for (int64_t i = 0; i < groups[g].slots.count; i++, e->count++) {
            char *name = e->names[e->count];
            if (full_name("ct_safetensors_save", &groups[g], i, name) != CT_OK) return ct_error();
            e->entries[e->count] = (ct_named){name, ct_slot_read(groups[g].slots.items[i].slot)};
        }
    }
    return CT_OK;
}

ct_status cti_slots_save(const char *path, const cti_slot_group groups[], int n,
                         const ct_pair *metadata, int64_t n_metadata) {
    entries e = {0};
    int64_t scope = ct_scope_open();
    ct_status status = collect(groups, n, &e);
    if (status == CT_OK) {
        status = ct_safetensors_save(path, e.entries, e.count, metadata, n_metadata);
    }
    ct_scope_close(scope);
    cti_free(e.entries);
    cti_free(e.names);
    return status;
}

/* --- Comparing -------------------------------------------------------------------------------- */

typedef struct {
    int64_t count;
    cti_writer text; /* the first few */
} mismatches;

/* "; 'fc1/kernel' is [784,128] here, [784,256] in file" */
static void add_mismatch(mismatches *m, const char *name, const char *rest) {
    m->count++;
    if (m->count > SHOWN_MISMATCHES + 1) return;
    if (m->count > 1) cti_write_text(&m->text, "; ");
    if (m->count == SHOWN_MISMATCHES + 1) {
        cti_write_text(&m->text, "...");
        return;
    }
    cti_write_text(&m->text, "'");
    cti_write_text(&m->text, cti_show(name, strlen(name)).text);
    cti_write_text(&m->text, "'");
    cti_write_text(&m->text, rest);
}

static void compare(mismatches *m, const char *name, const ct_tensor *here,
                    const cti_safetensors_entry *there) {
    char rest[2 * sizeof(ct_shape_text) + 64];
    if (!ct_shape_equal(ct_shape_of(here), there->shape)) {
        snprintf(rest, sizeof rest, " is %s here, %s in file",
                 ct_shape_format(ct_shape_of(here)).text, ct_shape_format(there->shape).text);
        add_mismatch(m, name, rest);
    } else if (ct_dtype_of(here) != there->dtype) {
        snprintf(rest, sizeof rest, " is %s here, %s in file", ct_dtype_name(ct_dtype_of(here)),
                 ct_dtype_name(there->dtype));
        add_mismatch(m, name, rest);
    }
}

/* place[k] is the file's entry for slot k; wanted[] says which entries some slot wants. */
static ct_status match(const char *function, const ct_safetensors *file,
                       const cti_slot_group groups[], int n, int64_t place[], bool wanted[],
                       mismatches *m) {
    int64_t k = 0;
    for (int g = 0; g < n; g++) {
        for (int64_t i = 0; i < groups[g].slots.count; i++, k++) {
            char name[NAME_SIZE];
            if (full_name(function, &groups[g], i, name) != CT_OK) return ct_error();
            ct_tensor *here = ct_slot_read(groups[g].slots.items[i].slot);
            if (!here) return CT_ERR_MEMORY;
            place[k] = ct_safetensors_find(file, name);
            if (place[k] < 0) {
                add_mismatch(m, name, " missing");
                continue;
            }
            wanted[place[k]] = true;
            compare(m, name, here, &file->entries[place[k]]);
        }
    }
    for (int64_t i = 0; i < file->count; i++) {
        if (!wanted[i]) add_mismatch(m, file->entries[i].name, " only in file");
    }
    return m->text.status;
}

static ct_status report(const char *function, const char *path, mismatches *m) {
    if (m->count == 0) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "%s: %s: %lld mismatch%s: %.*s", function,
                   cti_show_path(path).text, (long long)m->count, m->count == 1 ? "" : "es",
                   (int)m->text.used, m->text.text);
}

/* --- Loading ---------------------------------------------------------------------------------- */

static ct_status make_values(const ct_safetensors *file, const cti_slot_group groups[], int n,
                             const int64_t place[], ct_tensor *prepared[]) {
    int64_t k = 0;
    for (int g = 0; g < n; g++) {
        for (int64_t i = 0; i < groups[g].slots.count; i++, k++) {
            ct_tensor *value = ct_safetensors_value(file, place[k]);
            prepared[k] = cti_slot_prepare(groups[g].slots.items[i].slot, value);
            if (!prepared[k]) return ct_error();
        }
    }
    return CT_OK;
}

ct_tensor **cti_slots_prepare(const char *function, const char *path, const ct_safetensors *file,
                              const cti_slot_group groups[], int n) {
    size_t total = (size_t)count_slots(groups, n);
    int64_t *place = cti_alloc(total, sizeof *place);
    bool *wanted = cti_alloc((size_t)file->count, sizeof *wanted);
    ct_tensor **prepared = cti_alloc(total, sizeof(ct_tensor *));
    mismatches m = {0};
    ct_status status = place && wanted && prepared ? CT_OK : CT_ERR_MEMORY;
    if (status == CT_OK) status = match(function, file, groups, n, place, wanted, &m);
    if (status == CT_OK) status = report(function, path, &m);
    if (status == CT_OK) status = make_values(file, groups, n, place, prepared);
    cti_free(place);
    cti_free(wanted);
    cti_free(m.text.text);
    if (status == CT_OK) return prepared;
    cti_free(prepared);
    return NULL;
}

void cti_slots_swap(const cti_slot_group groups[], int n, ct_tensor *const prepared[]) {
    for (int g = 0; g < n; g++) {
        for (int64_t i = 0; i < groups[g].slots.count; i++) {
            cti_slot_swap(groups[g].slots.items[i].slot, *prepared++);
        }
    }
}
