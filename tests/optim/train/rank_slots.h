/* What a rank has come to, as one number. */
#ifndef COTAN_TESTS_RANK_SLOTS_H
#define COTAN_TESTS_RANK_SLOTS_H

#include "optim/optim.h"
#include "tensor/group.h"

/* Of all values of the model and the optimizer, in the order of their slots. */
uint64_t rank_slots_hash(ct_module *model, ct_optimizer *optimizer);
/* The same but for streams of random keys: a forward goes on to the next key at once, also one that
 * is never committed. */
uint64_t rank_learned_hash(ct_module *model, ct_optimizer *optimizer);
/* All ranks call it, with the same number. */
void rank_expect_alike(ct_group *group, uint64_t mine, const char *what, int64_t at);
/* The same bytes as the program sha256sum sees them, a line on standard output. */
void rank_slots_print_sha256(ct_module *model, ct_optimizer *optimizer);

#endif
