/* Private: what a page shows: the nodes of a picture in groups that open, and where each stands in
 * its group. */
#ifndef COTAN_PAGE_H
#define COTAN_PAGE_H

#include "autograd/draw/picture.h"

/* A node of the picture, or after those a group: item n_nodes + g is group g. */
typedef struct {
    int64_t group;          /* that it stands in; -1: it is group 0, which is everything */
    int64_t next;           /* of the same group, in the order of their first nodes; or -1 */
    int64_t users, sources; /* items to and from which it has no edges: very many */
    int64_t depth;          /* of groups around it */
    int order;              /* of the derivative */
    const char *label;      /* lines of at most CTI_PAGE_COLUMNS characters; any bytes */
    int width, height;      /* closed, in points */
    int x, y;               /* its centre, from the upper left corner of its group's inside */
} cti_page_item;

typedef struct {
    const char *name; /* NULL: group 0, and nodes that are a group because they are many */
    int64_t frame;    /* that it is, or -1 */
    int64_t first, last, n_items;
    int64_t n_nodes;        /* also those in groups within it */
    int64_t low, high;      /* of nodes that are many: their numbers in their group, from 1 on */
    int64_t value;          /* the node that others use last, or a root; or -1 */
    int64_t gradients;      /* derivatives in it that were asked for */
    int64_t edges, n_edges; /* between its items */
    int64_t users;          /* items that have no edge from outside: very many */
    int width, height;      /* of its inside, with all groups in it closed */
    int port[2][2];         /* where arrows from outside begin and end, at its top and bottom */
    bool laid, has_port[2];
} cti_page_group;

/* Instead of an item: the group's own edge. */
enum { CTI_PAGE_TOP = -1, CTI_PAGE_BOTTOM = -2 };

/* All arrows between two items of a group, as one. */
typedef struct {
    int64_t group, from, to, count;
    bool carried, staged;     /* all of them */
    bool turned;              /* points upwards: between derivatives */
    int64_t points, n_points; /* of its curve, pairs of coordinates; none: a plain line */
} cti_page_edge;

typedef struct {
    const cti_picture *picture;
    cti_page_item *items;
    cti_page_group *groups;
    cti_page_edge *edges;
    int *points;
    int64_t n_groups, n_edges, edge_room, n_points, point_room;
    bool plain; /* some groups are laid out without graphviz */
    char why_plain[300];
    cti_zone zone;
} cti_page;

enum { CTI_PAGE_COLUMNS = 30 };

/* The groups: frames, ops outside of them that hang together, and runs of 50 where more than 200
 * items would stand in one; and the arrows between their items. */
ct_status cti_page_of(cti_page *page, const cti_picture *picture);
/* Gives every item its label and its place. */
ct_status cti_page_lay_out(cti_page *page);
void cti_page_free(cti_page *page); /* also after an error */

#endif
