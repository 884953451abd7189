/* Checkpoints: everything that the next steps depend on, in one safetensors file.
 * Slots are in it by path, "model/..." and "optimizer/..."; the thread's stream of seeds is
 * "seed/stream"; what the best epoch had in the model's slots is "best/...", if that was given;
 * position, version and a checksum of all are in the metadata, the best val_loss as the 16
 * hexadecimal digits of its bits.
 * Invariant: saving replaces the file wholly, loading changes everything or nothing. */
#include "nn/layers/keys.h"
#include "nn/module_private.h"
#include "nn/save/slot_file.h"
#include "optim/train/train.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/hash.h"
#include "tensor/base/keys.h"
#include "tensor/base/text.h"
#include "tensor/io/writer.h"
#include "tensor/ranks/exchange.h"

#include <stdlib.h>
#include <string.h>

#define VERSION "1"

enum { MODEL, OPTIMIZER, SEED, BEST, GROUPS };

typedef struct {
    cti_slot_group groups[GROUPS];
    int n;           /* of them that the file has: BEST may be missing */
    ct_slot *stream; /* this thread's seeds; exists while the file is saved or loaded */
    ct_named_slot seed_item;
    int64_t n_best; /* slots of BEST that exist while the file is saved */
} contents;

static void close_contents(contents *c) {
    for (int64_t i = 0; i < c->n_best; i++) ct_slot_drop(c->groups[BEST].slots.items[i].slot);
    ct_slot_list_free(&c->groups[MODEL].slots);
    ct_slot_list_free(&c->groups[OPTIMIZER].slots);
    ct_slot_list_free(&c->groups[BEST].slots);
    ct_slot_drop(c->stream);
}

/* The caller has opened a scope. */
static ct_status open_contents(contents *c, ct_module *model, ct_optimizer *optimizer) {
    *c = (contents){.groups = {{.prefix = "model/"}, {.prefix = "optimizer/"}, {.prefix = "seed/"}},
                    .n = BEST};
    ct_status status = ct_module_list(model, &c->groups[MODEL].slots);
    if (status == CT_OK) status = ct_optimizer_list(optimizer, &c->groups[OPTIMIZER].slots);
    if (status != CT_OK) return status;
    c->stream = ct_slot_new("stream", ct_from(CT_I64, CT_SHAPE(2), cti_keys_of_thread()->seed));
    if (!c->stream) return ct_error();
    static char path[] = "stream";
    c->seed_item = (ct_named_slot){.path = path, .slot = c->stream};
    c->groups[SEED].slots = (ct_slot_list){&c->seed_item, 1};
    return CT_OK;
}

/* Adds BEST: the model's slots, with the values that `best` holds; NULL: it is for loading. */
static ct_status add_best(contents *c, ct_module *model, const cti_best *best) {
    ct_slot_list *list = &c->groups[BEST].slots;
    c->groups[BEST].prefix = "best/";
    c->n = GROUPS;
    ct_status status = ct_module_list(model, list);
    for (int64_t i = 0; best && i < list->count && status == CT_OK; i++) {
        ct_slot *held = ct_slot_new(ct_slot_name(list->items[i].slot), best->values[i]);
        if (!held) return ct_error();
        list->items[i].slot = held;
        c->n_best++;
    }
    return status;
}

typedef struct {
    char text[17];
} bits_text;

static bits_text show_bits(uint64_t bits) {
    bits_text out;
    snprintf(out.text, sizeof out.text, "%016llx", (unsigned long long)bits);
    return out;
}

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Over the values of all slots in the order of the groups, and the position. NULL values are read
 * from the slots. */
static ct_status checksum(const contents *c, ct_tensor *const values[], ct_position position,
                          bits_text *out) {
    uint64_t sum = cti_mix_bytes(0, (int64_t[]){position.epoch, position.batch}, 16);
    if (position.best_epoch > 0) {
        sum = cti_mix_bytes(sum, &position.best_epoch, sizeof position.best_epoch);
        sum = cti_mix_bytes(sum, &position.best_val_loss, sizeof position.best_val_loss);
    }
    for (int g = 0, k = 0; g < c->n; g++) {
        for (int64_t i = 0; i < c->groups[g].slots.count; i++, k++) {
            ct_tensor *t = values ? values[k] : ct_slot_read(c->groups[g].slots.items[i].slot);
            const void *data = ct_data(t);
            if (!data) return ct_error();
            size_t bytes = (size_t)ct_numel(t) * ct_dtype_size(ct_dtype_of(t));
            sum = cti_mix_bytes(sum, data, bytes);
        }
    }
    *out = show_bits(sum);
    return CT_OK;
}

static ct_status check_arguments(const char *function, const char *path, const ct_module *model,
                                 const ct_optimizer *optimizer) {
    if (path && model && optimizer) return CT_OK;
    return cti_null("%s: '%s' is NULL", function, !path ? "path" : !model ? "model" : "optimizer");
}

static ct_status check_position(const char *function, ct_position position) {
    if (position.epoch < 0 || position.batch < 0) {
        return ct_fail(CT_ERR_RANGE, "%s: the position must be >= 0, got %lld, %lld", function,
                       (long long)position.epoch, (long long)position.batch);
    }
    if (position.best_epoch >= 0) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "%s: best_epoch must be >= 0, got %lld", function,
                   (long long)position.best_epoch);
}

static ct_status check_best(const cti_best *best, ct_module *model, ct_position position) {
    static const char function[] = "ct_checkpoint_save_best";
    if (best->epoch == position.best_epoch) return cti_best_check(function, best, model);
    return ct_fail(CT_ERR_STATE, "%s: 'best' holds epoch %lld, the position says %lld", function,
                   (long long)best->epoch, (long long)position.best_epoch);
}

static ct_status save(const char *path, const contents *c, ct_position position) {
    char epoch[24], batch[24], best[24];
    snprintf(epoch, sizeof epoch, "%lld", (long long)position.epoch);
    snprintf(batch, sizeof batch, "%lld", (long long)position.batch);
    snprintf(best, sizeof best, "%lld", (long long)position.best_epoch);
    bits_text sum, loss = show_bits(bits_of(position.best_val_loss));
    ct_status status = checksum(c, NULL, position, &sum);
    if (status != CT_OK) return status;
    const ct_pair metadata[] = {{"format", CTI_CHECKPOINT_FORMAT},
                                {"version", VERSION},
                                {"epoch", epoch},
                                {"batch", batch},
                                {"checksum", sum.text},
                                {"best_epoch", best},
                                {"best_val_loss", loss.text},
                                {"best_weights", best}};
    /* Two say which epoch is the best, if any; the last, whose weights there are. */
    int n_metadata = position.best_epoch == 0 ? 5 : c->n == GROUPS ? 8 : 7;
    return cti_slots_save(path, c->groups, c->n, metadata, n_metadata);
}

ct_status ct_checkpoint_save_best(const char *path, ct_module *model, ct_optimizer *optimizer,
                                  ct_position position, const ct_best *best) {
    CTI_CALLED;
    static const char function[] = "ct_checkpoint_save";
    bool has_best = best && best->epoch > 0;
    if (check_arguments(function, path, model, optimizer) != CT_OK) return ct_error();
    if (check_position(function, position) != CT_OK) return CT_ERR_RANGE;
    if (has_best && check_best(best, model, position) != CT_OK) return ct_error();
    contents c;
    int64_t scope = ct_scope_open();
    ct_status status = open_contents(&c, model, optimizer);
    if (status == CT_OK) status = cti_keys_catch_up(&c.groups[MODEL].slots);
    if (status == CT_OK && has_best) status = add_best(&c, model, best);
    if (status == CT_OK) status = save(path, &c, position);
    close_contents(&c);
    ct_scope_close(scope);
    return status;
}

ct_status ct_checkpoint_save(const char *path, ct_module *model, ct_optimizer *optimizer,
                             ct_position position) {
    CTI_CALLED;
    return ct_checkpoint_save_best(path, model, optimizer, position, NULL);
}

/* --- Loading ---------------------------------------------------------------------------------- */

static const char function_load[] = "ct_checkpoint_load";

static ct_status refuse(const char *path, const ct_safetensors *file, const char *key,
                        const char *wanted) {
    const char *text = ct_safetensors_metadata(file, key);
    return ct_fail(CT_ERR_FORMAT, "%s: %s: %s must be %s, got '%s'", function_load,
                   cti_show_path(path).text, key, wanted,
                   text ? cti_show(text, strlen(text)).text : "");
}

static ct_status read_count(const char *path, const ct_safetensors *file, const char *key,
                            int64_t *count) {
    const char *text = ct_safetensors_metadata(file, key);
    if (text && cti_whole_number(text, strlen(text), count)) return CT_OK;
    return refuse(path, file, key, "a whole number");
}

static ct_status read_loss(const char *path, const ct_safetensors *file, const char *key,
                           double *loss) {
    const char *text = ct_safetensors_metadata(file, key);
    uint64_t bits = text ? strtoull(text, NULL, 16) : 0;
    memcpy(loss, &bits, sizeof *loss);
    if (text && strcmp(text, show_bits(bits).text) == 0) return CT_OK;
    return refuse(path, file, key, "16 hexadecimal digits");
}

static ct_status read_position(const char *path, const ct_safetensors *file,
                               ct_position *position) {
    *position = (ct_position){0};
    ct_status status = read_count(path, file, "epoch", &position->epoch);
    if (status == CT_OK) status = read_count(path, file, "batch", &position->batch);
    if (status != CT_OK || !ct_safetensors_metadata(file, "best_epoch")) return status;
    status = read_count(path, file, "best_epoch", &position->best_epoch);
    if (status != CT_OK) return status;
    const char *weights = ct_safetensors_metadata(file, "best_weights");
    const char *epoch = ct_safetensors_metadata(file, "best_epoch");
    if (weights && (position->best_epoch == 0 || strcmp(weights, epoch) != 0)) {
        return refuse(path, file, "best_weights", "the best_epoch");
    }
    return read_loss(path, file, "best_val_loss", &position->best_val_loss);
}

static ct_status read_metadata(const char *path, const ct_safetensors *file,
                               ct_position *position) {
    const char *format = ct_safetensors_metadata(file, "format");
    const char *version = ct_safetensors_metadata(file, "version");
    if (!format || strcmp(format, CTI_CHECKPOINT_FORMAT) != 0) {
        return refuse(path, file, "format", "'" CTI_CHECKPOINT_FORMAT "'");
    }
    if (!version || strcmp(version, VERSION) != 0) return refuse(path, file, "version", VERSION);
    return read_position(path, file, position);
}

static ct_status check_sum(const char *path, const ct_safetensors *file, const contents *c,
                           ct_tensor *const values[], ct_position position) {
    const char *said = ct_safetensors_metadata(file, "checksum");
    bits_text sum;
    if (checksum(c, values, position, &sum) != CT_OK) return ct_error();
    if (said && strcmp(said, sum.text) == 0) return CT_OK;
    return ct_fail(CT_ERR_FORMAT, "%s: %s: damaged: the checksum is %s, the file says '%s'",
                   function_load, cti_show_path(path).text, sum.text,
                   said ? cti_show(said, strlen(said)).text : "");
}

/* What a file holds, ready to be given to the slots. */
typedef struct {
    ct_position position;
    ct_tensor **values;   /* of the groups, one after the other */
    const int64_t *state; /* of the stream of seeds, among them */
    cti_best best;        /* nothing, if the caller wants none */
} loaded;

/* Everything that may fail. */
static ct_status prepare(const char *path, const ct_safetensors *file, contents *c,
                         ct_module *model, bool wants_best, loaded *l) {
    if (read_metadata(path, file, &l->position) != CT_OK) return ct_error();
    int64_t best_epoch = l->position.best_epoch;
    bool has_best = best_epoch > 0 && ct_safetensors_metadata(file, "best_weights");
    if (has_best && add_best(c, model, NULL) != CT_OK) return ct_error();
    l->values = cti_slots_prepare(function_load, path, file, c->groups, c->n);
    if (!l->values) return ct_error();
    int64_t seed = c->groups[MODEL].slots.count + c->groups[OPTIMIZER].slots.count;
    ct_status status = check_sum(path, file, c, l->values, l->position);
    if (status == CT_OK && wants_best && has_best) {
        status = cti_best_make(&l->best, model, best_epoch, l->values + seed + 1);
    }
    if (status != CT_OK) return status;
    l->state = ct_data_i64(l->values[seed]);
    return l->state ? CT_OK : ct_error();
}

/* Everything else. */
static void apply(loaded *l, const contents *c, ct_position *position, cti_best *best) {
    memcpy(cti_keys_of_thread()->seed, l->state, 2 * sizeof *l->state);
    cti_slots_swap(c->groups, BEST, l->values);
    if (position) *position = l->position;
    if (!best) return;
    cti_best_free(best);
    *best = l->best;
    l->best = (cti_best){0};
}

ct_status ct_checkpoint_load_best(const char *path, ct_module *model, ct_optimizer *optimizer,
                                  ct_position *position, ct_best *best) {
    CTI_CALLED;
    contents c = {0};
    loaded l = {0};
    ct_safetensors *file = NULL;
    int64_t scope = ct_scope_open();
    ct_status status = check_arguments(function_load, path, model, optimizer);
    if (status == CT_OK) status = open_contents(&c, model, optimizer);
    if (status == CT_OK && !(file = ct_safetensors_load(path))) status = ct_error();
    if (status == CT_OK) status = prepare(path, file, &c, model, best != NULL, &l);
    status = cti_agreed(status);
    if (status == CT_OK && l.state) apply(&l, &c, position, best);
    cti_best_free(&l.best);
    cti_free(l.values);
    ct_safetensors_free(file);
    close_contents(&c);
    ct_scope_close(scope);
    return status;
}

ct_status ct_checkpoint_load(const char *path, ct_module *model, ct_optimizer *optimizer,
                             ct_position *position) {
    CTI_CALLED;
    return ct_checkpoint_load_best(path, model, optimizer, position, NULL);
}
