/* Data for training: MNIST and Fashion-MNIST from their files, the built-in digits, batches of any
 * tensors as a source for ct_fit, and what a function makes of them. */
#ifndef COTAN_DATASETS_H
#define COTAN_DATASETS_H

#include <cotan/tensor/source.h>
#include <cotan/tensor/tensor.h>

CT_C_BEGIN

/* --- Data sets ---------------------------------------------------------------------------- */

/* Grey images of 28x28 (0 = background, 255 = ink), stored as bytes, and their classes. The
 * struct owns the tensors; keep one to hold it longer. */
typedef struct {
    const char *name;        /* where the data came from: a directory, or "built-in digits";
                                also the name (ct_name) of the images                       */
    ct_tensor *train_images; /* u8 [N,28,28,1] */
    ct_tensor *train_labels; /* i64 [N], 0 to classes-1 */
    ct_tensor *test_images;
    ct_tensor *test_labels;
    int64_t classes;
} ct_dataset;

/* Opens the first of these:
 *  1. `directory`, unless it is NULL;
 *  2. the directory named by the environment variable COTAN_DATA, unless it is empty;
 *  3. $XDG_CACHE_HOME/cotan/mnist (~/.cache/cotan/mnist), if all four files are there;
 *  4. the built-in digits, ct_dataset_digits(60000, 10000, 0).
 * The files are those of MNIST and Fashion-MNIST, {train,t10k}-{images-idx3,labels-idx1}-ubyte,
 * also spelled with a dot before "idx", each plain or with ".gz", and each also in a folder of such
 * a name, as Kaggle has them: train-images-idx3-ubyte/train-images-idx3-ubyte. A directory that was
 * named and lacks one of them is an error, and so is a bad file in any: nothing is replaced
 * silently.
 * Errors, naming the file: CT_ERR_IO, CT_ERR_FORMAT, CT_ERR_MEMORY. */
ct_dataset *ct_dataset_open(const char *directory);

/* The built-in digits: a pure function of the arguments, for any number of threads. Training
 * image i is the same whatever n_train is, and test images are never training images.
 * Errors: CT_ERR_RANGE for counts outside 0..2^40 and a bad CT_NUM_THREADS, CT_ERR_MEMORY. */
ct_dataset *ct_dataset_digits(int64_t n_train, int64_t n_test, uint64_t seed);

void ct_dataset_free(ct_dataset *dataset); /* takes NULL */

/* --- Batches ------------------------------------------------------------------------------ */

/* Zero means the default. */
typedef struct {
    int64_t size; /* items in a batch; 0: 32; with fewer items they are one batch */
    bool shuffle; /* a new order in each epoch, a function of seed and epoch number */
    uint64_t seed;
    bool drop_last;   /* leave out the last batch when it is smaller than `size` */
    int64_t limit;    /* use the first `limit` items only; 0: all */
    double divide_by; /* gives x / divide_by: u8 becomes f32, f32 and f64 stay; 0: x as is */
} ct_batches_options;

/* A source of batches: rows of x [N,...] and y [N,...] of any dtype, copied together. Without
 * shuffle in the order of x. It evaluates x and y now and keeps them; ct_source_free lets go.
 * The quotient is one division rounded to the type, (float)x / (float)divide_by for f32.
 * With a group of ranks (tensor/group.h) a rank copies its own rows of each batch, which vary along
 * axis 0 (tensor/varying.h): `size`, the count and the order are those of the batch of all ranks.
 * Logs call the data by the name of x (ct_name), which is the data set's for its images.
 *
 * ct_source_next gives x and y as temporaries of the open scope, both NULL at the end of the
 * epoch and until the next seek; on an error it does not move. ct_source_seek takes an epoch from
 * 0 on and a batch from 0 to the count (the end of the epoch). It starts at epoch 0, batch 0.
 * Errors: CT_ERR_NULL, CT_ERR_SHAPE (scalars, counts that differ, no items), CT_ERR_RANGE
 * (options; drop_last of all there is), CT_ERR_DTYPE (divide_by for i64), CT_ERR_STATE (a tensor
 * that varies between ranks: rows of a rank's own are given to ct_varying batch by batch),
 * CT_ERR_MEMORY. */
ct_source *ct_batches_new(ct_tensor *x, ct_tensor *y, ct_batches_options options);
/* The same from n tensors, 1 to 2 + CT_BATCH_MORE, for models of several inputs or outputs: the
 * first is x, the second y, the others are more[0] and so on. From one tensor y is NULL. divide_by
 * is for the first alone. Errors as above, with tensors[k] for the names; CT_ERR_RANGE (n). */
ct_source *ct_batches_many_new(ct_tensor *const tensors[], int64_t n, ct_batches_options options);

/* Makes another batch of one, in place: augmentation, say. It may replace the tensors by others,
 * which need not be evaluated yet: then they are a part of the step's plan. What was there must
 * not become NULL. `epoch` and `number` (of the batch, from 0) are all it may depend on, so that
 * training continued from a checkpoint sees the same; a validation is epoch 0 each time. Random
 * numbers too are a function of them:
 *
 *     static ct_status brighten(void *context, int64_t epoch, int64_t number, ct_batch *batch) {
 *         const int64_t *seed = context, key[2] = {*seed + epoch, number};
 *         ct_tensor *one_each = ct_sum_keep(batch->x, CT_AXES(1, 2, 3)); // its shape alone is used
 *         ct_tensor *u = ct_random_uniform_like(ct_from(CT_I64, CT_SHAPE(2), key), one_each);
 *         batch->x = ct_mul(batch->x, ct_offset(u, 0.5));
 *         return batch->x ? CT_OK : ct_error();
 *     }                                                                                        */
typedef ct_status ct_batch_function(void *context, int64_t epoch, int64_t number, ct_batch *batch);

/* A source that gives what `function` makes of each batch of `source`. It owns `source` from now
 * on, also when this call fails: then it frees it. `context` is borrowed. A function that fails, or
 * makes NULL, is an error of ct_source_next, which does not move then. It starts at epoch 0, batch
 * 0. Errors: CT_ERR_NULL, CT_ERR_MEMORY, those of ct_source_seek. */
ct_source *ct_source_map_new(ct_source *source, ct_batch_function *function, void *context);

CT_C_END

#endif
