/* Private: the number types of files, and which dtype holds every number of each. */
#ifndef COTAN_STORED_H
#define COTAN_STORED_H

#include "tensor/shape.h"

#include <stdbool.h>

typedef struct {
    size_t size;    /* bytes of an element in the file, at most 8 */
    ct_dtype dtype; /* in memory: exact, and never narrower */
    void (*widen)(void *to, const uint8_t *from, size_t n); /* NULL: the bytes stay as they are */
} cti_stored;

/* bf16 is the upper half of an f32 (brain floating point); a truth value is 1 for every byte but
 * 0. The last two are integers for formats whose small ones become f32. */
extern const cti_stored cti_stored_f16, cti_stored_bf16, cti_stored_f32, cti_stored_f64;
extern const cti_stored cti_stored_i8, cti_stored_i16, cti_stored_i32, cti_stored_i64;
extern const cti_stored cti_stored_u8, cti_stored_u16, cti_stored_u32, cti_stored_bool;
extern const cti_stored cti_stored_i8_f32, cti_stored_i16_f32;

/* n elements from anywhere in a file to elements of the dtype. */
void cti_stored_read(const cti_stored *stored, bool big_endian, void *to, const uint8_t *from,
                     size_t n);

#endif
