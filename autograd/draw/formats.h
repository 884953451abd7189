/* Private: the formats of pictures. A new one is a file of its own and two lines here. */
#ifndef COTAN_FORMATS_H
#define COTAN_FORMATS_H

#include "autograd/draw/picture.h"
#include "tensor/io/writer.h"

/* Writes the whole picture; a failure is in out->status. */
typedef void cti_format_write(const cti_picture *picture, cti_writer *out);
cti_format_write cti_dot_write, cti_tree_write, cti_explorer_write, cti_page_write;

/* What a format changes of the options that a user gave. */
typedef ct_dot_options cti_format_options(ct_dot_options options);
cti_format_options cti_page_options, cti_text_options;

/* Larger pictures are drawn smaller, up to 8064 pixels: else those of large graphs take longer than
 * their layout, and PNG would show less than SVG. */
#define CTI_MOST_INCHES "-Gsize=84,84"

/* clang-format off */
/* By the ending of a file's name. `drawn`: the program `dot` makes it of what `write` wrote. */
static const struct {
    const char *ending;
    cti_format_write *write;
    bool drawn;
    cti_format_options *options; /* NULL: nothing */
    const char *limit;           /* of `dot`, or NULL */
} cti_formats[] = {
    {"dot",  cti_dot_write,      false, NULL, NULL},
    {"txt",  cti_tree_write,     false, cti_text_options, NULL},
    {"json", cti_explorer_write, false, cti_text_options, NULL},
    {"html", cti_page_write,     false, cti_page_options, NULL},
    {"svg",  cti_dot_write,      true,  NULL, NULL},
    {"png",  cti_dot_write,      true,  NULL, CTI_MOST_INCHES},
    {"pdf",  cti_dot_write,      true,  NULL, NULL},
};
/* clang-format on */

#endif
