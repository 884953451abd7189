/* How pictures of two graphs show which of them something is in.
 * What is in which is diff.c's business.
 * Invariant: the looks differ in line and lightness too, not in hue alone. */
#include "autograd/draw/picture.h"

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
