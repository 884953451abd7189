/* Modules: functions of tensors with named slots. A module holds no derivative and no loop over
 * numbers; its forward is a few ops, and everything else follows from them.
 *
 *     ct_seed_set(1);
 *     ct_module *model = CT_SEQUENTIAL("mlp",
 *         ct_flatten_new(),
 *         ct_dense_new(784, 64, (ct_dense_options){0}),
 *         ct_batch_norm_new(64, ct_batch_norm_defaults()),
 *         ct_activation_new(&ct_activation_relu),
 *         ct_dense_new(64, 10, (ct_dense_options){0}));
 *     ct_tensor *logits = ct_forward(model, x, CT_TRAINING);
 *
 * A `_new` function returns a module that the caller owns, or NULL with the error recorded. A
 * container owns its children, also when it fails: then it frees every child passed in. A module
 * may stand in several places, of one container or of several: it has one set of slots, and goes
 * with the last container that holds it; see that one container is there before you give a child
 * to another.
 *
 * A module belongs to one thread, but a frozen one may be run by many: a server answers requests
 * with one set of weights,
 *
 *     ct_module_freeze(model, true);  // before the threads start
 *     // in each of them, with a scope, a graph and plans of its own:
 *     int64_t scope = ct_scope_open();
 *     const float *scores = ct_data_f32(ct_forward(model, x, CT_INFERENCE));
 *     ct_scope_close(scope);
 *     ct_cache_clear();               // at the thread's end
 *
 * Until they have ended nobody changes the module or its slots, or gives it in a functional call;
 * dropout in training would. ct_threads_set(1) in each leaves the processors to the requests. */
#ifndef COTAN_MODULE_H
#define COTAN_MODULE_H

#include <cotan/autograd/compose.h>
#include <cotan/tensor/slot.h>

CT_C_BEGIN

typedef enum { CT_INFERENCE, CT_TRAINING } ct_mode;

typedef struct ct_module ct_module;

/* How a slot's value is made from one or two tensors of a file (weights.h), in this order. */
typedef struct {
    /* Equal blocks along the first axis, as the gates of a GRU: {3, 3, {1, 0, 2}} takes all three,
     * the second of them first; {3, 1, {2}} the last alone; {0} the tensor as it is. */
    struct {
        int8_t of, count, take[4];
    } blocks;
    bool stacked;  /* two tensors become one with a new first axis of 2; false: their sum */
    bool reshaped; /* the slot has the same elements in the same order, in another shape */
    ct_axes axes;  /* permuted to these; none: they stay */
} ct_weights_layout;

/* How another library's module of the same kind keeps a slot. */
typedef struct {
    const char *slot;   /* "kernel", or of a child "query/kernel" */
    const char *name;   /* "weight", of Keras from the module's folder on "cell/vars/0" */
    const char *second; /* PyTorch: another tensor, "bias_hh" beside "bias_ih"; NULL: none */
    const char *ending; /* PyTorch: of both, unless weights.h is told another; NULL: none */
    ct_weights_layout layout;
} ct_weights_slot;

/* What a kind of module is: the type of the user's own modules too. */
typedef struct {
    const char *name; /* "Conv2D": the kind in pictures and summaries; the module's name is made
                         from it unless one is given                                            */
    ct_tensor *(*forward)(ct_module *self, ct_tensor *x, ct_mode mode);
    /* The output before the last squashing activation, for losses from logits; NULL = forward. */
    ct_tensor *(*logits)(ct_module *self, ct_tensor *x, ct_mode mode);
    /* Of several inputs and outputs, as ct_forward_many says. NULL: one of each, by `forward`. A
     * kind may have this alone. `out` is room of n_out tensors, all NULL. */
    ct_status (*forward_many)(ct_module *self, ct_tensor *const in[], int n_in, ct_tensor *out[],
                              int n_out, ct_mode mode);
    bool chain; /* its children run one after the other, and ct_module_number numbers them */
    const ct_weights_slot *pytorch; /* ended by one of zeros; NULL: PyTorch has no such kind */
    const ct_weights_slot *keras;   /* where it is not "vars/N" for slot N; NULL: nowhere */
    bool takes_ids; /* x is i64: what a summary feeds to a model that begins with it */
    /* What summaries and pictures call the module in place of the kind's `name`, where that says
     * less: "relu" of an activation. May be NULL, and may return NULL: `name`. */
    const char *(*shown)(const ct_module *self);
} ct_module_kind;

/* A slot of a module. */
typedef struct {
    const char *name; /* "kernel" */
    ct_slot *slot;    /* owned */
    bool trainable;   /* an optimizer changes it, unless it is frozen; otherwise only staged
                           updates do */
} ct_module_slot;

#define CT_MODULE_SLOTS 8

/* The head of every module; a module of your own is a struct that begins with it. */
struct ct_module {
    const ct_module_kind *kind;
    char *name;     /* different siblings have different ones */
    int64_t owners; /* places in containers; without any it is yours */
    bool frozen;    /* set by ct_module_freeze */
    int n_slots;
    ct_module_slot slots[CT_MODULE_SLOTS];
    int64_t n_children;
    ct_module **children; /* owned, with other containers of the same */
};

/* --- Using modules ---------------------------------------------------------------------------- */

/* What the module makes of x. In training BatchNorm and dropout do as in a step, and what a step
 * changes beside parameters, as statistics, is staged for ct_optimizer_step. */
ct_tensor *ct_forward(ct_module *module, ct_tensor *x, ct_mode mode);
/* The same without a final softmax or sigmoid: what a loss from logits wants. */
ct_tensor *ct_logits(ct_module *module, ct_tensor *x, ct_mode mode);
/* A module of several inputs and outputs: sets out[0..n_out) to the first outputs that it has, so
 * that one asks for as many as are wanted. Which inputs there are, and which of them may be NULL,
 * its constructor says. A kind of one input and one output may be called so too, and ct_forward
 * calls a kind of several with one of each. A kind of one's own, whose state is a sum:
 *
 *     // {x, sum so far or NULL} -> {x + sum, x + sum}
 *     ct_status sum_forward(ct_module *self, ct_tensor *const in[], int n_in, ct_tensor *out[],
 *                           int n_out, ct_mode mode) {
 *         if (n_in > 2 || n_out > 2) return ct_fail(CT_ERR_RANGE, "Sum: two of each at most");
 *         ct_tensor *sum = n_in > 1 && in[1] ? ct_add(in[0], in[1]) : ct_scope_add(in[0]);
 *         for (int i = 0; i < n_out; i++) out[i] = sum;
 *         return sum ? CT_OK : ct_error();
 *     }
 *     const ct_module_kind sum_kind = {.name = "Sum", .forward_many = sum_forward};
 *
 *     ct_tensor *two_steps(ct_module *sum, ct_tensor *x1, ct_tensor *x2) {
 *         ct_tensor *y[2] = {0};
 *         ct_forward_many(sum, (ct_tensor *[]){x1}, 1, y, 2, CT_TRAINING);
 *         ct_forward_many(sum, (ct_tensor *[]){x2, y[1]}, 2, y, 2, CT_TRAINING);
 *         return y[0];
 *     }
 *
 * An error leaves out[] as it was. A NULL input while an error is on record is that error's
 * consequence, and the call returns it. Errors: CT_ERR_NULL; CT_ERR_RANGE for counts below 1 and
 * for more inputs or outputs than the module has; those of the forward. */
ct_status ct_forward_many(ct_module *module, ct_tensor *const in[], int n_in, ct_tensor *out[],
                          int n_out, ct_mode mode);
/* Takes NULL. A module in a container is left to it. */
void ct_module_free(ct_module *module);
/* Freezes or thaws a module and all below it, at any time: from the next step on, the optimizer
 * leaves the slots of a frozen module alone and keeps their moments; a frozen BatchNorm works as in
 * inference, and its statistics stay. */
void ct_module_freeze(ct_module *module, bool frozen);
ct_status ct_module_rename(ct_module *module, const char *name); /* a copy; without '/' */
/* Calls the children of Sequentials, at any depth, by numbers from "0" on, as PyTorch does. */
ct_status ct_module_number(ct_module *module);

/* Every slot below a module once, in order, with the path "conv2d_1/kernel" of its first place. */
typedef struct {
    char *path;
    ct_slot *slot;           /* borrowed */
    const ct_module *module; /* whose slot number `number` it is; NULL: an optimizer's */
    const ct_module *parent; /* the module that `module` is a child of; NULL: none */
    int number;
    bool trainable; /* a parameter, and not frozen */
    bool parameter; /* made for an optimizer to change, frozen or not */
} ct_named_slot;
typedef struct {
    ct_named_slot *items;
    int64_t count;
} ct_slot_list;
ct_status ct_module_list(ct_module *module, ct_slot_list *list);
/* The same, but parameters alone, frozen ones too. */
ct_status ct_module_parameters(ct_module *module, ct_slot_list *list);
void ct_slot_list_free(ct_slot_list *list); /* takes NULL */

/* --- Parameters as tensors -------------------------------------------------------------------- */

typedef struct {
    bool logits;    /* ct_logits instead of ct_forward */
    bool staged;    /* keeps staged updates of slots without a given value, for a commit; otherwise
                       they are left out                                                       */
    bool any_float; /* a value may be f64 for a slot of f32, or the other way round. The forward
                       must then make no number of its own in a fixed type                      */
} ct_functional_options;
/* ct_forward with values[i] in place of what slots->items[i] holds, for this one call: what
 * torch.func.functional_call is. The result is a function of x and the values, of any order of
 * derivative. A model whose parameters are computed, by a step of descent (MAML) say:
 *
 *     ct_slot_list p;
 *     ct_tensor *w[8], *g[8];    // for a model of at most 8 parameters
 *     ct_module_parameters(model, &p);
 *     for (int64_t i = 0; i < p.count; i++) w[i] = ct_slot_read(p.items[i].slot);
 *     ct_functional_options plain = {0};
 *     ct_tensor *y = ct_functional_call(model, x, CT_TRAINING, &p, w, plain);
 *     ct_grad(ct_mse(y, target), w, p.count, g);
 *     for (int64_t i = 0; i < p.count; i++) w[i] = ct_sub(w[i], ct_scale(g[i], 0.1));
 *     y = ct_functional_call(model, x, CT_TRAINING, &p, w, plain);
 *     ct_optimizer_step(adam, ct_mse(y, target), NULL, 0); // derives through the inner step
 *
 * `slots` is a list of ct_module_parameters or ct_module_list, or some items of one in any order;
 * slots that are not in it keep their values. Every use of a shared module sees the given value;
 * frozen modules take values too, and work as frozen ones. No slot changes, but that each dropout
 * in training takes its next key, unless its stream is given: then the mask is that of the given
 * key. A forward may make such calls itself; what the inner one does not give, it sees as the outer
 * one gave it. The values of slots are what they were when the call returns, also with an error.
 * Errors: CT_ERR_NULL for an absent value; CT_ERR_SHAPE, CT_ERR_DTYPE for one that does not fit its
 * slot; CT_ERR_STATE for a slot that is none of the module or listed twice; CT_ERR_MEMORY; those of
 * the forward. */
ct_tensor *ct_functional_call(ct_module *module, ct_tensor *x, ct_mode mode,
                              const ct_slot_list *slots, ct_tensor *const values[],
                              ct_functional_options options);
/* The same for several inputs and outputs, as ct_forward_many. `logits` is for one of each. */
ct_status ct_functional_call_many(ct_module *module, ct_tensor *const in[], int n_in,
                                  ct_tensor *out[], int n_out, ct_mode mode,
                                  const ct_slot_list *slots, ct_tensor *const values[],
                                  ct_functional_options options);

/* --- Making modules --------------------------------------------------------------------------- */
/* Zeroed memory for a struct that begins with ct_module. */
ct_module *ct_module_new(size_t size, const ct_module_kind *kind);
/* Adds a slot with an initial value; a NULL value is an error of its maker. CT_ERR_DTYPE for one
 * that is to be trained and holds no floats. */
ct_status ct_module_add_slot(ct_module *module, const char *name, ct_tensor *initial,
                             bool trainable);
/* The value of slot number i now, or the tensor given in its place by ct_functional_call. A forward
 * reads its slots by this alone. */
ct_tensor *ct_module_read(ct_module *module, int i);
/* Takes over n children. A child without a name gets one from its kind; of different siblings of
 * one name the later one gets a number, or the earlier one where the later is named in another
 * container. On failure frees all children but those that stand elsewhere. Error: a module that
 * would contain itself; then a child that contains it stays yours. */
ct_status ct_module_add_children(ct_module *module, ct_module *const children[], int64_t n);

CT_C_END

#endif
