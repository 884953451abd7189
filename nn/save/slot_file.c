/* Lists of slots in and out of safetensors files.
 * It does not know what the slots are for.
 * Invariant: everything is checked and made before the first slot changes, and then nothing can
 * fail. */
#include "nn/save/slot_file.h"

#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/base/shape_rules.h"
#include "tensor/group.h"
#include "tensor/io/json.h"
#include "tensor/io/safetensors_file.h"
#include "tensor/io/writer.h"
#include "tensor/ranks/exchange.h"
#include "tensor/value/slot_private.h"

#include <string.h>

#define NAME_SIZE (CTI_SAFETENSORS_NAME + 1)
#define SHOWN_MISMATCHES 4
#define MOST_PLACES 16 /* that a form is asked for: one may never say no */

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
    ct_status joined = cti_check_joined("ct_safetensors_save"); /* else each process is rank 0 */
    if (joined != CT_OK) return joined;
    if (ct_group_rank(ct_group_current()) > 0) return CT_OK; /* rank 0 writes for all */
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
    const char *function, *path;
    const ct_safetensors *file;
    const cti_slot_group *groups;
    int n;
    const ct_weights_load_options *options;
    ct_weights_report *report; /* NULL: not wanted */
    int64_t count, fitting;
    cti_writer text; /* of the first few differences */
} comparison;

static void add_to_report(comparison *c, ct_weights_reason reason, const char *name,
                          const char *text) {
    ct_weights_report *report = c->report;
    if (!cti_grow(&report->items, report->count, sizeof *report->items)) {
        c->text.status = CT_ERR_MEMORY;
        return;
    }
    ct_weights_difference added = {reason, cti_strdup(name), cti_strdup(text)};
    report->items[report->count++] = added;
    if (!added.name || !added.text) c->text.status = CT_ERR_MEMORY;
}

/* "'fc1/kernel' is [784,128] here, [784,256] in file" */
static void add_difference(comparison *c, ct_weights_reason reason, const char *name,
                           const char *rest) {
    char text[2 * sizeof(cti_shown) + 3 * sizeof(ct_shape_text) + 80];
    c->count++;
    bool shown = c->count <= SHOWN_MISMATCHES + 1;
    if (c->text.status != CT_OK || (!shown && !c->report)) return;
    snprintf(text, sizeof text, "'%s'%s", cti_show(name, strlen(name)).text, rest);
    if (c->report) add_to_report(c, reason, name, text);
    if (!shown) return;
    if (c->count > 1) cti_write_text(&c->text, "; ");
    cti_write_text(&c->text, c->count == SHOWN_MISMATCHES + 1 ? "..." : text);
}

/* Where the file has the value of a slot, by number. */
typedef struct {
    int64_t entry, second; /* -1: none */
    ct_weights_layout layout;
    const ct_weights_flattened *image; /* NULL: none */
} source;

static bool is_laid_out(const ct_weights_layout *layout) {
    return layout->blocks.of > 0 || layout->stacked || layout->axes.count > 0;
}

static ct_shape two_of(ct_shape one) {
    ct_shape two = {.rank = one.rank + 1, .dims = {2}};
    memcpy(two.dims + 1, one.dims, (size_t)one.rank * sizeof *one.dims);
    return two;
}

/* The shape that the slot's value gets. False when it cannot be, for what is in the file or for a
 * layout that makes no sense. */
static bool arrives_as(const ct_weights_layout *layout, ct_shape there, ct_shape here,
                       ct_shape *out) {
    ct_shape s = *out = there;
    int of = layout->blocks.of, count = layout->blocks.count;
    if (of != 0) {
        if (of < 0 || count < 1 || count > (int)sizeof layout->blocks.take) return false;
        if (s.rank < 1 || s.dims[0] % of) return false;
        for (int i = 0; i < count; i++) {
            if (layout->blocks.take[i] < 0 || layout->blocks.take[i] >= of) return false;
        }
        s.dims[0] = s.dims[0] / of * count;
    }
    if (layout->stacked && s.rank == CT_MAX_RANK) return false;
    if (layout->stacked) s = two_of(s);
    if (layout->reshaped && ct_shape_numel(s) == ct_shape_numel(here)) s = here;
    *out = s;
    if (layout->axes.count == 0) return true;
    ct_axes axes = layout->axes;
    unsigned named = 0;
    if (axes.count != s.rank) return false;
    for (int i = 0; i < axes.count; i++) {
        int axis = axes.axis[i] < 0 ? axes.axis[i] + s.rank : axes.axis[i];
        if (axis < 0 || axis >= s.rank || (named & 1U << axis)) return false;
        named |= 1U << axis;
        out->dims[i] = s.dims[axis];
    }
    return true;
}

/* Whether an image that was flattened has as many elements as the slot has rows. */
static bool image_fits(const ct_weights_flattened *image, ct_shape here) {
    int64_t rows = here.rank > 0 ? here.dims[0] : 0;
    return rows % image->channels == 0 && rows / image->channels == image->height * image->width;
}

/* " is [5,4] here, [5,3] in file ('fc2.weight', stored as [3,5])" */
static void say_shapes(const cti_safetensors_entry *there, const ct_weights_layout *layout,
                       ct_shape here, const char *name, char *text, size_t size) {
    ct_shape arrives;
    bool possible = arrives_as(layout, there->shape, here, &arrives);
    if (!possible) arrives = there->shape;
    int length = snprintf(text, size, " is %s here, %s in file", ct_shape_format(here).text,
                          ct_shape_format(arrives).text);
    bool renamed = strcmp(name, there->name) != 0;
    cti_shown shown = cti_show(there->name, strlen(there->name));
    text += length, size -= (size_t)length;
    if (!possible) {
        snprintf(text, size, " ('%s', of which the form's layout cannot be made)", shown.text);
    } else if (is_laid_out(layout)) {
        snprintf(text, size, " ('%s', stored as %s)", shown.text,
                 ct_shape_format(there->shape).text);
    } else if (renamed) {
        snprintf(text, size, " ('%s')", shown.text);
    }
}

static bool type_fits(const comparison *c, ct_dtype here, ct_dtype there) {
    bool floats = ct_dtype_is_float(here) && ct_dtype_is_float(there);
    return here == there || (floats && c->options->convert);
}

/* Whether the slot can hold what an entry of the file becomes; else what to say of it. */
static bool entry_fits(const comparison *c, const char *name, const ct_tensor *here,
                       const source *s, int64_t entry, char *text, size_t size) {
    const cti_safetensors_entry *there = &c->file->entries[entry];
    const cti_stored *stored = there->type->stored;
    ct_shape shape;
    if (!arrives_as(&s->layout, there->shape, ct_shape_of(here), &shape) ||
        !ct_shape_equal(ct_shape_of(here), shape)) {
        say_shapes(there, &s->layout, ct_shape_of(here), name, text, size);
    } else if (s->image && !image_fits(s->image, shape)) {
        snprintf(text, size, " is %s here, the flattened image %lldx%lldx%lld",
                 ct_shape_format(shape).text, (long long)s->image->channels,
                 (long long)s->image->height, (long long)s->image->width);
    } else if (!stored || !type_fits(c, ct_dtype_of(here), stored->dtype)) {
        snprintf(text, size, " is %s here, %s in file", ct_dtype_name(ct_dtype_of(here)),
                 stored && !stored->widen ? ct_dtype_name(stored->dtype) : there->type->name);
    } else {
        return true;
    }
    return false;
}

static bool compare(comparison *c, const char *name, const ct_tensor *here, const source *s) {
    char text[3 * sizeof(ct_shape_text) + sizeof(cti_shown) + 80];
    if (entry_fits(c, name, here, s, s->entry, text, sizeof text) &&
        (s->second < 0 || entry_fits(c, name, here, s, s->second, text, sizeof text))) {
        return true;
    }
    add_difference(c, CT_WEIGHT_UNFIT, name, text);
    return false;
}

/* Whether the pair renames this slot: the whole path, or a beginning that ends in a slash. */
static bool holds_for(const ct_weights_name *pair, const char *path) {
    size_t length = strlen(pair->model);
    if (strncmp(path, pair->model, length) != 0) return false;
    return path[length] == '\0' || length == 0 || pair->model[length - 1] == '/';
}

/* The pair of names that a path has, which may be one of nothing. */
static const ct_weights_name *pair_of(const comparison *c, const char *name) {
    static const ct_weights_name same = {.model = "", .file = ""};
    for (int64_t i = 0; i < c->options->n_names; i++) {
        if (holds_for(&c->options->names[i], name)) return &c->options->names[i];
    }
    return &same;
}

static const ct_weights_flattened *image_of(const comparison *c, const char *name) {
    for (int64_t i = 0; i < c->options->n_flattened; i++) {
        if (strcmp(c->options->flattened[i].kernel, name) == 0) return &c->options->flattened[i];
    }
    return NULL;
}

static bool cotan_place(const ct_named_slot *slot, const char *file, const char *path, int attempt,
                        ct_weights_place *out) {
    (void)slot;
    return attempt == 0 &&
           snprintf(out->name, sizeof out->name, "%s%s", file, path) < (int)sizeof out->name;
}

/* Whether the file has a tensor there that gets the slot's shape. */
static bool is_there(const comparison *c, const ct_weights_place *place, ct_shape here,
                     bool *of_shape) {
    int64_t entry = ct_safetensors_find(c->file, place->name);
    ct_shape shape;
    *of_shape = entry >= 0 &&
                arrives_as(&place->layout, c->file->entries[entry].shape, here, &shape) &&
                ct_shape_equal(shape, here);
    return entry >= 0;
}

/* Where the file has a slot: the first place where a tensor of its shape is, or else the first
 * where any is, or else the first of all. */
static ct_status place_in_file(const comparison *c, const ct_named_slot *slot, const char *name,
                               ct_shape here, ct_weights_place *out) {
    const ct_weights_form *form = c->options->form;
    const ct_weights_name *pair = pair_of(c, name);
    const char *path = name + strlen(pair->model);
    bool found = false, fits = false;
    for (int attempt = 0;; attempt++) {
        ct_weights_place tried = {.name = ""};
        bool is_place = attempt < MOST_PLACES &&
                        (form ? form->place : cotan_place)(slot, pair->file, path, attempt, &tried);
        if (attempt == 0) *out = tried;
        if (!is_place && attempt > 0) return CT_OK;
        if (!is_place) break;
        if (!is_there(c, &tried, here, &fits) || (found && !fits)) continue;
        *out = tried;
        found = true;
        if (fits) return CT_OK;
    }
    *out = (ct_weights_place){.name = ""};
    if (form) {
        /* What is no parameter, as a stream of keys, is ours alone, and stays. */
        if (!slot->parameter) return CT_OK;
        return ct_fail(CT_ERR_STATE, "%s: a file of that form has no name for '%s', a slot of %s",
                       c->function, cti_show(name, strlen(name)).text, slot->module->kind->name);
    }
    return ct_fail(CT_ERR_RANGE, "%s: the name in the file of '%s' is longer than %d bytes",
                   c->function, cti_show(name, strlen(name)).text, CTI_SAFETENSORS_NAME);
}

static void add_missing(comparison *c, const char *name, const char *there) {
    char rest[sizeof(cti_shown) + 32];
    bool renamed = strcmp(name, there) != 0;
    snprintf(rest, sizeof rest, renamed ? " missing, called '%s' in file" : " missing",
             cti_show(there, strlen(there)).text);
    add_difference(c, CT_WEIGHT_MISSING, name, rest);
}

/* s->entry becomes the number of the file's entry for the slot, -1 when none fits. wanted[] marks
 * the entries that belong to some slot. */
static ct_status match_slot(comparison *c, const cti_slot_group *group, int64_t i, source *s,
                            bool wanted[]) {
    char name[NAME_SIZE];
    ct_weights_place there;
    ct_status status = full_name(c->function, group, i, name);
    if (status != CT_OK) return status;
    const ct_named_slot *slot = &group->slots.items[i];
    ct_tensor *here = ct_slot_read(slot->slot);
    if (!here) return CT_ERR_MEMORY;
    status = place_in_file(c, slot, name, ct_shape_of(here), &there);
    if (status != CT_OK) return status;
    *s = (source){.entry = -1};
    if (!*there.name) return CT_OK;
    *s = (source){ct_safetensors_find(c->file, there.name), -1, there.layout, image_of(c, name)};
    if (*there.second) s->second = ct_safetensors_find(c->file, there.second);
    bool found = s->entry >= 0 && (!*there.second || s->second >= 0);
    if (s->entry >= 0) wanted[s->entry] = true;
    if (s->second >= 0) wanted[s->second] = true;
    if (!found) add_missing(c, name, s->entry < 0 ? there.name : there.second);
    if (found && compare(c, name, here, s)) c->fitting++;
    else s->entry = -1;
    return CT_OK;
}

/* Where a pair of names is of the whole model, only what some pair names is the model's. */
static bool belongs(const ct_weights_load_options *options, const char *name) {
    bool limited = false;
    for (int64_t i = 0; i < options->n_names; i++) {
        const ct_weights_name *pair = &options->names[i];
        if (strncmp(name, pair->file, strcspn(pair->file, "*")) == 0) return true;
        limited |= !*pair->model;
    }
    return !limited;
}

/* Whether the file holds what is no weight of the model and may be left. */
static bool is_ignored(const comparison *c, const char *name) {
    const char *ending = c->options->form ? c->options->form->ignored : NULL;
    size_t length = strlen(name), end = ending ? strlen(ending) : 0;
    if (!belongs(c->options, name)) return true;
    return ending && length >= end && strcmp(name + length - end, ending) == 0;
}

static bool any_path(const comparison *c, bool (*holds)(const void *what, const char *path),
                     const void *what) {
    char name[NAME_SIZE];
    for (int g = 0; g < c->n; g++) {
        for (int64_t i = 0; i < c->groups[g].slots.count; i++) {
            if (full_name(c->function, &c->groups[g], i, name) != CT_OK) return true;
            if (holds(what, name)) return true;
        }
    }
    return false;
}

static bool pair_holds(const void *pair, const char *path) { return holds_for(pair, path); }

static bool is_kernel_of(const void *image, const char *path) {
    return strcmp(((const ct_weights_flattened *)image)->kernel, path) == 0;
}

/* What is said about slots must be about some. */
static ct_status check_said(const comparison *c) {
    const ct_weights_load_options *o = c->options;
    for (int64_t i = 0; i < o->n_names; i++) {
        if (any_path(c, pair_holds, &o->names[i])) continue;
        size_t length = strlen(o->names[i].model);
        bool beginning = length > 0 && o->names[i].model[length - 1] == '/';
        return ct_fail(CT_ERR_RANGE, "%s: names[%lld]: no slot%s '%s'%s", c->function, (long long)i,
                       beginning ? "'s path begins with" : " is called",
                       cti_show(o->names[i].model, length).text,
                       beginning ? "" : "; a beginning of paths ends in '/'");
    }
    for (int64_t i = 0; i < o->n_flattened; i++) {
        if (any_path(c, is_kernel_of, &o->flattened[i])) continue;
        return ct_fail(CT_ERR_RANGE, "%s: flattened[%lld]: no slot is called '%s'", c->function,
                       (long long)i,
                       cti_show(o->flattened[i].kernel, strlen(o->flattened[i].kernel)).text);
    }
    return ct_error();
}

static ct_status match(comparison *c, source sources[], bool wanted[]) {
    int64_t k = 0;
    if (c->options->n_names + c->options->n_flattened > 0 && check_said(c) != CT_OK) {
        return ct_error();
    }
    for (int g = 0; g < c->n; g++) {
        for (int64_t i = 0; i < c->groups[g].slots.count; i++, k++) {
            ct_status status = match_slot(c, &c->groups[g], i, &sources[k], wanted);
            if (status != CT_OK) return status;
        }
    }
    for (int64_t i = 0; i < c->file->count; i++) {
        const char *name = c->file->entries[i].name;
        if (!wanted[i] && !is_ignored(c, name))
            add_difference(c, CT_WEIGHT_UNUSED, name, " only in file");
    }
    return c->text.status;
}

/* For users who load a checkpoint as if it were a file of weights. */
static const char *advice(const comparison *c) {
    const char *format = ct_safetensors_metadata(c->file, "format");
    bool is_checkpoint = format && strcmp(format, CTI_CHECKPOINT_FORMAT) == 0;
    bool of_weights = c->n == 1 && !*c->groups[0].prefix;
    bool known = c->options->n_names > 0;
    if (!is_checkpoint || !of_weights || known) return "";
    return "a checkpoint, which ct_checkpoint_load reads, or ct_weights_load_with with "
           "the name {\"\", \"model/\"}: ";
}

static ct_status judge(const comparison *c) {
    bool partial = c->options->partial;
    if (c->count == 0 || (partial && c->fitting > 0)) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "%s: %s: %s%s%lld mismatch%s: %.*s", c->function,
                   cti_show_path(c->path).text, advice(c), partial ? "nothing fits, " : "",
                   (long long)c->count, c->count == 1 ? "" : "es", (int)c->text.used, c->text.text);
}

/* --- Loading ---------------------------------------------------------------------------------- */

/* A tensor of the file, or the blocks of it that the slot takes. */
static ct_tensor *taken(const comparison *c, int64_t entry, const ct_weights_layout *layout,
                        ct_dtype dtype) {
    ct_tensor *whole = ct_cast(ct_safetensors_value(c->file, entry), dtype);
    ct_tensor *parts[sizeof layout->blocks.take];
    if (layout->blocks.of == 0) return whole;
    int64_t size = ct_dim(whole, 0) / layout->blocks.of;
    for (int i = 0; i < layout->blocks.count; i++) {
        int64_t begin = layout->blocks.take[i] * size;
        parts[i] = ct_slice(whole, 0, begin, begin + size, 1);
    }
    return ct_concat(parts, layout->blocks.count, 0);
}

static ct_tensor *both(ct_tensor *first, ct_tensor *second, bool stacked) {
    if (!stacked) return ct_add(first, second);
    return ct_reshape(CT_CONCAT(0, first, second), two_of(ct_shape_of(first)));
}

/* What the slot gets: rows of an image in the file's order C, H, W come in the order H, W, C. */
static ct_tensor *value_from(const comparison *c, const source *s, const ct_slot *slot) {
    const ct_weights_layout *layout = &s->layout;
    ct_dtype dtype = ct_dtype_of(slot->value);
    ct_tensor *value = taken(c, s->entry, layout, dtype);
    if (s->second >= 0) value = both(value, taken(c, s->second, layout, dtype), layout->stacked);
    if (layout->reshaped) value = ct_reshape(value, ct_shape_of(slot->value));
    if (layout->axes.count > 0) value = ct_permute(value, layout->axes);
    const ct_weights_flattened *image = s->image;
    if (!image) return value;
    ct_shape rows = ct_shape_of(slot->value);
    int64_t rest = cti_shape_span(rows, 1, rows.rank);
    value = ct_reshape(value, CT_SHAPE(image->channels, image->height, image->width, rest));
    return ct_reshape(ct_permute(value, CT_AXES(1, 2, 0, 3)), rows);
}

static ct_status make_values(const comparison *c, const source sources[], ct_tensor *prepared[]) {
    int64_t k = 0;
    for (int g = 0; g < c->n; g++) {
        for (int64_t i = 0; i < c->groups[g].slots.count; i++, k++) {
            if (sources[k].entry < 0) continue;
            ct_slot *slot = c->groups[g].slots.items[i].slot;
            prepared[k] = cti_slot_prepare(slot, value_from(c, &sources[k], slot));
            if (!prepared[k]) return ct_error();
        }
    }
    return CT_OK;
}

ct_tensor **cti_slots_prepare_with(const char *function, const char *path,
                                   const ct_safetensors *file, const cti_slot_group groups[], int n,
                                   const ct_weights_load_options *options,
                                   ct_weights_report *report) {
    comparison c = {.function = function,
                    .path = path,
                    .file = file,
                    .groups = groups,
                    .n = n,
                    .options = options,
                    .report = report};
    size_t total = (size_t)count_slots(groups, n);
    source *sources = cti_alloc(total, sizeof *sources);
    bool *wanted = cti_alloc((size_t)file->count, sizeof *wanted);
    ct_tensor **prepared = cti_alloc(total, sizeof(ct_tensor *));
    ct_status status = sources && wanted && prepared ? CT_OK : CT_ERR_MEMORY;
    if (status == CT_OK) status = match(&c, sources, wanted);
    if (status == CT_OK) status = judge(&c);
    if (status == CT_OK) status = make_values(&c, sources, prepared);
    cti_free(sources);
    cti_free(wanted);
    cti_free(c.text.text);
    if (status == CT_OK) {
        if (report) report->loaded = c.fitting;
        return prepared;
    }
    cti_free(prepared);
    return NULL;
}

ct_tensor **cti_slots_prepare(const char *function, const char *path, const ct_safetensors *file,
                              const cti_slot_group groups[], int n) {
    static const ct_weights_load_options strict = {.partial = false};
    return cti_slots_prepare_with(function, path, file, groups, n, &strict, NULL);
}

void cti_slots_swap(const cti_slot_group groups[], int n, ct_tensor *const prepared[]) {
    for (int g = 0; g < n; g++) {
        for (int64_t i = 0; i < groups[g].slots.count; i++, prepared++) {
            if (*prepared) cti_slot_swap(groups[g].slots.items[i].slot, *prepared);
        }
    }
}
