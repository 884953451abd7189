/* What the files of bn_verify share: the cases, and what comparing one tensor gave. */
#ifndef EXAMPLES_BN_VERIFY_H
#define EXAMPLES_BN_VERIFY_H

#include <cotan/cotan.h>

#define EPSILON 1e-3

/* x of one case: channels last, mean = ratio, standard deviation about 1. */
typedef struct {
    ct_shape shape;
    ct_dtype dtype;
    double ratio;
} test_case;

enum { DX, DGAMMA, DBETA, GRADIENTS };
extern const char *const gradient_names[GRADIENTS];

/* Derived against closed form. */
typedef struct {
    test_case of;
    int gradient;
    double error; /* max |a - b| / max |b|: this is gated */
    double bound;
    double absolute, relative, ulp; /* the worst element: relative means little where b is near 0 */
    bool pass;
} comparison;

/* Derived against finite differences. */
typedef struct {
    test_case of;
    int order;
    ct_gradcheck_report report;
} difference_check;

#define MOST 128
typedef struct {
    comparison compared[MOST];
    difference_check checked[MOST];
    int n_compared, n_checked;
    double worst; /* error of the f64 comparisons */
    bool pass;
} findings;

/* The operands of a case: x, gamma, beta, and a cotangent of y. Temporaries. */
enum { X, GAMMA, BETA, COTANGENT, OPERANDS };
ct_status make_operands(test_case of, ct_generator *generator, ct_tensor *operands[OPERANDS]);

/* Derives the three gradients and compares each with the closed form. */
ct_status compare_gradients(test_case of, ct_tensor *const operands[OPERANDS],
                            comparison out[GRADIENTS]);

/* Writes all findings as JSON; 0, or -1 with errno set. */
int write_json(const findings *found, const char *path);

#endif
