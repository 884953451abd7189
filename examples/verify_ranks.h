/* The claims of `verify` that need several ranks: SyncBatchNorm is BatchNorm of the whole batch. */
#ifndef EXAMPLES_VERIFY_RANKS_H
#define EXAMPLES_VERIFY_RANKS_H

#include <cotan/autograd/verify.h>

enum { RANK_CLAIMS = 3 };
extern const ct_claim rank_claims[RANK_CLAIMS];

/* ct_verify of one of these, on as many processes as its batch has parts, joined by sockets: this
 * one is rank 0. Errors: ct_verify's; CT_ERR_STATE where a rank finds another verdict or none;
 * CT_ERR_IO where there are no processes or sockets. */
ct_status verify_on_ranks(const ct_claim *claim, ct_verify_options options,
                          ct_verify_report *report);

#endif
