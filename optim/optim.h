/* Optimizers: tensor algebra on parameters, gradients and moments. A step is one evaluation of
 * loss, gradients, updates and staged statistics together, then a commit that cannot fail.
 *
 *     ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(0.001));
 *     int64_t scope = ct_scope_open();
 *     ct_tensor *loss = ct_cross_entropy(ct_logits(model, x, CT_TRAINING), labels);
 *     if (ct_optimizer_step(adam, loss, NULL, 0) != CT_OK) puts(ct_error_message());
 *     printf("%g\n", ct_item(loss));       // already computed by the step
 *     ct_scope_close(scope);                                                              */
#ifndef COTAN_OPTIM_H
#define COTAN_OPTIM_H

#include <cotan/nn/nn.h>
#include <cotan/optim/schedule.h>

CT_C_BEGIN

/* --- Optimizers ------------------------------------------------------------------------------- */

typedef struct ct_optimizer ct_optimizer;

/* What is different for some parameters. A parameter belongs to the first group that holds it:
 * whose pattern its path matches and whose predicate is true of it; one of the two may be absent.
 * Zeros change nothing. Groups are looked at when the optimizer is made, and never again:
 *
 *     const ct_parameter_group groups[] = {
 *         {.pattern = "embedding*", .frozen = true},
 *         {.pattern = "head*", .rate_factor = 10},
 *         {.holds = ct_holds_vectors, .no_decay = true},
 *     };
 *     ct_adam_options options = ct_adamw_defaults(0.001);
 *     options.step.groups = groups, options.step.n_groups = 3;
 *
 * A pattern that matches no parameter is an error, and so is one without a predicate whose
 * parameters all belong to groups before it. */
typedef struct {
    const char *pattern; /* of the whole path, as ct_module_parameters has it; as in fnmatch(3): '*'
                            is any text, with '/' too, '?' a character, [ab] one of these */
    bool (*holds)(void *context, const ct_named_slot *parameter);
    void *context;       /* for the predicate, and for rules of your own: step->group->context */
    double rate_factor;  /* times the learning rate, and so times decoupled decay; 0 = 1 */
    double decay_factor; /* times the optimizer's weight_decay; 0 = 1 */
    bool no_decay;       /* no weight decay at all */
    bool frozen;         /* the optimizer does not train them and has no moments for them. Their
                            module works as if they were trained; see ct_module_freeze          */
} ct_parameter_group;
/* Parameters of rank 0 and 1: biases, and the scales and shifts of normalizations. */
bool ct_holds_vectors(void *context, const ct_named_slot *parameter);
/* No weight decay for these: options.step.groups = &ct_group_no_decay, options.step.n_groups = 1 */
extern const ct_parameter_group ct_group_no_decay;

/* What all of them share. */
typedef struct {
    double clip_value;   /* each gradient entry into +-clip_value; 0 = off */
    double clip_norm;    /* all gradients together to this Euclidean norm at most; 0 = off */
    int64_t accumulate;  /* apply the mean gradient of so many steps at once, a round; 0 = 1. A
                           round goes on over the end of an epoch: 10 batches in rounds of 4 are
                           5 rounds in 2 epochs; see ct_optimizer_flush                       */
    bool allow_unused;   /* a parameter that the loss does not reach, as a head that is not in
                            use, stays with its moments, and weight decay does not move it;
                            otherwise it is an error. Under `accumulate`: that none of them
                            reaches                                                         */
    bool skip_nonfinite; /* a step whose gradients' norm is infinite or NaN changes nothing and is
                            no error: parameters, moments, statistics, counts and the round of
                            accumulation stay; ct_optimizer_skipped counts it. The norm is that
                            of this loss's gradients, before clipping. ct_fit goes on too, with
                            such a loss in the mean of its epoch                             */
    const ct_parameter_group *groups; /* copied; may be NULL */
    int64_t n_groups;
    double average;      /* keeps an average a of each parameter theta, in [0,1); 0 = off. Every
                            applied step: a := d a + (1 - d) theta with d = average; the first
                            one: a := theta. As PyTorch's swa_utils.get_ema_multi_avg_fn       */
    bool average_warmup; /* d = min(average, (1 + t) / (10 + t)) at applied step t, from 1: as
                            TensorFlow's ExponentialMovingAverage with num_updates            */
    ct_plateau plateau;  /* shrinks the rate when ct_optimizer_measured is told no progress */
} ct_step_options;

#define CT_OPTIMIZER_STATES 3
#define CT_OPTIMIZER_SCALARS 8

/* One step as an update rule sees it. Scalars have the parameter's dtype. */
typedef struct {
    ct_tensor *rate;                          /* the learning rate, times the group's factor */
    ct_tensor *scalars[CT_OPTIMIZER_SCALARS]; /* what the kind's `prepare` computed */
    double decay;                             /* weight decay is times this: 1, or as the group
                                                 says, 0 for none                               */
    const char *path;                         /* of the parameter */
    const ct_parameter_group *group;          /* that holds it, without its pattern, or NULL */
} ct_step;

/* A kind of optimizer: an update rule of your own is one such constant. */
typedef struct {
    const char *name;
    int n_states; /* slots per parameter, zeros at first */
    const char *state_names[CT_OPTIMIZER_STATES];
    /* Scalars that the parameters of a group share; `step` counts from 1, f64. May be NULL. */
    ct_status (*prepare)(const void *options, ct_tensor *step, ct_tensor *rate,
                         ct_tensor *scalars[CT_OPTIMIZER_SCALARS]);
    /* The new parameter; writes the new states to next[]. */
    ct_tensor *(*update)(const void *options, const ct_step *step, ct_tensor *parameter,
                         ct_tensor *gradient, ct_tensor *const state[], ct_tensor *next[]);
} ct_optimizer_kind;

/* An optimizer for the parameters of a model, those that are frozen now too, as a step looks at
 * what is frozen then; but those of frozen groups are none of its. Keeps the slots, not the model.
 * `options` is copied (size bytes). */
ct_optimizer *ct_optimizer_new(const ct_optimizer_kind *kind, ct_module *model, ct_schedule rate,
                               ct_step_options step, const void *options, size_t size);
void ct_optimizer_free(ct_optimizer *optimizer); /* takes NULL */

/* Evaluates the loss (one element), its gradients, the updates, the updates staged in loss
 * and `also`, and `also` itself in one plan, then commits. Afterwards reading loss and `also` runs
 * nothing. Frozen parameters and their moments stay. Errors: a parameter that the loss does not
 * reach, or reaches through ct_stop_gradient and the like only (but see allow_unused); one that was
 * reassigned since the loss was built; all frozen or unused. On any error nothing has changed. */
ct_status ct_optimizer_step(ct_optimizer *optimizer, ct_tensor *loss, ct_tensor *const also[],
                            int64_t n_also);
/* Steps whose update has been applied. */
int64_t ct_optimizer_steps(const ct_optimizer *optimizer);
/* Steps that skip_nonfinite skipped. */
int64_t ct_optimizer_skipped(const ct_optimizer *optimizer);
/* The learning rate of the next step, before factors of groups; NaN on error. */
double ct_optimizer_rate(ct_optimizer *optimizer);

/* A step in two halves, to look at gradients or to change them in between:
 *
 *     ct_slot_list parameters;
 *     ct_tensor *g[8];    // for at most 8 parameters
 *     ct_optimizer_parameters(adam, &parameters);
 *     ct_optimizer_gradients(adam, loss, g, parameters.count);
 *     g[0] = ct_scale(g[0], 0.5);
 *     ct_optimizer_apply(adam, loss, g, parameters.count, NULL, 0);
 *     printf("%g\n", ct_item(ct_norm(g[0])));    // g[0] was computed by the step
 *     ct_slot_list_free(&parameters);
 *
 * The parameters that a step trains now, in order: those of frozen modules are not among them. */
ct_status ct_optimizer_parameters(ct_optimizer *optimizer, ct_slot_list *list);
/* The gradients of the loss by these n parameters, before clipping, as tensors that are still to be
 * computed: temporaries. Under allow_unused NULL for one that the loss does not reach. Errors: as
 * those of ct_optimizer_step; CT_ERR_SHAPE for another n. On error `out` is untouched. */
ct_status ct_optimizer_gradients(ct_optimizer *optimizer, ct_tensor *loss, ct_tensor *out[],
                                 int64_t n);
/* The step with these gradients, which may be any tensors of the parameters' shapes and dtypes:
 * clips, accumulates and updates as ct_optimizer_step, in one plan, and reading them afterwards
 * runs nothing. The loss is evaluated, and what it stages applied; nothing is derived from it, so
 * nobody notices when it was built before a parameter changed. NULL under allow_unused leaves a
 * parameter alone; elsewhere, and while an error is on record, it is an error. */
ct_status ct_optimizer_apply(ct_optimizer *optimizer, ct_tensor *loss, ct_tensor *const gradients[],
                             int64_t n, ct_tensor *const also[], int64_t n_also);
/* Applies the mean of what a round that is not full has accumulated, as after the last batch of an
 * epoch, and begins the next round; one step of the schedule. Does nothing where no round has
 * begun, as without `accumulate`; ranks of a group wait for each other there too. On any error
 * nothing has changed. */
ct_status ct_optimizer_flush(ct_optimizer *optimizer);
/* Tells step.plateau a measured value, which ct_fit does by itself unless plateau.own says no. Part
 * of the state that checkpoints hold; ranks of a group call it together. CT_ERR_STATE without a
 * plateau. */
ct_status ct_optimizer_measured(ct_optimizer *optimizer, double value);

/* With step.average: exchanges the values of the model's parameters and their averages. A second
 * call gives the weights back; until then steps, lists and checkpoints are errors, and the model
 * can be evaluated and saved. Statistics, as BatchNorm's, and what the optimizer does not train
 * stay. On an error nothing has changed. */
ct_status ct_optimizer_swap_averages(ct_optimizer *optimizer);
/* The average of what the slot of a parameter holds; the value of a slot that the optimizer does
 * not train. So a model is evaluated by its averages and stays what it is:
 *
 *     ct_slot_list p;
 *     ct_tensor *w[8];    // for a model of at most 8 parameters
 *     ct_module_parameters(model, &p);
 *     for (int64_t i = 0; i < p.count; i++) w[i] = ct_optimizer_average(adam, p.items[i].slot);
 *     ct_functional_options plain = {0};
 *     ct_tensor *y = ct_functional_call(model, x, CT_INFERENCE, &p, w, plain);
 *     ct_slot_list_free(&p);
 */
ct_tensor *ct_optimizer_average(ct_optimizer *optimizer, ct_slot *slot);

/* Every slot of the optimizer with its path "adam/dense/kernel/m": moments, accumulated gradients,
 * and "adam/steps" (i64 [2]: applied steps, steps accumulated so far). With `accumulate` and
 * `allow_unused` also whether a step of this round has reached the parameter; with skip_nonfinite
 * "adam/skipped", with a plateau "adam/plateau", with averages "adam/dense/kernel/average". */
ct_status ct_optimizer_list(ct_optimizer *optimizer, ct_slot_list *list);

/* Every optimizer needs a rate; one without, as that of zeroed options, is an error. Options of
 * Adam and the like come from a function that sets real numbers; change any of them, also to 0:
 *
 *     ct_adam_options options = ct_adam_defaults(0.001);
 *     options.beta1 = 0;
 *     options.rate = ct_rate_cosine(0.001, 0, 1000);
 *
 * `_defaults` are Keras's form and numbers, `_pytorch` PyTorch's. Options that come from neither
 * are an error; only SGD's may begin as {0}. */

typedef struct {
    ct_schedule rate;
    double momentum;     /* v := momentum v + g; theta -= rate v (PyTorch's form) */
    bool keras;          /* Keras's form: v := momentum v - rate g; theta += v */
    bool nesterov;       /* Nesterov, as Sutskever et al., 2013 */
    double weight_decay; /* adds weight_decay theta to the gradient: PyTorch's, coupled */
    bool decoupled;      /* theta -= rate weight_decay theta in addition: Keras's, in either
                                form of momentum                                          */
    ct_step_options step;
} ct_sgd_options;
/* Stochastic gradient descent: theta -= rate g, with the options' momentum. */
ct_optimizer *ct_sgd_new(ct_module *model, ct_sgd_options options);

typedef struct {
    ct_schedule rate;
    double beta1, beta2; /* 0.9, 0.999; in [0,1) */
    double epsilon;      /* 1e-7; PyTorch: 1e-8 */
    bool pytorch;        /* sqrt(v / (1 - beta2^t)) + epsilon instead of Keras's form */
    double weight_decay; /* 0, AdamW: 0.004; PyTorch's AdamW: 0.01. Decoupled in all forms,
                                theta -= rate weight_decay theta: as in Keras and in AdamW;
                                torch.optim.Adam adds it to the gradient, which is not offered */
    ct_step_options step;
    const char *made_by; /* private: set by the functions that make these options */
} ct_adam_options;
/* Options of Adam and AdamW: Keras's form or PyTorch's. */
ct_adam_options ct_adam_defaults(double rate);
ct_adam_options ct_adam_pytorch(double rate);
ct_adam_options ct_adamw_defaults(double rate);
ct_adam_options ct_adamw_pytorch(double rate);
/* Kingma and Ba, 2015, arXiv:1412.6980, in the form of its section 2's last paragraph, as Keras:
 * theta -= rate sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + epsilon). */
ct_optimizer *ct_adam_new(ct_module *model, ct_adam_options options);
/* Loshchilov and Hutter, 2019, arXiv:1711.05101: Adam with weight_decay, and other defaults. */
ct_optimizer *ct_adamw_new(ct_module *model, ct_adam_options options);

typedef struct {
    ct_schedule rate;
    double rho;      /* 0.9; PyTorch: 0.99; in [0,1) */
    double momentum; /* 0 */
    double epsilon;  /* 1e-7; PyTorch: 1e-8 */
    bool pytorch;    /* g / (sqrt(v) + epsilon) instead of g / sqrt(v + epsilon) */
    ct_step_options step;
    const char *made_by; /* private */
} ct_rmsprop_options;
/* Options of RMSprop: Keras's form or PyTorch's. */
ct_rmsprop_options ct_rmsprop_defaults(double rate);
ct_rmsprop_options ct_rmsprop_pytorch(double rate);
/* Tieleman and Hinton, 2012: v = rho v + (1 - rho) g^2; theta -= rate g / sqrt(v + epsilon). */
ct_optimizer *ct_rmsprop_new(ct_module *model, ct_rmsprop_options options);

typedef struct {
    ct_schedule rate;
    double epsilon; /* 1e-7; PyTorch: 1e-10 */
    double initial; /* the sum s of squared gradients starts here: 0.1; PyTorch: 0 */
    bool pytorch;   /* g / (sqrt(s) + epsilon) instead of g / sqrt(s + epsilon) */
    ct_step_options step;
    const char *made_by; /* private */
} ct_adagrad_options;
/* Options of Adagrad: Keras's form or PyTorch's. */
ct_adagrad_options ct_adagrad_defaults(double rate);
ct_adagrad_options ct_adagrad_pytorch(double rate);
/* Duchi, Hazan and Singer, 2011: s += g^2; theta -= rate g / sqrt(s + epsilon). */
ct_optimizer *ct_adagrad_new(ct_module *model, ct_adagrad_options options);

CT_C_END

#endif
