/* Initializers: what the slots of a new module hold. Their numbers come from a stream of the
 * thread, so a model is a function of the seed and of the order in which its modules are made. */
#ifndef COTAN_INIT_H
#define COTAN_INIT_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

/* The seed of this thread's initializers and dropouts from now on. */
void ct_seed_set(uint64_t seed);
/* The next key of this thread's stream: i64 [2]. */
ct_tensor *ct_seed_draw(void);

typedef struct ct_initializer ct_initializer;
struct ct_initializer {
    ct_tensor *(*make)(const ct_initializer *self, ct_dtype dtype, ct_shape shape, int64_t fan_in,
                       int64_t fan_out);
    double value; /* the constant, the standard deviation of plain distributions, or a factor */
};
extern const ct_initializer ct_glorot_uniform;   /* limit sqrt(6 / (fan_in + fan_out)) */
extern const ct_initializer ct_glorot_normal;    /* std sqrt(2 / (fan_in + fan_out)) */
extern const ct_initializer ct_he_uniform;       /* limit sqrt(6 / fan_in) */
extern const ct_initializer ct_he_normal;        /* std sqrt(2 / fan_in) */
extern const ct_initializer ct_lecun_uniform;    /* limit sqrt(3 / fan_in) */
extern const ct_initializer ct_lecun_normal;     /* std sqrt(1 / fan_in) */
extern const ct_initializer ct_truncated_normal; /* std 0.05, redrawn into 2 std */
/* Orthonormal columns or rows, whichever are fewer, of [the axes before, the last one], times
 * `value`, 1 unless you set another; uniform among them (Stewart, 1980; Saxe et al., 2013,
 * arXiv:1312.6120). CT_ERR_SHAPE for rank 1. */
extern const ct_initializer ct_orthogonal;
extern const ct_initializer ct_init_zeros, ct_init_ones;
/* Every element `value`. */
ct_initializer ct_init_constant(double value);

CT_C_END

#endif
