/* One hash of all weights and moments, whatever the number of threads and whatever else is cached.
 * Bits may differ between classes of processors, so no hash is pinned.
 * Invariant: each run starts from the same seed and nothing else. */
#include "tests/support/nn_support.h"

#include "datasets/datasets.h"
#include "optim/optim.h"
#include "tensor/runtime.h"

#define STEPS support_scaled(50)

static uint64_t trained(const ct_dataset *data, int threads) {
    OK(ct_threads_set(threads));
    ct_seed_set(1);
    ct_module *model = seed_model(true, CT_F32);
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(1e-3));
    ct_source *source = ct_batches_new(data->train_images, data->train_labels,
                                       (ct_batches_options){.size = 32, .divide_by = 255});
    MADE(source);
    for (int k = 0; k < STEPS; k++) {
        int64_t scope = ct_scope_open();
        ct_batch batch;
        OK(ct_source_next(source, &batch));
        ct_tensor *logits = ct_logits(model, batch.x, CT_TRAINING);
        OK(ct_optimizer_step(adam, ct_cross_entropy(logits, batch.y), NULL, 0));
        ct_scope_close(scope);
    }
    uint64_t hash = state_hash(model, adam);
    ct_source_free(source);
    ct_optimizer_free(adam);
    ct_module_free(model);
    return hash;
}

TEST(determinism, one_hash_for_any_number_of_threads) {
    ct_dataset *data = ct_dataset_digits(STEPS * 32, 1, 0);
    MADE(data);
    uint64_t one = trained(data, 1);
    for (int threads = 2; threads <= 4; threads++) {
        uint64_t hash = trained(data, threads);
        cr_expect_eq(hash, one, "%d threads: %016llx, 1 thread: %016llx", threads,
                     (unsigned long long)hash, (unsigned long long)one);
    }
    ct_cache_clear();
    cr_expect_eq(trained(data, 2), one);
    ct_dataset_free(data);
}
