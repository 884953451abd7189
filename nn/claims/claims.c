/* The families of claims as one list, and claims by name.
 * It knows nothing of any claim.
 * Invariant: the list is filled once, whichever thread asks first, and never changes. */
#include "nn/claims.h"

#include "nn/claims/claims_private.h"

#include <pthread.h>
#include <string.h>

static const cti_claim_family *const families[] = {
    &cti_batch_norm_claims, &cti_normalization_claims, &cti_loss_claims,
    &cti_activation_claims, &cti_linear_claims,        &cti_pool_claims,
    &cti_attention_claims,  &cti_recurrent_claims,
};

#define MOST 256
static const ct_claim *all[MOST];
static int64_t count;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void join(void) {
    for (int64_t f = 0; f < CTI_ITEMS(families); f++) {
        for (int64_t i = 0; i < families[f]->n; i++, count++) {
            if (count < MOST) all[count] = &families[f]->claims[i];
        }
    }
}

const ct_claim *const *ct_claims(int64_t *n) {
    pthread_once(&once, join);
    if (n) *n = count <= MOST ? count : 0;
    if (count <= MOST) return all;
    return ct_fail_null(CT_ERR_STATE, "ct_claims: there is room for %d claims, not for %lld", MOST,
                        (long long)count);
}

const ct_claim *ct_claim_named(const char *name) {
    int64_t n;
    ct_claims(&n);
    for (int64_t i = 0; i < n && name; i++) {
        if (strcmp(all[i]->name, name) == 0) return all[i];
    }
    return NULL;
}
