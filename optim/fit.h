/* Training, evaluation and prediction over a source of batches.
 *
 *     ct_history history = {0};
 *     ct_fit_options options = {.epochs = 3, .validation = test, .log = stdout};
 *     ct_fit(model, adam, &ct_loss_cross_entropy, train, options, &history);
 *     printf("%g\n", history.epochs[2].val_accuracy);
 *     ct_history_free(&history);
 */
#ifndef COTAN_FIT_H
#define COTAN_FIT_H

#include <cotan/optim/monitor.h>
#include <cotan/optim/optim.h>
#include <cotan/tensor/source.h>

CT_C_BEGIN

#define CT_METRICS 8 /* at most so many in a list */

/* Running means over the epoch's batches, weighted by their size, while the weights change (train),
 * and means over all items with the weights at the end of the epoch (val). NaN = not measured, or
 * measured and not a number. */
typedef struct {
    double loss, accuracy, val_loss, val_accuracy;
    double seconds; /* training alone, without validation */
    int64_t steps, items;
    double metrics[CT_METRICS], val_metrics[CT_METRICS]; /* options.metrics, of all batches */
} ct_epoch;

/* A point within an epoch, for curves over training steps. */
typedef struct {
    int64_t step;          /* from the start of training, counting from 1 */
    double loss, accuracy; /* of that batch */
} ct_step_record;

/* How far training has come: the data position of the next batch, and the best epoch until then,
 * the one of the smallest val_loss (but see options.min_delta): what early stopping goes by. All
 * zero at the beginning. */
typedef struct {
    int64_t epoch, batch; /* from 0 */
    int64_t best_epoch;   /* from 1, as the log counts; 0 = none */
    double best_val_loss;
} ct_position;

typedef struct {
    ct_epoch *epochs;
    int64_t n_epochs;
    ct_step_record *steps; /* every step, when options.record_steps */
    int64_t n_steps;
    bool interrupted;     /* ended by Ctrl-C or SIGTERM, after a finished step */
    bool stopped_early;   /* ended by early stopping or by a callback */
    bool restored;        /* by restore_best: the model is that of position.best_epoch */
    ct_position position; /* where to continue */
} ct_history;
void ct_history_free(ct_history *history); /* takes NULL */

/* What metrics compare: of each output of a model. */
typedef struct {
    ct_tensor *prediction, *target;
} ct_output;

#define CT_OUTPUTS 6

/* A loss that is any function of model and batch, one number: of several inputs and outputs, of
 * what lies between, or without labels. `outputs` (CT_OUTPUTS of them) is for metrics, and may be
 * left as it is without any; outputs[0].target is batch->y already, the rest is NULL. Of a
 * variational autoencoder that gives means and log-variances of 2 numbers side by side:
 *
 *     static ct_tensor *negative_elbo(void *context, ct_module *model, const ct_batch *batch,
 *                                     ct_mode mode, ct_output outputs[]) {
 *         (void)context;
 *         ct_tensor *code = ct_forward(model->children[0], batch->x, mode);
 *         ct_tensor *mean = ct_slice(code, 1, 0, 2, 1), *log_var = ct_slice(code, 1, 2, 4, 1);
 *         ct_tensor *e = ct_random_normal_like(ct_seed_draw(), mean);
 *         ct_tensor *z = ct_add(mean, ct_mul(e, ct_exp(ct_scale(log_var, 0.5))));
 *         outputs[0].prediction = ct_logits(model->children[1], z, mode);
 *         ct_tensor *kl = ct_sub(ct_add(ct_square(mean), ct_exp(log_var)), ct_offset(log_var, 1));
 *         return ct_add(ct_binary_cross_entropy(outputs[0].prediction, batch->x),
 *                       ct_scale(ct_mean_all(kl), 0.01));
 *     }
 *
 * What it draws by ct_seed_draw is drawn again when training continues from a checkpoint; what
 * other generators give is not. */
typedef ct_tensor *ct_objective(void *context, ct_module *model, const ct_batch *batch,
                                ct_mode mode, ct_output outputs[]);

typedef struct ct_fit_options ct_fit_options;
/* Called after every step and, with `epoch` not NULL, after every epoch with its validation;
 * `position` is what a checkpoint needs. When an epoch is the best so far, position.best_epoch ==
 * position.epoch in the call at its end. Returns false to stop. */
typedef bool ct_fit_callback(void *context, ct_position position, const ct_step_record *step,
                             const ct_epoch *epoch);

/* The weights of a model's best epoch: ct_fit fills it, and checkpoints may hold it too. */
typedef struct ct_best ct_best;
ct_best *ct_best_new(void); /* holds nothing; NULL without memory */
/* The epoch that it holds, counted from 1; 0 = nothing. */
int64_t ct_best_epoch(const ct_best *best);
void ct_best_free(ct_best *best); /* takes NULL */

#define CT_ALSO 256

/* The running step, as options.also and options.watch see it. Its tensors are temporaries. */
typedef struct {
    ct_module *model;
    ct_optimizer *optimizer;
    const ct_batch *batch;
    ct_position position;     /* of this batch */
    ct_tensor *loss;          /* of this batch */
    const ct_output *outputs; /* CT_OUTPUTS: [0] is of the loss, or those that the objective gave */
    ct_tensor *also[CT_ALSO]; /* what options.also wants evaluated with the step: ct_fit_want */
    int64_t n_also;           /* so many; 0 at first */
} ct_fit_step;
/* Adds a tensor to step->also; NULL passes the error on. CT_ERR_RANGE for more than CT_ALSO. */
ct_status ct_fit_want(ct_fit_step *step, ct_tensor *t);
/* Called when the loss was built and nothing is evaluated: the tensors that it wants are then a
 * part of the step's one evaluation. Gradients are shared with the update, not computed
 * twice; outputs of layers are what an objective that runs the layers itself keeps in its context.
 * The norm of the gradient of one parameter, for options.watch to read:
 *
 *     static ct_status want_norm(void *context, ct_fit_step *step) {
 *         ct_tensor *w = ct_slot_read(context), *g; // the context is its slot
 *         if (ct_grad(step->loss, &w, 1, &g) != CT_OK) return ct_error();
 *         return ct_fit_want(step, ct_norm(g));
 *     }
 */
typedef ct_status ct_fit_also(void *context, ct_fit_step *step);
/* Called after the update was applied and before `callback`. Reading loss, `also` and the batch
 * runs nothing; parameters are the new ones, and what is shown is of those before. Not called for a
 * step that was refused. Returns false to stop. */
typedef bool ct_fit_watch(void *context, const ct_fit_step *step);

struct ct_fit_options {
    int64_t epochs;          /* all of them, also those before `start`; default: as many as
                                  max_steps needs, or 1                                        */
    int64_t max_steps;       /* ends training after so many steps of this call, with a
                                  validation; 0 = no limit                                     */
    ct_source *validation;   /* NULL: none */
    ct_objective *objective; /* in place of the loss, which is then NULL */
    ct_tensor *(*metric)(ct_tensor *scores, ct_tensor *labels); /* default: the loss's own */
    const ct_metric *metrics; /* n_metrics of them beside, borrowed; see nn/metrics.h */
    int64_t n_metrics;
    FILE *log;            /* NULL: silent. Which data it is, where the sources say so, and a
                                  line per epoch; a terminal gets a progress bar too, where
                                  there is one rank                                            */
    int64_t patience;     /* early stopping: epochs without a better val_loss, NaN is none;
                                  0 = off                                                      */
    double min_delta;     /* a val_loss is better only if it is smaller by more than this; in
                                  units of the loss, as Keras's; default: 0                    */
    bool restore_best;    /* gives the model back the weights of its best epoch, see below */
    ct_best *best;        /* where the weights of the best epoch are held; NULL: nowhere, or with
                                  restore_best within the call                                 */
    bool allow_nonfinite; /* continues when a loss, val_loss or parameter is infinite or NaN */
    bool anomaly;         /* the message of a loss that is infinite or NaN names the node in which
                                  that arises, see autograd/anomaly.h; no step is slower       */
    ct_fit_callback *callback;
    ct_fit_also *also;
    ct_fit_watch *watch;
    void *context;       /* of the callback, the objective, also and watch */
    ct_monitor *monitor; /* writes curves, and distributions by layer; see monitor.h. An error of
                                  it ends training after the step. Its tensors stand in
                                  ct_fit_step.also, after those that `also` wants                */
    bool record_steps;
    bool no_signals;   /* leave SIGINT and SIGTERM alone; otherwise the first Ctrl-C or
                                  SIGTERM ends training after the running step, the second acts
                                  as by default                                                */
    ct_position start; /* where to continue, from a checkpoint */
};

/* Trains by `loss`, or where that is NULL by options.objective. What was learned stays, also after
 * an interruption or an error; `history` (may be NULL) is overwritten with what was measured,
 * unfinished epochs included, and is the caller's to free. An interruption and a stop are no
 * errors, but where the callback or `watch` recorded one in the call that says stop, as where it
 * could not save. Ends without a validation when a signal or the callback stopped it.
 *
 * Divergence: a loss of a step, or a val_loss, that is infinite or NaN ends training with
 * CT_ERR_DIVERGED; the message says which step, and what of its batch or, in the first step of the
 * call, of the parameters is not finite. That step's update is not applied: parameters, moments and
 * statistics are those from which the loss came (the step before may have spoilt them), and
 * `position` is that of its batch. Its loss is in `history`, where it makes the mean of its
 * epoch infinite or NaN too, and in the log. With allow_nonfinite every update is applied. With
 * `anomaly` the message says where in the loss it arises; where that is a parameter, the gradient
 * of an earlier step was not finite (see ct_step_options.skip_nonfinite).
 * A loss that is finite may have a derivative that is not, as sqrt at 0. So at the end of each
 * epoch, also of one that is cut short, and before its validation, the trained parameters are
 * looked at: one that is infinite or NaN ends training with CT_ERR_DIVERGED too, and the message
 * gives its path. The updates of that epoch have been applied. allow_nonfinite does without.
 *
 * Early stopping: after `patience` epochs in a row without a val_loss below that of the best
 * epoch less min_delta; smaller gains add up. Epochs that max_steps cut short do not count. The
 * best epoch and its val_loss are part of the position, so training continued from a checkpoint
 * stops where it would have stopped without; when it had stopped already it trains no further
 * (start.best_epoch = 0 forgets that). Save in the callback's call with `epoch`: what was saved
 * after the last step before it misses the validation.
 *
 * restore_best (needs validation): when training ends of itself, by patience, after the last epoch
 * or by divergence, all slots of the model are those of its best epoch again; the optimizer's stay.
 * So that this holds over a restart, give ct_fit a ct_best (options.best, which needs validation
 * too), and save and load it with the checkpoints. ct_fit replaces what it holds by each better
 * epoch; at the beginning it forgets what is not of start.best_epoch. When nobody holds the weights
 * of the best epoch, since it came before `start` and was not the one just before it, the model
 * stays as it is and history->restored is false.
 *
 * With a group of ranks (tensor/group.h) all of them call this, and begin with the same slots:
 * ct_seed_set the same seed. Where the source hands out rows that vary (ct_batches_new does), loss,
 * metrics, history and slots are those of the global batch, on every rank. Rank 0 logs. What stops
 * one rank (an error, a callback, Ctrl-C) stops all after the same step. start, epochs (also those
 * that max_steps means), patience, min_delta and restore_best are the same on all of them, and so
 * are whether there is validation, and the number of batches where an epoch ends; with restore_best
 * all hold the same weights of start.best_epoch, or none. An epoch whose losses differ
 * between ranks, since their rows do not vary, is an error. anomaly and monitor are for one process
 * without a group.
 *
 * Errors: CT_ERR_NULL, CT_ERR_RANGE (options, step numbers above 2^63-1), CT_ERR_STATE (no
 * batches; loss and objective; `best` of another model; ranks that begin or measure otherwise, a
 * group that is left or chosen in the middle, or an option that is for one process), CT_ERR_SHAPE
 * (metrics), CT_ERR_DIVERGED, CT_ERR_MEMORY, what model, loss, optimizer, source, monitor and a
 * callback that stops record, and those of ct_group_agree. */
ct_status ct_fit(ct_module *model, ct_optimizer *optimizer, const ct_loss *loss, ct_source *train,
                 ct_fit_options options, ct_history *history);

/* Loss and its metric over one pass of the source in inference mode; every item counts once. NaN
 * for a loss without a metric, and on error. Either pointer may be NULL. */
ct_status ct_evaluate(ct_module *model, const ct_loss *loss, ct_source *source, double *mean_loss,
                      double *accuracy);

typedef struct {
    ct_objective *objective; /* in place of the loss, which is then NULL */
    void *context;           /* its own */
    const ct_metric *metrics;
    int64_t n_metrics;
} ct_evaluate_options;
/* What an evaluation has measured. NaN as above. */
typedef struct {
    double loss, accuracy;
    int64_t items;
    double metrics[CT_METRICS]; /* in the order of the options */
} ct_evaluation;
/* ct_evaluate by options; *result is written in any case. */
ct_status ct_evaluate_with(ct_module *model, const ct_loss *loss, ct_source *source,
                           ct_evaluate_options options, ct_evaluation *result);

/* The model's output for all rows of x, `batch` rows at a time (0 = 256), as one tensor. */
ct_tensor *ct_predict(ct_module *model, ct_tensor *x, int64_t batch);
/* The same for a model of several inputs and outputs, as ct_forward_many: sets out[0..n_out) to its
 * first outputs for all rows. Inputs that are not NULL have as many rows, along axis 0, and so have
 * the outputs, or CT_ERR_SHAPE; they are evaluated together.
 *
 *     ct_tensor *scores(ct_module *towers, ct_tensor *images, ct_tensor *texts) {
 *         ct_tensor *in[] = {images, texts}, *score = NULL;
 *         ct_predict_many(towers, in, 2, &score, 1, 0);
 *         return score;
 *     }
 *
 * An error leaves out[] as it was. Errors: CT_ERR_SHAPE for inputs of different rows; those of
 * ct_forward_many. */
ct_status ct_predict_many(ct_module *model, ct_tensor *const in[], int n_in, ct_tensor *out[],
                          int n_out, int64_t batch);

/* --- Checkpoints ------------------------------------------------------------------------------ */

/* Model, optimizer and position in one .safetensors file, atomically: training continued from
 * it equals training that never stopped, bit for bit, and stops early at the same epoch. With a
 * group of ranks rank 0 alone writes, and the file is that of any number of them. */
ct_status ct_checkpoint_save(const char *path, ct_module *model, ct_optimizer *optimizer,
                             ct_position position);
/* All or nothing; see ct_weights_load. A checksum tells damaged files. All ranks of a group load
 * together, or none does. */
ct_status ct_checkpoint_load(const char *path, ct_module *model, ct_optimizer *optimizer,
                             ct_position *position);
/* The same with the weights of the best epoch: saved unless `best` holds nothing, which must be of
 * position.best_epoch, and loaded into `best`, which then holds nothing when the file has none. The
 * functions above save none, and read files with and without. From a callback:
 *
 *     static bool save(void *context, ct_position position, const ct_step_record *last,
 *                      const ct_epoch *epoch) {
 *         ct_best *best = context; // options.best
 *         if (!epoch) return true;
 *         return ct_checkpoint_save_best("run.st", model, adam, position, best) == CT_OK;
 *     }
 *
 * Errors: as above, and CT_ERR_STATE for a `best` of another epoch or model. */
ct_status ct_checkpoint_save_best(const char *path, ct_module *model, ct_optimizer *optimizer,
                                  ct_position position, const ct_best *best);
ct_status ct_checkpoint_load_best(const char *path, ct_module *model, ct_optimizer *optimizer,
                                  ct_position *position, ct_best *best);

CT_C_END

#endif
