/* Private: a safetensors file in memory. */
#ifndef COTAN_SAFETENSORS_FILE_H
#define COTAN_SAFETENSORS_FILE_H

#include "tensor/io/stored.h"
#include "tensor/safetensors.h"

enum {
    CTI_SAFETENSORS_HEADER = 100000000, /* most bytes of a header */
    CTI_SAFETENSORS_TENSORS = 1000000,  /* most tensors of a file */
    CTI_SAFETENSORS_NAME = 1024,        /* most bytes of a name */
};

/* An element type of the format. */
typedef struct {
    const char *name;         /* "BF16" */
    const cti_stored *stored; /* NULL: cotan cannot hold it */
    int bits;                 /* of an element */
} cti_safetensors_type;

typedef struct {
    const char *name; /* in the header's text */
    const cti_safetensors_type *type;
    ct_shape shape;
    int64_t begin, end; /* bytes of the data */
} cti_safetensors_entry;

struct ct_safetensors {
    uint8_t *bytes;      /* the whole file; the header's strings are decoded in place */
    const uint8_t *data; /* what follows the header */
    int64_t data_length;
    cti_safetensors_entry *entries; /* in the header's order */
    int64_t count;
    uint32_t *by_name; /* entry numbers, sorted by name */
    const char *texts; /* the metadata: "key\0value\0key\0value\0..." */
    uint32_t *keys;    /* where keys begin in it, sorted by key */
    int64_t n_keys;
};

#endif
