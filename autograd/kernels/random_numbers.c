/* Random numbers from the bits of Philox: uniform and normal ones.
 * There is no state: who draws keys is in tensor/graph/random.c.
 * Invariant: element i depends on (key, i) alone: block i / 4 of the key's stream. */
#include "autograd/kernels/random_numbers.h"

#include "autograd/kernels/element.h" /* f32 f64 */
#include "tensor/random.h"

#define uniform TYPED(cti_uniform)
#define normal TYPED(cti_normal)

/* Four numbers from 24 or 32 bits each. */
static void uniform_block(const uint32_t bits[4], element y[4]) {
    for (int i = 0; i < 4; i++) y[i] = UNIFORM(bits[i]);
}

/* Box and Muller, 1958: two uniform numbers make two normal ones. 1 - u is in (0, 1]. */
static void normal_block(const uint32_t bits[4], element y[4]) {
    element u[4], two_pi = (element)6.283185307179586;
    uniform_block(bits, u);
    for (int i = 0; i < 4; i += 2) {
        element radius = SQRT(-2 * LOG(1 - u[i])), angle = two_pi * u[i + 1];
        y[i] = radius * COS(angle);
        y[i + 1] = radius * SIN(angle);
    }
}

INLINE void fill(void (*block)(const uint32_t bits[4], element y[4]), const int64_t key[2],
                 int64_t first, int64_t end, element *y) {
    for (int64_t i = first - first % 4; i < end; i += 4) {
        uint32_t bits[4];
        element four[4];
        ct_philox(bits, (uint64_t)i / 4, (uint64_t)key[1], (uint64_t)key[0]);
        block(bits, four);
        for (int64_t k = i < first ? first - i : 0; k < 4 && i + k < end; k++) {
            y[i + k - first] = four[k];
        }
    }
}

void uniform(const int64_t key[2], int64_t first, int64_t end, void *y) {
    fill(uniform_block, key, first, end, y);
}

void normal(const int64_t key[2], int64_t first, int64_t end, void *y) {
    fill(normal_block, key, first, end, y);
}
