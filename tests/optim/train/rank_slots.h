/* What a rank has come to, as one number. */
#ifndef COTAN_TESTS_RANK_SLOTS_H
#define COTAN_TESTS_RANK_SLOTS_H

#include "optim/optim.h"

/* Of all values of the model and the optimizer, in the order of their slots. */
uint64_t rank_slots_hash(ct_module *model, ct_optimizer *optimizer);
/* The same bytes as the program sha256sum sees them, a line on standard output. */
void rank_slots_print_sha256(ct_module *model, ct_optimizer *optimizer);

#endif
