/* Private: the formats of pictures. A new one is a file of its own and two lines here. */
#ifndef COTAN_FORMATS_H
#define COTAN_FORMATS_H

#include "autograd/draw/picture.h"
#include "tensor/io/writer.h"

/* Writes the whole picture; a failure is in out->status. */
typedef void cti_format_write(const cti_picture *picture, cti_writer *out);
cti_format_write cti_dot_write;

/* clang-format off */
/* By the ending of a file's name. `drawn`: the program `dot` makes it of what `write` wrote. */
static const struct {
    const char *ending;
    cti_format_write *write;
    bool drawn;
} cti_formats[] = {
    {"dot", cti_dot_write, false},
    {"svg", cti_dot_write, true},
    {"png", cti_dot_write, true},
    {"pdf", cti_dot_write, true},
};
/* clang-format on */

#endif
