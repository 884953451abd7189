/* Private: the random keys of layers that a rank has drawn since the last commit of its group, as
 * all ranks have to draw the same.
 *
 * Ranks that make the same calls draw the same, up to an exchange that fails: there one may have
 * drawn for what another never came to. So each takes back what it has drawn since the last commit,
 * and all go on alike without telling each other. A commit compares how far streams have come. */
#ifndef COTAN_DRAWS_H
#define COTAN_DRAWS_H

#include "tensor/slot.h"

/* Writes the next key into the slot of a stream. */
ct_status cti_draw_key(ct_slot *stream, ct_tensor *next);
/* Of how far the streams have come that were drawn from; 0: none was. */
uint64_t cti_draws_hash(void);
/* All ranks have drawn the same, and what they drew counts. */
void cti_draws_keep(void);
void cti_draws_take_back(void);

#endif
