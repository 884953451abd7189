/* A small net in a loop of one's own.
 * Invariant: each step gets the same rows. */
#include "tests/optim/train/rank_loop.h"

#include "datasets/datasets.h"
#include "nn/layers.h"
#include "nn/loss.h"
#include "tensor/runtime.h"
#include "tests/support/rank.h"

enum { INPUTS = 6, ITEMS = 11 };

static ct_module *net(double dropout) {
    ct_module *middle = dropout > 0 ? ct_dropout_new(dropout) : ct_flatten_new();
    return CT_SEQUENTIAL("net", ct_dense_new(INPUTS, 4, (ct_dense_options){0}),
                         ct_batch_norm_new(4, ct_batch_norm_defaults()),
                         ct_activation_new(&ct_activation_tanh), middle,
                         ct_dense_new(4, 1, (ct_dense_options){0}));
}

rank_loop rank_loop_begin(double dropout) {
    ct_seed_set(3);
    ct_threads_set(1);
    ct_tensor *x = ct_random_normal(ct_seed_draw(), CT_F32, CT_SHAPE(ITEMS, INPUTS));
    ct_tensor *y = ct_random_normal(ct_seed_draw(), CT_F32, CT_SHAPE(ITEMS, 1));
    rank_loop loop = {.train = ct_batches_new(x, y, (ct_batches_options){.size = ITEMS})};
    loop.model = net(dropout);
    loop.optimizer = ct_adam_new(loop.model, ct_adam_defaults(0.01));
    return loop;
}

ct_status rank_loop_step(const rank_loop *loop) {
    ct_batch batch;
    OK(ct_source_seek(loop->train, 0, 0));
    int64_t scope = ct_scope_open();
    ct_tensor *loss = NULL;
    if (ct_source_next(loop->train, &batch) == CT_OK) {
        loss = ct_mse(ct_forward(loop->model, batch.x, CT_TRAINING), batch.y);
    }
    ct_status status = ct_optimizer_step(loop->optimizer, loss, NULL, 0);
    ct_scope_close(scope);
    return status;
}

void rank_loop_end(rank_loop *loop) {
    ct_optimizer_free(loop->optimizer);
    ct_module_free(loop->model);
    ct_source_free(loop->train);
}
