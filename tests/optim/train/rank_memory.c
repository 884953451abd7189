/* A step on ranks of which one runs out of memory, at each request in turn.
 * Invariant: all ranks come to the same end, and none has changed a slot unless all have. */
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include "datasets/datasets.h"
#include "nn/layers.h"
#include "nn/loss.h"
#include "optim/optim.h"
#include "tensor/mem.h"
#include "tensor/runtime.h"

enum { INPUTS = 6, ITEMS = 11 };

typedef struct {
    ct_source *train;
    ct_module *model;
    ct_optimizer *optimizer;
} training;

static training begin(void) {
    ct_seed_set(3);
    ct_threads_set(1);
    ct_tensor *x = ct_random_normal(ct_seed_draw(), CT_F32, CT_SHAPE(ITEMS, INPUTS));
    ct_tensor *y = ct_random_normal(ct_seed_draw(), CT_F32, CT_SHAPE(ITEMS, 1));
    training t = {.train = ct_batches_new(x, y, (ct_batches_options){.size = ITEMS})};
    t.model = CT_SEQUENTIAL("net", ct_dense_new(INPUTS, 4, (ct_dense_options){0}),
                            ct_batch_norm_new(4, ct_batch_norm_defaults()),
                            ct_activation_new(&ct_activation_tanh),
                            ct_dense_new(4, 1, (ct_dense_options){0}));
    t.optimizer = ct_adam_new(t.model, ct_adam_defaults(0.01));
    return t;
}

static ct_status step(const training *t) {
    ct_batch batch;
    OK(ct_source_seek(t->train, 0, 0));
    int64_t scope = ct_scope_open();
    ct_tensor *loss = NULL;
    if (ct_source_next(t->train, &batch) == CT_OK) {
        loss = ct_mse(ct_forward(t->model, batch.x, CT_TRAINING), batch.y);
    }
    ct_status status = ct_optimizer_step(t->optimizer, loss, NULL, 0);
    ct_scope_close(scope);
    return status;
}

/* What rank 0 has, on all ranks. */
static void expect_alike(ct_group *group, uint64_t mine, const char *what, int64_t at) {
    uint64_t first = mine;
    OK(ct_group_broadcast(group, &first, sizeof first));
    EXPECT(first == mine, "%s at request %lld", what, (long long)at);
}

/* Rank `argument` fails: at each request of a step whose plans are there, then of one that makes
 * them. */
SCENARIO(step_without_memory) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 60}));
    training t = begin();
    OK(step(&t));
    int64_t failed = 0, before = ct_mem_read().allocations;
    ct_cache_clear();
    OK(step(&t));
    int64_t requests = ct_mem_read().allocations - before;
    OK(ct_group_broadcast(group, &requests, sizeof requests));
    for (int64_t i = 0; i < 2 * requests; i++) {
        int64_t at = 1 + i % requests;
        uint64_t old = rank_slots_hash(t.model, t.optimizer);
        if (i >= requests) ct_cache_clear();
        if (ct_group_rank(group) == argument) ct_mem_fail_at(at, false);
        ct_status status = step(&t);
        ct_mem_fail_at(0, false);
        ct_error_clear();
        failed += status != CT_OK;
        EXPECT((status == CT_OK) == (rank_slots_hash(t.model, t.optimizer) != old),
               "at request %lld", (long long)at);
        expect_alike(group, status != CT_OK, "status", at);
        expect_alike(group, rank_slots_hash(t.model, t.optimizer), "slots", at);
    }
    EXPECT(failed > requests, "%lld of %lld requests", (long long)failed, (long long)requests);
    ct_optimizer_free(t.optimizer);
    ct_module_free(t.model);
    ct_source_free(t.train);
}
