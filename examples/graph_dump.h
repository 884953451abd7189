/* The graphs that graph_dump draws. */
#ifndef EXAMPLES_GRAPH_DUMP_H
#define EXAMPLES_GRAPH_DUMP_H

#include <cotan/cotan.h>

#define MOST_ROOTS 300

typedef struct {
    const char *title; /* or NULL */
    ct_tensor *roots[MOST_ROOTS];
    int64_t n;
    ct_module *model; /* or NULL; the caller frees it, after the graph */
    ct_type input;    /* of the model */
    ct_mode mode;     /* asked for */
    bool plain;       /* asked for: the study's network without BatchNorm */
} graph;

typedef struct {
    const char *name, *about;
    /* Records the graph with derivatives up to this order: 0, 1 or 2. */
    ct_status (*build)(graph *g, int order);
    const ct_formula *formula; /* or NULL */
    bool modules;              /* made of modules, which the picture frames */
} graph_kind;

/* The words between '|', for options. */
#define GRAPHS "bn|bn3|ln|softmax|seed|resnet18|lstm|gpt"
extern const graph_kind graphs[];
/* One of them, or NULL. */
const graph_kind *graph_kind_of(const char *name);

#endif
