/* Weights in files: all slots of a model by path in one .safetensors file. */
#ifndef COTAN_WEIGHTS_H
#define COTAN_WEIGHTS_H

#include <cotan/nn/module.h>

CT_C_BEGIN

/* All slots by path in one .safetensors file, atomically. */
ct_status ct_weights_save(ct_module *model, const char *path);
/* Every slot must be there with its shape and dtype, and nothing else; otherwise nothing
 * changes. Types that safetensors.h converts to the slot's dtype fit too: a file of F16 or BF16
 * loads into an f32 model. For a checkpoint the message says how to load it. */
ct_status ct_weights_load(ct_module *model, const char *path);

/* A slot whose path is `model` is called `file` in the file; where `model` ends in a slash or is
 * "", that holds for the beginning of paths. {"encoder/", "bert.encoder."} changes the beginning,
 * {"fc1/kernel", "fc1.w"} one name, {"", "model/"} reads the model's part of a checkpoint. */
typedef struct {
    const char *model, *file;
} ct_weights_name;

typedef struct {
    bool partial; /* load what fits, leave the other slots as they are; false: all or nothing */
    const ct_weights_name *names; /* the first pair that fits a path decides; where none does
                                     the path is the name in the file                         */
    int64_t n_names;
} ct_weights_load_options;

typedef enum {
    CT_WEIGHT_MISSING, /* a slot that the file has nothing for */
    CT_WEIGHT_UNFIT,   /* a slot whose shape or dtype is another one in the file */
    CT_WEIGHT_UNUSED,  /* a tensor of the file that no slot wants */
} ct_weights_reason;

typedef struct {
    ct_weights_reason reason;
    char *name; /* the slot's path; of CT_WEIGHT_UNUSED the tensor's name */
    char *text; /* fit for a message: "'fc2/kernel' is [3,2] here, [3,5] in file" */
} ct_weights_difference;

typedef struct {
    int64_t loaded; /* slots that have changed */
    int64_t count;
    ct_weights_difference *items; /* the slots in the model's order, then what is unused */
} ct_weights_report;

/* Loads weights of another model, or under other names. On an error nothing changes; a partial load
 * in which no slot fits is one. The report, unless NULL, is set in any case, also to what did not
 * fit by CT_ERR_SHAPE; the caller frees what it holds. */
ct_status ct_weights_load_with(ct_module *model, const char *path, ct_weights_load_options options,
                               ct_weights_report *report);
void ct_weights_report_free(ct_weights_report *report); /* takes NULL; leaves an empty report */

CT_C_END

#endif
