/* Private: the parameters of a model, each counted in one place. */
#ifndef COTAN_PARAMETERS_H
#define COTAN_PARAMETERS_H

#include "nn/module.h"

/* Places are numbers of the client's: rows of a table, calls in a picture. */
typedef struct {
    ct_slot_list slots; /* of the whole model */
    int64_t *sizes;     /* of each slot; 0 for a stream of random keys, which is no parameter */
    int64_t *places;    /* where each is counted, or -1 */
    int64_t total, trainable;
} cti_parameters;

/* To be freed also after an error. */
ct_status cti_parameters_make(cti_parameters *p, ct_module *model);
void cti_parameters_free(cti_parameters *p);
/* Counts in a place what is counted nowhere of the module's own slots, or of all below it too. */
void cti_parameters_count(cti_parameters *p, const ct_module *module, bool below, int64_t place);
/* What is counted in places first to end - 1. */
int64_t cti_parameters_between(const cti_parameters *p, int64_t first, int64_t end);
/* Whether some parameter of the module or below is counted in a place before this one. */
bool cti_parameters_shared(const cti_parameters *p, const ct_module *module, int64_t place);

/* 93556 as "93,556", by value so that one message can hold several. */
typedef struct {
    char text[32];
} cti_count_text;
cti_count_text cti_count_format(int64_t count);

#endif
