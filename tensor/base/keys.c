/* How far this thread has drawn. Who draws is nn/, and who keeps ranks alike ranks/exchange.c.
 * Invariant: threads draw apart. */
#include "tensor/base/keys.h"

cti_keys *cti_keys_of_thread(void) {
    static _Thread_local cti_keys keys;
    return &keys;
}
