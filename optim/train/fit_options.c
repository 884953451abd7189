/* What ct_fit refuses of its options, how many epochs they mean, and what of them all ranks share.
 * What is done with them is fit.c's business.
 * Invariant: nothing has changed when options are refused. */
#include "optim/train/train.h"

#include "nn/options_private.h"
#include "tensor/base/caller.h"
#include "tensor/base/hash.h"
#include "tensor/group.h"

#include <math.h>

ct_status cti_fit_check(const ct_fit_options *options) {
    const struct {
        const char *name;
        int64_t value;
    } counts[] = {
        {"epochs", options->epochs},           {"max_steps", options->max_steps},
        {"patience", options->patience},       {"start.epoch", options->start.epoch},
        {"start.batch", options->start.batch}, {"start.best_epoch", options->start.best_epoch},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (counts[i].value >= 0) continue;
        return ct_fail(CT_ERR_RANGE, "ct_fit: %s must be >= 0, got %lld", counts[i].name,
                       (long long)counts[i].value);
    }
    double delta = options->min_delta;
    if (cti_check_number("ct_fit", "min_delta", delta, 0, INFINITY) != CT_OK) return ct_error();
    const char *needs = options->patience > 0   ? "patience"
                        : delta > 0             ? "min_delta"
                        : options->restore_best ? "restore_best"
                        : options->best         ? "best"
                                                : NULL;
    if (needs && !options->validation) {
        return ct_fail(CT_ERR_NULL, "ct_fit: %s needs validation, which is NULL", needs);
    }
    const char *alone = options->anomaly ? "anomaly" : options->monitor ? "monitor" : NULL;
    if (!alone || !ct_group_current()) return CT_OK;
    return ct_fail(CT_ERR_STATE,
                   "ct_fit: %s looks at one process, and there is a group of %d rank%s; "
                   "ct_group_use_none() trains without",
                   alone, ct_group_size(ct_group_current()),
                   ct_group_size(ct_group_current()) == 1 ? "" : "s");
}

bool cti_begins_at_best(const ct_position *start) {
    return start->best_epoch > 0 && start->best_epoch == start->epoch && start->batch == 0;
}

/* Of the weights that are given back where no later epoch is better; 0: of none. */
static ct_status hash_of_best(const ct_fit_options *o, ct_module *model, uint64_t *hash) {
    *hash = 0;
    if (!o->restore_best || o->start.best_epoch == 0) return CT_OK;
    if (o->best && o->best->epoch == o->start.best_epoch) return cti_best_hash(o->best, hash);
    if (!cti_begins_at_best(&o->start)) return CT_OK;
    cti_best now = {0};
    ct_status status = cti_best_make(&now, model, o->start.best_epoch, NULL);
    if (status == CT_OK) status = cti_best_hash(&now, hash);
    cti_best_free(&now);
    return status;
}

ct_status cti_fit_rules(const ct_fit_options *o, int64_t batches, ct_module *model,
                        uint64_t *rules) {
    const int64_t counts[] = {cti_fit_epochs(o, batches), o->validation != NULL, o->patience,
                              o->restore_best};
    uint64_t best, hash = cti_mix_bytes(0, &o->start, sizeof o->start);
    hash = cti_mix_bytes(hash, &o->min_delta, sizeof o->min_delta);
    hash = cti_mix_bytes(hash, counts, sizeof counts);
    ct_status status = hash_of_best(o, model, &best);
    *rules = cti_mix(hash, best);
    return status;
}

int64_t cti_fit_epochs(const ct_fit_options *o, int64_t batches) {
    if (o->epochs > 0) return o->epochs;
    if (o->max_steps == 0 || batches <= 0) return 1;
    int64_t rest = o->start.batch + o->max_steps % batches, epochs;
    int64_t needed = o->max_steps / batches + rest / batches + (rest % batches > 0);
    return __builtin_add_overflow(o->start.epoch, needed, &epochs) ? INT64_MAX : epochs;
}
