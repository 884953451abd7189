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
 * to another. */
#ifndef COTAN_NN_H
#define COTAN_NN_H

#include <cotan/autograd/compose.h>
#include <cotan/tensor/slot.h>

CT_C_BEGIN

typedef enum { CT_INFERENCE, CT_TRAINING } ct_mode;

typedef struct ct_module ct_module;

/* What a kind of module is: the type of the user's own modules too. */
typedef struct {
    const char *name; /* "Conv2D": the kind in pictures and summaries; the module's name is made
                         from it unless one is given                                            */
    ct_tensor *(*forward)(ct_module *self, ct_tensor *x, ct_mode mode);
    /* The output before the last squashing activation, for losses from logits; NULL = forward. */
    ct_tensor *(*logits)(ct_module *self, ct_tensor *x, ct_mode mode);
    bool chain; /* its forward runs its children one after the other: pictures show them        */
} ct_module_kind;

/* A slot of a module. */
typedef struct {
    const char *name;   /* "kernel" */
    ct_slot *slot;      /* owned    */
    bool trainable;     /* an optimizer changes it, unless it is frozen; otherwise only staged
                           updates do */
} ct_module_slot;

#define CT_MODULE_SLOTS 8

/* The head of every module; a module of your own is a struct that begins with it. */
struct ct_module {
    const ct_module_kind *kind;
    char *name;         /* different siblings have different ones */
    int64_t owners;     /* places in containers; without any it is yours */
    bool frozen;        /* set by ct_module_freeze */
    int n_slots;
    ct_module_slot slots[CT_MODULE_SLOTS];
    int64_t n_children;
    ct_module **children; /* owned, with other containers of the same */
};

/* --- Using modules ---------------------------------------------------------------------------- */

ct_tensor *ct_forward(ct_module *module, ct_tensor *x, ct_mode mode);
/* The same without a final softmax or sigmoid: what a loss from logits wants. */
ct_tensor *ct_logits(ct_module *module, ct_tensor *x, ct_mode mode);
/* Takes NULL. A module in a container is left to it. */
void ct_module_free(ct_module *module);
/* Freezes or thaws a module and all below it, at any time: from the next step on, the optimizer
 * leaves the slots of a frozen module alone and keeps their moments; a frozen BatchNorm works as in
 * inference, and its statistics stay. */
void ct_module_freeze(ct_module *module, bool frozen);
ct_status ct_module_rename(ct_module *module, const char *name);

/* Every slot below a module once, in order, with the path "conv2d_1/kernel" of its first place. */
typedef struct {
    char *path;
    ct_slot *slot;     /* borrowed */
    bool trainable;    /* a parameter, and not frozen */
    bool parameter;    /* made for an optimizer to change, frozen or not */
} ct_named_slot;
typedef struct {
    ct_named_slot *items;
    int64_t count;
} ct_slot_list;
ct_status ct_module_list(ct_module *module, ct_slot_list *list);
void ct_slot_list_free(ct_slot_list *list); /* takes NULL */

/* --- Making modules --------------------------------------------------------------------------- */

/* Zeroed memory for a struct that begins with ct_module. */
ct_module *ct_module_new(size_t size, const ct_module_kind *kind);
/* Adds a slot with an initial value; a NULL value is an error of its maker. */
ct_status ct_module_add_slot(ct_module *module, const char *name, ct_tensor *initial,
                             bool trainable);
/* The value of slot number i now. */
ct_tensor *ct_module_read(ct_module *module, int i);
/* Takes over n children. A child without a name gets one from its kind; of different siblings of
 * one name the later one gets a number, or the earlier one where the later is named in another
 * container. On failure frees all children but those that stand elsewhere. Error: a module that
 * would contain itself; then a child that contains it stays yours. */
ct_status ct_module_add_children(ct_module *module, ct_module *const children[], int64_t n);

/* --- Initializers ----------------------------------------------------------------------------- */

/* Seed of this thread's initializers and dropouts from here on. */
void ct_seed_set(uint64_t seed);
/* The next key of this thread's stream: i64 [2]. */
ct_tensor *ct_seed_draw(void);

typedef struct ct_initializer ct_initializer;
struct ct_initializer {
    ct_tensor *(*make)(const ct_initializer *self, ct_dtype dtype, ct_shape shape, int64_t fan_in,
                       int64_t fan_out);
    double value; /* the constant, or the standard deviation of plain distributions */
};
extern const ct_initializer ct_glorot_uniform; /* limit sqrt(6 / (fan_in + fan_out))  */
extern const ct_initializer ct_glorot_normal;  /* std sqrt(2 / (fan_in + fan_out))    */
extern const ct_initializer ct_he_uniform;     /* limit sqrt(6 / fan_in)              */
extern const ct_initializer ct_he_normal;      /* std sqrt(2 / fan_in)                */
extern const ct_initializer ct_lecun_uniform;  /* limit sqrt(3 / fan_in)              */
extern const ct_initializer ct_lecun_normal;   /* std sqrt(1 / fan_in)                */
extern const ct_initializer ct_truncated_normal; /* std 0.05, redrawn into 2 std      */
extern const ct_initializer ct_init_zeros, ct_init_ones;
/* Every element `value`. */
ct_initializer ct_init_constant(double value);

/* --- Layers ----------------------------------------------------------------------------------- */

/* Options that may begin as {0}: a zero is the default. Those of normalizations are made by a
 * function, because their zeros are numbers too; others are an error. */

typedef struct {
    bool no_bias;
    ct_initializer kernel;  /* default: Glorot uniform */
    ct_initializer bias;    /* default: zeros          */
    ct_dtype dtype;         /* default: f32            */
} ct_dense_options;
/* x [..., inputs] -> x kernel + bias [..., units]; slots kernel [inputs, units], bias [units]. */
ct_module *ct_dense_new(int64_t inputs, int64_t units, ct_dense_options options);

typedef enum { CT_VALID, CT_SAME } ct_padding;
typedef struct {
    int64_t kernel[2];      /* default: 3 x 3 */
    int64_t stride[2];
    ct_padding padding;     /* default: valid; CT_SAME: output = ceil(input / stride) */
    int64_t pad[4];         /* explicit: top, bottom, left, right; added to valid     */
    int64_t dilation[2];
    int64_t groups;
    bool no_bias;
    ct_initializer kernel_init; /* default: Glorot uniform, fans kh kw cin and kh kw cout */
    ct_initializer bias_init;   /* default: zeros */
    ct_dtype dtype;
} ct_conv2d_options;
/* x [N,H,W,inputs] -> [N,OH,OW,filters]; slots kernel [kh,kw,inputs/groups,filters], bias. */
ct_module *ct_conv2d_new(int64_t inputs, int64_t filters, ct_conv2d_options options);

typedef enum {
    CT_VARIANCE_BIASED,         /* moving variance from 1/N: Keras                              */
    CT_VARIANCE_UNBIASED,       /* from 1/(N-1): PyTorch                                        */
    CT_VARIANCE_UNBIASED_CONV,  /* from 1/(N-1) for rank-4 inputs only: TensorFlow 1, fused     */
} ct_moving_variance;
typedef struct {
    int axis;               /* the channel axis: -1, the last one                         */
    double momentum;        /* weight of the old moving statistics: 0.99; in [0,1]        */
    double epsilon;         /* 1e-3 */
    bool no_scale, no_center;
    ct_moving_variance moving_variance;
    ct_dtype dtype;
    const char *made_by;    /* private: set by the functions that make these options      */
} ct_batch_norm_options;
/* Batch normalization; see ct_batch_norm. Training uses batch statistics and stages moving :=
 * momentum moving + (1 - momentum) batch; inference, or a frozen module, uses the moving ones.
 * Slots gamma (1), beta (0), moving_mean (0), moving_variance (1). */
ct_module *ct_batch_norm_new(int64_t channels, ct_batch_norm_options options);
ct_batch_norm_options ct_batch_norm_defaults(void);  /* Keras's                                 */
ct_batch_norm_options ct_batch_norm_keras(void);     /* 0.99, 1e-3, biased                      */
ct_batch_norm_options ct_batch_norm_tf1_fused(void); /* 0.99, 1e-3, Bessel's for conv layers    */
ct_batch_norm_options ct_batch_norm_pytorch(void);   /* 0.9, 1e-5, Bessel's; axis stays last    */

typedef struct {
    double epsilon;         /* 1e-3 */
    ct_dtype dtype;
    const char *made_by;    /* private */
} ct_layer_norm_options;
ct_layer_norm_options ct_layer_norm_defaults(void);
ct_module *ct_layer_norm_new(int64_t size, ct_layer_norm_options options);

typedef struct {
    int64_t window[2];      /* default: 2 x 2 */
    int64_t stride[2];      /* default: the window */
    ct_padding padding;
} ct_pool2d_options;
ct_module *ct_max_pool2d_new(ct_pool2d_options options);
ct_module *ct_avg_pool2d_new(ct_pool2d_options options);
ct_module *ct_global_avg_pool2d_new(void);  /* [N,H,W,C] -> [N,C]                             */
ct_module *ct_flatten_new(void);            /* [N,...] -> [N,rest]: height, width, channel    */
/* In training zeroes a share `rate` of the elements and scales the others by 1/(1-rate)
 * (Srivastava et al., 2014). Slot stream: the i64 [2] key of the next mask. Each forward in
 * training takes one, at once, also that of a frozen module or of a step that is refused. */
ct_module *ct_dropout_new(double rate);

/* An activation by name; a user's own is one such constant. */
typedef struct {
    const char *name;
    ct_tensor *(*apply)(ct_tensor *x);
    bool squashes;          /* softmax, sigmoid: left away for losses from logits */
} ct_activation;
/* Softmax along the last axis; elu with alpha 1, leaky_relu with slope 0.01 (compose.h). */
extern const ct_activation ct_activation_relu, ct_activation_sigmoid, ct_activation_tanh,
    ct_activation_softmax, ct_activation_gelu, ct_activation_elu, ct_activation_silu,
    ct_activation_softplus, ct_activation_leaky_relu, ct_activation_linear;
ct_module *ct_activation_new(const ct_activation *activation);

/* --- Containers ------------------------------------------------------------------------------- */

/* One after the other. CT_SEQUENTIAL("name", a, b, c) counts for you. */
ct_module *ct_sequential_new(const char *name, ct_module *const children[], int64_t n);
#define CT_SEQUENTIAL(name, ...)                                \
    ct_sequential_new(name, CTI_LIST(ct_module *, __VA_ARGS__), \
                      (int64_t)CTI_COUNT(ct_module *, __VA_ARGS__))
/* shortcut(x) + body(x); without a shortcut module, x + body(x). */
ct_module *ct_residual_new(ct_module *body, ct_module *shortcut_or_null);

/* --- Losses: scalars, the mean over the batch ------------------------------------------------- */

/* From logits [N,K] by log-sum-exp; labels i64 [N], or one-hot or soft [N,K] of logits' dtype. A
 * class of label 0 counts nothing, also with a logit of -inf. */
ct_tensor *ct_cross_entropy(ct_tensor *logits, ct_tensor *labels);
/* From logits; targets in 0..1 of the same shape and dtype: mean of softplus(z) - z t, with all
 * digits of small ones; 0 at (inf, 1) and (-inf, 0). */
ct_tensor *ct_binary_cross_entropy(ct_tensor *logits, ct_tensor *targets);
ct_tensor *ct_mse(ct_tensor *prediction, ct_tensor *target);   /* mean (p - t)^2              */
ct_tensor *ct_mae(ct_tensor *prediction, ct_tensor *target);   /* mean |p - t|                */
/* mean of d^2/2 for |d| <= delta, else delta (|d| - delta/2); Huber, 1964. */
ct_tensor *ct_huber(ct_tensor *prediction, ct_tensor *target, double delta);

/* A loss or metric for ct_fit. */
typedef struct {
    const char *name;
    ct_tensor *(*value)(ct_tensor *prediction, ct_tensor *target);
    bool from_logits;       /* gets ct_logits instead of ct_forward */
    /* What is reported as accuracy beside this loss, from the same prediction; NULL: nothing. */
    ct_tensor *(*metric)(ct_tensor *prediction, ct_tensor *target);
} ct_loss;
extern const ct_loss ct_loss_cross_entropy, ct_loss_binary_cross_entropy, ct_loss_mse, ct_loss_mae,
    ct_loss_huber;          /* delta 1 */

/* The share of rows whose largest entry (lowest index at a tie) is the label: labels i64 [N] or
 * one-hot [N,K]. f32 scalar. */
ct_tensor *ct_accuracy(ct_tensor *scores, ct_tensor *labels);
/* The share of elements where logit > 0 and target > 0.5 agree; same shape and dtype. f32. */
ct_tensor *ct_binary_accuracy(ct_tensor *logits, ct_tensor *targets);

/* --- Looking ---------------------------------------------------------------------------------- */

/* Layers, output shapes and parameter counts, as Keras prints them. `input` is the shape of one
 * batch; its first dimension prints as None. A parameter counts where it comes first; layers that
 * use it again are marked "(shared)". Nothing is computed. */
ct_status ct_summary(FILE *out, ct_module *model, ct_shape input);
/* The layer picture: one box "name: Class" per layer from the input down, as DOT. */
ct_status ct_model_plot(FILE *out, ct_module *model);
/* The same into a file: .dot, or .svg .png .pdf through graphviz; without it, see ct_dot_save. */
ct_status ct_model_plot_save(const char *path, ct_module *model);

/* --- Weights ---------------------------------------------------------------------------------- */

/* All slots by path in one .safetensors file, atomically. */
ct_status ct_weights_save(ct_module *model, const char *path);
/* Every slot must be there with its shape and dtype, and nothing else; otherwise nothing
 * changes. Numbers of types that safetensors.h reads into a slot's dtype fit too: a file of F16 or
 * BF16 loads into an f32 model. Of a checkpoint the message says that it is one. */
ct_status ct_weights_load(ct_module *model, const char *path);

/* What is called `model` here is called `file` in the file: the whole path of a slot, or its
 * beginning if `model` ends in a slash or is "". {"encoder/", "bert.encoder."} changes the
 * beginning, {"fc1/kernel", "fc1.w"} one name, {"", "model/"} reads the model's part of a
 * checkpoint. */
typedef struct {
    const char *model, *file;
} ct_weights_name;

typedef struct {
    bool partial; /* load what fits, leave the other slots as they are; false: all or nothing */
    const ct_weights_name *names; /* the first pair that holds for a path decides; a path
                                     without one is the name in the file                      */
    int64_t n_names;
} ct_weights_load_options;

typedef enum {
    CT_WEIGHT_MISSING, /* a slot that the file has nothing for                       */
    CT_WEIGHT_UNFIT,   /* a slot whose shape or dtype is another one in the file     */
    CT_WEIGHT_UNUSED,  /* a tensor of the file that no slot wants                    */
} ct_weights_reason;

typedef struct {
    ct_weights_reason reason;
    char *name; /* the slot's path; of CT_WEIGHT_UNUSED the tensor's name               */
    char *text; /* fit for a message: "'fc2/kernel' is [3,2] here, [3,5] in file"       */
} ct_weights_difference;

typedef struct {
    int64_t loaded; /* slots that have changed */
    int64_t count;
    ct_weights_difference *items; /* the slots in the model's order, then what is unused */
} ct_weights_report;

/* Loads weights of another model, or under other names. Nothing changes on an error, which is
 * also a partial load that no slot can take part in. The report, unless NULL, is set in any case
 * and the caller frees what it holds; after CT_ERR_SHAPE it says what did not fit. */
ct_status ct_weights_load_with(ct_module *model, const char *path, ct_weights_load_options options,
                               ct_weights_report *report);
void ct_weights_report_free(ct_weights_report *report); /* takes NULL; leaves an empty report */

CT_C_END

#endif
