/* Private: DOT as Graphviz reads it, and its program `dot`. */
#ifndef COTAN_GRAPHVIZ_H
#define COTAN_GRAPHVIZ_H

#include "autograd/draw/picture.h"
#include "autograd/draw/plain.h"
#include "tensor/io/writer.h"

#include <stdbool.h>

/* Text that stands for itself between quotes, by value so that one line can hold several. */
typedef struct {
    char text[CTI_PLAIN_CHARACTERS * 6 + 1];
} cti_dot_text;
/* Escapes quotes, backslashes, ampersands and newlines; control characters and what is not UTF-8
 * become U+FFFD; above 120 characters it is cut, with "..." at the end. NULL is "". */
cti_dot_text cti_dot_escape(const char *text);
/* The same for labels like HTML. */
cti_dot_text cti_dot_escape_html(const char *text);

/* What tells the graphs of a comparison apart: attributes of nodes, of frames and
 * of arrows, and a legend. */
void cti_dot_node_look(cti_writer *out, unsigned side);
void cti_dot_frame_look(cti_writer *out, unsigned side);
void cti_dot_arrow_look(cti_writer *out, const cti_picture_arrow *arrow);
void cti_dot_sides(cti_writer *out, const cti_picture *picture);

/* Why there is no picture. */
typedef struct {
    char reason[256]; /* "" when an error is on record */
    const char *hint; /* what to do about it, or "" */
    bool slow;        /* dot took too long */
} cti_no_picture;

/* Has `dot` draw the text, in a format that its option -T knows, with one argument more unless
 * `limit` is NULL, within so many seconds. The caller
 * frees picture->text. After a failure no error is recorded unless why->reason is empty. */
ct_status cti_graphviz(const char *format, const char *limit, const char *text, size_t length,
                       double seconds, cti_writer *picture, cti_no_picture *why);

/* Milliseconds that `dot` may take: 30000; a third of it where there is a coarser level to fall
 * back on. Tests shorten it. */
extern int cti_dot_patience;

#endif
