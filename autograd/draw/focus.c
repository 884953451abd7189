/* What can be focused on: the words of the error for a path that no module has.
 * What belongs to a module is decided in picture.c.
 * Invariant: of the paths that resemble what was asked for the first ones in the graph come first. */
#include "autograd/draw/picture.h"

#include <string.h>

#define MOST_NAMED 8

/* How far a path is from what was asked for: 0 when it ends in its last name, 1 when it contains
 * that, 2 otherwise. */
static int distance(const char *path, const char *asked) {
    const char *slash = strrchr(asked, '/'), *name = slash ? slash + 1 : asked;
    size_t length = strlen(path), wanted = strlen(name);
    if (wanted == 0) return 2;
    bool ends = length >= wanted && strcmp(path + length - wanted, name) == 0;
    if (ends && (length == wanted || path[length - wanted - 1] == '/')) return 0;
    return strstr(path, name) ? 1 : 2;
}

/* Paths are interned: equal ones are the same. */
static bool stands_before(const char *const paths[], int64_t i) {
    for (int64_t k = 0; k < i; k++) {
        if (paths[k] == paths[i]) return true;
    }
    return false;
}

/* Puts each path once to the front, and returns how many these are. */
static int64_t unique(const char *paths[], int64_t n) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        const char *path = paths[i];
        if (!*path) continue;
        paths[count] = path;
        count += !stands_before(paths, count);
    }
    return count;
}

ct_status cti_no_such_focus(const char *function, const char *asked, const char *paths[],
                            int64_t n) {
    char named[MOST_NAMED * 80] = "";
    size_t used = 0;
    int64_t count = unique(paths, n), left = count;
    for (int at = 0; at <= 2; at++) {
        for (int64_t i = 0; i < count && count - left < MOST_NAMED; i++) {
            if (distance(paths[i], asked) != at) continue;
            used += (size_t)snprintf(named + used, sizeof named - used, "%s'%.60s'",
                                     used ? ", " : "; its modules are ", paths[i]);
            left--;
        }
    }
    if (left > 0) snprintf(named + used, sizeof named - used, " and %lld more", (long long)left);
    return ct_fail(CT_ERR_RANGE, "%s: nothing in the graph belongs to module '%s'%s", function,
                   asked, count > 0 ? named : ", nor to any other");
}
