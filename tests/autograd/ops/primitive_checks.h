/* What is checked of one random application of a primitive. */
#ifndef COTAN_TESTS_PRIMITIVE_CHECKS_H
#define COTAN_TESTS_PRIMITIVE_CHECKS_H

#include "tests/autograd/ops/primitive_table.h"

/* An application with its operands. */
typedef struct {
    const primitive_row *row;
    uint64_t seed; /* reproduces it */
    op_case c;
    bool same; /* operand 1 is operand 0 */
    operand operands[MOST_OPERANDS];
    operand cotangent;
} sample;

/* What the samples looked like. */
typedef struct {
    int64_t samples, paired, stretched, ones, empty, same, laid_out[VIEW_KINDS];
} sample_census;

/* `whole` draws small whole numbers, for which f32 and f64 are exact. */
void sample_new(sample *s, const primitive_row *row, uint64_t seed, ct_dtype dtype, bool large,
                bool whole);
void sample_free(sample *s);
void sample_count(const sample *s, sample_census *census);

/* Values against the naive reference. */
void check_values(const sample *s, bool whole);
/* f64: VJP against differences of the reference, JVP against the VJP, masks, repetition, f32. */
void check_order_1(const sample *s);
/* f64: Hessian-vector product of <y, w>, over operands and w, against differences of the gradient;
 * its symmetry. */
void check_order_2(const sample *s);

/* --- Shared by the checks --------------------------------------------------------------------- */

/* One tensor graph of a sample. The leaves are those of different operands. */
typedef struct {
    int n;
    const operand *of[MOST_OPERANDS + 1];
    ct_tensor *leaves[MOST_OPERANDS + 1];
    ct_tensor *y;
} built;

/* NULL in y, with the failure reported, when the op refuses. Floats take `dtype`. */
built sample_build(const sample *s, ct_dtype dtype);
bool sample_flows(const sample *s, const operand *o);
/* What to print of a sample that fails. */
const char *sample_text(const sample *s);

#endif
