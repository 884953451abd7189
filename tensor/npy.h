/* NumPy's .npy files: one array, its shape and its type.
 *
 * The format is that of NumPy Enhancement Proposal 1 and numpy/lib/format.py: versions 1.0, 2.0
 * and 3.0 are read, 1.0 is written, byte for byte as numpy.save writes it: f32 '<f4', f64 '<f8',
 * i64 '<i8' and u8 '|u1'. Read are
 *
 *     f2 f4   f8   i4 u4 i8   u1 b1
 *     f32     f64  i64        u8       every value exactly; a truth value becomes 0 or 1
 *
 * in either byte order, by any word that numpy has for them ('<f4', '=f4', '>f4', 'f4', 'f',
 * 'float32'), with shapes as Python 2 writes them too, '(2L, 3L)'; arrays in Fortran order are
 * read into row-major order.
 *
 * A file may come from anywhere: whatever its bytes, it gives an array or an error that says what
 * is wrong, "<name>: ...", and takes at most 4 times its size + 1 MiB of memory. Headers of more
 * than 65536 bytes, Python objects (pickle), structured and other types, shapes that are not plain
 * whole numbers, rank above 8 and data of another length than the shape's are refused. A file is
 * judged by its first 4096 bytes before more of it is read. */
#ifndef COTAN_NPY_H
#define COTAN_NPY_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

/* The array in a file, as a temporary of the open scope. NULL on error: CT_ERR_IO when the file
 * cannot be read, CT_ERR_FORMAT, CT_ERR_DTYPE or CT_ERR_SHAPE when it is not as said above. */
ct_tensor *ct_npy_load(const char *path);
/* The same from memory; `name` stands for the file in messages. */
ct_tensor *ct_npy_parse(const char *name, const uint8_t *bytes, size_t length);
/* Evaluates t and replaces the file at `path` with it: wholly, or not at all after an error.
 * CT_ERR_STATE for a t that varies between ranks (tensor/varying.h). */
ct_status ct_npy_save(const char *path, ct_tensor *t);

CT_C_END

#endif
