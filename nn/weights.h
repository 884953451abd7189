/* Weights in files, all slots of a model by path in one .safetensors file; from model to model. */
#ifndef COTAN_WEIGHTS_H
#define COTAN_WEIGHTS_H

#include <cotan/nn/module.h>

CT_C_BEGIN

/* All slots by path in one .safetensors file, atomically. With a group of ranks (tensor/group.h)
 * rank 0 alone writes; ct_group_agree tells the others when it has. */
ct_status ct_weights_save(ct_module *model, const char *path);
/* Every slot must be there with its shape and dtype, and nothing else; otherwise nothing
 * changes. Types that safetensors.h converts to the slot's dtype fit too: a file of F16 or BF16
 * loads into an f32 model. For a checkpoint the message says how to load it. All ranks of a group
 * load together, or none does. */
ct_status ct_weights_load(ct_module *model, const char *path);

/* Every slot of the model gets what the slot of `from` with the same path holds: of a network of
 * targets, say, or of a part that was trained elsewhere, as children are models too. Both have the
 * same paths, in any order, with the same shapes and dtypes, statistics and streams of keys among
 * them; CT_ERR_SHAPE names the first that differs, and nothing changes. No number is copied: both
 * hold the same values until a step writes new ones.
 *
 *     void begin_as(ct_module *classifier, ct_module *autoencoder) {
 *         ct_weights_copy(classifier->children[0], autoencoder->children[0]); // the encoder
 *     }
 */
ct_status ct_weights_copy(ct_module *model, ct_module *from);

/* A slot whose path is `model` is called `file` in the file; where `model` ends in a slash or is
 * "", that holds for the beginning of paths. {"encoder/", "bert.encoder."} changes the beginning,
 * {"fc1/kernel", "fc1.w"} one name, {"", "model/"} reads the model's part of a checkpoint: where
 * a pair is of the whole model, tensors whose names begin as no pair says are not looked at. */
typedef struct {
    const char *model, *file;
} ct_weights_name;

/* A dense kernel whose rows are an image that the other library flattened in the order C, H, W. */
typedef struct {
    const char *kernel; /* its path in the model */
    int64_t channels, height, width;
} ct_weights_flattened;

/* How a file of another library calls what slots hold, and lays it out. One of your own is a
 * constant too. */
#define CT_WEIGHTS_NAME 1025 /* bytes with the last 0 */
typedef struct {
    char name[CT_WEIGHTS_NAME];
    char second[CT_WEIGHTS_NAME]; /* another tensor; "": none */
    ct_weights_layout layout;
} ct_weights_place;
typedef struct ct_weights_form ct_weights_form;
struct ct_weights_form {
    /* Where the file has a slot. `file` and `path` are the two parts of its name: what a pair of
     * names gives for the beginning, and the rest of the path, both may be "". Where the file has
     * no such tensor, or one that does not become the slot's shape, it is asked again, with attempt
     * 1, 2, .. 15, until one fits or it says false: nowhere. As the first answer that is an error
     * for a parameter, and anything else stays as it is. */
    bool (*place)(const ct_named_slot *slot, const char *file, const char *path, int attempt,
                  ct_weights_place *out);
    const char *ignored; /* tensors whose names end so are no weights; NULL: none */
};
/* A state_dict, as safetensors.torch.save_file writes it: 'block/conv/kernel' is
 * 'block.conv.weight', kernels [O,I,H,W] and [out,in] are turned into [H,W,I,O] and [in,out]. The
 * kinds of layers know what PyTorch calls their slots (ct_module_kind.pytorch). In
 * {"features/", "backbone.features."} the second name is the file's, with its dots. A star in it
 * stands for the folder and the name of the slot, where more follows: layers and directions of
 * recurrent ones, whose names end in _l0 otherwise, are {"lstm_2/", "lstm.*_l1"} and
 * {"reader/backward/", "lstm.*_l0_reverse"}. ct_module_number() calls the children of Sequentials
 * as PyTorch does.
 * Where a pair gives a slot's whole name, the tensor is laid out as the slot's layer has it or,
 * where that has another shape, as a part of what is packed: {"mha/query/kernel", "x.q.weight"}
 * takes [out,in] or the first third of [3 out,in]. A slot that PyTorch has no name for is taken as
 * it is.
 * PyTorch flattens images as [C,H,W]; the dense layer behind that says so:
 *
 *     ct_weights_flattened image = {"fc1/kernel", 64, 7, 7};
 *     ct_weights_load_options options = {
 *         .form = &ct_weights_pytorch, .flattened = &image, .n_flattened = 1};
 *     ct_weights_load_with(model, "lenet.safetensors", options, NULL);                      */
extern const ct_weights_form ct_weights_pytorch;
/* Keras 3: 'block/conv2d/kernel' is 'layers/block/layers/conv2d/vars/0', by the number of the slot,
 * in one order with ours; kinds that Keras keeps otherwise say so (ct_module_kind.keras).
 * examples/h5_to_safetensors turns a .weights.h5 into a file with these names. Where Keras calls a
 * layer otherwise, the folder in the file, without a slash at its end:
 * {"batch_norm/", "layers/batch_normalization"}. */
extern const ct_weights_form ct_weights_keras;

typedef struct {
    bool partial; /* load what fits, leave the other slots as they are; false: all or nothing */
    const ct_weights_name *names; /* the first pair that fits a path decides; where none does
                                     the path is the name in the file                         */
    int64_t n_names;
    const ct_weights_form *form; /* NULL: a file of ct_weights_save */
    const ct_weights_flattened *flattened;
    int64_t n_flattened;
    bool convert; /* floats of another type too, f32 into an f64 model or rounded into an f32 one */
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
