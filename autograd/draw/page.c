/* Pages: pictures as one HTML file that needs nothing else, in which groups open and close.
 * What stands in which group, and where, is settled before (page_groups.c, page_layout.c); what the
 * reader sees and does is page.js and page.css, which are built into the library.
 * Invariant: the data of a page is JSON, and what others wrote enters it only through put_string,
 * after which no byte of theirs ends a string, an element or a line. */
#include "autograd/draw/page.h"

#include "autograd/draw/formats.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/io/file.h"
#include "tensor/io/json.h"
#include "tensor/io/writer.h"

#include <string.h>
#include <strings.h>

/* page.css, page_pane.js and page.js, made by embed.cmake. */
extern const char cti_page_style[], cti_page_pane_script[], cti_page_script[];

/* --- JSON --------------------------------------------------------------------------------- */

/* Escapes what ends a string or a <script>, and line ends of Unicode; what is no UTF-8 becomes
 * U+FFFD. */
static void put_string(cti_writer *out, const char *text) {
    cti_write_text(out, "\"");
    for (const char *c = text; *c;) {
        size_t length = cti_utf8_length(c, strnlen(c, 4));
        unsigned char byte = (unsigned char)*c;
        bool special = byte < ' ' || byte == 0x7f || strchr("\"\\<>&", *c);
        if (length == 0) cti_write_text(out, "\\ufffd");
        else if (length == 1 && special) cti_write_format(out, "\\u%04x", byte);
        else if (length == 3 && memcmp(c, "\xe2\x80\xa8", 3) == 0) cti_write_text(out, "\\u2028");
        else if (length == 3 && memcmp(c, "\xe2\x80\xa9", 3) == 0) cti_write_text(out, "\\u2029");
        else cti_write_bytes(out, c, length);
        c += length ? length : 1;
    }
    cti_write_text(out, "\"");
}

/* ,"name":"text", unless there is none. */
static void put_text(cti_writer *out, const char *name, const char *text) {
    if (!text) return;
    cti_write_format(out, ",\"%s\":", name);
    put_string(out, text);
}

static void put_number(cti_writer *out, const char *name, int64_t number) {
    cti_write_format(out, ",\"%s\":%lld", name, (long long)number);
}

static void put_flag(cti_writer *out, const char *name, bool is) {
    if (is) put_number(out, name, 1);
}

/* What nodes and groups have: the group they are in, their place and their size there. */
static void put_item(cti_writer *out, const cti_page *page, int64_t i) {
    const cti_page_item *item = &page->items[i];
    cti_write_format(out, "{\"at\":[%lld,%d,%d,%d,%d],\"order\":%d", (long long)item->group,
                     item->x, item->y, item->width, item->height, item->order);
    put_text(out, "label", item->label);
    if (item->users) put_number(out, "users", item->users);
    if (item->sources) put_number(out, "sources", item->sources);
}

static void put_node(cti_writer *out, const cti_page *page, int64_t i) {
    const cti_picture_node *node = &page->picture->nodes[i];
    char formula[CTI_WORDS];
    put_item(out, page, i);
    put_text(out, "name", node->name);
    put_text(out, "kind", node->kind);
    put_text(out, "operands", node->operands);
    put_text(out, "detail", node->detail);
    put_text(out, "formula", cti_picture_formula(node, out, formula));
    put_text(out, "path", node->path);
    put_text(out, "type", node->type);
    put_number(out, "bytes", node->bytes);
    if (node->origin >= 0) put_number(out, "origin", node->origin);
    if (node->shape != CTI_BOX) put_number(out, "shape", node->shape);
    put_flag(out, "root", node->root);
    put_flag(out, "slot", node->slot);
    put_flag(out, "varies", node->varies);
    put_flag(out, "sums", node->sums);
    if (page->picture->timed && node->pass >= 0) {
        put_number(out, "pass", node->pass);
        put_number(out, "share", (int64_t)(node->share * 1e6)); /* no point, no locale */
    }
    if (page->picture->shadowed && node->share > 0) {
        put_number(out, "lost", (int64_t)(node->share * 1e6));
    }
    cti_write_text(out, "}");
}

static void put_edges(cti_writer *out, const cti_page *page, const cti_page_group *group) {
    cti_write_text(out, ",\"edges\":[");
    for (int64_t k = group->edges; k < group->edges + group->n_edges; k++) {
        const cti_page_edge *edge = &page->edges[k];
        cti_write_format(out, "%s[%lld,%lld,%lld,%d", k > group->edges ? "," : "",
                         (long long)edge->from, (long long)edge->to, (long long)edge->count,
                         edge->carried + 2 * edge->staged + 4 * edge->turned);
        for (int64_t i = 0; i < 2 * edge->n_points; i++) {
            cti_write_format(out, ",%d", page->points[edge->points + i]);
        }
        cti_write_text(out, "]");
    }
    cti_write_text(out, "]");
}

static void put_group(cti_writer *out, const cti_page *page, int64_t g) {
    const cti_page_group *group = &page->groups[g];
    put_item(out, page, page->picture->n_nodes + g);
    if (group->n_items) put_text(out, "name", group->name);
    if (group->users) put_number(out, "inner_users", group->users);
    if (group->value >= 0) put_number(out, "value", group->value);
    if (group->gradients) put_number(out, "gradients", group->gradients);
    put_number(out, "nodes", group->n_nodes);
    cti_write_format(out, ",\"inside\":[%d,%d]", group->width, group->height);
    cti_write_text(out, ",\"items\":[");
    for (int64_t i = group->first; i >= 0; i = page->items[i].next) {
        cti_write_format(out, "%s%lld", i == group->first ? "" : ",", (long long)i);
    }
    cti_write_text(out, "],\"ports\":{");
    for (int side = 0; side < 2; side++) {
        if (!group->has_port[side]) continue;
        cti_write_format(out, "%s\"%d\":[%d,%d]", side && group->has_port[0] ? "," : "", -1 - side,
                         group->port[side][0], group->port[side][1]);
    }
    cti_write_text(out, "}");
    put_edges(out, page, group);
    cti_write_text(out, "}");
}

/* [from, to, operand, carried + 2 staged] */
static void put_arrows(cti_writer *out, const cti_picture *p) {
    cti_write_text(out, "],\n\"arrows\":[");
    for (int64_t k = 0; k < p->n_arrows; k++) {
        const cti_picture_arrow *arrow = &p->arrows[k];
        cti_write_format(out, "%s[%lld,%lld,%d,%d]", k ? "," : "", (long long)arrow->from,
                         (long long)arrow->to, arrow->operand, arrow->carried + 2 * arrow->staged);
    }
    cti_write_text(out, "]}");
}

static void put_picture(cti_writer *out, const cti_page *page) {
    const cti_picture *p = page->picture;
    cti_write_text(out, "{\"n\":");
    cti_write_format(out, "%lld", (long long)p->n_nodes);
    put_text(out, "title", p->title);
    put_flag(out, "timed", p->timed);
    put_flag(out, "shadowed", p->shadowed);
    put_flag(out, "modules", p->modules);
    put_flag(out, "left_to_right", p->left_to_right);
    if (page->plain) put_text(out, "plain", page->why_plain);
    cti_write_text(out, ",\n\"nodes\":[");
    for (int64_t i = 0; i < p->n_nodes; i++) {
        cti_write_text(out, i ? ",\n" : "\n");
        put_node(out, page, i);
    }
    cti_write_text(out, "],\n\"groups\":[");
    for (int64_t g = 0; g < page->n_groups; g++) {
        cti_write_text(out, g ? ",\n" : "\n");
        put_group(out, page, g);
    }
    put_arrows(out, p);
}

/* --- HTML --------------------------------------------------------------------------------- */

/* Nothing may come from the network. */
static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n"
    "<link rel=\"icon\" href=\"data:,\">\n<title>cotan</title>\n<style>\n";
static const char body[] = "</style>\n</head>\n<body>\n<noscript>This page needs JavaScript; it "
                           "loads nothing.</noscript>\n"
                           "<script type=\"application/json\" id=\"data\">\n";
static const char script[] = "</script>\n<script>\n";
static const char end[] = "</script>\n</body>\n</html>\n";

static void write_all(const cti_picture pictures[], int64_t n, const char *title, cti_writer *out) {
    cti_write_text(out, head);
    cti_write_text(out, cti_page_style);
    cti_write_text(out, body);
    cti_write_text(out, "{\"version\":1");
    put_text(out, "title", title);
    cti_write_text(out, ",\"pictures\":[");
    for (int64_t k = 0; k < n && out->status == CT_OK; k++) {
        cti_page page;
        ct_status status = cti_page_of(&page, &pictures[k]);
        if (status == CT_OK) status = cti_page_lay_out(&page);
        if (k) cti_write_text(out, ",\n");
        if (status == CT_OK) put_picture(out, &page);
        else out->status = status;
        cti_page_free(&page);
    }
    cti_write_text(out, "]}\n");
    cti_write_text(out, script);
    cti_write_text(out, cti_page_pane_script);
    cti_write_text(out, cti_page_script);
    cti_write_text(out, end);
}

void cti_page_write(const cti_picture *picture, cti_writer *out) {
    write_all(picture, 1, picture->title, out);
}

/* Groups are frames, also of a timed picture, and what is closed may be large. */
ct_dot_options cti_page_options(ct_dot_options options) {
    options.clusters = options.unfold = true;
    if (!options.max_nodes) options.max_nodes = 100000;
    return options;
}

/* --- Several ------------------------------------------------------------------------------ */

static ct_status make(cti_picture made[], const ct_page_picture pictures[], int64_t n,
                      ct_dot_options options) {
    for (int64_t k = 0; k < n; k++) {
        if (!pictures[k].roots) {
            return ct_fail(CT_ERR_NULL, "ct_page_save: the roots of picture %lld are NULL",
                           (long long)k);
        }
        ct_dot_options own = cti_page_options(options);
        own.title = pictures[k].title;
        ct_status status = cti_picture_of(&made[k], "ct_page_save", pictures[k].roots,
                                          pictures[k].n, &own, NULL);
        if (status != CT_OK) return status;
    }
    return CT_OK;
}

ct_status ct_page_save(const char *path, const ct_page_picture pictures[], int64_t n,
                       ct_dot_options options) {
    CTI_CALLED;
    if (!path || !pictures) {
        return ct_fail(CT_ERR_NULL, "ct_page_save: '%s' is NULL", path ? "pictures" : "path");
    }
    if (n < 1) return ct_fail(CT_ERR_RANGE, "ct_page_save: needs at least one picture");
    const char *point = strrchr(path, '.');
    if (!point || strcasecmp(point, ".html") != 0) {
        return ct_fail(CT_ERR_RANGE, "ct_page_save: '%s' must end in .html",
                       cti_show_path(path).text);
    }
    cti_picture *made = cti_alloc((size_t)n, sizeof *made);
    if (!made) return CT_ERR_MEMORY;
    cti_writer text = {0};
    ct_status status = make(made, pictures, n, options);
    if (status == CT_OK) {
        write_all(made, n, options.title, &text);
        status = text.status;
    }
    if (status == CT_OK) {
        status = cti_file_write("ct_page_save", path, &(cti_chunk){text.text, text.used}, 1);
    }
    for (int64_t k = 0; k < n; k++) cti_picture_free(&made[k]);
    cti_free(made);
    cti_free(text.text);
    return status;
}
