/* Every f32 function of one argument at all 2^32 arguments, by all instruction sets of the
 * processor: sweep_math32 [NAME...]. It takes minutes for each and is run by hand, not by ctest.
 * It judges no speed.
 * Invariant: exit status 0 means that ops.h states each largest error, rounded up to two digits
 * behind the point, and that all instruction sets gave the same bits. */
#include "tests/autograd/kernels/math32_loops.h"

#include <stdbool.h>

enum { BLOCK = 4096 };

typedef struct {
    double error;
    float x;
    bool same; /* bits of all instruction sets */
} finding;

static finding worse(finding a, finding b) {
    finding worst = a.error >= b.error ? a : b;
    worst.same = a.same && b.same;
    return worst;
}

/* The arguments whose bits are first .. first + BLOCK - 1. */
static finding sweep_block(size_t function, uint64_t first) {
    float x[BLOCK], out[BLOCK], other[BLOCK];
    finding worst = {.same = true};
    for (uint64_t i = 0; i < BLOCK; i++) x[i] = cti_f32_from_bits((uint32_t)(first + i));
    functions[function].set[0](BLOCK, out, x, x);
    for (size_t set = 1; set < N_SETS; set++) {
        if (!is_supported(set)) continue;
        functions[function].set[set](BLOCK, other, x, x);
        for (int i = 0; i < BLOCK; i++) {
            bool both_nan = out[i] != out[i] && other[i] != other[i];
            if (!both_nan && cti_f32_bits(out[i]) != cti_f32_bits(other[i])) worst.same = false;
        }
    }
    for (int i = 0; i < BLOCK; i++) {
        finding here = {ulps(out[i], functions[function].exact((double)x[i])), x[i], true};
        worst = worse(worst, here);
    }
    return worst;
}

static bool sweep(size_t function) {
    finding worst = {.same = true};
#pragma omp parallel
    {
        finding mine = {.same = true};
#pragma omp for schedule(dynamic, 64)
        for (int64_t block = 0; block < (INT64_C(1) << 32) / BLOCK; block++) {
            mine = worse(mine, sweep_block(function, (uint64_t)block * BLOCK));
        }
#pragma omp critical
        worst = worse(worst, mine);
    }
    double stated = stated_error(functions[function].name);
    bool right = worst.error <= stated && stated < worst.error + 0.01 && worst.same;
    printf("%-8s %.4f ulp at %a, stated %.2f%s%s\n", functions[function].name, worst.error,
           (double)worst.x, stated, worst.same ? "" : ", instruction sets differ",
           right ? "" : ": WRONG");
    fflush(stdout);
    return right;
}

static bool is_asked_for(size_t function, int n, char *names[]) {
    for (int i = 1; i < n; i++) {
        if (strcmp(names[i], functions[function].name) == 0) return true;
    }
    return n < 2;
}

int main(int n, char *names[]) {
    bool right = true;
    for (size_t function = 0; function < N_UNARY; function++) {
        if (is_asked_for(function, n, names)) right &= sweep(function);
    }
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
