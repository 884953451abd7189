/* The common ground of all suites: expectations, seeded numbers, the sweep over allocations.
 * It knows no op.
 * Invariant: a failure is printed where it happens and counted; no run passes by accident. */
#include "tests/support/support.h"

#include "nn/init.h"
#include "tensor/base/context.h"
#include "tensor/mem.h"
#include "tensor/runtime.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Expectations ----------------------------------------------------------------------------- */

#define SHOWN 20 /* failures printed; the rest are only counted */

static int64_t failures;
static int64_t scale;

static void show_failure(const char *file, int line, const char *text, const char *format,
                         va_list arguments) {
    if (failures++ >= SHOWN) return;
    fprintf(stderr, "%s:%d: %s", file, line, text);
    if (format[1]) fputc(':', stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

bool support_failed(const char *file, int line, const char *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    show_failure(file, line, text, format, arguments);
    va_end(arguments);
    return false;
}

static jmp_buf test_end;

void support_end(const char *file, int line, const char *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    show_failure(file, line, text, format, arguments);
    va_end(arguments);
    longjmp(test_end, 1);
}

void expect_error(ct_status status, const char *message) {
    EXPECT(ct_error() == status, "got %s for: %s", ct_status_name(ct_error()), message);
    EXPECT(strcmp(ct_error_message(), message) == 0, "got '%s' for '%s'", ct_error_message(),
           message);
    ct_error_clear();
}

/* --- Tests ------------------------------------------------------------------------------------ */

static ct_mem_stats at_begin;

int64_t live_before(void) { return at_begin.live_bytes; }

/* What is left when all that a thread keeps by itself has gone. */
int64_t live_now(void) {
    ct_scope_close(0);
    cti_intern_clear(); /* nothing may be alive that has a name */
    ct_cache_clear();
    return ct_mem_read().live_bytes;
}

static void run_whole(const support_test *test) {
    if (setjmp(test_end) == 0) {
        if (test->open) test->open();
        test->run();
    }
    if (test->close && setjmp(test_end) == 0) test->close();
}

bool support_run(const support_test *test) {
    live_now();
    at_begin = ct_mem_read();
    failures = 0;
    ct_error_clear();
    ct_seed_set(0);
    run_whole(test);
    EXPECT(ct_error() == CT_OK, "an error was left behind: %s", ct_error_message());
    ct_error_clear();
    int64_t left = live_now() - at_begin.live_bytes;
    int64_t blocks = ct_mem_read().live_blocks - at_begin.live_blocks;
    EXPECT(left == 0 && blocks == 0, "%lld bytes in %lld blocks were not given back",
           (long long)left, (long long)blocks);
    if (failures > SHOWN) fprintf(stderr, "%lld failures in all\n", (long long)failures);
    return failures == 0;
}

static int64_t number_from(const char *variable, int64_t standard) {
    const char *text = getenv(variable);
    return text && *text ? strtoll(text, NULL, 10) : standard;
}

void support_scale_set(int64_t percent) { scale = percent; }

int64_t support_scaled(int64_t samples) {
    if (!scale) scale = number_from("COTAN_SCALE", 100);
    int64_t scaled = samples * scale / 100;
    return scaled > 0 ? scaled : 1;
}

int64_t support_stride(void) {
    int64_t stride = 100 / support_scaled(100);
    return stride > 0 ? stride : 1;
}

uint64_t support_seed(uint64_t standard) {
    return (uint64_t)number_from("COTAN_SEED", (int64_t)standard);
}

/* --- Numbers ---------------------------------------------------------------------------------- */

uint64_t random_word(test_random *r) {
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

int64_t random_below(test_random *r, int64_t n) { return (int64_t)(random_word(r) % (uint64_t)n); }

int64_t random_between(test_random *r, int64_t low, int64_t high) {
    return low + random_below(r, high - low + 1);
}

double random_real(test_random *r, double low, double high) {
    return low + (high - low) * ((double)(random_word(r) >> 11) * 0x1p-53);
}

bool random_chance(test_random *r, int percent) { return random_below(r, 100) < percent; }

bool near(double a, double b, double absolute, double relative) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    return a == b || fabs(a - b) <= absolute + relative * fabs(b);
}

bool same_bits(ct_tensor *a, ct_tensor *b) {
    const void *p = ct_data(a), *q = ct_data(b);
    if (!p || !q || ct_dtype_of(a) != ct_dtype_of(b)) return false;
    if (!ct_shape_equal(ct_shape_of(a), ct_shape_of(b))) return false;
    size_t size = ct_dtype_size(ct_dtype_of(a));
    for (int64_t i = 0; i < ct_numel(a); i++) {
        if (memcmp((const char *)p + (size_t)i * size, (const char *)q + (size_t)i * size, size) &&
            !(isnan(element(a, i)) && isnan(element(b, i)))) {
            return false;
        }
    }
    return true;
}

/* --- Tensors ---------------------------------------------------------------------------------- */

ct_tensor *leaf_from(ct_dtype dtype, ct_shape shape, const double *values) {
    int64_t n = ct_shape_numel(shape);
    void *data = malloc((size_t)(n + 1) * sizeof(ct_p61));
    if (!data) return NULL;
    for (int64_t i = 0; i < n; i++) {
        switch (dtype) {
        case CT_F32: ((float *)data)[i] = (float)values[i]; break;
        case CT_F64: ((double *)data)[i] = values[i]; break;
        case CT_I64: ((int64_t *)data)[i] = (int64_t)values[i]; break;
        case CT_U8: ((uint8_t *)data)[i] = (uint8_t)values[i]; break;
        case CT_P61: ((ct_p61 *)data)[i] = ct_p61_from(values[i]); break;
        case CT_DTYPES: break;
        }
    }
    ct_tensor *t = ct_from(dtype, shape, data);
    free(data);
    return t;
}

double element(ct_tensor *t, int64_t i) {
    const void *data = ct_data(t);
    if (!data) return NAN;
    switch (ct_dtype_of(t)) {
    case CT_F32: return (double)((const float *)data)[i];
    case CT_F64: return ((const double *)data)[i];
    case CT_I64: return (double)((const int64_t *)data)[i];
    case CT_U8: return ((const uint8_t *)data)[i];
    case CT_P61: return ((const ct_p61 *)data)[i].shadow;
    case CT_DTYPES: break;
    }
    return NAN;
}

const char *taken_error(ct_status *status) {
    static _Thread_local char text[1024];
    snprintf(text, sizeof text, "%s", ct_error_message());
    if (status) *status = ct_error();
    ct_error_clear();
    return text;
}

/* --- Running out of memory -------------------------------------------------------------------- */

static void sweep_one(scenario_fn *scenario, scenario_check_fn *check, void *state, int64_t nth,
                      bool persistent) {
    int64_t live = live_now();
    ct_mem_fail_at(nth, persistent);
    ct_status status = scenario(state);
    ct_mem_fail_at(0, false);
    const char *how = persistent ? "persistent" : "transient";
    if (status != CT_OK) {
        EXPECT(status == CT_ERR_MEMORY, "allocation %lld (%s): %s", (long long)nth, how,
               ct_status_name(status));
        EXPECT(ct_error() == CT_ERR_MEMORY && *ct_error_message(), "allocation %lld (%s): '%s'",
               (long long)nth, how, ct_error_message());
    } else {
        EXPECT(ct_error() == CT_OK, "allocation %lld (%s): success, yet '%s'", (long long)nth, how,
               ct_error_message());
    }
    ct_error_clear();
    int64_t left = live_now() - live;
    EXPECT(left == 0, "allocation %lld (%s): %lld bytes were not given back", (long long)nth, how,
           (long long)left);
    check(state, status != CT_OK);
}

int64_t oom_sweep(const char *name, scenario_fn *scenario, scenario_check_fn *check, void *state) {
    live_now();
    int64_t before = ct_mem_read().allocations;
    EXPECT(scenario(state) == CT_OK, "%s: %s", name, ct_error_message());
    int64_t count = ct_mem_read().allocations - before;
    check(state, false);
    for (int64_t nth = 1; nth <= count; nth += support_stride()) {
        sweep_one(scenario, check, state, nth, false);
        sweep_one(scenario, check, state, nth, true);
    }
    printf("%s: %lld allocations, each made to fail alone and with all later ones\n", name,
           (long long)count);
    return count;
}
