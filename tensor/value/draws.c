/* The log of draws of a group, and taking them back.
 * What is drawn with keys is the business of layers.
 * Invariant: taking back cannot fail, and leaves a slot alone that something else has written. */
#include "tensor/value/draws.h"

#include "tensor/base/alloc.h"
#include "tensor/base/array.h"
#include "tensor/base/hash.h"
#include "tensor/ranks/exchange.h"
#include "tensor/value/slot_private.h"

typedef struct {
    ct_slot *slot;
    ct_tensor *before, *after; /* the first draw, and the last */
} draw;

typedef struct {
    draw *items;
    int64_t count;
} draws;

static void forget(draws *d) {
    for (int64_t i = 0; i < d->count; i++) {
        ct_drop(d->items[i].before);
        ct_drop(d->items[i].after);
        ct_slot_drop(d->items[i].slot);
    }
    d->count = 0;
}

static void take_back(void *log) {
    draws *d = log;
    for (int64_t i = 0; i < d->count; i++) {
        const draw *item = &d->items[i];
        if (item->slot->value == item->after) cti_slot_swap(item->slot, item->before);
    }
    forget(d);
}

static void free_draws(void *log) {
    draws *d = log;
    forget(d);
    cti_free(d->items);
    cti_free(d);
}

/* Of the current group, if it has one. */
static draws *log_of(ct_group *group) {
    cti_log *log = group ? cti_group_log(group) : NULL;
    return log ? log->of : NULL;
}

static draws *log_made(ct_group *group) {
    cti_log *log = cti_group_log(group);
    if (!log->of && (log->of = cti_alloc(1, sizeof(draws)))) {
        log->take_back = take_back;
        log->free = free_draws;
    }
    return log->of;
}

static draw *draw_of(draws *d, const ct_slot *slot) {
    int64_t i = d->count - 1;
    while (i >= 0 && d->items[i].slot != slot) i--;
    return i >= 0 ? &d->items[i] : NULL;
}

ct_status cti_draw_key(ct_slot *stream, ct_tensor *next) {
    ct_group *group = ct_group_current();
    if (!group) return ct_slot_write(stream, next);
    draws *d = log_made(group);
    if (!d || !cti_grow(&d->items, d->count, sizeof *d->items)) return CT_ERR_MEMORY;
    ct_tensor *before = ct_keep(stream->value);
    ct_status status = ct_slot_write(stream, next);
    draw *item = draw_of(d, stream);
    if (status == CT_OK && !item) {
        item = &d->items[d->count++];
        *item = (draw){.slot = ct_slot_keep(stream), .before = ct_keep(before)};
    } else if (status == CT_OK && item->after != before) {
        ct_set(&item->before, before); /* written by something else */
    }
    if (status == CT_OK) ct_set(&item->after, stream->value);
    ct_drop(before);
    return status;
}

uint64_t cti_draws_hash(void) {
    const draws *d = log_of(ct_group_current());
    uint64_t hash = 0;
    for (int64_t i = 0; d && i < d->count; i++) {
        const int64_t *key = ct_data_i64(d->items[i].slot->value);
        hash = cti_mix(hash, key ? (uint64_t)key[1] : 0);
    }
    return hash;
}

void cti_draws_keep(void) {
    draws *d = log_of(ct_group_current());
    if (d) forget(d);
}

void cti_draws_take_back(void) {
    draws *d = log_of(ct_group_current());
    if (d) take_back(d);
}
