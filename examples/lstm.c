/* An LSTM (Hochreiter and Schmidhuber, 1997) on their adding problem: in a sequence of numbers two
 * are marked, and their sum is asked for at the end. A network without memory can do no better than
 * always say 1, which is wrong by 0.167 in the mean square. Gradients go back through all steps of
 * time, and nobody wrote them. */
#include "twin.h"

enum { LENGTH = 24, BATCH = 64, UNITS = 32, STEPS = 600, TEST = 512 };

/* What a recurrent layer has read last: only the output of its last step is asked for. */
static ct_module *model_new(int64_t units, ct_dtype dtype) {
    ct_recurrent_options memory = {.last_only = true, .dtype = dtype};
    ct_module *lstm = ct_lstm_new(2, units, memory);
    return CT_SEQUENTIAL("adder", lstm, ct_dense_new(units, 1, (ct_dense_options){.dtype = dtype}));
}

/* One mark in each half of the sequence: 1 where a random place is, 0 elsewhere. */
static ct_tensor *marks(int64_t n, int64_t length) {
    ct_tensor *u = ct_random_uniform(ct_seed_draw(), CT_F32, CT_SHAPE(n, 1));
    ct_tensor *place = ct_floor(ct_scale(u, (double)length));
    return ct_equal(place,
                    ct_reshape(ct_arange(CT_F32, 0, (double)length, 1), CT_SHAPE(1, length)));
}

typedef struct {
    ct_tensor *x, *y; /* [N,T,2]: number and mark; [N,1] */
} examples;

/* The sum of what is marked is asked for. */
static examples draw(int64_t n) {
    ct_tensor *mark = CT_CONCAT(1, marks(n, LENGTH / 2), marks(n, LENGTH / 2));
    ct_tensor *number = ct_random_uniform(ct_seed_draw(), CT_F32, CT_SHAPE(n, LENGTH));
    ct_tensor *y = ct_sum_keep(ct_mul(number, mark), CT_AXES(1));
    ct_shape column = CT_SHAPE(n, LENGTH, 1);
    return (examples){CT_CONCAT(2, ct_reshape(number, column), ct_reshape(mark, column)), y};
}

/* Of the twin the examples of step k, from all of its. */
static examples drawn_by(const char *twin, int64_t k) {
    ct_tensor *x = twin_tensor(twin, "x"), *y = twin_tensor(twin, "y");
    ct_tensor *at = ct_from(CT_I64, CT_SHAPE(1), &k);
    ct_shape s = ct_shape_of(x);
    return (examples){ct_reshape(ct_take(x, at), CT_SHAPE(s.dims[1], s.dims[2], s.dims[3])),
                      ct_reshape(ct_take(y, at), CT_SHAPE(s.dims[1], 1))};
}

static ct_status run(ct_module *model, ct_optimizer *adam, const char *twin, int64_t steps) {
    ct_status status = CT_OK;
    for (int64_t k = 0; k < steps && status == CT_OK; k++) {
        int64_t scope = ct_scope_open(); /* what a step makes is gone at its end */
        examples batch = twin ? drawn_by(twin, k) : draw(BATCH);
        ct_tensor *loss = ct_mse(ct_forward(model, batch.x, CT_TRAINING), batch.y);
        status = ct_optimizer_step(adam, loss, NULL, 0);
        if (twin && status == CT_OK) twin_loss(ct_item(loss));
        else if (status == CT_OK && (k + 1) % 100 == 0)
            printf("step %lld: mean square error %.4f\n", (long long)(k + 1), ct_item(loss));
        ct_scope_close(scope);
    }
    return status;
}

static ct_status train(const char *twin, int64_t steps) {
    ct_module *model = model_new(twin ? 6 : UNITS, twin ? CT_F64 : CT_F32);
    ct_optimizer *adam = ct_adam_new(model, ct_adam_pytorch(0.01));
    ct_status status = model ? twin_weights(twin, "lstm", model->children[0]) : ct_error();
    if (model && status == CT_OK) status = twin_weights(twin, "head", model->children[1]);
    if (status == CT_OK) status = run(model, adam, twin, steps ? steps : STEPS);
    if (!twin && status == CT_OK) {
        examples unseen = draw(TEST);
        double error = ct_item(ct_mse(ct_forward(model, unseen.x, CT_INFERENCE), unseen.y));
        printf("on %d new sequences: mean square error %.4f, 0.167 without memory\n", TEST, error);
        status = ct_error();
    }
    ct_optimizer_free(adam), ct_module_free(model);
    return status;
}

int main(int argc, char *argv[]) {
    return twin_main("lstm", "Trains an LSTM on the adding problem.", train, NULL, argc, argv);
}
