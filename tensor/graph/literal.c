/* Literals: the numbers of a formula, such as the 1 in 1 + x, each one leaf per thread.
 * They are not data: a number that a user gives as a tensor is a leaf of its own (leaf.c).
 * Invariant: two live literals differ in dtype, bits or being structural, so equal expressions are
 * equal by structure: common subexpressions are found whatever numbers they contain. */
#include "tensor/base/alloc.h"
#include "tensor/base/hash.h"
#include "tensor/graph/node.h"

#include <string.h>

/* The literals alive: open addressing with linear probing, at most half full. It holds no
 * references, and is freed with the last literal. */
static _Thread_local struct {
    ct_tensor **items;
    int64_t count, capacity;
} table;

typedef struct {
    ct_dtype dtype;
    bool structural;
    uint64_t bits;
} key;

static key key_for(ct_dtype dtype, bool structural, const void *element) {
    key k = {.dtype = dtype, .structural = structural};
    double value = cti_value(element, dtype, 0);
    memcpy(&k.bits, &value, sizeof value);
    return k;
}

static key key_of(const ct_tensor *t) { return key_for(t->dtype, t->structural, t->buffer->data); }

/* The index of the literal of that key, or of the free entry for it. */
static int64_t place_of(key k) {
    uint64_t hash = cti_mix((uint64_t)k.dtype << 1 | k.structural, k.bits);
    uint64_t at = hash ^ hash >> 32, mask = (uint64_t)table.capacity - 1;
    for (;; at++) {
        const ct_tensor *t = table.items[at & mask];
        if (!t) break;
        key other = key_of(t);
        if (other.dtype == k.dtype && other.structural == k.structural && other.bits == k.bits) {
            break;
        }
    }
    return (int64_t)(at & mask);
}

static void put_again(ct_tensor *t) { table.items[place_of(key_of(t))] = t; }

static ct_status make_room(void) {
    if (2 * (table.count + 1) <= table.capacity) return CT_OK;
    int64_t before = table.capacity, grown = before ? 2 * before : 64;
    ct_tensor **old = table.items, **items = cti_alloc((size_t)grown, sizeof *items);
    if (!items) return CT_ERR_MEMORY;
    table.items = items;
    table.capacity = grown;
    for (int64_t k = 0; k < before; k++) {
        if (old[k]) put_again(old[k]);
    }
    cti_free(old);
    return CT_OK;
}

static ct_tensor *known(ct_dtype dtype, double value, bool structural) {
    if (!table.count) return NULL;
    ct_p61 element; /* the largest */
    cti_store(&element, dtype, 0, value);
    return table.items[place_of(key_for(dtype, structural, &element))];
}

/* A literal has no module and no derivative order, because it is shared. */
static ct_tensor *literal(ct_dtype dtype, double value, bool structural) {
    if (cti_check_value("ct_scalar", dtype, value) != CT_OK) return NULL;
    ct_tensor *t = known(dtype, value, structural);
    if (t) return ct_scope_add(t);
    t = ct_scalar(dtype, value);
    if (!t || make_room() != CT_OK) return NULL;
    t->literal = true;
    t->structural = structural;
    t->path = "";
    t->order = 0;
    t->origin = 0;
    put_again(t);
    table.count++;
    return t;
}

ct_tensor *cti_literal(ct_dtype dtype, double value) { return literal(dtype, value, false); }

ct_tensor *cti_structural(ct_dtype dtype, double value) { return literal(dtype, value, true); }

/* Removal under linear probing: the entries up to the next free one are inserted again. */
void cti_literal_forget(ct_tensor *t) {
    int64_t mask = table.capacity - 1, at = mask > 0 ? place_of(key_of(t)) : 0;
    if (mask < 0 || table.items[at] != t) return;
    table.items[at] = NULL;
    for (int64_t k = (at + 1) & mask; table.items[k]; k = (k + 1) & mask) {
        ct_tensor *moved = table.items[k];
        table.items[k] = NULL;
        put_again(moved);
    }
    if (--table.count > 0) return;
    cti_free(table.items);
    table.items = NULL;
    table.capacity = 0;
}

cti_number cti_number_through_views(const ct_tensor *t) {
    while (t && !cti_has_value(t) && t->op->kind == CT_VIEW) t = t->inputs[0];
    return t && cti_has_value(t) ? cti_number_of(t) : (cti_number){0};
}

cti_number cti_number_of(const ct_tensor *t) {
    if (!t->literal || !ct_dtype_is_float(t->dtype)) return (cti_number){0};
    double value = cti_value(t->buffer->data, t->dtype, 0);
    bool known = t->structural || value == 0.0 || value == 1.0;
    return (cti_number){known, known ? value : 0.0};
}

bool ct_is_number(const ct_tensor *t, double value) {
    cti_number number = cti_number_through_views(t);
    return number.known && number.value == value;
}
