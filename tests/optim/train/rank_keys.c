/* Random keys of ranks that have not drawn as many: after an error they go on alike, from where the
 * first of them was.
 * Invariant: what a rank draws by itself, before the error or between two, changes no key that all
 * ranks have drawn. */
#include "tests/optim/train/rank_loop.h"
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include "nn/layers.h"
#include "nn/loss.h"
#include "nn/weights.h"
#include "optim/fit.h"
#include "tensor/runtime.h"

#include <unistd.h>

static int64_t drawn(void) {
    const int64_t *key = ct_data_i64(ct_seed_draw());
    return key ? key[1] : -1;
}

static void forward(ct_module *model, int times) {
    int64_t scope = ct_scope_open();
    for (int i = 0; i < times; i++) {
        EXPECT(ct_forward(model, ct_full(CT_F32, CT_SHAPE(2, 6), 1), CT_TRAINING));
    }
    ct_scope_close(scope);
}

/* Without an exchange before it is known. */
static void expect_same_keys(ct_group *group, const rank_loop *t) {
    forward(t->model, 1);
    uint64_t layers = rank_slots_hash(t->model, t->optimizer), seed = (uint64_t)drawn();
    rank_expect_alike(group, seed, "ct_seed_draw", 0);
    rank_expect_alike(group, layers, "layers", 0);
}

static void fail_on(ct_group *group, int64_t rank) {
    EXPECT(ct_group_agree(group, ct_group_rank(group) == rank ? CT_ERR_IO : CT_OK) != CT_OK);
    ct_error_clear();
}

/* What was made with a key before an error, as a model is, shares it with nothing made after. */
SCENARIO(draws_no_key_twice) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    for (uint64_t seed = 1; seed <= 3; seed++) {
        bool absent = ct_group_rank(group) == argument;
        ct_seed_set(seed);
        int64_t first = drawn();
        EXPECT(ct_weights_load(NULL, NULL) == CT_ERR_NULL);
        ct_error_clear();
        int64_t second = drawn();
        EXPECT(second > first);
        if (!absent) EXPECT(drawn() == second + 1);
        fail_on(group, argument);
        int64_t third = drawn();
        EXPECT(third == second + 2 || ct_group_size(group) == 1);
        rank_expect_alike(group, (uint64_t)third, "key", 0);
    }
}

/* Where all have drawn as many, an error of rank `argument`, or of none, changes no key; not all
 * layers have. */
SCENARIO(draws_as_without_an_error) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0.3), other = rank_loop_begin(0.2);
    forward(t.model, 3);
    forward(other.model, 1);
    if (argument < ct_group_size(group)) fail_on(group, argument);
    OK(rank_loop_step(&t));
    OK(rank_loop_step(&other));
    printf("slots %016llx %016llx, key %lld\n",
           (unsigned long long)rank_slots_hash(t.model, t.optimizer),
           (unsigned long long)rank_slots_hash(other.model, other.optimizer), (long long)drawn());
    rank_loop_end(&t);
    rank_loop_end(&other);
}

/* Rank `argument` alone shows what another model does, once, and has no data for one step. Then it
 * has drawn as often as the others. */
SCENARIO(draws_of_other_layers) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0.3), other = rank_loop_begin(0.2);
    bool alone = ct_group_rank(group) == argument;
    OK(rank_loop_step(&t));
    if (alone) forward(other.model, 1);
    EXPECT((alone ? ct_optimizer_step(t.optimizer, NULL, NULL, 0) : rank_loop_step(&t)) ==
           CT_ERR_NULL);
    ct_error_clear();
    for (int k = 0; k < 3; k++) OK(rank_loop_step(&t));
    expect_same_keys(group, &t);
    expect_same_keys(group, &other);
    rank_loop_end(&t);
    rank_loop_end(&other);
}

/* A model that is saved, or copied, before it is called again has the key that it would draw. */
SCENARIO(keys_are_kept) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0.3), loaded = rank_loop_begin(0.3);
    rank_loop from = rank_loop_begin(0.3), copy = rank_loop_begin(0.3);
    char path[256]; /* of the file of rank 0 */
    snprintf(path, sizeof path, "/tmp/cotan-keys-%ld.safetensors", (long)getpid());
    OK(ct_group_broadcast(group, path, sizeof path));
    forward(t.model, ct_group_rank(group) == argument ? 5 : 2);
    forward(from.model, ct_group_rank(group) == argument ? 1 : 3);
    fail_on(group, argument);
    OK(ct_weights_copy(copy.model, from.model));
    expect_same_keys(group, &copy);
    OK(ct_group_agree(group, ct_weights_save(t.model, path)));
    OK(ct_weights_load(loaded.model, path));
    EXPECT(rank_slots_hash(loaded.model, t.optimizer) == rank_slots_hash(t.model, t.optimizer));
    expect_same_keys(group, &loaded);
    expect_same_keys(group, &t);
    if (ct_group_rank(group) == 0) unlink(path);
    rank_loop_end(&t);
    rank_loop_end(&loaded);
    rank_loop_end(&from);
    rank_loop_end(&copy);
}

/* Rank `argument` leaves: the others draw on as if it had never drawn. */
SCENARIO(keys_after_one_left) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0.3);
    rank_has_left = ct_group_rank(group) == argument;
    int64_t before = drawn();
    if (rank_has_left) forward(t.model, drawn() > 0 ? 4 : 3);
    if (rank_has_left) ct_group_free(group);
    else EXPECT(ct_group_agree(group, CT_OK) == CT_ERR_STATE);
    ct_error_clear();
    EXPECT(drawn() == before + (rank_has_left ? 2 : 1));
    rank_loop_end(&t);
}

/* --- Apart from each other within ct_fit ------------------------------------------------------ */

typedef struct {
    rank_loop *other;
    ct_group *group;
    bool astray;
} apart;

/* Rank `argument` makes another call than the others, twice, and draws more than they do after the
 * first error, and less after the second. No rank takes notice. */
static bool go_apart(void *context, ct_position position, const ct_step_record *last,
                     const ct_epoch *epoch) {
    const apart *a = context;
    (void)position;
    if (epoch || last->step != 2) return true;
    for (int k = 0; k < 2; k++) {
        ct_status status = a->astray ? ct_group_agree(a->group, CT_OK) : rank_loop_step(a->other);
        EXPECT(status != CT_OK);
        ct_error_clear();
        bool more = a->astray == (k == 0);
        forward(a->other->model, more ? 4 : 1);
        for (int i = 0; i < (more ? 5 : 2); i++) EXPECT(drawn() >= 0);
    }
    return true;
}

SCENARIO(fits_apart) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0.3), other = rank_loop_begin(0.2);
    apart a = {&other, group, ct_group_rank(group) == argument};
    const ct_fit_options options = {.epochs = 5, .callback = go_apart, .context = &a};
    EXPECT(ct_fit(t.model, t.optimizer, &ct_loss_mse, t.train, options, NULL) != CT_OK);
    EXPECT(ct_optimizer_steps(t.optimizer) == 2);
    ct_error_clear();
    expect_same_keys(group, &other);
    expect_same_keys(group, &t);
    OK(rank_loop_step(&t));
    OK(rank_loop_step(&other));
    rank_expect_alike(group, rank_slots_hash(t.model, t.optimizer), "slots", 0);
    rank_expect_alike(group, rank_slots_hash(other.model, other.optimizer), "others", 0);
    rank_loop_end(&t);
    rank_loop_end(&other);
}

/* A rule of one's own that finds itself alone, and draws. */
static ct_tensor *update(const void *options, const ct_step *step, ct_tensor *parameter,
                         ct_tensor *gradient, ct_tensor *const state[], ct_tensor *next[]) {
    ct_group *group = *(ct_group *const *)options;
    (void)step, (void)parameter, (void)gradient, (void)state, (void)next;
    EXPECT(ct_group_agree(group, CT_OK) != CT_OK);
    EXPECT(drawn() < drawn());
    return NULL;
}

/* Rank `argument` is in no step: they draw alike from the next exchange on. */
SCENARIO(steps_without_one) {
    static const ct_optimizer_kind kind = {.name = "own", .update = update};
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    rank_loop t = rank_loop_begin(0.3);
    ct_optimizer_free(t.optimizer);
    t.optimizer = ct_optimizer_new(&kind, t.model, ct_rate(0.1), (ct_step_options){0}, &group,
                                   sizeof group);
    int64_t nothing = 0;
    bool absent = ct_group_rank(group) == argument;
    EXPECT((absent ? ct_group_broadcast(group, &nothing, sizeof nothing) : rank_loop_step(&t)) ==
           CT_ERR_STATE);
    ct_error_clear();
    OK(ct_group_agree(group, CT_OK));
    expect_same_keys(group, &t);
    rank_loop_end(&t);
}
