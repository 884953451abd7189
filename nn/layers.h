/* Layers and containers. Images are [N,H,W,C], unless an option says otherwise a layer computes in
 * f32, and a slot is listed with its shape and what it holds at first.
 *
 * Options that may begin as {0}: a zero is the default. (Their first member is no array: gcc would
 * miss braces in a {0} that stands in CT_SEQUENTIAL.) Those of normalizations are made by a
 * function, because their zeros are numbers too; others are an error. */
#ifndef COTAN_LAYERS_H
#define COTAN_LAYERS_H

#include <cotan/nn/init.h>
#include <cotan/nn/module.h>

CT_C_BEGIN

/* --- Tables and products ---------------------------------------------------------------------- */

typedef struct {
    bool pads; /* id `pad_id` stands for nothing: its row begins as zeros and gets no gradient, so
                  that it stays                                                                */
    int64_t pad_id;
    ct_initializer embeddings; /* default: truncated normal, std 0.05 */
    ct_dtype dtype;
} ct_embedding_options;
/* ids i64 [...], each in 0..count-1 -> rows of the table [...,size]; slot embeddings [count,size].
 * Ids are checked at once: CT_ERR_RANGE names the first one that is outside. */
ct_module *ct_embedding_new(int64_t count, int64_t size, ct_embedding_options options);

typedef struct {
    bool no_bias;
    ct_initializer kernel; /* default: Glorot uniform */
    ct_initializer bias;   /* default: zeros */
    ct_dtype dtype;        /* default: f32 */
} ct_dense_options;
/* x [..., inputs] -> x kernel + bias [..., units]; slots kernel [inputs, units], bias [units]. */
ct_module *ct_dense_new(int64_t inputs, int64_t units, ct_dense_options options);

/* --- Convolutions ----------------------------------------------------------------------------- */

typedef enum { CT_VALID, CT_SAME } ct_padding;
typedef struct {
    ct_padding padding; /* default: valid; CT_SAME: output = ceil(input / stride) */
    int64_t kernel[2];  /* default: 3 x 3; one number alone, {5}, is both, here and below */
    int64_t stride[2];
    int64_t pad[4]; /* explicit: top, bottom, left, right; not with CT_SAME. PyTorch's padding p is
                       {p, p, p, p}; where the stride is 2, CT_SAME pads less at the top and left */
    int64_t dilation[2];
    int64_t groups;
    bool no_bias;
    ct_initializer kernel_init; /* default: Glorot uniform, fans kh kw cin and kh kw cout */
    ct_initializer bias_init;   /* default: zeros */
    ct_dtype dtype;
    int64_t output_padding[2]; /* of ct_conv2d_transpose_new alone */
} ct_conv2d_options;
/* x [N,H,W,inputs] -> [N,OH,OW,filters]; slots kernel [kh,kw,inputs/groups,filters], bias. */
ct_module *ct_conv2d_new(int64_t inputs, int64_t filters, ct_conv2d_options options);
/* A convolution of each channel by itself, into `multiplier` channels: output c multiplier + m is
 * from channel c. x [N,H,W,channels] -> [N,OH,OW,channels multiplier]; slots kernel
 * [kh,kw,1,channels multiplier], bias; Keras's kernel [kh,kw,channels,multiplier] has the same
 * elements in the same order. No `groups`. */
ct_module *ct_depthwise_conv2d_new(int64_t channels, int64_t multiplier, ct_conv2d_options options);
/* A depthwise convolution without bias, which the options are for, then one of 1 x 1 pixels into
 * `filters` channels, with the bias (Chollet, 2017, arXiv:1610.02357); both begin by kernel_init.
 * Slots depthwise/kernel, pointwise/kernel [1,1,inputs multiplier,filters], pointwise/bias. */
ct_module *ct_separable_conv2d_new(int64_t inputs, int64_t filters, int64_t multiplier,
                                   ct_conv2d_options options);
/* The transpose in its input of the convolution from `filters` to `inputs` channels with these
 * options: x [N,H,W,inputs] -> [N,OH,OW,filters], and a bias. OH = (H - 1) stride + dilation (kh-1)
 * + 1 - top - bottom + output_padding, which is in 0..stride-1: PyTorch's, whose padding p is {p,
 * p, p, p} here. CT_SAME: OH = H stride, as in Keras. Keras's valid padding is the first with
 * output_padding = stride - kernel where that is positive. Slots kernel
 * [kh,kw,filters/groups,inputs], bias. */
ct_module *ct_conv2d_transpose_new(int64_t inputs, int64_t filters, ct_conv2d_options options);

typedef struct {
    int64_t kernel; /* default: 3 */
    int64_t stride;
    ct_padding padding;
    int64_t pad[2]; /* explicit: before, after; {dilation (kernel - 1), 0} is causal */
    int64_t dilation;
    int64_t groups;
    bool no_bias;
    ct_initializer kernel_init; /* default: Glorot uniform, fans k cin and k cout */
    ct_initializer bias_init;   /* default: zeros */
    ct_dtype dtype;
} ct_conv1d_options;
/* x [N,L,inputs] -> [N,OL,filters]; slots kernel [k,inputs/groups,filters], bias. */
ct_module *ct_conv1d_new(int64_t inputs, int64_t filters, ct_conv1d_options options);

/* --- Normalizations --------------------------------------------------------------------------- */

typedef enum {
    CT_VARIANCE_BIASED,        /* moving variance from 1/N: Keras */
    CT_VARIANCE_UNBIASED,      /* from 1/(N-1): PyTorch */
    CT_VARIANCE_UNBIASED_CONV, /* from 1/(N-1) for rank-4 inputs only: TensorFlow 1, fused */
} ct_moving_variance;
typedef struct {
    int axis;        /* the channel axis: -1, the last one */
    double momentum; /* weight of the old moving statistics: 0.99; in [0,1] */
    double epsilon;  /* 1e-3 */
    bool no_scale, no_center;
    bool per_grain; /* of data that varies between ranks: each grain by its own statistics */
    ct_moving_variance moving_variance;
    ct_dtype dtype;
    const char *made_by; /* private: set by the functions that make these options */
} ct_batch_norm_options;
/* Batch normalization; see ct_batch_norm. Training uses batch statistics and stages moving :=
 * momentum moving + (1 - momentum) batch; inference, or a frozen module, uses the moving ones. The
 * batch is that of all ranks, or with per_grain a grain of it, and the moving ones average over the
 * grains that have rows: see ct_batch_norm_per_grain. Data that does not vary is one grain.
 * Slots gamma (1), beta (0), moving_mean (0), moving_variance (1). */
ct_module *ct_batch_norm_new(int64_t channels, ct_batch_norm_options options);
ct_batch_norm_options ct_batch_norm_defaults(void);  /* Keras's */
ct_batch_norm_options ct_batch_norm_keras(void);     /* 0.99, 1e-3, biased */
ct_batch_norm_options ct_batch_norm_tf1_fused(void); /* 0.99, 1e-3, Bessel's for conv layers */
ct_batch_norm_options ct_batch_norm_pytorch(void);   /* 0.9, 1e-5, Bessel's; axis stays last */

typedef struct {
    double epsilon; /* 1e-3 */
    ct_dtype dtype;
    const char *made_by; /* private */
} ct_layer_norm_options;
ct_layer_norm_options ct_layer_norm_defaults(void); /* what the members say: Keras's */
ct_layer_norm_options ct_layer_norm_pytorch(void);  /* epsilon 1e-5 */
/* x [...,size] -> gamma (x - mean) / sqrt(var + epsilon) + beta, mean and biased variance over the
 * last axis; see ct_layer_norm. Slots gamma (1), beta (0), [size]. */
ct_module *ct_layer_norm_new(int64_t size, ct_layer_norm_options options);

typedef struct {
    double epsilon;           /* 1e-3, Keras's; PyTorch's is 1e-5 */
    bool no_scale, no_center; /* PyTorch's InstanceNorm has neither, unless asked for */
    ct_dtype dtype;
    const char *made_by; /* private */
} ct_group_norm_options;
ct_group_norm_options ct_group_norm_defaults(void); /* what the members say: Keras's */
ct_group_norm_options ct_group_norm_pytorch(void);  /* epsilon 1e-5 */
/* x [N,...,channels] -> gamma (x - mean) / sqrt(var + epsilon) + beta, mean and biased variance of
 * each sample over all axes between and channels/groups neighbouring channels (Wu and He, 2018,
 * arXiv:1803.08494). Slots gamma (1), beta (0), [channels]. A group of one value is an error. */
ct_module *ct_group_norm_new(int64_t groups, int64_t channels, ct_group_norm_options options);
/* The same with a group for each channel (Ulyanov et al., 2016, arXiv:1607.08022). */
ct_module *ct_instance_norm_new(int64_t channels, ct_group_norm_options options);

typedef struct {
    double epsilon; /* 1e-6 */
    ct_dtype dtype;
    const char *made_by; /* private */
} ct_rms_norm_options;
ct_rms_norm_options ct_rms_norm_defaults(void); /* what the members say */
/* x [...,size] -> gamma x / sqrt(mean(x^2) + epsilon), the mean over the last axis (Zhang and
 * Sennrich, 2019, arXiv:1910.07467). Slot gamma (1), [size]. */
ct_module *ct_rms_norm_new(int64_t size, ct_rms_norm_options options);

/* Weight normalization (Salimans and Kingma, 2016, arXiv:1602.07868) of any module that has a slot
 * "kernel": it computes with g v / ||v||, where v is what the slot holds and the norm is over all
 * axes but the last one. Owns the child; slots: the child's, and g [the last axis], at first ||v||,
 * so that nothing changes. Where v is 0 it is NaN. */
ct_module *ct_weight_norm_new(ct_module *child);

/* --- Pooling and sizes of images -------------------------------------------------------------- */

typedef struct {
    ct_padding padding;
    int64_t window[2]; /* default: 2 x 2; one number alone is both */
    int64_t stride[2]; /* default: the window */
} ct_pool2d_options;
/* The largest, or the mean, of each window of x [N,H,W,C]; see ct_max_pool2d, ct_avg_pool2d. */
ct_module *ct_max_pool2d_new(ct_pool2d_options options);
ct_module *ct_avg_pool2d_new(ct_pool2d_options options);
ct_module *ct_global_avg_pool2d_new(void); /* [N,H,W,C] -> [N,C] */
ct_module *ct_global_max_pool2d_new(void); /* the same; a tie's gradient: lowest index */
/* [N,H,W,C] -> [N,height,width,C]: the mean of window i, which is pixels i H / height, rounded
 * down, to (i + 1) H / height, rounded up; so is the width. PyTorch's windows. Where they are not
 * all of one size it is a product with a matrix along each axis: an infinite pixel makes NaN of its
 * row and column. */
ct_module *ct_adaptive_avg_pool2d_new(int64_t height, int64_t width);

typedef struct {
    bool bilinear; /* pixels are between those of x, at (i + 1/2) / factor - 1/2, and at the edge
                      where that is outside; an infinite pixel makes NaN of its row and column.
                      Default: copies of the pixel                                             */
    int64_t factor[2]; /* default: 2 x 2 */
} ct_up_sampling2d_options;
/* [N,H,W,C] -> [N,factor H,factor W,C] */
ct_module *ct_up_sampling2d_new(ct_up_sampling2d_options options);
/* Zeros around images. */
ct_module *ct_zero_padding2d_new(int64_t top, int64_t bottom, int64_t left, int64_t right);

/* --- Shapes: the batch stays ------------------------------------------------------------------ */

ct_module *ct_flatten_new(void); /* [N,...] -> [N,rest]: height, width, channel */
/* [N,...] -> [N,shape...]; one size may be -1: the rest of the elements. */
ct_module *ct_reshape_new(ct_shape shape);
/* y.dims[i] = x.dims[axes[i - 1]] for i >= 1: CT_AXES(2, 1) swaps the two axes after the batch. */
ct_module *ct_permute_new(ct_axes axes);

/* --- Noise in training ------------------------------------------------------------------------ */

/* In training zeroes a share `rate` of the elements and scales the others by 1/(1-rate)
 * (Srivastava et al., 2014). Slot stream: the i64 [2] key of the next mask. Each forward in
 * training takes one immediately, also that of a frozen module or of a step that is refused. */
ct_module *ct_dropout_new(double rate);
/* The same for channels of images [N,H,W,C]: all pixels of a sample's channel or none (Tompson et
 * al., 2015, arXiv:1411.4280). */
ct_module *ct_spatial_dropout2d_new(double rate);
/* In training adds normal numbers of this standard deviation. Slot stream, as above. */
ct_module *ct_gaussian_noise_new(double deviation);

/* --- Activations ------------------------------------------------------------------------------ */

/* An activation by name; a user's own is one such constant. */
typedef struct {
    const char *name;
    ct_tensor *(*apply)(ct_tensor *x);
    bool squashes; /* softmax, sigmoid: left out by ct_logits */
} ct_activation;
/* Softmax along the last axis; elu with alpha 1, leaky_relu with slope 0.01 (compose.h). */
extern const ct_activation ct_activation_relu, ct_activation_sigmoid, ct_activation_tanh,
    ct_activation_softmax, ct_activation_gelu, ct_activation_elu, ct_activation_silu,
    ct_activation_softplus, ct_activation_leaky_relu, ct_activation_linear;
ct_module *ct_activation_new(const ct_activation *activation); /* the layer that applies it */
ct_module *ct_leaky_relu_new(double slope);                    /* x for x > 0, else slope x */

typedef struct {
    ct_dtype dtype;
    ct_initializer alpha; /* default: 0.25 */
} ct_prelu_options;
/* x for x > 0, else alpha x, for each channel of the last axis or, with 1, for all (He et al.,
 * 2015, arXiv:1502.01852). Slot alpha [channels]. */
ct_module *ct_prelu_new(int64_t channels, ct_prelu_options options);

/* --- Containers ------------------------------------------------------------------------------- */

/* One after the other; of several inputs and outputs the first takes the inputs, and the last gives
 * the outputs. CT_SEQUENTIAL("name", a, b, c) counts for you. */
ct_module *ct_sequential_new(const char *name, ct_module *const children[], int64_t n);
#define CT_SEQUENTIAL(name, ...)                                \
    ct_sequential_new(name, CTI_LIST(ct_module *, __VA_ARGS__), \
                      (int64_t)CTI_COUNT(ct_module *, __VA_ARGS__))
/* shortcut(x) + body(x); without a shortcut module, x + body(x). */
ct_module *ct_residual_new(ct_module *body, ct_module *shortcut_or_null);

/* --- Merging: several inputs, one output (ct_forward_many) ------------------------------------ */

/* Joins its inputs along an axis; negative ones count from the end (ct_concat). */
ct_module *ct_concatenate_new(int axis);
/* The sum of its inputs, whose shapes broadcast. */
ct_module *ct_add_new(void);
/* merge(child 1 (x), .., child n (x)); by ct_forward_many with n inputs each child gets one of its
 * own, as in a net of two towers. A branch that passes x on is a ct_activation_linear. `merge` is
 * any module of several inputs, a Sequential that begins with one too; it may have several outputs.
 * The block of an Inception net:
 *
 *     ct_conv2d_options same = {.padding = CT_SAME}, point = {.kernel = {1, 1}};
 *     ct_module *block = CT_BRANCHES("inception", ct_concatenate_new(-1),
 *         ct_conv2d_new(64, 32, point),
 *         CT_SEQUENTIAL("3x3", ct_conv2d_new(64, 32, point), ct_conv2d_new(32, 48, same)));
 *
 * Errors: CT_ERR_RANGE for n < 1; those of ct_module_add_children. */
ct_module *ct_branches_new(const char *name, ct_module *merge, ct_module *const children[],
                           int64_t n);
#define CT_BRANCHES(name, merge, ...)                                \
    ct_branches_new(name, merge, CTI_LIST(ct_module *, __VA_ARGS__), \
                    (int64_t)CTI_COUNT(ct_module *, __VA_ARGS__))

CT_C_END

#endif
