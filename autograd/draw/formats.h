/* Private: the formats of pictures. A new one is a file of its own and two lines here. */
#ifndef COTAN_FORMATS_H
#define COTAN_FORMATS_H

#include "autograd/draw/picture.h"
#include "tensor/io/writer.h"

/* Writes the whole picture; a failure is in out->status. */
typedef void cti_format_write(const cti_picture *picture, cti_writer *out);
cti_format_write cti_dot_write, cti_tree_write, cti_explorer_write;

/* clang-format off */
/* By the ending of a file's name. `drawn`: the program `dot` makes it of what `write` wrote.
 * `framed`: the format is nothing without frames around modules, so pictures have them. */
static const struct {
    const char *ending;
    cti_format_write *write;
    bool drawn, framed;
} cti_formats[] = {
    {"dot",  .write = cti_dot_write},
    {"txt",  .write = cti_tree_write, .framed = true},
    {"json", .write = cti_explorer_write, .framed = true},
    {"svg",  .write = cti_dot_write, .drawn = true},
    {"png",  .write = cti_dot_write, .drawn = true},
    {"pdf",  .write = cti_dot_write, .drawn = true},
};
/* clang-format on */

#endif
