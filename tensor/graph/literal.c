/* Literals: the numbers of a formula, such as the 1 in 1 + x, each one leaf per thread.
 * They are not data: a number that a user gives as a tensor is a leaf of its own (leaf.c).
 * Invariant: while a literal lives, another of its type, bits and meaning is the same leaf, so that
 * two expressions that say the same are equal by structure, whatever their numbers are. */
#include "tensor/base/alloc.h"
#include "tensor/base/hash.h"
#include "tensor/graph/node.h"

#include <string.h>

/* Those alive, by dtype, bits and meaning: open addressing, at most half full. It holds no
 * reference, and its memory goes with the last of them. */
static _Thread_local struct {
    ct_tensor **items;
    int64_t count, capacity;
} table;

/* What a literal says. */
typedef struct {
    ct_dtype dtype;
    bool structural;
    uint64_t bits;
} key;

static key key_of(const ct_tensor *t) {
    key k = {.dtype = t->dtype, .structural = t->structural};
    memcpy(&k.bits, t->buffer->data, ct_dtype_size(t->dtype));
    return k;
}

/* Where the literal of that key is, or would be. */
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

/* One that is there already, or NULL. */
static ct_tensor *known(ct_dtype dtype, double value, bool structural) {
    if (!table.count) return NULL;
    key k = {.dtype = dtype, .structural = structural};
    cti_store(&k.bits, dtype, 0, value);
    return table.items[place_of(k)];
}

/* A literal belongs to no module and to no derivative: all that say the number share it. */
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

/* What lies after a gap may have been put there because its place was taken: it is put again. */
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
