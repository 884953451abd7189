/* Checkpoints of one rank of several.
 * Invariant: but for its file, a scenario prints what is the same on all ranks. */
#include "tests/optim/train/rank_digits.h"
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include <unistd.h>

/* The parent's, so that the ranks of several groups find it. */
static const char *checkpoint_path(void) {
    static char path[256];
    snprintf(path, sizeof path, "/tmp/cotan-ranks-%ld.safetensors", (long)getppid());
    return path;
}

/* Four steps: the checkpoint lies within the second epoch. */
SCENARIO(saves) {
    OK(ct_group_use(group, (ct_group_options){0}));
    rank_digits t = rank_digits_begin(CT_F32, argument & 1);
    ct_history history = rank_digits_fit(&t, (ct_fit_options){.max_steps = 4});
    OK(ct_checkpoint_save(checkpoint_path(), t.model, t.optimizer, history.position));
    ct_history_free(&history);
    rank_digits_end(&t);
}

SCENARIO(resumes) {
    OK(ct_group_use(group, (ct_group_options){0}));
    rank_digits t = rank_digits_begin(CT_F32, argument & 1);
    ct_position position;
    OK(ct_checkpoint_load(checkpoint_path(), t.model, t.optimizer, &position));
    ct_history history = rank_digits_fit(&t, (ct_fit_options){.epochs = 2, .start = position});
    printf("slots %016llx\n", (unsigned long long)rank_slots_hash(t.model, t.optimizer));
    ct_history_free(&history);
    rank_digits_end(&t);
}

/* Rank 1 has lost the file. */
SCENARIO(loads_on_some) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 20}));
    rank_digits t = rank_digits_begin(CT_F32, false);
    uint64_t before = rank_slots_hash(t.model, t.optimizer);
    bool lost = ct_group_rank(group) == 1;
    ct_position position;
    ct_checkpoint_load(lost ? "/nowhere" : checkpoint_path(), t.model, t.optimizer, &position);
    printf("%s, %s\n", ct_status_name(ct_error()),
           rank_slots_hash(t.model, t.optimizer) == before ? "unchanged" : "changed");
    ct_error_clear();
    ct_weights_load(t.model, lost ? checkpoint_path() : "/nowhere");
    printf("%s\n", ct_error() == CT_OK ? "loaded" : "refused");
    ct_error_clear();
    rank_digits_end(&t);
}

/* The log. */
SCENARIO(logs) {
    OK(ct_group_use(group, (ct_group_options){0}));
    rank_digits t = rank_digits_begin(CT_F32, false);
    ct_history history = rank_digits_fit(&t, (ct_fit_options){.epochs = 1, .log = stdout});
    ct_history_free(&history);
    rank_digits_end(&t);
}
