/* Numbers as text: what stands in files and in the environment.
 * It knows no format; npy and safetensors have grammars of their own.
 * Invariant: no locale plays a part. */
#include "tensor/base/text.h"

bool cti_whole_number(const char *text, size_t length, int64_t *value) {
    if (length == 0 || (length > 1 && text[0] == '0')) return false;
    int64_t number = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, text[i] - '0', &number)) {
            return false;
        }
    }
    *value = number;
    return true;
}
