/* Options of a command line: a table says what there is, this file reads it and writes the help.
 * It knows no program and never guesses: a value is taken whole or refused.
 * Invariant: a refused value leaves its variable as it was. */
#include "options.h"

#include "program.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 32 /* names of options are shorter */

shown show(const char *text) {
    shown out;
    size_t at = 0;
    out.text[at++] = '\'';
    for (size_t i = 0; text[i] && i < 64; i++) {
        unsigned char byte = (unsigned char)text[i];
        bool plain = byte >= ' ' && byte < 127 && byte != '\'' && byte != '\\';
        at += (size_t)snprintf(out.text + at, 5, plain ? "%c" : "\\x%02x", byte);
    }
    snprintf(out.text + at, sizeof out.text - at, strlen(text) > 64 ? "...'" : "'");
    return out;
}

/* Levenshtein's distance: insertions, deletions and replacements from a to b. */
static int distance(const char *a, size_t n, const char *b) {
    int row[LONGEST + 1];
    size_t m = strlen(b);
    if (n > LONGEST || m > LONGEST) return LONGEST;
    for (size_t j = 0; j <= m; j++) row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[m];
}

static const char *nearest(const char *name, size_t length, const option list[], int n) {
    const char *best = NULL;
    int least = length < 6 ? 2 : 3; /* farther away, it is another word */
    for (int i = 0; i < n; i++) {
        if (length > 3 && strncmp(list[i].name, name, length) == 0) return list[i].name;
        int d = distance(name, length, list[i].name);
        if (d < least) {
            least = d;
            best = list[i].name;
        }
    }
    return best;
}

static int unknown(const char *program, const char *argument, const option list[], int n) {
    if (strncmp(argument, "--", 2) != 0) {
        fprintf(stderr, "%s: unexpected argument %s; see --help\n", program, show(argument).text);
        return EXIT_USAGE;
    }
    size_t length = strcspn(argument, "=");
    char name[LONGEST + 64];
    snprintf(name, sizeof name, "%.*s", (int)(length < LONGEST + 63 ? length : LONGEST + 63),
             argument);
    const char *meant = nearest(name, strlen(name), list, n);
    if (meant) {
        fprintf(stderr, "%s: unknown option %s; did you mean '%s'?\n", program, show(name).text,
                meant);
    } else {
        fprintf(stderr, "%s: unknown option %s; see --help\n", program, show(name).text);
    }
    return EXIT_USAGE;
}

static bool read_integer(const option *o, const char *text) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool plain = *text && strspn(text, "-0123456789") == strlen(text);
    if (!plain || *end || errno || value < o->low || value > o->high) return false;
    *(int64_t *)o->value = value;
    return true;
}

static bool read_number(const option *o, const char *text) {
    char *end;
    double value = strtod(text, &end);
    /* The set keeps out what strtod takes besides: hexadecimal, "inf", "nan", leading space. */
    bool plain = *text && strspn(text, "+-.0123456789eE") == strlen(text);
    if (!plain || *end || !(value > 0) || !(value <= (double)o->high)) return false;
    *(double *)o->value = value;
    return true;
}

static bool read_choice(const option *o, const char *text) {
    size_t length = strlen(text);
    for (const char *word = o->metavar; *word;) {
        size_t n = strcspn(word, "|");
        if (n == length && memcmp(word, text, n) == 0) {
            *(const char **)o->value = text;
            return true;
        }
        word += n + (word[n] == '|');
    }
    return false;
}

static bool read_value(const option *o, const char *text) {
    switch (o->kind) {
    case OPTION_FLAG: break;
    case OPTION_INTEGER: return read_integer(o, text);
    case OPTION_NUMBER: return read_number(o, text);
    case OPTION_CHOICE: return read_choice(o, text);
    case OPTION_TEXT:
        if (*text) *(const char **)o->value = text;
        return *text != '\0';
    }
    return false;
}

static int refuse(const char *program, const option *o, const char *text) {
    fprintf(stderr, "%s: %s: expected ", program, o->name);
    switch (o->kind) {
    case OPTION_FLAG: fprintf(stderr, "no value"); break;
    case OPTION_INTEGER:
        fprintf(stderr, "an integer in %lld..%lld", (long long)o->low, (long long)o->high);
        break;
    case OPTION_NUMBER:
        fprintf(stderr, "a number above 0 and at most %lld", (long long)o->high);
        break;
    case OPTION_CHOICE:
        for (const char *c = o->metavar; *c; c++) {
            if (*c == '|') fputs(strchr(c + 1, '|') ? ", " : " or ", stderr);
            else fputc(*c, stderr);
        }
        break;
    case OPTION_TEXT: fprintf(stderr, "a value"); break;
    }
    if (text) fprintf(stderr, ", got %s\n", show(text).text);
    else fprintf(stderr, ", got nothing\n");
    return EXIT_USAGE;
}

static int print_help(const char *program, const char *about, const option list[], int n) {
    printf("usage: %s [OPTIONS]\n\n%s\n\n", program, about);
    for (int i = 0; i < n; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", list[i].name, list[i].metavar ? " " : "",
                 list[i].metavar ? list[i].metavar : "");
        printf("  %-26s %s\n", left, list[i].help);
    }
    printf("  %-26s %s\n", "--help", "this text");
    return program_end(program, 0);
}

static const option *find(const char *argument, const option list[], int n) {
    size_t length = strcspn(argument, "=");
    for (int i = 0; i < n; i++) {
        if (strlen(list[i].name) == length && memcmp(list[i].name, argument, length) == 0) {
            return &list[i];
        }
    }
    return NULL;
}

int options_parse(const char *program, const char *about, const option list[], int n, int argc,
                  char *const argv[]) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return print_help(program, about, list, n);
        }
    }
    uint64_t given = 0;
    for (int i = 1; i < argc; i++) {
        const option *o = find(argv[i], list, n);
        if (!o) return unknown(program, argv[i], list, n);
        uint64_t bit = UINT64_C(1) << (o - list);
        if (given & bit) {
            fprintf(stderr, "%s: %s: given twice\n", program, o->name);
            return EXIT_USAGE;
        }
        given |= bit;
        const char *text = strchr(argv[i], '=');
        if (text) text++;
        if (o->kind == OPTION_FLAG) {
            if (text) return refuse(program, o, text);
            *(bool *)o->value = true;
            continue;
        }
        /* "--out --quiet" is a forgotten value; "--out=--quiet" is meant. */
        if (!text && i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0) text = argv[++i];
        if (!text || !read_value(o, text)) return refuse(program, o, text);
    }
    return -1;
}
