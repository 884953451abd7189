/* The built-in digits, generated from stroke outlines. Private to datasets/; no tensors, no
 * allocation, no state. */
#ifndef COTAN_DATASETS_DIGITS_H
#define COTAN_DATASETS_DIGITS_H

#include <stdint.h>

enum { CTI_DIGIT_SIDE = 28, CTI_DIGIT_PIXELS = CTI_DIGIT_SIDE * CTI_DIGIT_SIDE };

/* Renders digit number `index` of the stream `seed`: pixels row-major 28x28, 0 = background,
 * 255 = ink; *label is 0 to 9. A pure function of (seed, index), safe from any thread; its bytes
 * do not depend on compiler, optimisation level or vector width (built with -ffp-contract=off). */
void cti_digit_render(uint64_t seed, int64_t index, uint8_t pixels[CTI_DIGIT_PIXELS],
                      uint8_t *label);

#endif
