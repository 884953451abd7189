/* Private: how far this thread has drawn random keys, as ranks that make the same calls have to
 * draw the same.
 *
 * They do, up to an exchange that fails: there one may have drawn for what another never came to.
 * So ranks tell each other how far they have come, and where that differs, all go on where the
 * first of them is: none draws what another has drawn, and no key is drawn twice. */
#ifndef COTAN_KEYS_OF_THREAD_H
#define COTAN_KEYS_OF_THREAD_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t seed[2]; /* the next key of ct_seed_draw: the seed, and the number of its stream */
    int64_t next;    /* the largest number of a layer's next key that was drawn up to */
    uint32_t draws;  /* of layers: the sum of a hash of each, for any order of them */
    bool unsure;     /* ranks may have drawn unequally since they last made sure */
    /* From keys of layers that were written before this id, none with a lower number is drawn. */
    int64_t least;
    uint64_t before;
} cti_keys;

cti_keys *cti_keys_of_thread(void);

#endif
