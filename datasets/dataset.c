/* Data sets: where MNIST is found, what its files must hold, and the built-in digits.
 * Not a parser and not a renderer: idx.c and digits.c are.
 * Invariant: a data set that is returned has images u8 [N,28,28,1] and as many labels, all of them
 * classes; and a directory that was named is never replaced by other data. */
#include "datasets/datasets.h"
#include "datasets/digits/digits.h"
#include "datasets/idx.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/process.h"
#include "tensor/graph/node.h"
#include "tensor/io/file.h"
#include "tensor/io/writer.h"
#include "tensor/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = CTI_DIGIT_SIDE, CLASSES = 10, PATH_BYTES = 4096, NAME_BYTES = 40 };
/* Of a directory: a folder and a file go behind it. */
enum { MOST_PATH = PATH_BYTES - 2 * NAME_BYTES };

/* Test digits are numbered from here on, training digits from 0. */
#define TEST_DIGITS (INT64_C(1) << 40)

/* In this order everywhere. */
typedef struct {
    ct_tensor *train_images, *train_labels, *test_images, *test_labels;
} parts;

static ct_dataset *dataset_new(const char *name, const parts *p) {
    size_t length = strlen(name);
    ct_dataset *dataset = cti_alloc(1, sizeof *dataset + length + 1);
    /* The same name twice: the second time it is there and takes no memory. */
    if (!dataset || !ct_name(p->train_images, name) || !ct_name(p->test_images, name)) {
        cti_free(dataset);
        return NULL;
    }
    char *copy = (char *)(dataset + 1);
    memcpy(copy, name, length);
    *dataset = (ct_dataset){
        .name = copy,
        .train_images = ct_keep(p->train_images),
        .train_labels = ct_keep(p->train_labels),
        .test_images = ct_keep(p->test_images),
        .test_labels = ct_keep(p->test_labels),
        .classes = CLASSES,
    };
    return dataset;
}

void ct_dataset_free(ct_dataset *dataset) {
    if (!dataset) return;
    ct_drop(dataset->train_images);
    ct_drop(dataset->train_labels);
    ct_drop(dataset->test_images);
    ct_drop(dataset->test_labels);
    cti_free(dataset);
}

/* --- The built-in digits ------------------------------------------------------------------ */

typedef struct {
    int64_t first, n;
    uint64_t seed;
    uint8_t *pixels;
    int64_t *classes;
} rendering;

/* Every count-th block of images, from number `thread` on. */
static void render_share(void *context, int thread, int count) {
    const rendering *job = context;
    const int64_t block = 256;
    for (int64_t from = thread * block; from < job->n; from += count * block) {
        int64_t end = from + block < job->n ? from + block : job->n;
        for (int64_t i = from; i < end; i++) {
            uint8_t label;
            cti_digit_render(job->seed, job->first + i, job->pixels + i * CTI_DIGIT_PIXELS, &label);
            job->classes[i] = label;
        }
    }
}

static bool render(ct_tensor **images, ct_tensor **labels, int64_t first, int64_t n,
                   uint64_t seed) {
    *images = cti_leaf_new("ct_dataset_digits", CT_U8, CT_SHAPE(n, SIDE, SIDE, 1));
    *labels = *images ? cti_leaf_new("ct_dataset_digits", CT_I64, CT_SHAPE(n)) : NULL;
    /* 0: CT_NUM_THREADS is not valid, which has been recorded. */
    int threads = ct_threads();
    if (!*labels || threads == 0) return false;
    rendering job = {.first = first,
                     .n = n,
                     .seed = seed,
                     .pixels = (*images)->buffer->data,
                     .classes = (*labels)->buffer->data};
    cti_parallel(threads, render_share, &job);
    return true;
}

ct_dataset *ct_dataset_digits(int64_t n_train, int64_t n_test, uint64_t seed) {
    CTI_CALLED;
    bool train_fits = n_train >= 0 && n_train <= TEST_DIGITS;
    if (!train_fits || n_test < 0 || n_test > TEST_DIGITS) {
        return ct_fail_null(CT_ERR_RANGE, "ct_dataset_digits: %s must be 0..2^40, got %lld",
                            train_fits ? "n_test" : "n_train",
                            (long long)(train_fits ? n_test : n_train));
    }
    int64_t scope = ct_scope_open();
    parts p;
    ct_dataset *dataset = NULL;
    if (render(&p.train_images, &p.train_labels, 0, n_train, seed) &&
        render(&p.test_images, &p.test_labels, TEST_DIGITS, n_test, seed)) {
        dataset = dataset_new("built-in digits", &p);
    }
    ct_scope_close(scope);
    return dataset;
}

/* --- A directory of IDX files ------------------------------------------------------------- */

typedef struct {
    const char *stem, *kind;
} file_name;

static const file_name file_names[4] = {
    {"train-images", "idx3"},
    {"train-labels", "idx1"},
    {"t10k-images", "idx3"},
    {"t10k-labels", "idx1"},
};

/* 0, or the errno value that says why there is nothing to see. */
static int look_at(const char *path, bool *directory) {
    struct stat found;
    int code = cti_system_calls()->fstatat(AT_FDCWD, path, &found, 0) == 0 ? 0 : errno;
    *directory = code == 0 && S_ISDIR(found.st_mode);
    return code;
}

/* Writes the path of the first spelling that is there and is a directory, or is none. Anything but
 * "there is no such file" counts as there: reading it will say what is wrong. */
static bool find_spelling(const char *directory, file_name name, bool wanted,
                          char path[PATH_BYTES]) {
    for (int spelling = 0; spelling < 4; spelling++) {
        bool is_directory;
        snprintf(path, PATH_BYTES, "%s/%s%c%s-ubyte%s", directory, name.stem,
                 spelling & 2 ? '.' : '-', name.kind, spelling & 1 ? ".gz" : "");
        int code = look_at(path, &is_directory);
        if (code != ENOENT && code != ENOTDIR && is_directory == wanted) return true;
    }
    return false;
}

/* Archives unpack to a folder of the file's name that holds the file. */
static bool find_file(const char *directory, file_name name, char path[PATH_BYTES]) {
    char folder[PATH_BYTES];
    if (find_spelling(directory, name, false, path)) return true;
    if (!find_spelling(directory, name, true, folder)) return false;
    if (find_spelling(folder, name, false, path)) return true;
    memcpy(path, folder, PATH_BYTES);
    return true;
}

/* How many of the files there are; `missing` lists the others. */
static int find_files(const char *directory, char paths[4][PATH_BYTES],
                      char missing[4 * NAME_BYTES]) {
    int found = 0;
    size_t used = 0;
    missing[0] = '\0';
    for (int i = 0; i < 4; i++) {
        file_name name = file_names[i];
        if (find_file(directory, name, paths[i])) found++;
        else {
            used += (size_t)snprintf(missing + used, 4 * NAME_BYTES - used, "%s%s-%s-ubyte[.gz]",
                                     used ? ", " : "", name.stem, name.kind);
        }
    }
    return found;
}

static ct_tensor *load_bytes(const char *path, const char *what) {
    ct_tensor *t = ct_idx_load(path);
    if (t && t->dtype != CT_U8) {
        return ct_fail_null(CT_ERR_FORMAT, "%s: %s need elements of type u8, got %s",
                            cti_show_path(path).text, what, ct_dtype_name(t->dtype));
    }
    return t;
}

static ct_tensor *load_images(const char *path) {
    ct_tensor *t = load_bytes(path, "images");
    if (!t) return NULL;
    ct_shape shape = t->shape;
    if (shape.rank != 3 && shape.rank != 4) {
        return ct_fail_null(CT_ERR_FORMAT, "%s: images need rank 3 or 4, got rank %d",
                            cti_show_path(path).text, shape.rank);
    }
    ct_shape images = CT_SHAPE(shape.dims[0], SIDE, SIDE, 1);
    if (shape.dims[1] != SIDE || shape.dims[2] != SIDE || (shape.rank == 4 && shape.dims[3] != 1)) {
        return ct_fail_null(CT_ERR_FORMAT, "%s: images must be %s, got %s",
                            cti_show_path(path).text, ct_shape_format(images).text,
                            ct_shape_format(shape).text);
    }
    return cti_leaf_over(t->buffer, CT_U8, images);
}

static ct_tensor *load_labels(const char *path) {
    ct_tensor *t = load_bytes(path, "labels");
    if (!t) return NULL;
    if (t->shape.rank != 1) {
        return ct_fail_null(CT_ERR_FORMAT, "%s: labels need rank 1, got rank %d",
                            cti_show_path(path).text, t->shape.rank);
    }
    ct_tensor *labels = cti_leaf_new("ct_dataset_open", CT_I64, t->shape);
    if (!labels) return NULL;
    const uint8_t *from = t->buffer->data;
    int64_t *to = labels->buffer->data;
    for (int64_t i = 0; i < t->numel; i++) {
        if (from[i] >= CLASSES) {
            return ct_fail_null(CT_ERR_FORMAT, "%s: label must be in 0..%d, got %d at item %lld",
                                cti_show_path(path).text, CLASSES - 1, from[i], (long long)i);
        }
        to[i] = from[i];
    }
    return labels;
}

static bool load_pair(const char *images_path, const char *labels_path, ct_tensor **images,
                      ct_tensor **labels) {
    *images = load_images(images_path);
    *labels = *images ? load_labels(labels_path) : NULL;
    if (!*labels) return false;
    if ((*images)->shape.dims[0] == (*labels)->shape.dims[0]) return true;
    ct_fail(CT_ERR_FORMAT, "%s: images have %lld items, labels %lld",
            cti_show_path(images_path).text, (long long)(*images)->shape.dims[0],
            (long long)(*labels)->shape.dims[0]);
    return false;
}

static ct_dataset *load(const char *directory, char paths[4][PATH_BYTES]) {
    int64_t scope = ct_scope_open();
    parts p;
    ct_dataset *dataset = NULL;
    if (load_pair(paths[0], paths[1], &p.train_images, &p.train_labels) &&
        load_pair(paths[2], paths[3], &p.test_images, &p.test_labels)) {
        dataset = dataset_new(directory, &p);
    }
    ct_scope_close(scope);
    return dataset;
}

/* --- Where to look ------------------------------------------------------------------------ */

static ct_dataset *open_named(const char *directory) {
    char paths[4][PATH_BYTES], missing[4 * NAME_BYTES];
    /* The dot makes a name that is no directory an error of its own. */
    int length = snprintf(paths[0], PATH_BYTES, "%s/.", directory);
    bool is_directory;
    int code = length < MOST_PATH ? look_at(paths[0], &is_directory) : ENAMETOOLONG;
    if (!*directory) code = ENOENT;
    if (code) {
        return ct_fail_null(CT_ERR_IO, "ct_dataset_open: %s: %s", cti_show_path(directory).text,
                            cti_system_error(code));
    }
    if (find_files(directory, paths, missing) < 4) {
        return ct_fail_null(CT_ERR_IO, "ct_dataset_open: %s lacks %s",
                            cti_show_path(directory).text, missing);
    }
    return load(directory, paths);
}

/* The XDG base directory specification: a relative path there is to be ignored. */
static bool cache_directory(char path[PATH_BYTES]) {
    const char *cache = secure_getenv("XDG_CACHE_HOME"), *home = secure_getenv("HOME");
    bool own = cache && cache[0] == '/';
    if (!own && (!home || home[0] != '/')) return false;
    int length = snprintf(path, PATH_BYTES, "%s%s/cotan/mnist", own ? cache : home,
                          own ? "" : "/.cache");
    return length < MOST_PATH;
}

ct_dataset *ct_dataset_open(const char *directory) {
    CTI_CALLED;
    const char *variable = secure_getenv("COTAN_DATA");
    if (directory) return open_named(directory);
    if (variable && *variable) return open_named(variable);
    char cache[PATH_BYTES], paths[4][PATH_BYTES], missing[4 * NAME_BYTES];
    if (cache_directory(cache) && find_files(cache, paths, missing) == 4) {
        return load(cache, paths);
    }
    return ct_dataset_digits(60000, 10000, 0);
}
