/* Private: the stanzas that elementwise ops are written in. One stanza is one op: its arithmetic
 * per dtype, its derivatives, its descriptor. Inside of the arithmetic a, b are elements; inside
 * of a derivative x, a, b are the operands, y the result and g the cotangent. */
#ifndef COTAN_STANZA_H
#define COTAN_STANZA_H

#include "autograd/kernels/by_dtype.h"
#include "autograd/ops.h"
#include "tensor/graph/rows.h"
#include "tensor/op.h"

/* `restrict` is true: the planner never gives an output the memory of an input. */
#define CTI_TILE_1(function, type, expression) CTI_TILE_1_OF(function, type, (type)(expression))
#define CTI_TILE_1_P61(function, expression) CTI_TILE_1_OF(function, ct_p61, expression)
#define CTI_TILE_1_OF(function, type, expression)                                \
    static CT_CLONES void function(int64_t n, void *out, const void *const in[], \
                                   const ct_tile *tile) {                        \
        (void)tile;                                                              \
        const type *restrict pa = in[0];                                         \
        type *restrict py = out;                                                 \
        for (int64_t i = 0; i < n; i++) {                                        \
            type a = pa[i];                                                      \
            py[i] = expression;                                                  \
        }                                                                        \
    }

#define CTI_TILE_2(function, type, expression) CTI_TILE_2_OF(function, type, (type)(expression))
#define CTI_TILE_2_P61(function, expression) CTI_TILE_2_OF(function, ct_p61, expression)
#define CTI_TILE_2_OF(function, type, expression)                                \
    static CT_CLONES void function(int64_t n, void *out, const void *const in[], \
                                   const ct_tile *tile) {                        \
        (void)tile;                                                              \
        const type *pa = in[0], *pb = in[1];                                     \
        type *restrict py = out;                                                 \
        for (int64_t i = 0; i < n; i++) {                                        \
            type a = pa[i], b = pb[i];                                           \
            py[i] = expression;                                                  \
        }                                                                        \
    }

#define CTI_VJP_1(name, derivative)                                   \
    static ct_tensor *vjp_##name(ct_tensor *g, ct_tensor *y, int i) { \
        ct_tensor *x = ct_input(y, 0);                                \
        (void)g, (void)x, (void)i;                                    \
        return derivative;                                            \
    }

#define CTI_VJP_2(name, number, derivative)                                      \
    static ct_tensor *vjp_##name##_##number(ct_tensor *g, ct_tensor *y, int i) { \
        ct_tensor *a = ct_input(y, 0), *b = ct_input(y, 1);                      \
        (void)g, (void)a, (void)b, (void)i;                                      \
        return derivative;                                                       \
    }

/* Ops of one kind, with one derivative for each input; after these, what else one has. */
#define CTI_VIEW_OP(verb, infer_rule, layout, derivative, ...) \
    CT_OP_PUBLIC(ct_op_##verb) = {.name = #verb,               \
                                  .kind = CT_VIEW,             \
                                  .n_inputs = 1,               \
                                  .infer = infer_rule,         \
                                  .view = layout,              \
                                  .vjp = {derivative},         \
                                  __VA_ARGS__}
#define CTI_KERNEL_OP(verb, inputs, is_algebra, infer_rule, loops, words, ...) \
    CTI_BATCH_OP(verb, inputs, is_algebra, infer_rule, loops, words, NULL, __VA_ARGS__)
/* One whose operands may vary between ranks, with the rule that says where the output does. */
#define CTI_BATCH_OP(verb, inputs, is_algebra, infer_rule, loops, words, rule, ...) \
    CT_OP_PUBLIC(ct_op_##verb) = {.name = #verb,                                    \
                                  .kind = CT_KERNEL,                                \
                                  .n_inputs = inputs,                               \
                                  .algebra = is_algebra,                            \
                                  .infer = infer_rule,                              \
                                  .kernel = &(loops),                               \
                                  .batch = rule,                                    \
                                  .detail = words,                                  \
                                  .vjp = {__VA_ARGS__}}

/* The rewrites of an op, in the order in which they are tried: CTI_RULES(add, {"x + 0 = x", f}). */
#define CTI_RULES(verb, ...) static const ct_rule simplify_##verb[] = {__VA_ARGS__, {0}}

/* The shape rule of what takes i64 beside real numbers: operands of one shape and dtype. */
ct_status cti_infer_number(const ct_infer *call, ct_type *out);
/* Broadcasts both operands to their common shape and records the node. */
ct_tensor *cti_binary(const ct_op *op, ct_tensor *a, ct_tensor *b);
/* The layout of a view that changes nothing. */
bool cti_view_identity(const void *attr, ct_shape in, const ct_layout *x, ct_shape out,
                       ct_layout *y);
/* Axes made non-negative and ascending; repeated or missing ones are an error. */
ct_status cti_axes(const char *function, ct_shape shape, ct_axes axes, ct_axes *out);
/* a - b for a b that is the largest of a row of a: of -inf it is -inf, of the largest 0, also where
 * that is inf. So a row's exponentials tell shares, however many of it are infinite. */
ct_tensor *cti_shift(ct_tensor *a, ct_tensor *b);
/* 1 where a is what ct_maximum, or ct_minimum, takes of a and b; no gradient. */
ct_tensor *cti_max_is_first(ct_tensor *a, ct_tensor *b);
ct_tensor *cti_min_is_first(ct_tensor *a, ct_tensor *b);
/* x stretched to this shape; where the shape varies and x does not, along that axis too. */
ct_tensor *cti_broadcast_along(ct_tensor *x, ct_shape shape, cti_mark mark);
/* x stretched to the shape of another tensor, and varying where that one varies. */
ct_tensor *cti_broadcast_like(ct_tensor *x, ct_tensor *like);
/* ct_reshape to a shape whose batch axis is known. */
ct_tensor *cti_reshape_marked(ct_tensor *x, ct_shape shape, cti_mark mark);
/* x without these axes, which have size 1 (one truth per axis); x with one more, behind the others.
 * The batch axis is known, which ct_reshape could not always find. */
ct_tensor *cti_without(ct_tensor *x, const bool away[]);
ct_tensor *cti_column(ct_tensor *x);
/* Rules for the batch axis: all inputs vary along it, and so does the output, where it is not the
 * axis that the attribute begins with; where it is that of images or of channels, [N,H,W,C]. */
int cti_batch_beside(const ct_batch_axes *call);
int cti_batch_images(const ct_batch_axes *call);
/* A tensor of x's dtype and shape filled with `value`: a broadcast scalar. */
ct_tensor *cti_full_like(ct_tensor *x, double value);

#endif
