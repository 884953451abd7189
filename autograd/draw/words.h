/* Private: what pictures write of a node besides its name and type. Nothing is evaluated. */
#ifndef COTAN_WORDS_H
#define COTAN_WORDS_H

#include "tensor/graph/node.h"
#include "tensor/io/writer.h"

#include <stddef.h>

/* A scalar with a value, with a point in any locale. */
cti_real_text cti_number_shown(const ct_tensor *t);
/* "0..9" for a leaf of whole numbers that follow each other; "" for others. */
cti_real_text cti_range_shown(const ct_tensor *t);
/* "[4,3] f32", and of what varies between ranks "[2/8,3] f32": 2 rows here, of 8. By value, so that
 * one line can hold several. */
typedef struct {
    char text[CT_MAX_RANK * 41 + 16];
} cti_type_text;
cti_type_text cti_type_shown(const ct_tensor *t);
/* What a node's attribute says: "axes 0..1", "stride 2, pad 1", "average, decay 0.9"; "" where it
 * says nothing. */
void cti_detail_of(const ct_tensor *t, char *text, size_t room);
/* The elements of a value, "2, 1; 2, 4; -1, 1"; "" for no value and for more than 12 elements. */
void cti_values_of(const ct_tensor *t, char *text, size_t room);
/* Bytes that a detail or a formula may have, and its end. */
#define CTI_WORDS 512
/* The op's derivative as a formula, "da = dy * b, db = dy * a", by building it once more; "" where
 * it has none. Errors: memory. */
ct_status cti_formula_of(ct_tensor *t, char *text, size_t room);

#endif
