/* Nodes and arrows of a picture: their texts and colours.
 * What is drawn and in which order is decided in dot.c.
 * Invariant: numbers print the same in every locale, and names are escaped. */
#include "autograd/draw/dot_label.h"
#include "autograd/draw/dot_private.h"

#include <locale.h>
#include <stdarg.h>
#include <string.h>

const char *const cti_dot_fills[4] = {"#dcebf7", "#fde5cc", "#dff0d8", "#eadcf4"};
const char cti_dot_slot_fill[] = "#ffd966";
const char cti_dot_carried[] = "#b8b8b8";

void cti_dot_put(cti_picture *p, const char *text) { cti_write_text(&p->out, text); }

void cti_dot_format(cti_picture *p, const char *format, ...) {
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    cti_dot_put(p, line);
}

void cti_dot_put_escaped(cti_picture *p, const char *text) {
    cti_dot_put(p, cti_dot_escape(text).text);
}

/* --- Nodes -------------------------------------------------------------------------------- */

static int shade(const ct_tensor *t) { return t->order < 3 ? t->order : 3; }

/* A number, with a point in any locale. */
static void put_number(cti_picture *p, const ct_tensor *t) {
    char text[64];
    const void *data = t->buffer->data;
    if (t->dtype == CT_I64) {
        snprintf(text, sizeof text, "%lld", (long long)*(const int64_t *)data);
    } else {
        snprintf(text, sizeof text, "%.6g", cti_value(data, t->dtype, 0));
    }
    const char *local = localeconv()->decimal_point;
    char *point = *local ? strstr(text, local) : NULL;
    if (point) {
        *point = '.';
        memmove(point + 1, point + strlen(local), strlen(point + strlen(local)) + 1);
    }
    cti_dot_put(p, text);
}

/* mul(·, 0.5): the numbers among its operands, and a dot for each arrow. */
#define MOST_SHOWN 4 /* operands */
static void put_operands(cti_picture *p, const ct_tensor *t) {
    bool any = false;
    for (int k = 0; k < t->n_inputs; k++) any |= p->constant[t->inputs[k]->index] >= 0;
    if (!any || t->n_inputs > MOST_SHOWN) return;
    for (int k = 0; k < t->n_inputs; k++) {
        int64_t constant = p->constant[t->inputs[k]->index];
        cti_dot_put(p, k ? ", " : "(");
        if (constant >= 0) put_number(p, p->walk.items[constant]);
        else cti_dot_put(p, "\xc2\xb7");
    }
    cti_dot_put(p, ")");
}

static void put_label(cti_picture *p, const ct_tensor *t) {
    cti_dot_put(p, "label=\"");
    cti_dot_put_escaped(p, t->name);
    if (t->op) {
        if (*t->name) cti_dot_put(p, " = ");
        cti_dot_put_escaped(p, t->op->name);
        put_operands(p, t);
    } else if (!*t->name && t->numel == 1) {
        put_number(p, t);
    } else if (!*t->name) {
        cti_dot_put(p, "data");
    }
    cti_dot_format(p, "\\n%s %s\"", ct_shape_format(t->shape).text, ct_dtype_name(t->dtype));
}

void cti_dot_put_node(cti_picture *p, int64_t i, const char *indent) {
    const ct_tensor *t = p->walk.items[i];
    if (t->slot) p->slots = true;
    else p->shades[shade(t)] = true;
    cti_dot_format(p, "%sn%lld [", indent, (long long)p->number[i]);
    put_label(p, t);
    if (p->options.profile && !t->slot) {
        /* Hue, saturation, value; a share of a fifth of the time is as red as it gets. Whole
         * thousandths, because a locale may write a comma. */
        double share = p->pass[i] < 0 ? 0 : p->share[i] * 5;
        int red = (int)(900 * (share < 1 ? share : 1));
        cti_dot_format(p, ", fillcolor=\"0.000 0.%03d 1.000\"", red);
    } else {
        cti_dot_format(p, ", fillcolor=\"%s\"",
                       t->slot ? cti_dot_slot_fill : cti_dot_fills[shade(t)]);
    }
    if (!t->op) cti_dot_put(p, ", shape=ellipse");
    if (cti_dot_is_view(t)) {
        cti_dot_put(p, ", fontsize=8, height=0.2, margin=\"0.06,0.02\", color=\"#bbbbbb\"");
    }
    if (p->root[i]) cti_dot_put(p, ", peripheries=2");
    cti_dot_put(p, "];\n");
}

/* --- Arrows ------------------------------------------------------------------------------- */

/* Whether it matters which operand is which. */
static bool ordered(const cti_picture *p, const ct_tensor *t) {
    static const char *const symmetric[] = {"add",     "mul",   "maximum",
                                            "minimum", "equal", "not_equal"};
    int arrows = 0;
    for (int k = 0; k < t->n_inputs; k++) arrows += p->constant[t->inputs[k]->index] < 0;
    for (size_t i = 0; i < sizeof symmetric / sizeof *symmetric; i++) {
        if (strcmp(t->op->name, symmetric[i]) == 0) return false;
    }
    return arrows > 1 && !cti_dot_is_view(t);
}

/* One arrow, from operand k of a node. What a view does not show is not computed with it: a staged
 * update. */
static void put_arrow(cti_picture *p, const ct_tensor *t, int k, bool numbered) {
    static const char *const colors[] = {"#30597a", "#b0651d", "#4a8a3a", "#7a4f96"};
    const ct_tensor *in = p->walk.items[p->target[t->inputs[k]->index]];
    if (p->number[in->index] < 0) return;
    bool staged = cti_dot_is_view(t) && k > 0, carried = shade(in) < shade(t);
    p->staged |= staged;
    p->carried |= carried;
    cti_dot_format(p, "  n%lld -> n%lld [color=\"%s\"", (long long)p->number[in->index],
                   (long long)p->number[t->index], carried ? cti_dot_carried : colors[shade(t)]);
    if (staged) cti_dot_put(p, ", style=dashed");
    /* Between frames it must not push the derivative below the whole forward pass. */
    if (carried && p->options.clusters) cti_dot_put(p, ", constraint=false");
    if (numbered) cti_dot_format(p, ", headlabel=\"%d\"", k + 1);
    cti_dot_put(p, "];\n");
}

void cti_dot_put_arrows(cti_picture *p) {
    for (int64_t i = 0; i < p->walk.count; i++) {
        const ct_tensor *t = p->walk.items[i];
        if (p->number[i] < 0 || !t->op) continue;
        bool numbered = ordered(p, t);
        for (int k = 0; k < t->n_inputs; k++) put_arrow(p, t, k, numbered);
    }
}
