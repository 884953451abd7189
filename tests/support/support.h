/* What all suites share: expectations, numbers, tensors, and failing allocations. How a test is
 * written is in test.h. */
#ifndef COTAN_TESTS_SUPPORT_H
#define COTAN_TESTS_SUPPORT_H

#include "tensor/tensor.h"

#include <stdbool.h>
#include <stdint.h>

/* --- Expectations ----------------------------------------------------------------------------- */

/* Counts and prints a failure, with what the message (printf format) adds; the test goes on.
 * The value is that of the condition. */
#define EXPECT(condition, ...) \
    ((condition) ? support_held() : support_failed(__FILE__, __LINE__, #condition, " " __VA_ARGS__))
static inline bool support_held(void) { return true; }
bool support_failed(const char *file, int line, const char *text, const char *format, ...)
    __attribute__((format(printf, 4, 5))); /* false */

/* The same, but a failure ends the test. */
#define REQUIRE(condition, ...) \
    ((condition) ? (void)0 : support_end(__FILE__, __LINE__, #condition, " " __VA_ARGS__))
_Noreturn void support_end(const char *file, int line, const char *text, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define OK(expression) REQUIRE((expression) == CT_OK, "%s", ct_error_message())
#define MADE(pointer) REQUIRE((pointer) != NULL, "%s", ct_error_message())
/* The record holds exactly this, and is cleared. */
void expect_error(ct_status status, const char *message);

typedef struct {
    const char *suite, *name;
    void (*open)(void), (*run)(void), (*close)(void); /* the first and the last may be NULL */
} support_test;

/* Runs a test; false if an expectation failed, an error stayed behind or live bytes changed. */
bool support_run(const support_test *test);
/* The live bytes that the running test began with, and those of now. */
int64_t live_before(void);
int64_t live_now(void);

/* How many samples to take of `samples`: all of them by default; COTAN_SCALE is a percentage. */
int64_t support_scaled(int64_t samples);
/* Every how many-th of a row of cases to take: each by default, and where COTAN_SCALE is above. */
int64_t support_stride(void);
void support_scale_set(int64_t percent);
/* The seed of this run: COTAN_SEED, or the one given. */
uint64_t support_seed(uint64_t standard);

/* --- Numbers ---------------------------------------------------------------------------------- */

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): small, and nothing of the library. */
typedef struct {
    uint64_t state;
} test_random;
uint64_t random_word(test_random *r);
int64_t random_below(test_random *r, int64_t n);                   /* 0 .. n - 1 */
int64_t random_between(test_random *r, int64_t low, int64_t high); /* both included */
double random_real(test_random *r, double low, double high);
bool random_chance(test_random *r, int percent);

/* |a - b| <= absolute + relative |b|; NaN is near NaN, an infinity near itself. */
bool near(double a, double b, double absolute, double relative);
/* The same bits, where one NaN is as good as another. */
bool same_bits(ct_tensor *a, ct_tensor *b);

/* --- Tensors ---------------------------------------------------------------------------------- */

/* A leaf of any dtype from doubles. */
ct_tensor *leaf_from(ct_dtype dtype, ct_shape shape, const double *values);
/* Element i of an evaluated tensor, whatever its dtype; NaN when it cannot be read. */
double element(ct_tensor *t, int64_t i);
/* The text of the error on record, which is then cleared. */
const char *taken_error(ct_status *status);

/* --- Running out of memory -------------------------------------------------------------------- */

/* What to do under failing allocations; returns its status. Everything it makes, it frees. */
typedef ct_status scenario_fn(void *state);
/* Looks at the state after a run; `failed` tells whether the run reported an error. */
typedef void scenario_check_fn(void *state, bool failed);

/* Fails each allocation of the scenario in turn, alone and together with all later ones. Every
 * run must end with CT_ERR_MEMORY and the live bytes of its beginning, or with success. Closes all
 * scopes between runs. Prints and returns the number of allocations of an undisturbed run. */
int64_t oom_sweep(const char *name, scenario_fn *scenario, scenario_check_fn *check, void *state);

#endif
