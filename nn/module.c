/* Modules: slots, children, names, and the forward that marks nodes with the module's path.
 * What a module computes is its kind's business.
 * Invariant: a module owns its slots, and its children together with all other modules that hold
 * them; different siblings have different names. */
#include "nn/module_private.h"

#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/base/caller.h"
#include "tensor/base/context.h"
#include "tensor/value/slot_private.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

ct_module *ct_module_new(size_t size, const ct_module_kind *kind) {
    CTI_CALLED;
    if (!kind || !kind->name) {
        return ct_fail_null(CT_ERR_NULL, "ct_module_new: '%s' is NULL",
                            kind ? "kind->name" : "kind");
    }
    if (size < sizeof(ct_module)) {
        return ct_fail_null(CT_ERR_RANGE,
                            "ct_module_new: the struct of a %s begins with ct_module "
                            "and has at least %zu bytes, got %zu",
                            kind->name, sizeof(ct_module), size);
    }
    ct_module *module = cti_alloc(1, size);
    if (module) module->kind = kind;
    return module;
}

void ct_module_free(ct_module *module) {
    if (!module || module->owners > 0) return;
    for (int64_t i = 0; i < module->n_children; i++) {
        module->children[i]->owners--;
        ct_module_free(module->children[i]);
    }
    for (int i = 0; i < module->n_slots; i++) ct_slot_drop(module->slots[i].slot);
    cti_free(module->children);
    cti_free(module->name);
    cti_free(module);
}

ct_module *cti_module_or_free(ct_module *module, ct_status status) {
    if (status == CT_OK) return module;
    ct_module_free(module);
    return NULL;
}

ct_status ct_module_rename(ct_module *module, const char *name) {
    CTI_CALLED;
    if (!module || !name) return ct_fail(CT_ERR_NULL, "ct_module_rename: an argument is NULL");
    if (!*name || strchr(name, '/')) {
        return ct_fail(CT_ERR_RANGE,
                       "ct_module_rename: a name has at least one character and no "
                       "'/', got '%.64s'",
                       name);
    }
    char *copy = cti_strdup(name);
    if (!copy) return CT_ERR_MEMORY;
    cti_free(module->name);
    module->name = copy;
    return CT_OK;
}

ct_status ct_module_add_slot(ct_module *module, const char *name, ct_tensor *initial,
                             bool trainable) {
    CTI_CALLED;
    if (!module || !name) {
        return cti_null("ct_module_add_slot: '%s' is NULL", module ? "name" : "module");
    }
    if (!*name || strchr(name, '/')) {
        return ct_fail(CT_ERR_RANGE,
                       "ct_module_add_slot: a name has at least one character and no '/', got "
                       "'%.64s'",
                       name);
    }
    for (int i = 0; i < module->n_slots; i++) {
        if (strcmp(module->slots[i].name, name) != 0) continue;
        return ct_fail(CT_ERR_STATE, "ct_module_add_slot: %s has a slot '%s' already",
                       module->kind->name, name);
    }
    if (trainable && initial && !ct_dtype_is_float(ct_dtype_of(initial))) {
        return ct_fail(CT_ERR_DTYPE, "ct_module_add_slot: '%.64s' is %s, which cannot be trained",
                       name, ct_dtype_name(ct_dtype_of(initial)));
    }
    if (module->n_slots == CT_MODULE_SLOTS) {
        return ct_fail(CT_ERR_RANGE, "ct_module_add_slot: a module has at most %d slots",
                       CT_MODULE_SLOTS);
    }
    ct_slot *slot = ct_slot_new(name, initial);
    if (!slot) return ct_error();
    slot->frozen = module->frozen;
    module->slots[module->n_slots++] = (ct_module_slot){ct_slot_name(slot), slot, trainable};
    return CT_OK;
}

ct_tensor *ct_module_read(ct_module *module, int i) {
    CTI_CALLED;
    if (!module) return cti_null_in("ct_module_read: 'module' is NULL");
    if (i < 0 || i >= module->n_slots) {
        return ct_fail_null(CT_ERR_RANGE, "ct_module_read: slot %d of %d", i, module->n_slots);
    }
    ct_tensor *given = cti_replacement_of(module->slots[i].slot);
    return given ? ct_scope_add(given) : ct_slot_read(module->slots[i].slot);
}

void ct_module_freeze(ct_module *module, bool frozen) {
    if (!module) return;
    module->frozen = frozen;
    for (int i = 0; i < module->n_slots; i++) module->slots[i].slot->frozen = frozen;
    for (int64_t i = 0; i < module->n_children; i++) ct_module_freeze(module->children[i], frozen);
}

/* --- Names ------------------------------------------------------------------------------------ */

/* A word begins with a capital letter after a small one, or before one and after a capital. */
static bool word_begins(const char *kind, size_t i) {
    if (i == 0 || !isupper((unsigned char)kind[i])) return false;
    bool capital_before = isupper((unsigned char)kind[i - 1]);
    return islower((unsigned char)kind[i - 1]) ||
           (capital_before && islower((unsigned char)kind[i + 1]));
}

/* "BatchNorm" as "batch_norm", "RMSNorm" as "rms_norm", "Conv2DTranspose" as "conv2d_transpose". */
static void snake_case(const char *kind, char *out, size_t size) {
    size_t n = 0;
    for (size_t i = 0; kind[i] && n + 2 < size; i++) {
        if (word_begins(kind, i)) out[n++] = '_';
        out[n++] = (char)tolower((unsigned char)kind[i]);
    }
    out[n] = '\0';
}

/* Another child among the first k + 1 with this name. */
static ct_module *namesake(const ct_module *parent, int64_t k, const ct_module *child,
                           const char *name) {
    for (int64_t i = 0; i <= k; i++) {
        ct_module *other = parent->children[i];
        if (other != child && other->name && strcmp(other->name, name) == 0) return other;
    }
    return NULL;
}

/* Whether the child is held by another container too, where its name is part of paths. */
static bool held_elsewhere(const ct_module *parent, const ct_module *child) {
    int64_t here = 0;
    for (int64_t i = 0; i < parent->n_children; i++) here += parent->children[i] == child;
    return child->owners > here;
}

/* The n of a name that is "base_n" as numbers are written here, 0 of "base" itself, else -1. */
static int64_t number_in(const char *name, const char *base) {
    char written[32];
    size_t length = strlen(base);
    if (strncmp(name, base, length) != 0) return -1;
    if (!name[length]) return 0;
    int64_t number = name[length] == '_' ? strtoll(name + length + 1, NULL, 10) : 0;
    snprintf(written, sizeof written, "_%lld", (long long)number);
    return number > 0 && strcmp(name + length, written) == 0 ? number : -1;
}

/* The least number that no other of the first k + 1 children has; -1: out of memory. There are no
 * more than k of them, so one of 0 .. k is free. */
static int64_t free_number(const ct_module *parent, int64_t k, const ct_module *child,
                           const char *base) {
    bool *taken = cti_alloc((size_t)k + 1, sizeof *taken);
    if (!taken) return -1;
    for (int64_t i = 0; i <= k; i++) {
        const ct_module *other = parent->children[i];
        int64_t number = other != child && other->name ? number_in(other->name, base) : -1;
        if (number >= 0 && number <= k) taken[number] = true;
    }
    int64_t free = 0;
    while (taken[free]) free++;
    cti_free(taken);
    return free;
}

/* Names a child after its kind, with a number from the second one on. */
static ct_status number_child(ct_module *parent, int64_t k, ct_module *child) {
    char base[128], name[160];
    if (child->name) snprintf(base, sizeof base, "%s", child->name);
    else snake_case(child->kind->name, base, sizeof base);
    int64_t number = free_number(parent, k, child, base);
    if (number < 0) return CT_ERR_MEMORY;
    if (number == 0) snprintf(name, sizeof name, "%s", base);
    else snprintf(name, sizeof name, "%s_%lld", base, (long long)number);
    return ct_module_rename(child, name);
}

/* A child keeps a name that no sibling has. Of two siblings with one name the later one gets a
 * number, or the earlier one where only the later one is held by another container too. */
static ct_status name_child(ct_module *parent, int64_t k) {
    ct_module *child = parent->children[k];
    if (!child->name) return number_child(parent, k, child);
    ct_module *other = namesake(parent, k, child, child->name);
    if (!other) return CT_OK;
    if (!held_elsewhere(parent, child)) return number_child(parent, k, child);
    if (!held_elsewhere(parent, other)) return number_child(parent, k, other);
    return ct_fail(CT_ERR_STATE,
                   "ct_module_add_children: two modules that stand in other "
                   "containers too are named '%s'; rename one",
                   child->name);
}

/* --- Children --------------------------------------------------------------------------------- */

static bool holds(const ct_module *module, const ct_module *wanted) {
    if (module == wanted) return true;
    for (int64_t i = 0; i < module->n_children; i++) {
        if (holds(module->children[i], wanted)) return true;
    }
    return false;
}

/* Only a module that some container holds can be below another one. */
static bool would_hold_itself(const ct_module *module, const ct_module *child) {
    return module->owners > 0 && holds(child, module);
}

static ct_status add_children(ct_module *module, ct_module *const children[], int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (!children[i]) {
            cti_null_in("ct_module_add_children: child %lld is NULL", (long long)i);
            return ct_error();
        }
        if (!would_hold_itself(module, children[i])) continue;
        return ct_fail(CT_ERR_STATE,
                       "ct_module_add_children: '%s' would contain itself, by child "
                       "%lld",
                       module->name ? module->name : module->kind->name, (long long)i);
    }
    int64_t before = module->n_children;
    ct_module **grown = cti_realloc(module->children, (size_t)(before + n), sizeof *grown);
    if (!grown) return CT_ERR_MEMORY;
    module->children = grown;
    for (int64_t i = 0; i < n; i++) grown[before + i] = children[i];
    module->n_children = before + n;
    for (int64_t k = before; k < module->n_children; k++) {
        if (name_child(module, k) != CT_OK) return ct_error();
    }
    return CT_OK;
}

ct_status ct_module_add_children(ct_module *module, ct_module *const children[], int64_t n) {
    CTI_CALLED;
    if (cti_check_array("ct_module_add_children", "children", children, "n", n) != CT_OK) {
        return ct_error();
    }
    int64_t before = module ? module->n_children : 0;
    for (int64_t i = 0; i < n; i++) {
        if (children[i]) children[i]->owners++;
    }
    ct_status status = module ? add_children(module, children, n)
                              : cti_null("ct_module_add_children: 'module' is NULL");
    if (status == CT_OK) return CT_OK;
    if (module) module->n_children = before;
    for (int64_t i = 0; i < n; i++) {
        if (!children[i]) continue;
        bool above = module && would_hold_itself(module, children[i]);
        children[i]->owners--;
        if (!above) ct_module_free(children[i]);
    }
    return status;
}

/* --- Forward ---------------------------------------------------------------------------------- */

ct_status cti_check_rank(const ct_module *self, const ct_tensor *x, int rank, const char *form) {
    if (ct_shape_of(x).rank == rank) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "%s: needs %s, got %s", self->kind->name, form,
                   ct_shape_format(ct_shape_of(x)).text);
}

ct_status cti_check_images(const ct_module *self, const ct_tensor *x) {
    const char *name = self->kind->name;
    ct_status status = cti_check_rank(self, x, 4, "[N,H,W,C]");
    if (status == CT_OK) status = cti_check_size(name, "the height of x", ct_dim(x, 1));
    return status == CT_OK ? cti_check_size(name, "the width of x", ct_dim(x, 2)) : status;
}

ct_status cti_check_channels(const ct_module *self, const ct_tensor *x, int64_t channels) {
    ct_shape shape = ct_shape_of(x);
    if (shape.rank > 0 && shape.dims[shape.rank - 1] == channels) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "%s: made for %lld channels, x is %s", self->kind->name,
                   (long long)channels, ct_shape_format(shape).text);
}

static _Thread_local cti_observer *observer;

cti_observer *cti_observe(cti_observer *next) {
    cti_observer *before = observer;
    observer = next;
    return before;
}

static void enter(void) {
    if (observer) observer->depth++;
}

static ct_status leave(ct_module *module, ct_tensor *const in[], int n_in, ct_tensor *out[],
                       int n_out, ct_status status) {
    if (!observer) return status;
    observer->depth--;
    return status == CT_OK ? observer->called(observer, module, in, n_in, out, n_out) : status;
}

static ct_tensor *apply(ct_module *module, ct_tensor *x, ct_mode mode,
                        ct_tensor *(*function)(ct_module *, ct_tensor *, ct_mode)) {
    if (module->name && ct_path_push(module->name) != CT_OK) return NULL;
    CTI_CALLS_USER;
    const ct_module_kind *kind = module->kind;
    ct_tensor *y = NULL;
    enter();
    if (function) y = function(module, x, mode);
    else if (!kind->forward_many) {
        ct_fail(CT_ERR_NULL, "ct_forward: the kind %s has no 'forward'", kind->name);
    } else if (kind->forward_many(module, &x, 1, &y, 1, mode) != CT_OK) y = NULL;
    if (!y) cti_null_in("ct_forward: %s returned NULL and no error", kind->name);
    if (leave(module, &x, 1, &y, 1, y ? CT_OK : ct_error()) != CT_OK) y = NULL;
    if (module->name) ct_path_pop();
    return y;
}

ct_tensor *ct_forward(ct_module *module, ct_tensor *x, ct_mode mode) {
    CTI_CALLED;
    if (!module || !x) return cti_null_in("ct_forward: '%s' is NULL", module ? "x" : "module");
    return apply(module, x, mode, module->kind->forward);
}

ct_tensor *ct_logits(ct_module *module, ct_tensor *x, ct_mode mode) {
    CTI_CALLED;
    if (!module || !x || !module->kind->logits) return ct_forward(module, x, mode);
    return apply(module, x, mode, module->kind->logits);
}

/* --- Several inputs and outputs --------------------------------------------------------------- */

static ct_status check_lists(ct_tensor *const in[], int n_in, ct_tensor *const out[], int n_out) {
    static const char function[] = "ct_forward_many";
    if (n_in < 1 || n_out < 1) {
        return ct_fail(CT_ERR_RANGE, "%s: n_in and n_out must be >= 1, got %d and %d", function,
                       n_in, n_out);
    }
    if (!in || !out) return cti_null("%s: '%s' is NULL", function, in ? "out" : "in");
    for (int i = 0; i < n_in; i++) {
        if (!in[i] && ct_error() != CT_OK) return cti_null("%s: in[%d] is NULL", function, i);
    }
    return CT_OK;
}

static ct_status apply_one(ct_module *module, ct_tensor *const in[], int n_in, ct_tensor *out[],
                           int n_out, ct_mode mode) {
    if (n_in != 1 || n_out != 1) {
        return ct_fail(CT_ERR_RANGE, "ct_forward_many: %s has 1 input and 1 output, got %d and %d",
                       module->kind->name, n_in, n_out);
    }
    out[0] = ct_forward(module, in[0], mode);
    return out[0] ? CT_OK : ct_error();
}

/* `out` is room of its own, so that the caller's is as it was after an error. */
static ct_status apply_many(ct_module *module, ct_tensor *const in[], int n_in, ct_tensor *out[],
                            int n_out, ct_mode mode) {
    const ct_module_kind *kind = module->kind;
    if (!kind->forward_many) return apply_one(module, in, n_in, out, n_out, mode);
    if (module->name && ct_path_push(module->name) != CT_OK) return ct_error();
    CTI_CALLS_USER;
    enter();
    ct_status status = kind->forward_many(module, in, n_in, out, n_out, mode);
    if (status != CT_OK && ct_error() == CT_OK) {
        ct_fail(status, "ct_forward_many: %s failed without an error", kind->name);
    }
    for (int i = 0; i < n_out && status == CT_OK; i++) {
        if (out[i]) continue;
        status = cti_null("ct_forward_many: %s left output %d NULL", kind->name, i);
    }
    status = leave(module, in, n_in, out, n_out, status);
    if (module->name) ct_path_pop();
    return status;
}

ct_status ct_forward_many(ct_module *module, ct_tensor *const in[], int n_in, ct_tensor *out[],
                          int n_out, ct_mode mode) {
    CTI_CALLED;
    if (!module) return cti_null("ct_forward_many: 'module' is NULL");
    if (check_lists(in, n_in, out, n_out) != CT_OK) return ct_error();
    ct_tensor **made = cti_alloc((size_t)n_out, sizeof *made);
    if (!made) return CT_ERR_MEMORY;
    ct_status status = apply_many(module, in, n_in, made, n_out, mode);
    for (int i = 0; i < n_out && status == CT_OK; i++) out[i] = made[i];
    cti_free(made);
    return status;
}

ct_status cti_check_many(const ct_module *self, ct_tensor *const in[], int n_in, int needed,
                         int most_in, int n_out, int most_out) {
    const char *name = self->kind->name;
    if (n_in > most_in) {
        return ct_fail(CT_ERR_RANGE, "%s: has at most %d inputs, got %d", name, most_in, n_in);
    }
    if (n_out > most_out) {
        return ct_fail(CT_ERR_RANGE, "%s: has at most %d outputs, got %d", name, most_out, n_out);
    }
    for (int i = 0; i < needed; i++) {
        if (!in[i]) return cti_null("%s: input %d is NULL", name, i);
    }
    return CT_OK;
}

ct_status ct_module_number(ct_module *module) {
    CTI_CALLED;
    if (!module) return cti_null("ct_module_number: 'module' is NULL");
    for (int64_t i = 0; i < module->n_children; i++) {
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)i);
        ct_module *child = module->children[i];
        if (module->kind->chain && ct_module_rename(child, number) != CT_OK) return ct_error();
        if (ct_module_number(child) != CT_OK) return ct_error();
    }
    return CT_OK;
}

/* --- Listing ---------------------------------------------------------------------------------- */

ct_status cti_slot_list_add(ct_slot_list *list, const char *prefix, const char *name,
                            ct_named_slot item) {
    if (!cti_grow(&list->items, list->count, sizeof *list->items)) return CT_ERR_MEMORY;
    item.path = cti_path_new(prefix, name);
    if (!item.path) return CT_ERR_MEMORY;
    list->items[list->count++] = item;
    return CT_OK;
}

static ct_status list_slot(ct_slot_list *list, const char *prefix, const ct_module *module,
                           const ct_module *parent, int i) {
    const ct_module_slot *slot = &module->slots[i];
    ct_named_slot item = {.slot = slot->slot,
                          .module = module,
                          .parent = parent,
                          .number = i,
                          .parameter = slot->trainable};
    item.trainable = slot->trainable && !slot->slot->frozen;
    return cti_slot_list_add(list, prefix, slot->name, item);
}

static bool listed(const ct_slot_list *list, const ct_slot *slot) {
    for (int64_t i = 0; i < list->count; i++) {
        if (list->items[i].slot == slot) return true;
    }
    return false;
}

/* Two children with one name, which a later renaming can give them, have slots of one path. */
static ct_status check_siblings(ct_module *module) {
    for (int64_t k = 1; k < module->n_children; k++) {
        const ct_module *child = module->children[k];
        const ct_module *other = namesake(module, k, child, child->name);
        if (!other) continue;
        return ct_fail(CT_ERR_STATE, "ct_module_list: two children of '%s' are called '%s'",
                       module->name ? module->name : module->kind->name, child->name);
    }
    return CT_OK;
}

/* Recursion is as deep as modules are nested, which cti_path_join limits. Only below a module that
 * is held in several places can a slot be met again. */
static ct_status list_module(ct_slot_list *list, const char *prefix, ct_module *module,
                             const ct_module *parent, bool shared) {
    shared |= module->owners > 1;
    for (int i = 0; i < module->n_slots; i++) {
        if (shared && listed(list, module->slots[i].slot)) continue;
        if (list_slot(list, prefix, module, parent, i) != CT_OK) return ct_error();
    }
    if (check_siblings(module) != CT_OK) return ct_error();
    for (int64_t i = 0; i < module->n_children; i++) {
        char path[CTI_PATH_SIZE];
        ct_module *child = module->children[i];
        ct_status status = cti_path_join("ct_module_list", prefix, child->name, path);
        if (status == CT_OK) status = list_module(list, path, child, module, shared);
        if (status != CT_OK) return status;
    }
    return CT_OK;
}

ct_status ct_module_list(ct_module *module, ct_slot_list *list) {
    CTI_CALLED;
    if (list) *list = (ct_slot_list){0};
    if (!module || !list) {
        return cti_null("ct_module_list: '%s' is NULL", module ? "list" : "module");
    }
    ct_status status = list_module(list, "", module, NULL, false);
    if (status != CT_OK) ct_slot_list_free(list);
    return status;
}

void cti_slot_list_keep(ct_slot_list *list, bool (*wanted)(const ct_named_slot *item)) {
    int64_t kept = 0;
    for (int64_t i = 0; i < list->count; i++) {
        if (wanted(&list->items[i])) list->items[kept++] = list->items[i];
        else cti_free(list->items[i].path);
    }
    list->count = kept;
}

static bool is_parameter(const ct_named_slot *item) { return item->parameter; }

ct_status ct_module_parameters(ct_module *module, ct_slot_list *list) {
    CTI_CALLED;
    if (ct_module_list(module, list) != CT_OK) return ct_error();
    cti_slot_list_keep(list, is_parameter);
    return CT_OK;
}

void ct_slot_list_free(ct_slot_list *list) {
    if (!list) return;
    for (int64_t i = 0; i < list->count; i++) cti_free(list->items[i].path);
    cti_free(list->items);
    *list = (ct_slot_list){0};
}
