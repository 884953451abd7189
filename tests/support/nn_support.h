/* For the suites of nn/ and optim/: numbers that the reference scripts make too, models, and
 * comparisons of all slots at once. */
#ifndef COTAN_TESTS_NN_SUPPORT_H
#define COTAN_TESTS_NN_SUPPORT_H

#include "autograd/grad.h"
#include "autograd/stage.h"
#include "nn/nn.h"
#include "optim/fit.h"
#include "tensor/base/context.h"
#include "tensor/mem.h"
#include "tensor/runtime.h"
#include "tests/support/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- Numbers: common.py's ----------------------------------------------------------------- */

double number(int64_t i, uint32_t salt);

/* start + limit (2 number - 1), in row-major order. */
ct_tensor *centred(ct_dtype dtype, ct_shape shape, uint32_t salt, double limit, double start);
ct_tensor *uniform01(ct_dtype dtype, ct_shape shape, uint32_t salt);

/* Largest |t - wanted| over the largest |wanted|. */
double distance(ct_tensor *t, const double *wanted);
bool is_near(double value, double wanted, double tolerance);

#define EXPECT_NEAR(value, wanted, tolerance)                                      \
    cr_expect(is_near((value), (wanted), (tolerance)), #value ": %.17g for %.17g", \
              (double)(value), (double)(wanted))

/* --- Slots ------------------------------------------------------------------------------------ */

ct_slot *slot_at(ct_module *module, const char *path);
ct_tensor *read_slot(ct_module *module, const char *path);
uint64_t hash_list(uint64_t hash, const ct_slot_list *list);

/* Of every bit in every slot of the model and, unless NULL, the optimizer. */
uint64_t state_hash(ct_module *model, ct_optimizer *optimizer);

/* --- Models ----------------------------------------------------------------------------------- */

/* The model of the BatchNorm study. */
ct_module *seed_model(bool batch_norm, ct_dtype dtype);

/* One layer of each kind that training touches, small: x [N,6,6,2] -> 3 classes. NULL on error. */
ct_module *small_cnn_layers(double dropout);
ct_module *small_cnn(double dropout);

/* A dense layer in front of 3 classes, x [N,4]; learns the sign pattern of x quickly. */
ct_module *small_mlp(void);

/* Labels 0..classes-1 of n items, i64. */
ct_tensor *some_labels(int64_t n, int64_t classes, uint32_t salt);

#endif
