/* Turns the numbers of an HDF5 file into a safetensors file, each under its path: Keras's
 * .weights.h5 for ct_weights_load_with and ct_weights_keras (nn/weights.h).
 * It is built where libhdf5 is (Debian: libhdf5-dev); cotan itself does not need it. */
#include "options.h"
#include "program.h"

#include <cotan/cotan.h>

#define H5_USE_110_API
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    ct_named *items;
    int64_t count;
} tensors;

/* What memory the elements of a data set need; -1 for what is no tensor of numbers. */
static int64_t size_of(hid_t type, hid_t space, ct_shape *shape, ct_dtype *dtype) {
    H5T_class_t kind = H5Tget_class(type);
    hsize_t dims[CT_MAX_RANK];
    int rank = H5Sget_simple_extent_ndims(space);
    if ((kind != H5T_FLOAT && kind != H5T_INTEGER) || rank < 0 || rank > CT_MAX_RANK) return -1;
    *dtype = kind == H5T_INTEGER ? CT_I64 : H5Tget_size(type) == 8 ? CT_F64 : CT_F32;
    *shape = (ct_shape){.rank = rank};
    H5Sget_simple_extent_dims(space, dims, NULL);
    int64_t bytes = (int64_t)ct_dtype_size(*dtype);
    for (int i = 0; i < rank; i++) {
        shape->dims[i] = (int64_t)dims[i];
        if (shape->dims[i] < 0 || __builtin_mul_overflow(bytes, shape->dims[i], &bytes)) return -1;
    }
    return bytes;
}

static ct_tensor *read_tensor(hid_t set, const char *name) {
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    ct_shape shape;
    ct_dtype dtype = CT_F32;
    int64_t bytes = size_of(type, space, &shape, &dtype);
    H5Sclose(space);
    H5Tclose(type);
    hid_t in_memory = dtype == CT_I64   ? H5T_NATIVE_INT64
                      : dtype == CT_F64 ? H5T_NATIVE_DOUBLE
                                        : H5T_NATIVE_FLOAT;
    void *elements = bytes < 0 ? NULL : malloc((size_t)bytes + 1);
    ct_tensor *t = NULL;
    if (bytes < 0) {
        fprintf(stderr, "h5_to_safetensors: %s is no tensor of numbers\n", show(name).text);
    } else if (!elements || H5Dread(set, in_memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, elements) < 0) {
        fprintf(stderr, "h5_to_safetensors: %s cannot be read\n", show(name).text);
    } else if (!(t = ct_from(dtype, shape, elements))) {
        fprintf(stderr, "h5_to_safetensors: %s: %s\n", show(name).text, ct_error_message());
    }
    free(elements);
    return t;
}

/* One object of the file; a negative result ends the walk. */
static herr_t visit(hid_t file, const char *name, const H5O_info_t *info, void *context) {
    tensors *list = context;
    if (info->type != H5O_TYPE_DATASET) return 0;
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    ct_tensor *value = set >= 0 ? read_tensor(set, name) : NULL;
    if (set >= 0) H5Dclose(set);
    size_t room = (size_t)(list->count + 1) * sizeof *list->items;
    ct_named *grown = value ? realloc(list->items, room) : NULL;
    if (!grown) return -1;
    list->items = grown;
    list->items[list->count] = (ct_named){strdup(name), value};
    return list->items[list->count++].name ? 0 : -1;
}

static int convert(const char *from, const char *to) {
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* what went wrong is said here */
    hid_t file = H5Fopen(from, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0) {
        fprintf(stderr, "h5_to_safetensors: %s is no HDF5 file that can be read\n",
                show(from).text);
        return EXIT_IO;
    }
    tensors list = {NULL, 0};
    bool whole = H5Ovisit(file, H5_INDEX_NAME, H5_ITER_INC, visit, &list) >= 0;
    H5Fclose(file);
    int status = whole ? 0 : EXIT_IO;
    if (whole && ct_safetensors_save(to, list.items, list.count, NULL, 0) != CT_OK) {
        fprintf(stderr, "h5_to_safetensors: %s\n", ct_error_message());
        status = EXIT_IO;
    }
    if (status == 0) printf("wrote %lld tensors to '%s'\n", (long long)list.count, to);
    for (int64_t i = 0; i < list.count; i++) free((char *)list.items[i].name);
    free(list.items);
    ct_scope_close(0);
    return status;
}

int main(int argc, char **argv) {
    program_begin();
    static const char usage[] = "usage: h5_to_safetensors FILE.weights.h5 FILE.safetensors\n";
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return program_end("h5_to_safetensors", 0);
    }
    if (argc != 3) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    return program_end("h5_to_safetensors", convert(argv[1], argv[2]));
}
