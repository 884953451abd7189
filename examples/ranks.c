/* The study's network trained on several machines: mpirun -n 4 ranks. Two lines make the program
 * one of ranks, and the weights have the same bits for any number of them, one included.
 * `./run ranks -n 4` builds it and starts it. */
#include "options.h"
#include "ranks_scaling.h"

#include <cotan/cotan.h>
#include <cotan/tensor/mpi/mpi.h>

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    int64_t steps, batch;
    const char *save;
    bool scaling;
} settings;

static void say_cost(const ct_group *ranks, const ct_history *history) {
    double seconds = 0, steps = 0;
    for (int64_t e = 0; e < history->n_epochs; e++) {
        seconds += history->epochs[e].seconds;
        steps += (double)history->epochs[e].steps;
    }
    printf("ranks %d: %.2f ms and %.3f MB sent by rank 0 in a step\n", ct_group_size(ranks),
           1e3 * seconds / steps, 1e-6 * (double)ct_group_stats_read(ranks).bytes / steps);
}

static ct_status train(const ct_group *ranks, settings s) {
    ct_seed_set(1); /* the same on all ranks, which begin with the same weights */
    ct_dataset *data = ct_dataset_open(NULL);
    if (!data) return ct_error();
    ct_batches_options batches = {.size = s.batch, .shuffle = true, .divide_by = 255};
    ct_batches_options tested = {.size = 500, .limit = 2000, .divide_by = 255};
    ct_source *train = ct_batches_new(data->train_images, data->train_labels, batches);
    ct_source *test = ct_batches_new(data->test_images, data->test_labels, tested);
    ct_module *model = ct_digits_cnn_new((ct_digits_cnn_options){0});
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.001));

    ct_history history = {0};
    ct_fit_options options = {.max_steps = s.steps, .validation = test, .log = stdout};
    ct_status status = ct_fit(model, adam, &ct_loss_cross_entropy, train, options, &history);
    if (status == CT_OK && s.save) {
        status = ct_checkpoint_save(s.save, model, adam, history.position);
    }
    if (status == CT_OK && ct_group_rank(ranks) == 0) say_cost(ranks, &history);
    ct_history_free(&history);
    ct_optimizer_free(adam), ct_module_free(model);
    ct_source_free(train), ct_source_free(test), ct_dataset_free(data);
    return status;
}

int main(int argc, char *argv[]) {
    ct_group *ranks = ct_group_mpi(&argc, &argv);
    ct_group_use(ranks, (ct_group_options){0});

    settings s = {.steps = 200, .batch = 64};
    const option list[] = {
        {"--steps", "N", "steps to train", OPTION_INTEGER, &s.steps, 1, 1000000},
        {"--batch", "N", "items of a step, on all ranks together", OPTION_INTEGER, &s.batch, 2,
         10000},
        {"--save", "FILE", "where rank 0 writes all slots, a checkpoint", OPTION_TEXT, &s.save, 0,
         0},
        {"--scaling", NULL, "measure exchanges, and say what more ranks would make of a step",
         OPTION_FLAG, &s.scaling, 0, 0},
    };
    int usage = options_parse("ranks", "Trains the study's network on several ranks.", list, 4,
                              argc, argv);
    if (usage < 0) {
        if (!getenv("CT_NUM_THREADS")) ct_threads_set(1); /* of each rank */
        ct_status status = ct_error();
        if (status == CT_OK) {
            status = s.scaling ? scaling_print(ranks, s.batch / 2) : train(ranks, s);
        }
        if (status != CT_OK) fprintf(stderr, "%s\n", ct_error_message());
        usage = status != CT_OK;
    }
    ct_scope_close(0);
    ct_group_free(ranks);
    return usage;
}
