/* How pictures of two graphs show which of them something is in.
 * What is in which is match.c's business.
 * Invariant: the looks differ in line and lightness too, not in hue alone; blue and vermilion are
 * of Okabe and Ito's palette, which readers of any colour vision tell apart. */
#include "autograd/draw/graphviz.h"

const char *const cti_side_marks[4] = {"  ", "- ", "+ ", "~ "};

cti_look cti_look_of(unsigned side) {
    switch (side) {
    case CTI_FIRST: return CTI_LOOK_FIRST;
    case CTI_SECOND: return CTI_LOOK_SECOND;
    case 0:
    case CTI_BOTH: return CTI_LOOK_SAME;
    default: return CTI_LOOK_CHANGED;
    }
}

/* Graphviz takes the last of several values of an attribute. */
static const char *const node_looks[] = {
    [CTI_LOOK_SAME] = ", fillcolor=\"#f4f4f4\", color=\"#c8c8c8\", fontcolor=\"#707070\"",
    [CTI_LOOK_FIRST] =
        ", fillcolor=\"#cfe5f5\", color=\"#0072b2\", style=\"filled,dashed\", penwidth=1.5",
    [CTI_LOOK_SECOND] = ", fillcolor=\"#ffe3c8\", color=\"#d55e00\", penwidth=2.5",
    [CTI_LOOK_CHANGED] = ", fillcolor=\"#ffffff\", color=\"#000000\", penwidth=1.2",
};

void cti_dot_node_look(cti_writer *out, unsigned side) {
    cti_write_text(out, node_looks[cti_look_of(side)]);
}

void cti_dot_frame_look(cti_writer *out, unsigned side) {
    static const char *const looks[] = {
        [CTI_LOOK_SAME] = "color=\"#c8c8c8\";",
        [CTI_LOOK_FIRST] = "color=\"#0072b2\"; style=dashed;",
        [CTI_LOOK_SECOND] = "color=\"#d55e00\"; penwidth=2;",
        [CTI_LOOK_CHANGED] = "color=\"#808080\";",
    };
    cti_write_text(out, looks[cti_look_of(side)]);
}

void cti_dot_arrow_look(cti_writer *out, const cti_picture_arrow *arrow) {
    static const char *const looks[] = {
        [CTI_LOOK_SAME] = ", color=\"#c0c0c0\"",
        [CTI_LOOK_FIRST] = ", color=\"#0072b2\", style=dashed, penwidth=1.3",
        [CTI_LOOK_SECOND] = ", color=\"#d55e00\", style=solid, penwidth=2",
        [CTI_LOOK_CHANGED] = ", color=\"#404040\"",
    };
    cti_write_text(out, looks[cti_look_of(arrow->side)]);
    if (arrow->staged) cti_write_text(out, ", style=dotted");
}

/* A row of the label: cells that look as what they stand for, of what occurs, be it as an arrow
 * alone. */
void cti_dot_sides(cti_writer *out, const cti_picture *p) {
    static const char *const cells[] = {
        [CTI_LOOK_SAME] = "bgcolor=\"#f4f4f4\" color=\"#c8c8c8\"",
        [CTI_LOOK_FIRST] = "bgcolor=\"#cfe5f5\" color=\"#0072b2\" style=\"dashed\"",
        [CTI_LOOK_SECOND] = "bgcolor=\"#ffe3c8\" color=\"#d55e00\"",
        [CTI_LOOK_CHANGED] = "bgcolor=\"#ffffff\" color=\"#000000\"",
    };
    bool any[4] = {false};
    for (int64_t i = 0; i < p->n_nodes; i++) any[cti_look_of(p->nodes[i].side)] = true;
    for (int64_t k = 0; k < p->n_arrows; k++) any[cti_look_of(p->arrows[k].side)] = true;
    cti_write_text(out, "<tr>");
    for (int look = 0; look < 4; look++) {
        bool one = look == CTI_LOOK_FIRST || look == CTI_LOOK_SECOND;
        const char *text = one                        ? "only in '"
                           : look == CTI_LOOK_CHANGED ? "in both, but changed"
                                                      : "in both";
        if (!any[look]) continue;
        cti_write_format(out, "<td border=\"%d\" %s>%s", look == CTI_LOOK_SECOND ? 3 : 1,
                         cells[look], text);
        if (one) cti_write_text(out, cti_dot_escape_html(p->sides[look - 1]).text);
        cti_write_format(out, "%s</td>", one ? "'" : "");
    }
    cti_write_text(out, "</tr>");
}
