/* Private: lists of slots in and out of safetensors files, for weights and for checkpoints. */
#ifndef COTAN_SLOT_FILE_H
#define COTAN_SLOT_FILE_H

#include "nn/nn.h"
#include "tensor/safetensors.h"

/* What the metadata of a checkpoint calls its "format". */
#define CTI_CHECKPOINT_FORMAT "cotan checkpoint"

/* Slots whose tensors are called prefix + path. */
typedef struct {
    const char *prefix;
    ct_slot_list slots;
} cti_slot_group;

ct_status cti_slots_save(const char *path, const cti_slot_group groups[], int n,
                         const ct_pair *metadata, int64_t n_metadata);

/* Checks that the file holds exactly the slots of the groups with their shapes and dtypes, and
 * makes the values that they will get: temporaries, in the order of the groups. One block of
 * cti_alloc, which the caller frees; NULL on error. Nothing has changed. */
ct_tensor **cti_slots_prepare(const char *function, const char *path, const ct_safetensors *file,
                              const cti_slot_group groups[], int n);
/* The same with `options`: under other names, and for a partial load with NULL for the slots that
 * do not fit. Differences are added to the report, which may be NULL. */
ct_tensor **cti_slots_prepare_with(const char *function, const char *path,
                                   const ct_safetensors *file, const cti_slot_group groups[], int n,
                                   const ct_weights_load_options *options,
                                   ct_weights_report *report);
/* Puts the values into the slots; one with NULL stays as it is. Cannot fail. */
void cti_slots_swap(const cti_slot_group groups[], int n, ct_tensor *const prepared[]);

#endif
